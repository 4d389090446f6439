"""What workers do for the blog: publish by the clock, make pictures before a reader comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from config import site_roots
from django.apps import apps
from django.db import models, transaction
from django.template.loader import render_to_string
from django.utils import timezone
from django_q.tasks import async_task
from wagtail.models import DraftStateMixin, Page, Revision
from wagtail.search.backends import get_search_backend
from wagtail.signals import page_published

from blog import embeds
from blog.models import BlogPage

logger = logging.getLogger("vestnik.web")

INDEX_STEP = 200  # posts indexed at once


def publish_scheduled() -> None:
    """Take down and publish the pages whose time has come; called every minute.

    As Wagtail's command of this name, but each by itself: what fails stays scheduled, is tried
    again in a minute, and keeps no other back.
    """
    site_roots.keep_up_by_itself()  # A CDN is told of addresses.
    now = timezone.now()
    for model in scheduled_models():
        expired = model.objects.filter(live=True, expire_at__lt=now).order_by("expire_at")
        do_each(expired, take_down)
    due = Revision.objects.filter(approved_go_live_at__lt=now)
    do_each(due.order_by("approved_go_live_at"), go_live)


def scheduled_models() -> Iterator[type[models.Model]]:
    yield Page
    for model in apps.get_models():
        if issubclass(model, DraftStateMixin) and not issubclass(model, Page):
            yield model


def do_each(rows: models.QuerySet, do: Callable[[Any], None]) -> None:
    for pk in list(rows.values_list("pk", flat=True)):
        try:
            with transaction.atomic():
                # Another worker, or an editor, may have been faster.
                row = rows.select_for_update().filter(pk=pk).first()
                if row is not None:
                    do(row)
        except Exception:
            name = rows.model._meta.label
            logger.exception("%s %s: its time has come, but it failed: %s", name, pk, do.__name__)


def take_down(thing: Any) -> None:
    thing.unpublish(set_expired=True, log_action="wagtail.unpublish.scheduled")


def go_live(revision: Revision) -> None:
    revision.publish(log_action="wagtail.publish.scheduled")


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
