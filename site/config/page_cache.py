"""Keep finished pages for strangers for a short while.

Only what everybody may see is kept: no page for a signed-in user, none that shows a message,
and our templates give strangers no CSRF token. Publishing anything forgets all of it; with the
in-process cache (no REDIS_URL) other processes follow when the time is over.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.messages import get_messages
from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_delete
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language
from wagtail.models import Page
from wagtail.signals import page_published, page_unpublished, post_page_move

SECONDS = 30
GENERATION = "pages:generation"


class CachedPageMixin:
    """A page whose finished HTML is kept per host and language."""

    def serve(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_for_everybody(request):
            return super().serve(request, *args, **kwargs)
        # The key holds the generation from before the rendering: what was read before a
        # publication never lands among the pages that come after it.
        key = self.get_cache_key(request)
        html = cache.get(key)
        if html is None:
            html = super().serve(request, *args, **kwargs).render().content
            cache.set(key, html, SECONDS)
        return HttpResponse(html)

    def get_cache_key(self, request: HttpRequest) -> str:
        """Name what the page depends on; parameters of the address make no new entries."""
        generation = cache.get_or_set(GENERATION, secrets.token_hex, None)
        return f"page:{generation}:{self.pk}:{request.get_host()}:{get_language()}"


def is_for_everybody(request: HttpRequest) -> bool:
    """Return whether the answer to this request holds nothing of the person who asks."""
    return (
        request.method in {"GET", "HEAD"}
        and not getattr(request, "is_preview", False)
        and not request.user.is_authenticated
        and not len(get_messages(request))
    )


def forget_all(**signal: Any) -> None:
    """Forget every page as soon as the change that made it old can be read."""
    transaction.on_commit(lambda: cache.set(GENERATION, secrets.token_hex(), None))


def watch() -> None:
    """Listen for changes of pages, which happen in Wagtail's code, out of reach of a call."""
    for signal in (page_published, page_unpublished, post_page_move):
        signal.connect(forget_all, dispatch_uid="page_cache")
    post_delete.connect(forget_all, sender=Page, dispatch_uid="page_cache")
