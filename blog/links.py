"""Links of rich text and calls to action: all that a body leads to, by a few queries.

By itself each text asks for what it links to, and for the language and translation of each page.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from config.private_sections import has_address
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


@dataclass(frozen=True)
class Known:
    """What the body that is being rendered leads to."""

    pages: dict[str, Page] = field(default_factory=dict)
    # By kind of link.
    addresses: dict[str, Addresses] = field(default_factory=dict)


NOTHING = Known()
_known: ContextVar[Known | None] = ContextVar("known", default=None)


@contextmanager
def links_at_once(body: StreamValue) -> Iterator[None]:
    """While it lasts, links and calls of this body cost no query: what they lead to is known."""
    ids = find_ids(body)
    pages = load_pages(ids["page"])
    addresses = {
        "page": find_addresses(ids["page"], pages),
        "document": find_documents(ids["document"]),
    }
    shown = {pk: page for pk, page in pages.items() if page.has_address}
    token = _known.set(Known(shown, addresses))
    try:
        yield
    finally:
        _known.reset(token)


def find_ids(body: StreamValue) -> dict[str, set[str]]:
    """Return the keys of all pages and documents that texts and calls to action lead to."""
    ids: dict[str, set[str]] = defaultdict(set)
    blocks = list(body.raw_data)
    for link in LINK.finditer(" ".join(strings_in(blocks))):
        if found := ID.search(link[0]):
            ids[link[1]].add(found[1])
    calls = (block["value"].get("page") for block in blocks if block["type"] == "call")
    ids["page"].update(str(pk) for pk in calls if pk)
    return ids


def pages_known(ids: Collection[str]) -> dict[str, Page] | None:
    """Return the pages with these keys that one can be led to, if all are known, else None."""
    known = _known.get() or NOTHING
    if not known.addresses.get("page", {}).keys() >= set(ids):
        return None
    return {pk: known.pages[pk] for pk in ids if pk in known.pages}


def strings_in(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and dicts, such as a body is kept in."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings_in(part)


def load_pages(ids: Collection[str]) -> dict[str, Page]:
    """Load these pages and the translations of all of them, by one query."""
    if not ids:
        return {}
    keys = Page.objects.filter(pk__in=ids).order_by().values("translation_key")
    pages = Page.objects.filter(translation_key__in=keys).select_related("locale")
    pages = pages.annotate(has_address=has_address())
    return {str(page.pk): page for page in pages}


def find_addresses(ids: Collection[str], pages: dict[str, Page]) -> Addresses:
    """Return the addresses of pages, or of their translations into the language of the text.

    What is not published has none.
    """
    language = get_language()
    here = {
        page.translation_key: page
        for page in pages.values()
        if page.locale.language_code == language and page.has_address
    }
    found = {pk: here.get(pages[pk].translation_key, pages[pk]) for pk in ids if pk in pages}
    known = {pk: page.url for pk, page in found.items() if page.has_address}
    return {**dict.fromkeys(ids), **known}


def find_pages(ids: Collection[str]) -> Addresses:
    return find_addresses(ids, load_pages(ids))


def find_documents(ids: Collection[str]) -> Addresses:
    documents = get_document_model().objects.in_bulk(ids)
    return {**dict.fromkeys(ids), **{str(pk): document.url for pk, document in documents.items()}}


FIND = {"page": find_pages, "document": find_documents}


def open_links(kind: str, attrs_list: list[dict[str, Any]]) -> list[str]:
    """Return the first tags of links; what is gone, or has no address, is led to by none.

    Wagtail would lead to drafts too, and strangers to an error.
    """
    ids = {attrs["id"] for attrs in attrs_list if attrs.get("id", "").isdecimal()}
    known = (_known.get() or NOTHING).addresses.get(kind, {})
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
