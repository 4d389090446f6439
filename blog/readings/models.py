"""Views of posts: who read what today, and how many readings a post had on each day."""

from __future__ import annotations

from datetime import date

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Salt(models.Model):
    """What the visitors of a day are hashed with; nobody has it when the day is over."""

    day = models.DateField(primary_key=True)
    value = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.day}"


class Reading(models.Model):
    """That somebody read a post on a day; both keys are digests, see `request.py`."""

    day = models.DateField()
    post = models.ForeignKey("blog.BlogPage", on_delete=models.CASCADE, related_name="+")
    visitor = models.UUIDField()
    network = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "post", "visitor"], name="one_view_a_day"),
        ]
        indexes = [
            # How many of a network there are already, while settling.
            models.Index(fields=["day", "post", "network"], name="readings_of_network"),
        ]

    def __str__(self) -> str:
        return "reading"


class DailyViews(models.Model):
    """How many people read a post on a day."""

    post = models.ForeignKey("blog.BlogPage", on_delete=models.CASCADE, related_name="daily_views")
    day = models.DateField(_("day"))
    views = models.PositiveIntegerField(_("views"), default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["post", "day"], name="one_sum_a_day"),
        ]
        indexes = [
            # The report of all posts: from a day to a day.
            models.Index(fields=["day"], name="views_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.views}"


def today() -> date:
    """Return the day in TIME_ZONE, whatever the zone of the person who asks."""
    return timezone.localdate(timezone=timezone.get_default_timezone())
