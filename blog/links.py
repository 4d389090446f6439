"""Links of rich text to pages and documents: all that a body has of them by a few queries.

By itself each text asks for what it links to, and for the language and translation of each page.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.utils.html import escape
from django.utils.translation import get_language
from wagtail.blocks import StreamValue
from wagtail.documents import get_document_model
from wagtail.documents.rich_text import DocumentLinkHandler
from wagtail.models import Page
from wagtail.rich_text.pages import PageLinkHandler

Addresses = dict[str, str | None]

# How rich text keeps a link: <a id="12" linktype="page">.
LINK = re.compile(r"<a\b[^>]*\blinktype=\"(page|document)\"[^>]*>")
ID = re.compile(r"\bid=\"(\d+)\"")
# What the body that is being rendered links to, by kind.
_known: ContextVar[dict[str, Addresses] | None] = ContextVar("known", default=None)


@contextmanager
def links_at_once(body: StreamValue) -> Iterator[None]:
    """While it lasts, links of this body cost no query: what they lead to is known already."""
    ids: dict[str, set[str]] = defaultdict(set)
    for link in LINK.finditer(" ".join(strings_in(list(body.raw_data)))):
        if found := ID.search(link[0]):
            ids[link[1]].add(found[1])
    token = _known.set({kind: FIND[kind](of_kind) for kind, of_kind in ids.items()})
    try:
        yield
    finally:
        _known.reset(token)


def strings_in(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and dicts, such as a body is kept in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings_in(part)


def find_pages(ids: Collection[str]) -> Addresses:
    """Return the addresses of pages, or of their translations into the language of the text."""
    language = get_language()
    pages = Page.objects.select_related("locale").in_bulk(ids)
    elsewhere = [page for page in pages.values() if page.locale.language_code != language]
    translations = find_translations(elsewhere, language) if elsewhere else {}
    found = {
        str(pk): translations.get(page.translation_key, page).url for pk, page in pages.items()
    }
    return {**dict.fromkeys(ids), **found}


def find_translations(pages: Collection[Page], language: str | None) -> dict[Any, Page]:
    keys = {page.translation_key for page in pages}
    found = Page.objects.live().filter(translation_key__in=keys, locale__language_code=language)
    return {page.translation_key: page for page in found}


def find_documents(ids: Collection[str]) -> Addresses:
    documents = get_document_model().objects.in_bulk(ids)
    return {**dict.fromkeys(ids), **{str(pk): document.url for pk, document in documents.items()}}


FIND = {"page": find_pages, "document": find_documents}


def open_links(kind: str, attrs_list: list[dict[str, Any]]) -> list[str]:
    """Return the first tags of links; what is gone, or has no address, is led to by none."""
    ids = {attrs["id"] for attrs in attrs_list if attrs.get("id", "").isdecimal()}
    known = (_known.get() or {}).get(kind, {})
    addresses = known if known.keys() >= ids else FIND[kind](ids)
    found = [addresses.get(attrs.get("id", "")) for attrs in attrs_list]
    return [f'<a href="{escape(address)}">' if address else "<a>" for address in found]


class PageLink(PageLinkHandler):
    @classmethod
    def expand_db_attributes_many(cls, attrs_list: list[dict[str, Any]]) -> list[str]:
        return open_links("page", attrs_list)


class DocumentLink(DocumentLinkHandler):
    @classmethod
    def expand_db_attributes_many(cls, attrs_list: list[dict[str, Any]]) -> list[str]:
        return open_links("document", attrs_list)
