"""Keeping the house: what is looked over and what is deleted every night.

    sweep   reports every run that does not add up
    prune   deletes what nobody needs any more: the chunks of runs that are done, and the
            recipients of runs that finished longer ago than DELIVERY_RETENTION_DAYS; the runs
            and their sums stay
    tidy    deletes journals of dead workers that nobody needs; not by night on one host, but on
            every host once an hour, for each has its own

The first two work in small steps, so that sending never waits for them, and may stop after any
step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from mailings import journal
from mailings.metrics import Tally
from mailings.models import Attempt, Chunk, Counter, Delivery

logger = logging.getLogger("vestnik.delivery")

BATCH = 5000  # rows deleted in one transaction
SLICE = 50_000  # rows counted in one statement
CHUNKS = 100  # chunks whose rows are counted in one statement
# Time after which a run that is done, or that stands still, will not change by itself.
QUIET = timedelta(hours=1)
NIGHT = timedelta(hours=12)  # the sweep is made once in this time
LEASE = timedelta(minutes=10)  # of one call of `run`; longer than the queue lets it work

# What is remembered between two calls, as rows of Counter: moments in seconds since 1970.
HELD_UNTIL = "housekeeping:held_until"
SWEPT_AT = "housekeeping:swept_at"
CHECKED_UNTIL = "housekeeping:checked_until"
# Events for those who watch (see metrics.py).
FINDINGS = "sweep_findings"
DELETED = "deliveries_deleted"


class Deadline:
    """How long one call may work: `seconds`, unless `stopping` says that the worker ends."""

    def __init__(
        self, seconds: float = float("inf"), stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.end = time.monotonic() + seconds
        self.stopping = stopping

    @property
    def is_stopped(self) -> bool:
        return self.stopping()

    @property
    def is_over(self) -> bool:
        return self.is_stopped or time.monotonic() >= self.end


def run(deadline: Deadline) -> bool:
    """Do the night's work as far as the deadline allows; return whether something is left.

    Where somebody else is at it, on whatever host, nothing is done.
    """
    now = timezone.now()
    if not _take_lease(now):
        return False
    try:
        if _recall(SWEPT_AT) < now - NIGHT:
            sweep(now, deadline)
        prune(now, deadline)
    finally:
        Counter.objects.filter(name=HELD_UNTIL).update(value=0)
    return deadline.is_over


def _take_lease(now: datetime) -> bool:
    Counter.objects.get_or_create(name=HELD_UNTIL)
    free = Counter.objects.filter(name=HELD_UNTIL, value__lt=now.timestamp())
    return bool(free.update(value=(now + LEASE).timestamp()))


def _recall(name: str) -> datetime:
    seconds = Counter.objects.filter(name=name).values_list("value", flat=True).first()
    return datetime.fromtimestamp(seconds or 0, UTC)


def _remember(name: str, moment: datetime) -> None:
    Counter.objects.update_or_create(name=name, defaults={"value": moment.timestamp()})


# --- The sweep --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A run that does not add up, and how."""

    run: int
    mailing: int
    problem: str


def sweep(now: datetime, deadline: Deadline) -> list[Finding]:
    """Report every run that does not add up, in the log and in what is returned.

    Runs that are done are looked at once, in the night after; runs at work, when nothing has
    happened in them for an hour although something might.
    """
    findings = []
    for finding in _findings(now, deadline):
        findings.append(finding)
        logger.error(
            "run %s of mailing %s does not add up: %s",
            *asdict(finding).values(),
            extra=asdict(finding),
        )
        tally = Tally()
        tally.add(FINDINGS)
        tally.save()
    if not deadline.is_over:
        _remember(SWEPT_AT, now)
    return findings


def _findings(now: datetime, deadline: Deadline) -> Iterator[Finding]:
    for attempt in _each(_closed_runs(now), deadline):
        for problem in _problems_of_closed(attempt, deadline):
            yield Finding(attempt.pk, attempt.mailing_id, problem)
        if not deadline.is_stopped:
            _remember(CHECKED_UNTIL, attempt.finished_at)
    if not deadline.is_over:
        _remember(CHECKED_UNTIL, now - QUIET)
    for attempt in _each(_standing_runs(now), deadline):
        for problem in _problems_of_standing(attempt, now, deadline):
            yield Finding(attempt.pk, attempt.mailing_id, problem)


def _each(runs: QuerySet[Attempt], deadline: Deadline) -> Iterator[Attempt]:
    """Yield the runs, each as it is at that moment, until the time is up."""
    for pk in list(runs.values_list("pk", flat=True)):
        if deadline.is_over:
            return
        if attempt := _read(pk):
            yield attempt


def _read(pk: int) -> Attempt | None:
    return Attempt.objects.defer("html", "text").filter(pk=pk).first()


