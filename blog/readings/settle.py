"""How readings become views: what waits (`waiting.py`) is moved into the tables.

To settle the same lines again changes nothing: only rows that the database did not have yet are
added to the sums, in the transaction that adds them.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F

from blog.models import BlogPage
from blog.readings import waiting
from blog.readings.models import DailyViews, Reading, Salt, today

logger = logging.getLogger("vestnik.web")

# Views of one post that one network can add in a day, whatever agents it names.
MOST_OF_A_NETWORK = 200
# A line that waited longer than a day is dropped: its row may have been deleted meanwhile. Rows
# are kept a day longer than lines are taken, so that the two never meet at midnight.
LINES_LIVE, ROWS_LIVE = timedelta(days=1), timedelta(days=2)


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
    for batch in waiting.take():
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
    sums: Counter[int] = Counter()
    for (_day, post), number in new.items():
        sums[post] += number
    for post, number in sorted(sums.items()):
        BlogPage.objects.filter(pk=post).update(view_count=F("view_count") + number)
