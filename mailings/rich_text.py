"""What the editor of a letter's text can do beyond bold, italic and lists."""

from __future__ import annotations

from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from wagtail.admin.rich_text.converters.contentstate import link_entity
from wagtail.admin.rich_text.converters.html_to_contentstate import ExternalLinkElementHandler
from wagtail.admin.rich_text.editors.draftail.features import EntityFeature
from wagtail.rich_text.feature_registry import FeatureRegistry

WEB_LINK = reverse_lazy("message:web_link")


def register_letter_link(features: FeatureRegistry) -> None:
    """Register links to web and mail addresses, without Wagtail's page chooser."""
    link = {
        "type": "LINK",
        "icon": "link",
        "description": _("Link"),
        "attributes": ["url"],
        "allowlist": {"href": "^(http:|https:|mailto:|undefined$)"},
        "chooserUrls": {
            "pageChooser": WEB_LINK,
            "externalLinkChooser": WEB_LINK,
            "emailLinkChooser": reverse_lazy("message:mail_link"),
            "phoneLinkChooser": WEB_LINK,
            "anchorLinkChooser": WEB_LINK,
        },
    }
    plugin = EntityFeature(link, js=["wagtailadmin/js/page-chooser-modal.js"])
    features.register_editor_plugin("draftail", "letter-link", plugin)
    features.register_converter_rule(
        "contentstate",
        "letter-link",
        {
            "from_database_format": {"a[href]": ExternalLinkElementHandler("LINK")},
            "to_database_format": {"entity_decorators": {"LINK": link_entity}},
        },
    )
