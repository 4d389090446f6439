"""Blog posts for tests."""

from __future__ import annotations

import json
from typing import Any

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
