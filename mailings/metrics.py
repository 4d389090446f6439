"""Numbers of the service: how they come together, and how they are read.

Every worker adds up its own numbers in a `Tally` and saves them every few seconds into the rows
of `Counter`, which hold the sums over all workers and hosts since the service began. Names:

    letters:<outcome>     what the mail server, or we, said to letters: accepted, rejected, deferred…
    stage:<stage>:<le>    replies of the mail server in this stage that took up to `le` seconds
                          (and longer than the bound below it; `inf`: longer than all bounds)
    stage:<stage>:sum     seconds that they took together
    doubtful              accepted letters that may have arrived twice
    anything else         events of that name, such as sweep_findings
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from django.db import Error, connection
from django.db.models import Count, F, Min, OuterRef, Q, QuerySet, Subquery, Sum

from mailings.models import Attempt, Chunk, Counter, Host, Mailing, MailServer, Pace
from mailings.smtp import session
from mailings.smtp.protocol import SETUP

# Shown as zero before the first one came; others are shown when there are any.
OUTCOMES = ("accepted", "rejected", "deferred", "in_doubt")
DOUBTFUL = "doubtful"
# Upper bounds in seconds; the last count of a stage is of what took longer than all of them.
BOUNDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
STAGES = (*SETUP, *session.STAGES)
SUFFIXES = (*(f"{bound:g}" for bound in BOUNDS), "inf", "sum")


# --- Writing ----------------------------------------------------------------------------------

# In the order of names: two workers never wait for each other's rows crosswise.
ADD = """
    INSERT INTO mailings_counter (name, value) VALUES {values}
    ON CONFLICT (name) DO UPDATE SET value = mailings_counter.value + excluded.value
"""


class Tally:
    """Numbers of one worker since it saved them last. For use in one thread."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, float] = defaultdict(float)
        self._stages: defaultdict[str, list[float]] = defaultdict(lambda: [0] * len(SUFFIXES))

    def add(self, name: str, value: float = 1) -> None:
        """Count `value` more of `name`."""
        self._numbers[name] += value

    def took(self, stage: str, seconds: float) -> None:
        """Note how long the mail server took to reply in a stage (one of STAGES)."""
        numbers = self._stages[stage]
        numbers[bisect_left(BOUNDS, seconds)] += 1
        numbers[-1] += seconds

    def save(self) -> None:
        """Add everything to the sums in the database and forget it.

        An error of the database is raised and the numbers are kept. Call it outside of a
        transaction: one that is rolled back would lose them.
        """
        rows = self._rows()
        if not rows:
            return
        params = [value for row in rows for value in row]
        with connection.cursor() as cursor:
            cursor.execute(ADD.format(values=", ".join(["(%s, %s)"] * len(rows))), params)
        self._numbers.clear()
        self._stages.clear()

    def try_to_save(self) -> None:
        """Save; where the database is away, the numbers are lost."""
        with suppress(Error):
            self.save()

    def _rows(self) -> list[tuple[str, float]]:
        """Return names with what is to be added to them, in the order of names."""
        rows = [(name, value) for name, value in self._numbers.items() if value]
        for stage, numbers in self._stages.items():
            named = zip(SUFFIXES, numbers, strict=True)
            rows += [(f"stage:{stage}:{suffix}", value) for suffix, value in named if value]
        return sorted(rows)


def count(numbers: Mapping[str, int]) -> None:
    """Add to the sums in the database at once, for what is too rare to gather.

    In a transaction it is as true as the rows that are written with it.
    """
    tally = Tally()
    for name, number in numbers.items():
        tally.add(name, number)
    tally.save()


def by_outcome(states: Mapping[str, int], doubts: int) -> dict[str, int]:
    """Return what came of tries (OUTCOMES), from the states that their rows came into.

    `doubts` of them were in doubt: they wait for another try, or stay unknown.
    """
    return {
        "accepted": states["accepted"],
        "rejected": states["rejected"],
        "deferred": states["deferred"] - max(doubts - states["unknown"], 0),
        # Or they end as unknown by another answer, after a doubt of earlier.
        "in_doubt": max(doubts, states["unknown"]),
    }


@dataclass
class Summary:
    """What a pass did: for the command line and for tests."""

    opened: int = 0
    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    in_doubt: int = 0
    trouble: str = ""

    def count(self, states: Mapping[str, int], doubts: int) -> dict[str, int]:
        """Add rows by the states that they came into; return what was added under which name."""
        numbers = by_outcome(states, doubts)
        for name, count in numbers.items():
            setattr(self, name, getattr(self, name) + count)
        return numbers

    @property
    def all_went_out(self) -> bool:
        return not (self.rejected or self.deferred or self.in_doubt or self.trouble)


