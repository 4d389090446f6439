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

from blog.loading import load_listed_sizes
from blog.models import BlogPage
from blog.paging import PostsByKey
from home.blocks import NEWEST, RANDOM, HomeBlock

# How many pages with other posts are kept, so that one who comes again sees other ones.
VARIANTS = 5
POSTS = 3  # that a block shows


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

    def pick_posts(self) -> dict[str, list[BlogPage]]:
        """Return three posts in the language of this page for each kind of choice that it shows.

        Those at random are others with every call.
        """
        pages = BlogPage.list_pages().filter(locale=self.locale_id)
        cards = BlogPage.objects.for_lists()
        keys = {}
        if RANDOM in self.choices_of_posts:
            keys[RANDOM] = BlogPage.objects.among(pages).some_keys(POSTS)
        if NEWEST in self.choices_of_posts:
            keys[NEWEST] = PostsByKey(pages, cards).find_keys(slice(0, POSTS))
        found = cards.load([key for some in keys.values() for key in some])
        load_listed_sizes(post.image for post in found)
        posts = {post.pk: post for post in found}
        return {which: [posts[key] for key in some if key in posts] for which, some in keys.items()}

    @property
    def choices_of_posts(self) -> set[str]:
        blocks = [block["value"] for block in self.body.raw_data if block["type"] == "posts"]
        # Older ones were saved when there was no choice.
        return {block.get("which", RANDOM) for block in blocks}


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
