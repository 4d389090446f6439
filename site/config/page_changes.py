"""What makes finished pages old: changes of what they show, wherever they are made.

They happen in Wagtail's code, out of reach of a call, so its signals and those of the models are
heard. A listener to every model would make deleting anything slow, so each is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.db.models.signals import post_delete, post_save
from wagtail.contrib.frontend_cache.utils import PurgeBatch
from wagtail.documents.models import AbstractDocument
from wagtail.embeds.models import Embed
from wagtail.images.models import AbstractImage, AbstractRendition
from wagtail.models import Locale, Page, PageViewRestriction, Site
from wagtail.query import PageQuerySet
from wagtail.signals import page_published, page_slug_changed, page_unpublished, post_page_move

from config import site_roots
from config.addresses import absolute
from config.generations import get_generation

# Saved with every draft, and shown to editors alone.
FIELDS_OF_DRAFTS = {
    "draft_title",
    "has_unpublished_changes",
    "latest_revision",
    "latest_revision_created_at",
    "locked",
    "locked_at",
    "locked_by",
}
# Nothing shows a new one until a page that names it is published.
SHOWN_LATER = (AbstractImage, AbstractRendition, AbstractDocument)


def forget_all(**signal: Any) -> None:
    """Forget every page as soon as the change that made it old can be read."""
    transaction.on_commit(change, robust=True)


def change() -> None:
    site_roots.forget()
    get_generation().change()


def page_was_saved(instance: Page, update_fields: Any = None, **signal: Any) -> None:
    """Forget pages where a live page, or one that was live, is saved; drafts show nowhere."""
    is_draft = update_fields is not None and set(update_fields) <= FIELDS_OF_DRAFTS
    was_seen = instance.live or instance.first_published_at is not None
    if was_seen and not is_draft:
        forget_all()


def thing_was_saved(instance: models.Model, created: bool, **signal: Any) -> None:
    if not (created and isinstance(instance, SHOWN_LATER)):
        forget_all()


def watch() -> None:
    """Listen to everything that pages for strangers show."""
    for signal in (page_published, page_unpublished, page_slug_changed, post_page_move):
        signal.connect(forget_all, dispatch_uid="forget_pages")
    for model in find_models(Page):
        post_save.connect(page_was_saved, sender=model, dispatch_uid=f"saved {model.__name__}")
    for model in find_models(*SHOWN_LATER):
        hear(model)
    for model in (Site, Locale, PageViewRestriction, Embed, *filing()):
        hear(model)
    post_delete.connect(forget_all, sender=Page, dispatch_uid="forget_pages")
    page_published.connect(purge_around, dispatch_uid="purge_around")
    page_unpublished.connect(purge_around, dispatch_uid="purge_around")
    post_page_move.connect(purge_where_it_was, dispatch_uid="purge_around")
    page_slug_changed.connect(purge_old_slug, dispatch_uid="purge_around")


def hear(model: type[models.Model]) -> None:
    uid = f"forget_pages {model._meta.label}"
    post_save.connect(thing_was_saved, sender=model, dispatch_uid=uid)
    post_delete.connect(forget_all, sender=model, dispatch_uid=uid)


def find_models(*bases: type) -> list[type[models.Model]]:
    return [model for model in apps.get_models() if issubclass(model, bases)]


def filing() -> Iterator[type[models.Model]]:
    """Return what posts are filed under, where they are used at all."""
    for label in ("blog.Author", "blog.Category", "taggit.Tag"):
        yield apps.get_model(label)


# --- A CDN ------------------------------------------------------------------------------------


def purge_around(instance: Page, **signal: Any) -> None:
    """Purge a page and the lists that show it, when it is published, unpublished or deleted.

    *Read next* under other posts is left: a CDN keeps no page longer than a quarter of a minute.
    """
    if settings.FRONTEND_CACHE:
        purge([instance.url, *addresses_above(instance, instance.get_ancestors())])


def purge_where_it_was(
    instance: Page, parent_page_before: Page, url_path_before: str, **signal: Any
) -> None:
    """Purge also the old address of a page that is moved, and the lists that showed it there.

    What lies beneath it is left for the same quarter of a minute.
    """
    if settings.FRONTEND_CACHE:
        above = parent_page_before.get_ancestors(inclusive=True)
        purge([at_place(instance, url_path_before).url, *addresses_above(instance, above)])
    purge_around(instance)


def purge_old_slug(instance: Page, instance_before: Page, **signal: Any) -> None:
    if settings.FRONTEND_CACHE:
        purge([at_place(instance, instance_before.url_path).url])
    purge_around(instance)


def at_place(page: Page, url_path: str) -> Page:
    """Return a page as it is, or was, at a place in the tree, to be asked for its address."""
    there = copy(page)
    there.url_path = url_path
    return there


def addresses_above(page: Page, above: PageQuerySet) -> Iterator[str]:
    """Return the addresses of the pages above one, and of their lists that show it."""
    for one in above.filter(depth__gt=1).specific():
        find = getattr(one, "find_lists_of", lambda shown: [])
        yield from (one.url, *find(page.specific))


def purge(addresses: Iterable[str | None]) -> None:
    batch = PurgeBatch()
    batch.add_urls([absolute(address or "/") for address in addresses])
    transaction.on_commit(batch.purge, robust=True)
