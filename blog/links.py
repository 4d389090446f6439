"""Links of rich text to pages of the site: all pages of a post by one query.

By itself each text asks for the pages that it links to, and for the language of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.utils.html import escape
from django.utils.translation import get_language
from wagtail.blocks import StreamValue
from wagtail.models import Page
from wagtail.rich_text.pages import PageLinkHandler

# How rich text keeps a link: <a id="12" linktype="page">.
LINK = re.compile(r"<a\b[^>]*\blinktype=\"page\"[^>]*>")
ID = re.compile(r"\bid=\"(\d+)\"")
_linked: ContextVar[dict[str, Page] | None] = ContextVar("linked", default=None)


@contextmanager
def linked_pages(body: StreamValue) -> Iterator[None]:
    """While it lasts, links of this body to pages cost no query: all pages come by one."""
    links = LINK.findall(" ".join(strings_in(list(body.raw_data))))
    ids = {found[1] for link in links if (found := ID.search(link))}
    token = _linked.set(find_pages(ids) if ids else None)
    try:
        yield
    finally:
        _linked.reset(token)


def strings_in(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and dicts, such as a body is kept in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings_in(part)


def find_pages(ids: Iterable[str]) -> dict[str, Page]:
    pages = Page.objects.filter(pk__in=ids).select_related("locale")
    return {str(page.pk): page for page in pages}


class PageLink(PageLinkHandler):
    """Links in rich text: to the page, or to its translation where the text is in another language."""

    @classmethod
    def get_many(cls, attrs_list: list[dict[str, Any]]) -> list[Page | None]:
        ids = [str(attrs.get("id")) for attrs in attrs_list]
        known = _linked.get() or {}
        pages = known if known.keys() >= set(ids) else find_pages(ids)
        return [pages.get(pk) for pk in ids]

    @classmethod
    def expand_db_attributes_many(cls, attrs_list: list[dict[str, Any]]) -> list[str]:
        return [
            f'<a href="{escape(address_of(page))}">' if page else "<a>"
            for page in cls.get_many(attrs_list)
        ]


def address_of(page: Page) -> str | None:
    if page.locale.language_code != get_language():
        page = page.localized
    return page.url
