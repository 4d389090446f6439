"""Addresses as others know them: with the host of the site."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings


def absolute(address: str) -> str:
    """Return an address with the host at which the site is known to others (SITE_URL)."""
    return urljoin(f"{settings.SITE_URL}/", address)
