"""The blocks of which a letter is made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from config.addresses import absolute
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property
from django.utils.html import strip_tags
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from wagtail import blocks
from wagtail.blocks import StreamBlockValidationError, StructBlockValidationError, StructValue
from wagtail.rich_text import RichText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django import forms
    from django.db import models
    from wagtail.blocks import StreamValue

# The room for pictures within a letter of 600 pixels.
PICTURE_WIDTH = 536
# Lists within lists; the editor itself allows fewer.
DEEPEST_LIST = 10


# --- What a block may hold ------------------------------------------------------------------


def check_fields(source: str) -> None:
    """Refuse braces that no recipient could fill; name the fields that there are."""
    # delivery -> models -> blocks
    from mailings.delivery.letter import FIELDS, unknown_fields

    wrong = unknown_fields(source)
    if not wrong:
        return
    known = ", ".join(f"{{{{ {field} }}}}" for field in FIELDS)
    message = ngettext(
        "This is no field: %(wrong)s. The fields are: %(known)s.",
        "These are no fields: %(wrong)s. The fields are: %(known)s.",
        len(wrong),
    )
    names = ", ".join(strip_tags(name) or name for name in wrong)
    raise ValidationError(message % {"wrong": names, "known": known}, code="unknown_field")


def check_link(address: str, schemes: tuple[str, ...] = ("http", "https")) -> None:
    """Refuse links that a mail program would not follow, and fields within them."""
    if urlsplit(address).scheme.lower() not in schemes:
        raise ValidationError(
            gettext("Begin the link %(link)s with one of: %(schemes)s.")
            % {"link": address, "schemes": ", ".join(f"{name}:" for name in schemes)},
            code="link",
        )
    if "{{" in address or "}}" in address:
        raise ValidationError(gettext("A link cannot hold fields."), code="link")


def check_text(source: str) -> None:
    """Check the fields and the links of rich text."""
    if re.search(r"<a\s[^>]*\blinktype=", source):
        raise ValidationError(
            gettext("Link to a web address, not to a page of this site."), code="link"
        )
    for address in re.findall(r'<a\s[^>]*\bhref="([^"]*)"', source):
        check_link(address, ("http", "https", "mailto"))
    check_fields(source)


def check_nesting(content: str | None) -> None:
    """Refuse lists so deep that turning them into HTML would take all the memory there is."""
    blocks_of_text = (json.loads(content or "null") or {}).get("blocks", [])
    if not all(0 <= block.get("depth", 0) <= DEEPEST_LIST for block in blocks_of_text):
        raise ValueError("The lists of this text are too deep.")


def check_parts(value: StructValue, **checks: Any) -> None:
    """Run a check on each named part that is filled in; complain beside that part."""
    errors = {}
    for name, check in checks.items():
        try:
            if value[name]:
                check(value[name])
        except ValidationError as error:
            errors[name] = error
    if errors:
        raise StructBlockValidationError(errors)


# --- The blocks -----------------------------------------------------------------------------


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
    picture = PictureChooserBlock(label=_("Picture"))
    alt = blocks.CharBlock(
        label=_("Description"),
        max_length=200,
        help_text=_("Read aloud, and shown while pictures are switched off."),
    )
    link = blocks.URLBlock(label=_("Link"), required=False)

    class Meta:
        icon = "image"
        label = _("Picture")
        template = "mailings/letter/image.html"

    def clean(self, value: StructValue) -> StructValue:
        value = super().clean(value)
        check_parts(value, alt=check_fields, link=check_link)
        return value

    def get_context(
        self, value: StructValue, parent_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        context = super().get_context(value, parent_context)
        if picture := value["picture"]:
            context["src"] = absolute(picture.file.url)
            context["width"] = min(picture.width or PICTURE_WIDTH, PICTURE_WIDTH)
        return context


class ButtonBlock(blocks.StructBlock):
    text = blocks.CharBlock(label=_("Text"), max_length=60)
    link = blocks.URLBlock(label=_("Link"))

    class Meta:
        icon = "link"
        label = _("Button")
        template = "mailings/letter/button.html"

    def clean(self, value: StructValue) -> StructValue:
        value = super().clean(value)
        check_parts(value, text=check_fields, link=check_link)
        return value


class UnreadableText(RichText):
    """Stands for data that no editor of ours sends until the form refuses it."""


class TextBlock(blocks.RichTextBlock):
    """Formatted text. An editor that was left empty hands over an empty paragraph."""

    def value_from_datadict(
        self, data: Mapping[str, Any], files: Mapping[str, Any], prefix: str
    ) -> RichText:
        try:
            check_nesting(data.get(prefix))
            value = super().value_from_datadict(data, files, prefix)
            value.source.encode()  # Half of a surrogate pair cannot be stored.
        except Exception:  # noqa: BLE001 - Wagtail's converter believes whatever it is sent
            return UnreadableText("")
        return value

    def clean(self, value: RichText) -> RichText:
        if isinstance(value, UnreadableText):
            message = gettext("This text could not be read. Please write it again.")
            raise ValidationError(message, code="unreadable")
        value = super().clean(value)
        if self.required and not strip_tags(value.source).strip():
            raise ValidationError(self.field.error_messages["required"])
        return value


class LetterBlock(blocks.StreamBlock):
    heading = blocks.CharBlock(
        label=_("Heading"), icon="title", max_length=150, template="mailings/letter/heading.html"
    )
    text = TextBlock(
        label=_("Text"),
        icon="pilcrow",
        features=["bold", "italic", "letter-link", "ol", "ul"],
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

    def value_from_datadict(
        self, data: Mapping[str, Any], files: Mapping[str, Any], prefix: str
    ) -> StreamValue:
        try:
            return super().value_from_datadict(data, files, prefix)
        except (LookupError, ValueError, TypeError, AttributeError):
            # No form of ours sends such data; Wagtail reads it without looking.
            return self.empty_value()

    def clean(self, value: StreamValue) -> StreamValue:
        value = super().clean(value)
        errors = {}
        for number, child in enumerate(value):
            try:
                self.check_child(child)
            except ValidationError as error:
                errors[number] = error
        if errors:
            raise StreamBlockValidationError(errors)
        return value

    def check_child(self, child: StreamValue.StreamChild) -> None:
        if child.block_type == "heading":
            check_fields(child.value)
        elif child.block_type == "text":
            check_text(child.value.source)
