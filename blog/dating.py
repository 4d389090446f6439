"""The day under which a post stands in lists: that of its publication, unless an editor chose one."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from django.utils import timezone
from wagtail.models import Page, PageLogEntry

if TYPE_CHECKING:
    from blog.models import BlogPage


def day_of(moment: datetime) -> date:
    """Return the day in TIME_ZONE, as `readings.models.today` does."""
    return timezone.localdate(moment, timezone.get_default_timezone())


def is_undated(post: BlogPage) -> bool:
    """Return whether a post still has the day on which its draft was begun, as each gets it."""
    begun = PageLogEntry.objects.filter(page=post.pk).order_by("timestamp").first()
    return begun is not None and post.published_on == day_of(begun.timestamp)


def date_first_publication(post: BlogPage) -> None:
    """Date a post that is about to be saved live for the first time, unless an editor did.

    Its revisions get the same day: later edits, aliases and reverts begin with what they say.
    """
    if not goes_live_first(post):
        return
    draft, day = post.published_on, day_of(post.first_published_at)
    if draft == day or not is_undated(post):
        return
    post.published_on = day
    # The one that is published is at hand, and its content is what aliases get.
    for revision in [*post.revisions.exclude(pk=post.live_revision_id), post.live_revision]:
        if revision and revision.content.get("published_on") == draft.isoformat():
            revision.content["published_on"] = day.isoformat()
            post.revisions.filter(pk=revision.pk).update(content=revision.content)


def goes_live_first(post: BlogPage) -> bool:
    # An alias has the day of its source.
    if not (post.pk and post.live and post.first_published_at) or post.alias_of_id:
        return False
    # Wagtail sets both to one moment; asking the row is for this case alone.
    first = post.first_published_at == post.last_published_at
    return first and Page.objects.filter(pk=post.pk, first_published_at=None).exists()