def _closed_runs(now: datetime) -> QuerySet[Attempt]:
    """Return runs that were closed since the last look and still have their rows.

    The youngest are left to the next night: a transaction that is not over cannot be seen.
    """
    since = _recall(CHECKED_UNTIL)
    if (kept := kept_since(now)) is not None:
        since = max(since, kept)
    closed = Attempt.objects.exclude(status=Attempt.Status.RUNNING).defer("html", "text")
    return closed.filter(finished_at__range=(since, now - QUIET)).order_by("finished_at", "pk")


def _problems_of_closed(attempt: Attempt, deadline: Deadline) -> list[str]:
    if not _differences(attempt, _count_in_slices(attempt.pk, deadline)) or deadline.is_stopped:
        return []
    # Clients or the whole mailing may have been deleted between two slices: that is no finding.
    rows = attempt.deliveries.order_by().values_list("status").annotate(n=Count("pk"))
    problems = _differences(attempt, dict(rows))
    return problems if _read(attempt.pk) is not None else []


def _differences(attempt: Attempt, ledger: dict[str, int]) -> list[str]:
    """Return what is wrong with a closed run whose ledger has so many rows in each state."""
    wrong = [
        f"{name} {getattr(attempt, name)}, in the ledger {ledger.get(name, 0)}"
        for name in Attempt.SUMS[1:]
        if getattr(attempt, name) != ledger.get(name, 0)
    ]
    left = sum(ledger.get(status, 0) for status in Delivery.OPEN)
    return [*wrong, *([f"it is closed with {left} letters open"] if left else [])]


def _count_in_slices(attempt_id: int, deadline: Deadline) -> dict[str, int]:
    """Return how many rows of a run are in each state, unless the worker is stopped meanwhile.

    The time is not looked at, or a run that takes longer than one call would never be counted.
    """
    sums: dict[str, int] = {}
    for bounds in _walk(attempt_id, SLICE):
        if deadline.is_stopped:
            break
        _count("client_id > %s AND client_id <= %s", [attempt_id, *bounds], sums)
    _count("client_id IS NULL", [attempt_id], sums)
    return sums


def _count(where: str, params: list[int], sums: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT status, count(*) FROM mailings_delivery"
            f" WHERE attempt_id = %s AND {where} GROUP BY status",
            params,
        )
        for status, number in cursor.fetchall():
            sums[status] = sums.get(status, 0) + number


