"""Compose a letter once, fill it in per recipient."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import css_inline
from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from mailings.delivery.plaintext import html_to_text

if TYPE_CHECKING:
    from mailings.models import Message

# What may stand between double braces in a subject or a body.
FIELDS = ("client.full_name", "client.email", "company", "unsubscribe_url")
FIELD = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True)
class Content:
    """A letter with its fields still open: subject, HTML part and text part."""

    subject: str
    html: str
    text: str


def unknown_fields(source: str) -> list[str]:
    """Return what stands in double braces in `source` and is no field, in order, once each.

    A brace pair that is never closed, or that holds markup, is returned as it stands.
    """
    names = [m[1] for m in FIELD.finditer(source) if m[1] not in FIELDS]
    names += re.findall(r"\{\{|\}\}", FIELD.sub("", source))
    return list(dict.fromkeys(names))


def compose(message: Message) -> Content:
    """Render a message to mail HTML and text, with absolute addresses and open fields."""
    context = {"message": message, "site_url": settings.SITE_URL, "company": "{{ company }}"}
    page = render_to_string("mailings/letter/letter.html", context)
    page = css_inline.inline(page, keep_style_tags=True)
    return Content(message.subject, page, html_to_text(page))


def fill(source: str, values: Mapping[str, str], *, escape: bool = False) -> str:
    """Put values in the place of fields; with `escape`, for HTML."""

    def value(match: re.Match[str]) -> str:
        text = values[match[1]]
        return html.escape(text) if escape else text

    return FIELD.sub(value, source)


def sample_values(*, company: str) -> dict[str, str]:
    """Return the recipient of previews: somebody who does not exist."""
    return {
        "client.full_name": _("Anna Ivanova"),
        "client.email": "anna@example.com",
        "company": company,
        "unsubscribe_url": f"{settings.SITE_URL}/u/preview/",
    }