# --- Reading ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latency:
    """How long the mail server took to reply in one stage."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)  # replies up to each of BOUNDS, and beyond
    seconds: float = 0.0  # all of them together

    @property
    def replies(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Seconds; 0 where there was no reply."""
        return self.seconds / self.replies if self.replies else 0.0

    @property
    def cumulative(self) -> list[tuple[str, int]]:
        """Return (upper bound, number of replies no slower), the last bound being `+Inf`."""
        names = (*SUFFIXES[: len(BOUNDS)], "+Inf")
        return list(zip(names, accumulate(self.counts), strict=True))

    def since(self, earlier: Latency) -> Latency:
        """Return the replies that came after an earlier reading."""
        pairs = zip(self.counts, earlier.counts, strict=True)
        return Latency(tuple(new - old for new, old in pairs), self.seconds - earlier.seconds)


@dataclass(frozen=True)
class Totals:
    """What all workers have counted since the service began."""

    letters: dict[str, int]
    latencies: dict[str, Latency]
    events: dict[str, int]
    doubtful: int = 0

    @classmethod
    def read(cls) -> Totals:
        rows = dict(Counter.objects.order_by("name").values_list("name", "value"))
        letters = dict.fromkeys(OUTCOMES, 0)
        letters |= {
            name.removeprefix("letters:"): round(value)
            for name, value in rows.items()
            if name.startswith("letters:")
        }
        doubtful = round(rows.pop(DOUBTFUL, 0))
        events = {name: round(value) for name, value in rows.items() if ":" not in name}
        known = {name.split(":")[1] for name in rows if name.startswith("stage:")}
        stages = sorted(known, key=lambda stage: STAGES.index(stage) if stage in STAGES else 99)
        latencies = {stage: _latency(rows, stage) for stage in stages}
        return cls(letters, latencies, events, doubtful)

    def since(self, earlier: Totals) -> Totals:
        """Return what was counted after an earlier reading."""
        return Totals(
            {name: count - earlier.letters.get(name, 0) for name, count in self.letters.items()},
            {
                stage: latency.since(earlier.latencies.get(stage, Latency()))
                for stage, latency in self.latencies.items()
            },
            {name: count - earlier.events.get(name, 0) for name, count in self.events.items()},
            self.doubtful - earlier.doubtful,
        )


def _latency(rows: dict[str, float], stage: str) -> Latency:
    *counts, seconds = (rows.get(f"stage:{stage}:{suffix}", 0) for suffix in SUFFIXES)
    return Latency(tuple(map(round, counts)), seconds)


@dataclass(frozen=True)
class State:
    """How the service is at one moment. Ages are in seconds, 0 where nothing waits."""

    totals: Totals
    hosts: int
    workers: int  # processes
    runs: int
    paused: int
    letters_left: int
    queue_age: float
    oldest_due: float
    servers: list[MailServer]
    slow_domains: dict[str, float]  # letters a second, the slowest first

    @classmethod
    def read(cls, now: datetime) -> State:
        """Ask for everything; no question counts letters, of which there are millions."""
        running = Attempt.objects.running()
        numbers = running.aggregate(
            runs=Count("pk", filter=Q(paused_at=None)),
            paused=Count("pk", filter=Q(paused_at__isnull=False)),
            planned=Sum("planned", default=0),
            done=Sum(F("accepted") + F("rejected") + F("skipped") + F("unknown"), default=0),
        )
        due = Mailing.objects.due(now).values_list("next_run_at", flat=True)
        return cls(
            totals=Totals.read(),
            **Host.objects.alive(now).aggregate(
                hosts=Count("pk"), workers=Sum("workers", default=0)
            ),
            runs=numbers["runs"],
            paused=numbers["paused"],
            letters_left=max(numbers["planned"] - numbers["done"], 0),
            queue_age=_age(_longest_waiting(now), now),
            oldest_due=_age(due.first(), now),
            servers=list(MailServer.objects.current()),
            slow_domains={name: pace.rate for name, pace in Pace.slow_domains().items()},
        )

    @property
    def breakers(self) -> list[MailServer]:
        """Return the mail servers that get no letters at the moment, but for probes."""
        return [server for server in self.servers if server.trouble_since]


def _longest_waiting(now: datetime) -> datetime | None:
    """Return since when the longest waiting chunk is due that may be sent and nobody holds."""
    # Run by run, so that each is answered by the first row in the index of its chunks.
    free = Chunk.objects.free(now).filter(attempt=OuterRef("pk"))
    first = free.order_by("due_at", "pk").values("due_at")[:1]
    runs = Attempt.objects.may_go(now)
    return runs.annotate(due_at=Subquery(first)).aggregate(first=Min("due_at"))["first"]


def _age(moment: datetime | None, now: datetime) -> float:
    return (now - moment).total_seconds() if moment else 0.0


def running_attempts() -> QuerySet[Attempt]:
    """Return the runs at work with their mailings and owners, the oldest first."""
    runs = Attempt.objects.running().select_related("mailing__owner")
    return runs.defer("html", "text").order_by("started_at", "pk")
