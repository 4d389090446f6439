"""How many letters a worker may send now: of the service, of a company, to a slow domain.

The limits themselves are rows of `Pace`, which all workers share; this is one worker's view.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from mailings import reasons
from mailings.models import Chunk, Pace

# Letters of this time are taken at once out of the limit of the service, of a company (seconds).
RATION_SECONDS, COMPANY_RATION_SECONDS = 0.2, 1.0
# And so far ahead. A company with a limit of its own asks seldom: it may look further, or it would
# find the places of the service taken by those who ask all the time, and lose its own.
AHEAD, COMPANY_AHEAD = 0.5, 0.9
GROW_SECONDS = 5  # between two looks at whether slow domains may have more
WINDOW = 10.0  # the rate of a domain is observed over one to two of these (seconds)
FIRST_RATE = 2.0  # letters a second that a domain is taken to have had before it took any
# A letter whose place in a slow domain's queue is this near goes out at once (seconds).
NEAR = 0.5


class Row(Protocol):
    """What the limits of domains need of a row of the ledger."""

    email: str
    response: str
    updated_at: datetime


AnyRow = TypeVar("AnyRow", bound=Row)


def domain_of(email: str) -> str:
    return email.rpartition("@")[2].lower()


def limits_of(owner: User) -> dict[str, float]:
    """Return the limits that letters of a company are under: name and letters a second."""
    limits = {}
    if settings.MAILING_RATE_LIMIT:
        limits["service"] = settings.MAILING_RATE_LIMIT
    if owner.letters_per_minute:
        limits[f"company:{owner.pk}"] = owner.letters_per_minute / 60
    return limits


def ahead_of(owner: User) -> float:
    """Return how many seconds ahead letters of a company may take their places."""
    return COMPANY_AHEAD if owner.letters_per_minute else AHEAD


def ration(owner: User, most: int, now: datetime) -> tuple[int, datetime]:
    """Return how many letters of a company, up to `most`, may go out, and from when on.

    Where there are none, the moment says when to ask again.
    """
    limits = limits_of(owner)
    if not limits:
        return most, now
    sizes = [
        rate * (RATION_SECONDS if name == "service" else COMPANY_RATION_SECONDS)
        for name, rate in limits.items()
    ]
    count = max(1, min(most, int(min(sizes))))
    ahead = ahead_of(owner)
    start = Pace.reserve(limits, count, now, ahead)
    ask_again = start - timedelta(seconds=ahead)
    return (0, ask_again) if ask_again > now else (count, start)


def give_back(owner: User, count: int) -> None:
    """Take back letters of a ration that nobody needed."""
    if count > 0 and (limits := limits_of(owner)):
        Pace.give_back(limits, count)


def waits_until(owners: Iterable[User], now: datetime) -> dict[int, datetime]:
    """Return for owners whose letters must wait for a limit, until when."""
    limits = {owner: limits_of(owner) for owner in owners}
    rates = {name: rate for each in limits.values() for name, rate in each.items()}
    if not rates:
        return {}
    paced = {
        row.name: row.paced_until
        for row in Pace.objects.filter(name__in=rates, paced_until__gt=now)
        if row.is_credible(1 / rates[row.name], now)
    }
    waits = {}
    for owner, names in limits.items():
        ask_at = max((paced.get(name, now) for name in names), default=now)
        ask_at -= timedelta(seconds=ahead_of(owner))
        if ask_at > now:
            waits[owner.pk] = ask_at
    return waits


class Domains:
    """One worker's view of the domains that take letters slowly, and of its own speed."""

    def __init__(self) -> None:
        self.slow: dict[str, Pace] = {}
        self._taken: Counter[str] = Counter()  # accepted letters by domain since `_since`
        self._taken_before: Counter[str] = Counter()
        self._since = self._since_before = time.monotonic()
        self._grown = float("-inf")

    def refresh(self) -> None:
        self.slow = Pace.slow_domains()
        now = time.monotonic()
        if now - self._since > WINDOW:
            self._taken_before, self._taken = self._taken, Counter()
            self._since_before, self._since = self._since, now

    def admit(self, rows: Sequence[AnyRow]) -> tuple[Sequence[AnyRow], list[tuple[AnyRow, float]]]:
        """Return which rows may go out now, and which must wait for how many seconds."""
        if not self.slow:
            return rows, []
        go, asking = [], defaultdict(list)
        for row in rows:
            pace = self.slow.get(domain_of(row.email))
            if pace is None or self._has_place(row, pace):
                go.append(row)
            else:
                asking[domain_of(row.email)].append(row)
        wait = []
        now = timezone.now()
        for domain, group in asking.items():
            start, step = Pace.book(domain, len(group), now)
            for place, row in enumerate(group):
                seconds = (start - now).total_seconds() + place * step
                if seconds <= NEAR:
                    go.append(row)
                else:
                    wait.append((row, min(seconds, Pace.LONGEST_WAIT.total_seconds())))
        return go, wait

    def _has_place(self, row: Row, pace: Pace) -> bool:
        """Return whether the row waited for the place that it was given, and that still counts."""
        if row.response != reasons.DOMAIN_SLOW:
            return False
        given_at = row.updated_at
        if given_at.tzinfo is None:
            # SQLite keeps moments in UTC, and plain SQL gives them back without the zone.
            given_at = given_at.replace(tzinfo=UTC)
        # Who waited longest of all was given no place: it asks again.
        return given_at >= max(pace.halved_at, timezone.now() - Pace.LONGEST_WAIT)

    def complained(self, email: str) -> float | None:
        """Take in that a domain asks for fewer letters; return seconds until the letter's turn.

        None: it takes none at all; the letter is tried later like any other.
        """
        now, domain = timezone.now(), domain_of(email)
        pace = self.slow.get(domain)
        if pace and pace.rate <= Pace.SLOWEST:
            return None
        # This worker sees its own letters only; the others send to the domain as well.
        workers = Chunk.objects.filter(leased_until__gte=now).values("worker").distinct().count()
        Pace.halve(domain, self._rate_of(domain) * max(workers, 1), now)
        self.refresh()
        start, _step = Pace.book(domain, 1, now)
        return max((start - now).total_seconds(), 1.0)

    def _rate_of(self, domain: str) -> float:
        """Return how many letters a second the domain took lately."""
        taken = self._taken[domain] + self._taken_before[domain]
        seconds = max(time.monotonic() - self._since_before, 0.5)
        return taken / seconds if taken else FIRST_RATE

    def accepted(self, emails: Iterable[str]) -> None:
        """Count letters that were taken; let slow domains have some more after a while."""
        domains = Counter(map(domain_of, emails))
        self._taken.update(domains)
        eased = self.slow.keys() & domains.keys()
        if eased and time.monotonic() - self._grown >= GROW_SECONDS:
            self._grown = time.monotonic()
            Pace.grow(eased, timezone.now())


def soon(moments: Iterable[datetime], now: datetime, seconds: float) -> float | None:
    """Return seconds until the first of `moments` that comes within `seconds`, or None."""
    waits = [(moment - now).total_seconds() for moment in moments]
    near = [wait for wait in waits if wait <= seconds]
    return max(min(near), 0.0) if near else None
