"""What the mailing extension adds to the Wagtail admin. Registration only."""

from __future__ import annotations

from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from wagtail import hooks
from wagtail.admin.menu import MenuItem
from wagtail.admin.viewsets.base import ViewSet
from wagtail.log_actions import LogActionRegistry
from wagtail.snippets.models import register_snippet

from mailings.menus import WorkspaceMenuItem, hide_site_history, shorten_help
from mailings.rich_text import register_letter_link
from mailings.views.clients import ClientBulkTryAgain
from mailings.views.dashboard import show_workspace
from mailings.views.messages import MessageBulkDelete
from mailings.viewsets import (
    MailingViewSet,
    client_list_viewset,
    client_viewset,
    mailing_viewset,
    message_viewset,
    picture_chooser_viewset,
    picture_viewset,
)

# --- Clients, lists, pictures, messages -------------------------------------------------------


@hooks.register("register_admin_viewset")
def register_what_letters_need() -> list[ViewSet]:
    return [client_viewset, client_list_viewset, picture_viewset, picture_chooser_viewset]


@hooks.register("insert_global_admin_css")
def add_styles() -> str:
    return format_html('<link rel="stylesheet" href="{}">', static("mailings/workspace.css"))


@hooks.register("register_icons")
def add_icons(icons: list[str]) -> list[str]:
    """Draw the divider, whose name Wagtail's editor knows but whose icon it does not."""
    return [*icons, "mailings/icons/horizontalrule.svg"]


@hooks.register("register_log_actions")
def register_subscription(actions: LogActionRegistry) -> None:
    actions.register_action("mailings.unsubscribe", _("Unsubscribe"), _("Unsubscribed by hand"))
    actions.register_action(
        "mailings.resubscribe", _("Subscribe again"), _("Subscribed again by hand")
    )
    actions.register_action(
        "mailings.try_again", _("Try this address again"), _("Let the address be tried again")
    )


hooks.register("construct_help_menu", shorten_help)
hooks.register("construct_reports_menu", hide_site_history)
hooks.register("construct_homepage_panels", show_workspace)
hooks.register("register_rich_text_features", register_letter_link)
register_snippet(message_viewset)
# After Wagtail's own action of the same name, whose place it takes.
hooks.register("register_bulk_action", MessageBulkDelete, order=1)
hooks.register("register_bulk_action", ClientBulkTryAgain)


# --- Mailings ---------------------------------------------------------------------------------


@hooks.register("register_admin_viewset")
def register_mailings() -> MailingViewSet:
    return mailing_viewset


@hooks.register("register_admin_menu_item")
def add_finished_mailings() -> MenuItem:
    return WorkspaceMenuItem(
        pgettext_lazy("menu", "Finished mailings"),
        reverse("mailing:finished"),
        name="finished-mailings",
        icon_name="tasks",
        order=250,
    )


@hooks.register("register_log_actions")
def register_switch(actions: LogActionRegistry) -> None:
    actions.register_action("mailings.switch_on", _("Switch on"), _("Switched on"))
    actions.register_action("mailings.switch_off", _("Switch off"), _("Switched off"))
    actions.register_action("mailings.go_on", _("Go on"), _("Let a paused run go on"))
    actions.register_action(
        "mailings.send_remainder",
        _("Send to those who did not get it"),
        _("Sent to those who did not get it"),
    )
