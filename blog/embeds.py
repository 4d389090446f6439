"""Videos and other pages to embed: shown as they are stored, fetched by workers alone.

Wagtail's own tag asks the provider while a reader waits, and where that fails, every reader anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from django.utils.safestring import SafeString, mark_safe
from wagtail.blocks import StreamValue
from wagtail.embeds.embeds import get_embed, get_embed_hash
from wagtail.embeds.models import Embed

logger = logging.getLogger("vestnik.web")

SECONDS = 60.0  # that a worker spends on the providers of one post; each may take ten


def addresses_of(body: StreamValue) -> list[str]:
    return [block["value"]["embed"] for block in body.raw_data if block["type"] == "embed"]


def find_stored(addresses: Iterable[str]) -> dict[str, SafeString]:
    """Return by address what providers gave, however long ago that was, by one query."""
    by_hash = {get_embed_hash(address): address for address in addresses}
    if not by_hash:
        return {}
    rows = Embed.objects.filter(hash__in=by_hash).values_list("hash", "html")
    return {by_hash[key]: mark_safe(html) for key, html in rows}


def fetch(addresses: Iterable[str]) -> None:
    """Ask the providers for what is not stored, or no longer good; keep the old one if that fails."""
    end = time.monotonic() + SECONDS
    for address in addresses:
        if time.monotonic() >= end:
            logger.warning("Not fetched for want of time, and shown as a link: %s", address)
            continue
        try:
            get_embed(address)
        except Exception as error:  # noqa: BLE001 - whatever a provider answers
            logger.warning("%s cannot be embedded: %r", address, error)
