"""What workers do for the blog: publish by the clock, make pictures before a reader comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from config import site_roots
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.db.models.signals import post_save
from django.template.loader import render_to_string
from django.utils import timezone
from django_q.tasks import async_task
from wagtail.images.models import Image
from wagtail.models import DraftStateMixin, Page, ReferenceIndex, Revision
from wagtail.search.backends import get_search_backend
from wagtail.signals import page_published

from blog import embeds
from blog.models import BlogPage
from blog.snippets import Author

logger = logging.getLogger("vestnik.web")

INDEX_STEP = 200  # posts indexed at once
MOST_POSTS = 20  # for which pictures are made when an image changes


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
    """Make the pictures of a post, and fetch what it embeds from others, which may take long."""
    post = BlogPage.objects.filter(pk=pk).first()
    if post:
        draw(post)
        embeds.fetch(embeds.addresses_of(post.body))


def draw(post: BlogPage) -> None:
    """Render the parts of a post that hold pictures: what they need is made and kept."""
    post.describe_for_search_engines()
    if post.author:
        make_faces(post.author)
    post.body.render_as_block({"page": post})
    if post.image:
        render_to_string("blog/post_picture.html", {"page": post})
        for wide in (True, False):
            render_to_string("includes/post_card.html", {"post": post, "wide": wide})


def make_faces(author: Author) -> None:
    for size in ("large", ""):
        render_to_string("blog/face.html", {"author": author, "size": size})


def make_pictures_of_author(pk: int) -> None:
    author = Author.objects.select_related("photo").filter(pk=pk).first()
    if author:
        make_faces(author)


def make_pictures_of_image(pk: int) -> None:
    """Make what is shown of an image that has another file or another focus now."""
    image = Image.objects.filter(pk=pk).first()
    if image is None:
        return
    for author in Author.objects.filter(photo=image).select_related("photo"):
        make_faces(author)
    users = ReferenceIndex.get_references_to(image).filter(
        base_content_type=ContentType.objects.get_for_model(Page)
    )
    keys = users.values_list("object_id", flat=True).distinct()
    # Posts share what is made of one image: a few of them need all of it. What they embed is not
    # fetched: providers of twenty posts that do not answer would hold the worker past its time.
    for post in BlogPage.objects.live().filter(pk__in=list(keys)).newest_first()[:MOST_POSTS]:
        draw(post)


# Without a worker the first reader waits a little longer for pictures.


def order_pictures(instance: BlogPage, **signal: Any) -> None:
    order("blog.tasks.make_pictures", instance)


def order_pictures_of_author(instance: Author, **signal: Any) -> None:
    if instance.photo_id:
        order("blog.tasks.make_pictures_of_author", instance)


def order_pictures_of_image(instance: Image, created: bool, **signal: Any) -> None:
    if not created:  # Nothing shows a new one.
        order("blog.tasks.make_pictures_of_image", instance)


def order(task: str, instance: models.Model) -> None:
    """Ask a worker for pictures, once what they are made of can be read."""

    def ask() -> None:
        try:
            async_task(task, instance.pk, task_name=f"pictures of {instance._meta.label_lower}")
        except Exception:
            logger.warning("The queue could not be reached.", exc_info=True)

    transaction.on_commit(ask)


def watch() -> None:
    page_published.connect(order_pictures, sender=BlogPage, dispatch_uid="order_pictures")
    for model, hear in ((Author, order_pictures_of_author), (Image, order_pictures_of_image)):
        post_save.connect(hear, sender=model, dispatch_uid="order_pictures")
