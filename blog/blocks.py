"""The blocks of which a blog post is made."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from wagtail import blocks
from wagtail.blocks.struct_block import StructBlockValidationError
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock
from wagtail.embeds.blocks import EmbedBlock
from wagtail.images.blocks import ImageBlock

from blog.embeds import find_stored

TEXT_FEATURES = ["bold", "italic", "code", "ol", "ul", "link", "document-link"]


class PictureBlock(blocks.StructBlock):
    image = ImageBlock(label=_("image"))
    caption = blocks.CharBlock(label=_("caption"), required=False, max_length=250)

    def to_python(self, value: Any) -> Any:
        return super().to_python(add_caption(value))

    def bulk_to_python(self, values: Any) -> Any:
        return super().bulk_to_python([add_caption(value) for value in values])

    class Meta:
        icon = "image"
        label = _("Image")
        template = "blog/blocks/image.html"


def add_caption(value: Any) -> Any:
    """Read what posts and their revisions held before images had captions: the image alone."""
    if isinstance(value, dict) and isinstance(value.get("image"), dict | None):
        return value
    return {"image": value, "caption": ""}


class QuoteBlock(blocks.StructBlock):
    text = blocks.TextBlock(label=_("text"), rows=3)
    author = blocks.CharBlock(label=_("author"), required=False, max_length=150)

    class Meta:
        icon = "openquote"
        label = _("Quote")
        template = "blog/blocks/quote.html"


class CodeBlock(blocks.StructBlock):
    code = blocks.TextBlock(label=_("code"), rows=6)
    title = blocks.CharBlock(
        label=_("title"), required=False, max_length=120, help_text=_("A file name, for example.")
    )

    class Meta:
        icon = "code"
        label = _("Code")
        template = "blog/blocks/code.html"


class TableBlock(TypedTableBlock):
    text = blocks.CharBlock(label=_("text"), required=False)
    number = blocks.DecimalBlock(label=_("number"), required=False)
    rich = blocks.RichTextBlock(
        label=_("text with links"), required=False, features=["bold", "italic", "code", "link"]
    )


class VideoBlock(blocks.StructBlock):
    """A page of another site, which nothing is loaded from before the reader asks for it."""

    title = blocks.CharBlock(label=_("title"), max_length=150)
    embed = EmbedBlock(
        label=_("address"), help_text=_("The address of a video or another page to embed.")
    )

    class Meta:
        icon = "media"
        label = _("Embed")
        template = "blog/blocks/embed.html"

    def get_context(self, value: Any, parent_context: Any = None) -> dict[str, Any]:
        address = value["embed"].url
        host = urlsplit(address).hostname or ""
        context = super().get_context(value, parent_context)
        stored = context["embeds"] if "embeds" in context else find_stored([address])
        return {**context, "host": host.removeprefix("www."), "html": stored.get(address)}


class GalleryBlock(blocks.StructBlock):
    pictures = blocks.ListBlock(PictureBlock(), label=_("images"), min_num=2, max_num=12)

    class Meta:
        icon = "image"
        label = _("Gallery")
        template = "blog/blocks/gallery.html"


class CallBlock(blocks.StructBlock):
    """An invitation with one button: to sign up, to a page of the site or to any address."""

    title = blocks.CharBlock(label=_("title"), max_length=120)
    text = blocks.TextBlock(label=_("text"), required=False, rows=2, max_length=300)
    button = blocks.CharBlock(label=_("words on the button"), max_length=40)
    target = blocks.ChoiceBlock(
        label=_("where the button leads"),
        choices=[
            ("signup", _("to signing up, or to the workspace for who is logged in")),
            ("page", _("to a page of this site")),
            ("address", _("to an address")),
        ],
        default="signup",
    )
    page = blocks.PageChooserBlock(label=_("page"), required=False)
    address = blocks.CharBlock(
        label=_("address"),
        required=False,
        max_length=500,
        validators=[
            RegexValidator(
                r"^(https?://|mailto:|/(?!/))\S+$", _("Use an address such as https://example.com.")
            )
        ],
    )

    class Meta:
        icon = "pick"
        label = _("Call to action")
        template = "blog/blocks/call.html"

    def bulk_to_python(self, values: Any) -> Any:
        """Take pages that are known already, since texts lead to them too, or load them."""
        from blog.links import pages_known  # Handlers of links need all models.

        values = list(values)
        keys = [str(value["page"]) if value.get("page") else "" for value in values]
        pages = pages_known(list(filter(None, keys)))
        if pages is None:
            return super().bulk_to_python(values)
        calls = super().bulk_to_python([{**value, "page": None} for value in values])
        for call, key in zip(calls, keys, strict=True):
            call["page"] = pages.get(key)
        return calls

    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value)
        target = cleaned["target"]
        if target in {"page", "address"} and not cleaned[target]:
            missing = ValidationError(_("Say where the button leads."))
            raise StructBlockValidationError(block_errors={target: missing})
        return cleaned

    def get_context(self, value: Any, parent_context: Any = None) -> dict[str, Any]:
        context = super().get_context(value, parent_context)
        return {**context, "url": find_target(value)}


def find_target(value: Any) -> str:
    """Return where the button leads a stranger."""
    if value["target"] == "page" and value["page"]:
        return value["page"].url or "/"
    return value["address"] if value["target"] == "address" else reverse("account_signup")


class ArticleBlock(blocks.StreamBlock):
    text = blocks.RichTextBlock(
        label=_("Text"), icon="pilcrow", features=["h2", "h3", *TEXT_FEATURES, "hr"]
    )
    image = PictureBlock()
    quote = QuoteBlock()
    code = CodeBlock()
    table = TableBlock(label=_("Table"), icon="table", template="blog/blocks/table.html")
    embed = VideoBlock()
    gallery = GalleryBlock()
    call = CallBlock()
