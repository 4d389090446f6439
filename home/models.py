"""The home page: what the service is, in words, in numbers and in posts."""

from __future__ import annotations

from typing import Any

from config.public_pages import PublicPageMixin, PublicPageQuerySet
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from wagtail.fields import StreamField
from wagtail.models import Page, PageManager
from wagtail.search import index

from blog.models import BlogPage
from home.blocks import HomeBlock

# How many pages with other posts are kept, so that one who comes again sees other ones.
VARIANTS = 5


class HomePage(PublicPageMixin, Page):
    body = StreamField(HomeBlock(), verbose_name=_("body"), blank=True)

    objects = PageManager.from_queryset(PublicPageQuerySet)()

    parent_page_types = ["wagtailcore.Page"]
    subpage_types = ["blog.BlogIndexPage"]
    content_panels = [*Page.content_panels, "body"]
    search_fields = [*Page.search_fields, index.SearchField("body")]
    template = "home/home.html"
    kept_variants = VARIANTS

    class Meta:
        verbose_name = _("home page")

    @classmethod
    def can_create_at(cls, parent: Page) -> bool:
        # There is one in each language, and translating makes it.
        return not cls.objects.exists() and super().can_create_at(parent)

    @property
    def lead(self) -> str:
        """Return what the page says of itself first."""
        # As it is kept: to make blocks of all of it would load what they link to.
        heroes = [block["value"] for block in self.body.raw_data if block["type"] == "hero"]
        return heroes[0].get("lead", "") if heroes else ""

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        from home.counting import read_totals  # It works on the models beneath.

        return {
            **super().get_context(request, *args, **kwargs),
            "numbers": read_totals(),
            "posts": self.pick_posts(),
        }

    def pick_posts(self) -> list[BlogPage]:
        """Return three posts in the language of this page, others with every call."""
        posts = BlogPage.objects.among(BlogPage.list_pages().filter(locale=self.locale_id))
        return BlogPage.objects.for_lists().load(posts.some_keys(3))


# --- What the numbers are made of; counting.py says how ------------------------------------------


class Total(models.Model):
    name = models.CharField(max_length=16, primary_key=True)
    value = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class Address(models.Model):
    """How many clients have an address, which stands here as a digest."""

    digest = models.UUIDField(primary_key=True)
    clients = models.IntegerField()

    def __str__(self) -> str:
        return "address"


class Change(models.Model):
    """What a trigger wrote down and nobody has summed up yet."""

    name = models.CharField(max_length=16)
    address = models.CharField(max_length=254, blank=True)
    amount = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.name} {self.amount:+}"
