"""What each role finds in the menus of the admin."""

from __future__ import annotations

from django.http import HttpRequest
from wagtail.admin.auth import user_has_any_page_permission
from wagtail.admin.menu import MenuItem

from mailings.permissions import has_workspace


class WorkspaceMenuItem(MenuItem):
    def is_shown(self, request: HttpRequest) -> bool:
        return has_workspace(request.user)


def shorten_help(request: HttpRequest, items: list[MenuItem]) -> None:
    """Leave out what is about Wagtail as such, for those who do not edit the site."""
    if not user_has_any_page_permission(request.user):
        items[:] = [item for item in items if item.name == "keyboard-shortcuts-trigger"]


def hide_site_history(request: HttpRequest, items: list[MenuItem]) -> None:
    """Offer only what opens: see `ADMINISTRATORS_ONLY` in middleware.py."""
    if not request.user.is_superuser:
        items[:] = [item for item in items if item.name != "site-history"]
