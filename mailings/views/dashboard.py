"""The first page of the workspace, in place of Wagtail's own for those who edit no pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import View
from wagtail.admin.ui.components import Component
from wagtail.permissions import policy_registry

from accounts.models import User
from mailings import reports
from mailings.models import Client, Mailing
from mailings.permissions import visible_attempts


def has_workspace(user: User) -> bool:
    return policy_registry.get_by_type(Mailing).user_has_any_permission(user, {"add", "view"})


def shows_addresses(user: User) -> bool:
    return policy_registry.get_by_type(Client).user_has_permission(user, "add")


class WorkspacePanel(Component):
    """Numbers, runs at work, what comes next, and what failed and why."""

    name = "workspace"
    template_name = "mailings/dashboard.html"
    order = 50

    class Media:
        css = {"all": ["mailings/workspace.css"]}
        js = ["mailings/refresh.js"]

    def get_context_data(self, parent_context: Mapping[str, Any]) -> dict[str, Any]:
        request = parent_context["request"]
        return {
            "request": request,
            "user": request.user,
            "is_own": shows_addresses(request.user),
            **reports.dashboard(request.user, addresses=shows_addresses(request.user)),
        }


class RunningView(View):
    """The part of the dashboard that changes while runs are at work."""

    def get(self, request: HttpRequest) -> HttpResponse:
        attempts = visible_attempts(request.user)
        context = {"running": reports.running(attempts, addresses=shows_addresses(request.user))}
        return render(request, "mailings/includes/running.html", context)
