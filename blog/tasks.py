"""What workers do for the blog: publish by the clock, make pictures before a reader comes."""

from __future__ import annotations

import logging
from typing import Any

from django.core.management import call_command
from django.db import transaction
from django.template.loader import render_to_string
from django_q.tasks import async_task
from wagtail.search.backends import get_search_backend
from wagtail.signals import page_published

from blog import embeds
from blog.models import BlogPage

logger = logging.getLogger("vestnik.web")

INDEX_STEP = 200  # posts indexed at once


def publish_scheduled() -> None:
    """Publish and take down the pages whose time has come; called every minute."""
    call_command("publish_scheduled")


def index_posts() -> None:
    """Index every post for the search; a migration calls for it where posts were there before.

    In steps, so that what a worker holds does not follow the number of posts.
    """
    keys = list(BlogPage.objects.order_by("pk").values_list("pk", flat=True))
    backend = get_search_backend()
    for start in range(0, len(keys), INDEX_STEP):
        posts = BlogPage.objects.filter(pk__in=keys[start : start + INDEX_STEP])
        backend.add_bulk(BlogPage, list(posts))


def make_pictures(pk: int) -> None:
    """Render the parts of a post that hold pictures: what they need is made and kept.

    And fetch what it embeds from others, which may take long and comes last.
    """
    post = BlogPage.objects.filter(pk=pk).first()
    if post is None:
        return
    post.describe_for_search_engines()
    post.body.render_as_block({"page": post})
    if post.image:
        render_to_string("blog/post_picture.html", {"page": post})
        for wide in (True, False):
            render_to_string("includes/post_card.html", {"post": post, "wide": wide})
    embeds.fetch(embeds.addresses_of(post.body))


def order_pictures(instance: Any, **signal: Any) -> None:
    """Ask a worker for them; without one the first reader waits a little longer for pictures."""

    def ask() -> None:
        try:
            async_task("blog.tasks.make_pictures", instance.pk, task_name="pictures of a post")
        except Exception:
            logger.warning("The queue could not be reached.", exc_info=True)

    transaction.on_commit(ask)


def watch() -> None:
    page_published.connect(order_pictures, sender=BlogPage, dispatch_uid="order_pictures")