def _walk(attempt_id: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of clients, (after, up to), with at most `size` rows of the run in each.

    Along the index of (attempt, client): every step costs the same, however long the run is.
    """
    after = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT max(client_id) FROM (SELECT client_id FROM mailings_delivery"
                " WHERE attempt_id = %s AND client_id > %s ORDER BY client_id LIMIT %s) r",
                [attempt_id, after, size],
            )
            (last,) = cursor.fetchone()
        if last is None:
            return
        yield after, last
        after = last


def _standing_runs(now: datetime) -> QuerySet[Attempt]:
    """Return runs at work in which nothing has happened for an hour, though nobody paused them."""
    running = Attempt.objects.running().filter(
        paused_at=None, mailing__is_active=True, mailing__owner__is_active=True
    )
    still = Q(last_attempt_at__lt=now - QUIET) | Q(last_attempt_at=None)
    return running.filter(still, started_at__lt=now - QUIET).defer("html", "text").order_by("pk")


def _problems_of_standing(attempt: Attempt, now: datetime, deadline: Deadline) -> list[str]:
    left = attempt.planned - attempt.done
    found = chunks = empty = 0
    for due_at, leased_until, number in _open_in_chunks(attempt.pk):
        if deadline.is_stopped:
            return []
        chunks += 1
        found += number
        is_free = leased_until is None or leased_until < now
        empty += number == 0 and is_free and due_at < now - QUIET
    fresh = _read(attempt.pk)
    if fresh is None or fresh.last_attempt_at != attempt.last_attempt_at:
        return []  # It was deleted, or went on meanwhile.
    problems = []
    if fresh.opening_until:
        problems.append(f"not all recipients are planned, and nobody is at it: {left} letters left")
    elif chunks == 0:
        problems.append(f"{left} letters left, and no chunk with anything to do")
    elif found < left:
        problems.append(f"{left} letters left, and only {found} of them in chunks to be done")
    elif found > left:
        problems.append(f"{found} letters to be done, and {left} left by its sums")
    if empty:
        problems.append(f"{empty} chunks due for an hour have nothing to do")
    return problems


def _open_in_chunks(attempt_id: int) -> Iterator[tuple[datetime, datetime | None, int]]:
    """Yield (due_at, leased_until, open rows) for each chunk of the run that is to be done."""
    chunks = Chunk.objects.filter(attempt=attempt_id, due_at__isnull=False).order_by("pk")
    last = 0
    while rows := list(chunks.filter(pk__gt=last)[:CHUNKS]):
        numbers = _count_open(rows)
        for chunk in rows:
            yield chunk.due_at, chunk.leased_until, numbers[chunk.pk]
        last = rows[-1].pk


# By ranges of keys; "+ 0" keeps the planner from walking through the whole run for each chunk.
COUNT_OPEN = """
    SELECT k.id, (SELECT count(*) FROM mailings_delivery d
                   WHERE d.id BETWEEN k.first_id AND k.last_id
                     AND d.attempt_id + 0 = k.attempt_id AND d.status IN %s)
      FROM mailings_chunk k WHERE k.id IN %s
"""


def _count_open(chunks: list[Chunk]) -> dict[int, int]:
    """Return the number of open rows by the chunk's key."""
    states = ", ".join(f"'{status.value}'" for status in Delivery.OPEN)
    keys = ", ".join(str(chunk.pk) for chunk in chunks)
    with connection.cursor() as cursor:
        cursor.execute(COUNT_OPEN % (f"({states})", f"({keys})"))
        return dict(cursor.fetchall())


# --- Deleting ---------------------------------------------------------------------------------


def kept_since(now: datetime) -> datetime | None:
    """Return since when finished runs keep their recipients; None: since ever."""
    days = settings.DELIVERY_RETENTION_DAYS
    return None if days is None else now - timedelta(days=days)


def prune(now: datetime, deadline: Deadline) -> int:
    """Delete what nobody needs any more; return how many recipients' rows that were."""
    _delete_chunks(now, deadline)
    deleted = 0
    for attempt_id in _outlived_runs(now):
        if deadline.is_over:
            break
        deleted += _delete_recipients(attempt_id, deadline)
    if deleted:
        tally = Tally()
        tally.add(DELETED, deleted)
        tally.save()
    return deleted


def _delete_chunks(now: datetime, deadline: Deadline) -> None:
    """Delete the chunks of runs that are done; a worker that comes back late finds none."""
    done = Chunk.objects.exclude(attempt__status=Attempt.Status.RUNNING)
    done = done.filter(attempt__finished_at__lt=now - QUIET).order_by()
    while not deadline.is_over:
        keys = list(done.values_list("pk", flat=True)[:BATCH])
        if not keys:
            break
        with _yielding():
            Chunk.objects.filter(pk__in=keys).delete()


def _outlived_runs(now: datetime) -> list[int]:
    """Return the runs whose time to be kept is over and that have something to delete."""
    kept = kept_since(now)
    if kept is None:
        return []
    rows = Delivery.objects.filter(attempt=OuterRef("pk"))
    old = Attempt.objects.exclude(status=Attempt.Status.RUNNING).filter(finished_at__lt=kept)
    full = old.filter(Exists(rows) | ~Q(html="") | ~Q(text=""))
    return list(full.order_by("finished_at", "pk").values_list("pk", flat=True))


def _delete_recipients(attempt_id: int, deadline: Deadline) -> int:
    """Delete the rows of a run and the letter as it was sent; return how many rows that were."""
    deleted = 0
    for bounds in _walk(attempt_id, BATCH):
        if deadline.is_over:
            break
        deleted += _delete("client_id > %s AND client_id <= %s", [attempt_id, *bounds])
    else:
        nobody = "id IN (SELECT id FROM mailings_delivery WHERE attempt_id = %s"
        nobody += f" AND client_id IS NULL LIMIT {BATCH})"
        while not deadline.is_over:
            number = _delete(nobody, [attempt_id, attempt_id])
            deleted += number
            if not number:
                Attempt.objects.filter(pk=attempt_id).update(html="", text="")
                break
    logger.info("run %s: %s old rows deleted", attempt_id, deleted, extra={"run": attempt_id})
    return deleted


def _delete(where: str, params: list[int]) -> int:
    with _yielding(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM mailings_delivery WHERE attempt_id = %s AND {where}", params)
        return cursor.rowcount


@contextmanager
def _yielding() -> Iterator[None]:
    """Rest after a step for as long as it took: others have the database half of the time."""
    began = time.monotonic()
    yield
    time.sleep(min(time.monotonic() - began, 1.0))


# --- Journals ---------------------------------------------------------------------------------


def tidy() -> None:
    """Delete the journals of dead workers whose chunks went on elsewhere, on another host say.

    A journal of a worker that lives is locked from before it has its name. Of one that is dead
    no chunk can come to hold the name any more: what none holds now, nobody will ask for.
    """
    dead = [worker for worker in journal.names() if journal.is_abandoned(worker)]
    if dead:
        held = set(Chunk.objects.filter(worker__in=dead).values_list("worker", flat=True))
        for worker in dead:
            if worker not in held:
                journal.forget(worker)
    journal.forget_unnamed()
