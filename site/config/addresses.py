"""Addresses of the site: whole, and what the first part of one tells (see language.py)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from django.conf import settings
from django.utils.encoding import iri_to_uri

# Pages that answer in the language of the reader: see `is_door`.
DOORS = {"/", "/blog/"}
PAGE_NUMBER = re.compile(r"(^|&)page=")
# The first parts of the addresses in config/urls.py that lead to no page of Wagtail.
INTERFACE = {
    "_util",
    "accounts",
    "admin",
    "dashboard",
    "documents",
    "healthz",
    "i18n",
    "inbox",
    "media",
    "metrics",
    "read",
    "robots.txt",
    "sitemap.xml",
    "static",
    "u",
}


def first_part(path: str) -> str:
    return path.lstrip("/").partition("/")[0]


def is_door(path: str, query: str = "") -> bool:
    """Return whether an address answers in the language of the reader.

    A further page of a list does not: in another language it holds other posts, or is not there.
    """
    return path in DOORS and not PAGE_NUMBER.search(query)


def absolute(address: str) -> str:
    """Return an address with the host at which the site is known to others (SITE_URL), in ASCII.

    A tag may have letters of any alphabet in its address, which no request to a CDN can hold.
    """
    return urljoin(f"{settings.SITE_URL}/", iri_to_uri(address))
