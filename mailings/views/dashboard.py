"""The first page of the workspace, in place of Wagtail's own for those who edit no pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.forms import Script
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.views import View
from wagtail.admin.ui.components import Component

from mailings import reports
from mailings.models import Client
from mailings.permissions import has_workspace, may_add, visible_attempts


class WorkspacePanel(Component):
    """Numbers, runs at work, what comes next, and what failed and why."""

    name = "workspace"
    template_name = "mailings/dashboard.html"
    order = 50

    class Media:
        # Wagtail loads it above the parts of the page that it looks for.
        js = [Script("mailings/refresh.js", defer=True)]

    def get_context_data(self, parent_context: Mapping[str, Any]) -> dict[str, Any]:
        request = parent_context["request"]
        return {
            "request": request,
            # Components are rendered without the request's own context.
            "csrf_token": get_token(request),
            "user": request.user,
            "is_own": may_add(request.user, Client),
            **reports.dashboard(request.user),
        }


def show_workspace(request: HttpRequest, panels: list[Component]) -> None:
    """Put our dashboard in the place of Wagtail's; administrators keep both."""
    if not has_workspace(request.user):
        return
    if not request.user.is_superuser:
        panels.clear()
    panels.append(WorkspacePanel())


class TroubleView(View):
    """The notice of the mail server's trouble, while there is anything to send or to say."""

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {
            "trouble": reports.trouble_for(request.user),
            "running": visible_attempts(request.user).running().exists(),
        }
        return render(request, "mailings/includes/trouble_part.html", context)


class RunningView(View):
    """The part of the dashboard that changes while runs are at work."""

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {"running": reports.running(visible_attempts(request.user), request.user)}
        return render(request, "mailings/includes/running.html", context)
