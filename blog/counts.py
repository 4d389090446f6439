"""Views of posts: who read what today, and how many readings a post had on each day.

`settle` moves what waits (`pending.py`) into the tables. To settle the same lines again changes
nothing: only rows that the database did not have yet are added to the sums, in the transaction
that adds them.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection, models, transaction
from django.db.models import Count, F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from blog import pending

logger = logging.getLogger("vestnik.web")

# Views of one post that one network can add in a day, whatever agents it names.
MOST_OF_A_NETWORK = 200
# A line that waited longer than a day is dropped: its row may have been deleted meanwhile. Rows
# are kept a day longer than lines are taken, so that the two never meet at midnight.
LINES_LIVE, ROWS_LIVE = timedelta(days=1), timedelta(days=2)


class Salt(models.Model):
    """What the visitors of a day are hashed with; nobody has it when the day is over."""

    day = models.DateField(primary_key=True)
    value = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.day}"


class Reading(models.Model):
    """That somebody read a post on a day; both keys are digests, see `readers.py`."""

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


# --- Lines ------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A reading that waits to be counted."""

    day: date
    post: int
    visitor: UUID
    network: UUID

    def __str__(self) -> str:
        return f"{self.day} {self.post} {self.visitor.hex} {self.network.hex}"

    @classmethod
    def parse(cls, text: str) -> Line | None:
        """Return the line, or None where it is none: a disk may have been full."""
        try:
            day, post, visitor, network = text.split()
            return cls(date.fromisoformat(day), int(post), UUID(visitor), UUID(network))
        except ValueError:
            logger.warning("A reading could not be read and is dropped.")
            return None


# --- Settling ---------------------------------------------------------------------------------


def settle() -> int:
    """Count what waits; return how many views that made. Delete what its day outlived."""
    made = 0
    for batch in pending.take():
        for texts in batch:
            made += settle_lines([line for line in map(Line.parse, texts) if line])
    forget_old()
    return made


def forget_old() -> None:
    now = today()
    for old in (
        Salt.objects.filter(day__lt=now),
        Reading.objects.filter(day__lt=now - ROWS_LIVE),
    ):
        if old.exists():  # To delete nothing would still wait for SQLite's lock.
            old.delete()


def settle_lines(lines: list[Line]) -> int:
    """Add the lines to the tables in one transaction; return how many views that made."""
    lines = list(dict.fromkeys(lines))
    current = [line for line in lines if line.day >= today() - LINES_LIVE]
    if len(current) < len(lines):
        logger.warning("%s readings waited too long and are dropped.", len(lines) - len(current))
    if not current:
        return 0
    with transaction.atomic():
        posts = lock_posts({line.post for line in current})
        new = insert(limit([line for line in current if line.post in posts]))
        add_to_days(new)
        add_to_posts(new)
    return sum(new.values())


def lock_posts(ids: set[int]) -> set[int]:
    """Return which of these posts readers have ever seen.

    Their rows are locked, in one order for all: no post goes meanwhile, and who settles
    the same post elsewhere waits.
    """
    from blog.models import BlogPage  # It has a table here.

    posts = BlogPage.objects.filter(pk__in=ids, first_published_at__isnull=False)
    return set(posts.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))


def limit(lines: list[Line]) -> list[Line]:
    """Leave out what a network adds beyond its share."""
    groups: dict[tuple[date, int, UUID], list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.day, line.post, line.network].append(line)
    rows = Reading.objects.filter(
        day__in={line.day for line in lines},
        post__in={line.post for line in lines},
        network__in={line.network for line in lines},
    )
    there = {
        (day, post, network): number
        for day, post, network, number in rows.values_list("day", "post", "network").annotate(
            number=Count("pk")
        )
    }
    kept: list[Line] = []
    for group, members in groups.items():
        kept += members[: max(MOST_OF_A_NETWORK - there.get(group, 0), 0)]
    return kept


def insert(lines: Iterable[Line]) -> Counter[tuple[date, int]]:
    """Insert what is not there; return how many rows that made, by day and post."""
    fields = [Reading._meta.get_field(name) for name in Line._fields]
    rows = [
        [
            field.get_db_prep_save(value, connection)
            for field, value in zip(fields, line, strict=True)
        ]
        for line in lines
    ]
    if not rows:
        return Counter()
    columns = ", ".join(field.column for field in fields)
    places = ", ".join(["(%s, %s, %s, %s)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {Reading._meta.db_table} ({columns}) VALUES {places}"
            " ON CONFLICT DO NOTHING RETURNING day, post_id",
            [value for row in rows for value in row],
        )
        # SQLite gives dates as text.
        return Counter((date.fromisoformat(str(day)), post) for day, post in cursor.fetchall())


def add_to_days(new: Counter[tuple[date, int]]) -> None:
    for (day, post), number in sorted(new.items()):
        DailyViews.objects.get_or_create(day=day, post_id=post)
        DailyViews.objects.filter(day=day, post=post).update(views=F("views") + number)


def add_to_posts(new: Counter[tuple[date, int]]) -> None:
    from blog.models import BlogPage

    sums: Counter[int] = Counter()
    for (_day, post), number in new.items():
        sums[post] += number
    for post, number in sorted(sums.items()):
        BlogPage.objects.filter(pk=post).update(view_count=F("view_count") + number)
