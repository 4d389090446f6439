"""The home page: what the service is, in words, in numbers and in posts."""

from __future__ import annotations

import random
from typing import Any

from config.page_cache import CachedPageMixin
from django.core.cache import cache
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from wagtail.fields import StreamField
from wagtail.models import Page
from wagtail.search import index

from blog.models import BlogPage
from home.blocks import HomeBlock
from mailings.models import Client, Mailing

VARIANTS = 5


class HomePage(CachedPageMixin, Page):
    headline = models.CharField(_("headline"), max_length=120)
    lead = models.TextField(_("lead"), max_length=500)
    body = StreamField(HomeBlock(), verbose_name=_("body"), blank=True)

    max_count = 1
    subpage_types = ["blog.BlogIndexPage"]
    content_panels = [*Page.content_panels, "headline", "lead", "body"]
    search_fields = [*Page.search_fields, index.SearchField("lead")]
    template = "home/home.html"

    class Meta:
        verbose_name = _("home page")

    def get_cache_key(self, request: HttpRequest) -> str:
        # A few variants, so that one who comes again sees other posts.
        return f"{super().get_cache_key(request)}:{random.randrange(VARIANTS)}"

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context(request, *args, **kwargs),
            "numbers": cache.get_or_set("home:numbers", count_everything, 60),
            "posts": BlogPage.objects.published().with_pictures().order_by("?")[:3],
        }


def count_everything() -> dict[str, int]:
    """Count mailings, those that will still send something, and addresses once each."""
    return {
        "mailings": Mailing.objects.count(),
        "active": Mailing.objects.active().count(),
        "clients": Client.objects.unique_addresses(),
    }
