"""Blog posts for tests."""

from __future__ import annotations

import json
from typing import Any

from wagtail.embeds.embeds import get_embed_hash
from wagtail.embeds.models import Embed

from blog.models import BlogIndexPage, BlogPage


def get_blog(language: str = "en") -> BlogIndexPage:
    return BlogIndexPage.objects.get(locale__language_code=language)


def make_post(title: str = "How to write", language: str = "en", **fields: Any) -> BlogPage:
    """Publish a post under the blog that the migration made."""
    fields.setdefault("lead", f"What {title} is about.")
    fields.setdefault("body", json.dumps([{"type": "text", "value": "<p>Write shorter.</p>"}]))
    post = BlogPage(title=title, **fields)
    get_blog(language).add_child(instance=post)
    post.save_revision().publish()
    return BlogPage.objects.get(pk=post.pk)


def store_embed(address: str, **fields: Any) -> Embed:
    """Store what a provider once gave for an address."""
    fields.setdefault("html", f'<iframe src="{address}" title="A film"></iframe>')
    return Embed.objects.create(url=address, hash=get_embed_hash(address), type="video", **fields)
