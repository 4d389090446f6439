"""The blocks of which a letter is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from wagtail import blocks

if TYPE_CHECKING:
    from django import forms
    from django.db import models


class PictureChooserBlock(blocks.ChooserBlock):
    """Choose one of one's own pictures."""

    class Meta:
        icon = "image"

    @cached_property
    def target_model(self) -> type[models.Model]:
        from mailings.models import Picture

        return Picture

    @cached_property
    def widget(self) -> forms.Widget:
        from mailings.viewsets import picture_chooser_viewset

        return picture_chooser_viewset.widget_class()


class ImageBlock(blocks.StructBlock):
    picture = PictureChooserBlock(label=_("picture"))
    alt = blocks.CharBlock(
        label=_("description"),
        max_length=200,
        help_text=_("Read aloud, and shown while pictures are switched off."),
    )
    link = blocks.URLBlock(label=_("link"), required=False)

    class Meta:
        icon = "image"
        label = _("Image")
        template = "mailings/letter/image.html"


class ButtonBlock(blocks.StructBlock):
    text = blocks.CharBlock(label=_("text"), max_length=60)
    link = blocks.URLBlock(label=_("link"))

    class Meta:
        icon = "link"
        label = _("Button")
        template = "mailings/letter/button.html"


class LetterBlock(blocks.StreamBlock):
    heading = blocks.CharBlock(
        label=_("Heading"), icon="title", max_length=150, template="mailings/letter/heading.html"
    )
    text = blocks.RichTextBlock(
        label=_("Text"),
        icon="pilcrow",
        features=["bold", "italic", "link", "ol", "ul"],
        template="mailings/letter/text.html",
    )
    image = ImageBlock()
    button = ButtonBlock()
    divider = blocks.StaticBlock(
        label=_("Divider"),
        icon="horizontalrule",
        admin_text=_("A line across the letter."),
        template="mailings/letter/divider.html",
    )
