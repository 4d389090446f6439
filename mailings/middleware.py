"""Who may open which page of the Wagtail admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from wagtail.admin.auth import permission_denied, user_has_any_page_permission

from accounts.models import User

# Apps of ours, whose views ask for permissions by themselves.
OWN_APPS = ("accounts", "mailings", "config")
# What pages of Wagtail's the workspace is made of; none of them shows a row.
SHARED = {
    "wagtailadmin_home",
    "wagtailadmin_account",
    "wagtailadmin_login",
    "wagtailadmin_logout",
    "wagtailadmin_dismissibles",
    "wagtailadmin_sprite",
    "wagtailadmin_javascript_catalog",
    "wagtailadmin_block_preview",
    # Answers 404 to every address that there is not.
    "wagtail.admin.views.home.default",
}
# The log of everybody's rows, which Wagtail filters by kind of row, not by owner.
ADMINISTRATORS_ONLY = {
    "wagtailadmin_reports:site_history",
    "wagtailadmin_reports:site_history_results",
}


class WorkspaceMiddleware:
    """Close Wagtail's own admin pages to everybody who has no part in the site's pages.

    Some of them ask for no more than access to the admin: the page chooser, tags, the log. A
    list of what is open stays right when Wagtail gets new addresses; hiding menu items would not.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable, args: Any, kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        if not request.path.startswith("/admin/") or not request.user.is_authenticated:
            return None
        return None if self.is_open(request.user, request, view) else deny(request)

    def is_open(self, user: User, request: HttpRequest, view: Callable) -> bool:
        match = request.resolver_match
        if user.is_superuser or is_own(view):
            return True
        if match.view_name in ADMINISTRATORS_ONLY:
            return False
        if match.view_name == "wagtail_bulk_action" and match.kwargs["app_label"] == "mailings":
            return True
        return match.view_name in SHARED or user_has_any_page_permission(user)


def is_own(view: Callable) -> bool:
    source = getattr(view, "view_class", view).__module__
    return source.partition(".")[0] in OWN_APPS


def deny(request: HttpRequest) -> HttpResponse:
    """Answer as Wagtail's own views do."""
    if not request.user.has_perm("wagtailadmin.access_admin"):
        raise PermissionDenied
    return permission_denied(request)
