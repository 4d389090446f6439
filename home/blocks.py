"""The blocks of which the home page is made."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from wagtail import blocks


class FeatureBlock(blocks.StructBlock):
    title = blocks.CharBlock(label=_("title"), max_length=80)
    text = blocks.TextBlock(label=_("text"), rows=3, max_length=300)

    class Meta:
        icon = "pick"
        label = _("Feature")


class FeaturesBlock(blocks.StructBlock):
    title = blocks.CharBlock(label=_("title"), max_length=120)
    features = blocks.ListBlock(FeatureBlock(), label=_("features"), min_num=1, max_num=12)

    class Meta:
        icon = "list-ul"
        label = _("Features")
        template = "home/blocks/features.html"


class HomeBlock(blocks.StreamBlock):
    features = FeaturesBlock()
    text = blocks.RichTextBlock(
        label=_("Text"),
        icon="pilcrow",
        features=["h2", "h3", "bold", "italic", "ol", "ul", "link"],
        template="home/blocks/text.html",
    )
