"""What accounts add to the Wagtail admin. Registration only."""

from __future__ import annotations

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from wagtail import hooks
from wagtail.log_actions import LogActionRegistry

from accounts.members import MemberViewSet
from accounts.models import User


@hooks.register("register_admin_viewset")
def register_members() -> MemberViewSet:
    return MemberViewSet()


@hooks.register("register_log_actions")
def register_log_actions(actions: LogActionRegistry) -> None:
    actions.register_action("accounts.block", _("Block"), _("Blocked"))
    actions.register_action("accounts.unblock", _("Unblock"), _("Unblocked"))


@hooks.register("insert_global_admin_css")
def add_styles() -> str:
    return format_html('<link rel="stylesheet" href="{}">', static("accounts/admin.css"))


@hooks.register("get_avatar_url")
def get_avatar_url(user: User | None, size: int) -> str | None:
    return user.avatar.url if user and user.avatar else None


@hooks.register("register_account_menu_item")
def register_profile(request: HttpRequest) -> dict[str, str]:
    return {
        "url": reverse("account_profile"),
        "label": _("Your profile"),
        "help_text": _("Name, company, avatar, language and time zone, e-mail, password."),
    }
