"""A run from its opening to its end: when it is due, whom it plans, when it adds up."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Lower
from django.utils import timezone
from wagtail.log_actions import log

from accounts.models import User
from mailings import reasons, remainder
from mailings.delivery import letter
from mailings.models import (
    Attempt,
    AttemptQuerySet,
    Chunk,
    Client,
    Delivery,
    Mailing,
    MailingQuerySet,
    MailServer,
)

logger = logging.getLogger("vestnik.delivery")

# Deliveries. Of a company that may send few letters a minute a chunk holds those of this time
# only (seconds): one in the hands of a host that died does not hold up the others for long.
CHUNK_SIZE, LEAST_CHUNK_SIZE, LIMITED_SECONDS = 2000, 10, 5
LAST_CHUNK_SIZE = 500  # of the last ones of a run: see part_of_row
# A run is opened in steps of so many recipients: its first letters go out while the others are
# planned. A step that took less time than this is followed by a larger one, one that took more
# by a smaller one (seconds).
FIRST_STEP, LEAST_STEP, LARGEST_STEP = 20_000, 1000, 200_000
SHORT_STEP, LONG_STEP = 1.0, 2.5
OPENING_LEASE = timedelta(seconds=20)  # between two steps; then another worker goes on
WAITING = (Delivery.Status.PLANNED, Delivery.Status.DEFERRED)
# Rows are saved a moment before their recipients are.
AUDIENCE_GRACE = 10  # seconds
# What servers say of an address that does not exist: an enhanced code first in the reply (RFC 3463
# 3.2: no such mailbox, no such system, no valid address, moved away; RFC 7505: a domain without
# mail). Words alone are not enough.
NO_SUCH_ADDRESS = r"^5[0-9][0-9] *5\.1\.(1|2|3|6|10)([^0-9.]|$)"
# A mailing that could not be opened is left alone by this process for so long (seconds), and one
# whose last run is about to end for so long.
OPEN_AGAIN, ASK_AGAIN = 60, 3
_not_before: dict[int, float] = {}  # time.monotonic() by mailing


def is_work_waiting(now: datetime) -> bool:
    """Return whether there is anything a worker could do at this moment."""
    if is_opening_due(now):
        return True
    if Attempt.objects.window_over(now).with_free_chunk(now).exists():
        return True
    server = MailServer.objects.current().first()
    if server and not server.may_be_tried(now):
        return False
    return Attempt.objects.may_go(now).with_free_chunk(now).exists()


def is_opening_due(now: datetime, mailing_id: int | None = None) -> bool:
    """Return whether `open_due` has anything to do."""
    return (
        _due(now, mailing_id).exists()
        or _left_open(now, mailing_id).exists()
        or Mailing.objects.outlived(now).exists()
    )


def open_due(
    now: datetime,
    mailing_id: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
    opened: Callable[[Attempt], None] = lambda run: None,
) -> int:
    """Open a run for every mailing that is due, end those whose time is over; return how many.

    `opened` is called with each run as soon as its first letters may go out. Large runs have
    their steps in turn, and what comes due meanwhile is opened between two steps.
    """
    began, moment, count = time.monotonic(), now, 0
    openings = deque(_take_over(now, mailing_id))
    while not stopping():
        for pk in _due(moment, mailing_id).values_list("pk", flat=True):
            if run := _open_safely(pk, moment):
                count += 1
                opened(run)
                if run.opening_until:
                    openings.append(Opening(run.pk, run.opening_until))
            if stopping():
                break
        if not openings:
            break
        opening = openings.popleft()
        if opening.plan_safely():
            openings.append(opening)
        moment = now + timedelta(seconds=time.monotonic() - began)
    for opening in openings:
        opening.leave()
    Mailing.objects.outlived(now).update(status=Mailing.Status.FINISHED, next_run_at=None)
    return count


def _due(now: datetime, mailing_id: int | None) -> MailingQuerySet:
    rest = [pk for pk, until in _not_before.items() if until > time.monotonic()]
    due = Mailing.objects.due(now).exclude(pk__in=rest) if rest else Mailing.objects.due(now)
    return due if mailing_id is None else due.filter(pk=mailing_id)


def _left_open(now: datetime, mailing_id: int | None) -> AttemptQuerySet:
    left = Attempt.objects.opening_left(now)
    return left if mailing_id is None else left.filter(mailing=mailing_id)


def _take_over(now: datetime, mailing_id: int | None) -> Iterator[Opening]:
    """Yield the runs that somebody left open in part; they are this worker's now."""
    for pk, lease in _left_open(now, mailing_id).values_list("pk", "opening_until"):
        ours = timezone.now() + OPENING_LEASE
        if Attempt.objects.running().filter(pk=pk, opening_until=lease).update(opening_until=ours):
            yield Opening(pk, ours)


def _open_safely(mailing_id: int, now: datetime) -> Attempt | None:
    try:
        if not end_retries(mailing_id, now):
            logger.info("mailing %s waits for letters of its last run in hand", mailing_id)
            _not_before[mailing_id] = time.monotonic() + ASK_AGAIN
            return None
        return open_run(mailing_id, now)
    except Exception:  # one mailing's defect must not hold up the others
        logger.exception("mailing %s could not be opened", mailing_id)
        _not_before[mailing_id] = time.monotonic() + OPEN_AGAIN
        return None


def end_retries(mailing_id: int, now: datetime) -> bool:
    """End what is left of a run that only tries again, where the next run of the mailing is due.

    Whoever it has not reached is reached by the next one: a mailbox that is full for days must
    not cost everybody a day's letter. Returns False where a worker has a letter of it in hand:
    then ask again in a moment. A run that has letters which were never tried is not touched, nor
    is one that is paused, nor any where the next one could not begin. One that completes an
    earlier run ends whatever is left of it: it costs the timetable no slot.
    """
    at_rest = Q(opening_until=None, paused_at=None) | Q(remainder_of__isnull=False)
    runs = Attempt.objects.running().filter(at_rest, mailing=mailing_id)
    runs = runs.exclude(mailing__ends_at__lte=now).select_related("mailing__message")
    for attempt in runs.defer("html", "text"):
        letter.compose(attempt.mailing.message)  # If it raises, nothing is ended.
        if attempt.remainder_of_id and attempt.paused_at is None:
            # Workers put aside what they have in hand, and take nothing more of it.
            attempt.pause(reasons.MAKES_WAY, attempt.server_response, now)
        if not _end_tries(attempt, now):
            return False
        close_run(attempt.pk, now)
    return True


def _end_tries(attempt: Attempt, now: datetime) -> bool:
    """Skip what waits for a further try, unless something was never tried; see `end_retries`."""
    from mailings.delivery import ledger  # It works on this module.

    if attempt.opening_until and not _end_opening(attempt):
        return False
    untried = Q(status=Delivery.Status.PLANNED) | Q(status=Delivery.Status.DEFERRED, tries=0)
    with transaction.atomic():
        open_chunks = Chunk.objects.filter(attempt=attempt.pk, due_at__isnull=False)
        chunks = list(open_chunks.order_by("pk").select_for_update())
        is_begun = not any(rows_in(chunk).filter(untried).exists() for chunk in chunks)
        if not is_begun and attempt.remainder_of_id is None:
            return True
        if any(chunk.leased_until and chunk.leased_until >= now for chunk in chunks):
            return False
        ended = Ended()
        for chunk in chunks:
            ledger.settle_dead_worker(chunk, now)
            ended += _skip(rows_in(chunk).filter(status__in=WAITING), reasons.NEXT_RUN, now)
        open_chunks.update(due_at=None, worker="", leased_until=None, claimed_to=0)
        ended.add_to(attempt.pk)
    return True


def _end_opening(attempt: Attempt) -> bool:
    """Plan nobody more of a run; return False where whoever plans it was faster."""
    opening = Attempt.objects.filter(pk=attempt.pk, opening_until=attempt.opening_until)
    return bool(opening.update(opening_until=None, audience_to=None))


def open_run(mailing_id: int, now: datetime) -> Attempt | None:
    """Open the run that is due, with a row for every recipient; None where there is none.

    Of a large audience only the first are planned: `Opening` goes on. However many workers
    try: `unique(mailing, slot)` and the lock let one of them succeed.
    """
    with transaction.atomic():
        due = Mailing.objects.due(now).select_related("owner", "message")
        mailing = due.select_for_update(of=("self",)).filter(pk=mailing_id).first()
        if mailing is None or mailing.attempts.running().remainders().exists():
            return None  # The latter was opened since `end_retries`, which has to end it first.
        mailing.plan(now)
        slot = mailing.next_run_at
        attempt = None
        if slot is not None and slot <= now and not _audience_is_coming(mailing, now):
            attempt = _create_attempt(mailing, slot, now)
            mailing.plan(now)
        mailing.save(update_fields=["next_run_at", "status"])
    if attempt and attempt.opening_until is None:
        _finish_opening(attempt, now)
    return attempt


def open_remainder(root_id: int, *, by: User, with_newcomers: bool) -> Attempt:
    """Open a run for those who lack the letter of the run of a slot, because somebody asked for it.

    Raises `remainder.Refused` where that cannot be. Of a large audience only the first are
    planned; a worker goes on at once.
    """
    from mailings import tasks  # It works on this module.

    now = timezone.now()
    with transaction.atomic():
        # Run and mailing, in the order in which a run that ends locks them.
        root = Attempt.objects.select_for_update().defer("html", "text").get(pk=root_id)
        rows = Mailing.objects.select_related("owner", "message").select_for_update(of=("self",))
        mailing = root.mailing = rows.get(pk=root.mailing_id)
        mailing.plan(now)  # Its next run may be due since a moment ago.
        remainder.check(root, now)
        attempt = Attempt(mailing=mailing, message=mailing.message, slot=now, started_at=now)
        attempt.remainder_of, attempt.with_newcomers = root, with_newcomers
        # Most of these were refused before: that must not pause it.
        attempt.brake_released = True
        if not _begin(attempt, now):
            raise remainder.Refused(reasons.NOT_COMPOSED)
        if not attempt.planned:
            raise remainder.Refused(remainder.NOBODY_LEFT)
        mailing.plan(now)
        mailing.save(update_fields=["next_run_at", "status"])
        log(mailing, "mailings.send_remainder", user=by)
    if attempt.opening_until:
        Opening(attempt.pk, attempt.opening_until).leave()
    else:
        _finish_opening(attempt, now)
    transaction.on_commit(tasks.ring)
    return attempt


@dataclass
class Opening:
    """A run that is open in part, and that this worker may open until its lease is over.

    No lock is held: letters of the run are recorded meanwhile. Where two workers take themselves
    for its opener, the lease of one counts, and a client has one row a run.
    """

    attempt_id: int
    lease: datetime
    size: int = field(default_factory=lambda: FIRST_STEP)  # recipients of the next step

    def plan_next(self) -> bool:
        """Plan the next recipients; return whether any are left for this worker to plan."""
        began = time.monotonic()
        attempt = self._mine().select_related("mailing__owner").defer("html", "text").first()
        if attempt is None:
            return self._lose()
        with transaction.atomic():
            # Whoever deletes the run waits for this step, or lets none begin. Of all chunks this
            # one is the last that a worker wants.
            chunks = Chunk.objects.filter(attempt=attempt.pk).order_by("-pk")
            if not chunks.select_for_update(of=("self",))[:1]:
                return self._lose()
            count, skipped = _plan_step(attempt, self.size, timezone.now())
            sums = {"planned": F("planned") + count, "skipped": F("skipped") + skipped}
            until = {"audience_to": attempt.audience_to, "opening_until": attempt.opening_until}
            if not self._mine().update(**sums, **until):
                transaction.set_rollback(True)
                return self._lose()
        if attempt.opening_until is None:
            _finish_opening(attempt, timezone.now())
            return False
        self._choose_size(time.monotonic() - began)
        self.lease = attempt.opening_until
        return True

    def plan_safely(self) -> bool:
        """Do `plan_next`; an error of ours is told to the owner, and tried again later."""
        try:
            return self.plan_next()
        except Exception:  # one run's defect must not hold up the others
            logger.exception("run %s: its recipients could not be planned", self.attempt_id)
            self._mine().update(server_response=reasons.NOT_PLANNED)
            return False

    def leave(self) -> None:
        """Let another worker go on at once."""
        self._mine().update(opening_until=timezone.now())

    def _mine(self) -> AttemptQuerySet:
        return Attempt.objects.running().filter(pk=self.attempt_id, opening_until=self.lease)

    def _lose(self) -> bool:
        logger.warning("run %s is no longer this worker's to open", self.attempt_id)
        return False

    def _choose_size(self, seconds: float) -> None:
        """Let steps grow, but keep each of them far shorter than a lease."""
        if seconds < SHORT_STEP:
            self.size = min(self.size * 2, LARGEST_STEP)
        elif seconds > LONG_STEP:
            self.size = max(self.size // 2, LEAST_STEP)


def _finish_opening(attempt: Attempt, now: datetime) -> None:
    seconds = (timezone.now() - attempt.started_at).total_seconds()
    words = "mailing %s: run %s of %s letters opened in %.2f s"
    logger.info(words, attempt.mailing_id, attempt.pk, attempt.planned, seconds)
    close_run(attempt.pk, now)  # Where nobody is left to send to.


def _audience_is_coming(mailing: Mailing, now: datetime) -> bool:
    young = (now - mailing.created_at).total_seconds() < AUDIENCE_GRACE
    return young and not mailing.audience().exists()


def _create_attempt(mailing: Mailing, slot: datetime, now: datetime) -> Attempt:
    attempt = Attempt(mailing=mailing, message=mailing.message, slot=slot, started_at=now)
    if mailing.attempts.running().exists():
        return _left_out(attempt, reasons.STILL_RUNNING, now)
    return attempt if _begin(attempt, now) else _left_out(attempt, reasons.NOT_COMPOSED, now)


def _begin(attempt: Attempt, now: datetime) -> bool:
    """Compose the letter of a new run and plan its first recipients, of a small one all.

    Returns False, and saves nothing, where the letter cannot be composed.
    """
    try:
        content = letter.compose(attempt.message)
    except Exception:  # the owner must see that this run failed, whatever was wrong with it
        logger.exception("mailing %s: the letter could not be composed", attempt.mailing_id)
        return False
    attempt.subject, attempt.html, attempt.text = content.subject, content.html, content.text
    attempt.audience_to = Client.objects.aggregate(last=Max("pk"))["last"] or 0
    attempt.save()
    attempt.skipped = _plan_step(attempt, FIRST_STEP, now)[1]
    attempt.server_response = "" if attempt.planned else reasons.NO_RECIPIENTS
    attempt.save()
    return True


def _left_out(attempt: Attempt, reason: str, now: datetime) -> Attempt:
    attempt.status, attempt.server_response = Attempt.Status.FAILURE, reason
    attempt.finished_at = attempt.last_attempt_at = now
    attempt.save()
    return attempt


def _plan_step(attempt: Attempt, size: int, now: datetime) -> tuple[int, int]:
    """Freeze the next part of the audience: one row per client, and the chunks over them.

    Returns how many were planned, `size` unless they were the last, and how many of these
    skipped; sets on `attempt`, which the caller saves, what is planned in all and until when the
    next step is waited for.
    """
    moment = to_column(now)
    last = attempt.deliveries.aggregate(last=Max("client_id"))["last"] or 0
    before = attempt.chunks.aggregate(last=Max("last_id"))["last"] or 0
    end = attempt.audience_to
    part = None if attempt.remainder_of_id else attempt.mailing.part_of_audience(last, size)
    until = min(part or end, end)
    count = _plan_rows(attempt, last, until, size, moment)
    if not count and until < end:  # They left the audience in this moment.
        until, count = end, _plan_rows(attempt, last, end, size, moment)
    attempt.planned += count
    is_last = count < size and until == end
    # The last tenth comes in smaller chunks: no worker waits long for that of another.
    full = max(count - attempt.planned // 10, 0) if is_last else count
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mailings_chunk (attempt_id, first_id, last_id, due_at, worker, claimed_to)"
            " SELECT %s, min(r.id), max(r.id), %s, '', 0 FROM (SELECT id,"
            f" {part_of_row(full, chunk_size(attempt.mailing.owner))} AS part"
            " FROM mailings_delivery WHERE attempt_id = %s AND id > %s) r"
            " GROUP BY r.part ORDER BY 1, 2",
            [attempt.pk, moment, attempt.pk, before],
        )
    rows = attempt.deliveries.filter(pk__gt=before)
    if is_last:
        attempt.audience_to = attempt.opening_until = None
    else:
        attempt.opening_until = timezone.now() + OPENING_LEASE
    return count, rows.filter(status=Delivery.Status.SKIPPED).count()


def _plan_rows(attempt: Attempt, last: int, until: int, size: int, moment: Any) -> int:
    """Write rows for the first `size` clients with keys above `last` and up to `until`; count them."""
    columns = ("id", "email", "unsubscribed_at", "undeliverable_at", "may_have_it")
    audience = attempt.audience(last, until).order_by("id").values(*columns)[:size]
    inner, params = audience.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mailings_delivery"
            " (attempt_id, client_id, email, status, response, tries, doubts, updated_at)"
            " SELECT %s, a.id, a.email,"
            " CASE WHEN a.unsubscribed_at IS NULL AND a.undeliverable_at IS NULL"
            " THEN 'planned' ELSE 'skipped' END,"
            " CASE WHEN a.unsubscribed_at IS NOT NULL THEN %s"
            " WHEN a.undeliverable_at IS NOT NULL THEN %s ELSE '' END,"
            f" 0, CASE WHEN a.may_have_it THEN 1 ELSE 0 END, %s FROM ({inner}) a",
            [attempt.pk, reasons.UNSUBSCRIBED, reasons.UNDELIVERABLE, moment, *params],
        )
        return max(cursor.rowcount, 0)


def to_column(moment: datetime) -> Any:
    """Return a moment as the database's driver wants it in plain SQL."""
    return connection.ops.adapt_datetimefield_value(moment)


def rows_in(chunk: Chunk) -> QuerySet[Delivery]:
    """Return the rows of a chunk, to be found by their keys."""
    # Keys of two runs that were opened at the same moment may lie mixed. As a sum the run's key
    # keeps both databases from walking the run's whole index instead of the chunk's few rows.
    rows = Delivery.objects.alias(run=F("attempt_id") + 0).order_by()
    return rows.filter(run=chunk.attempt_id, pk__range=(chunk.first_id, chunk.last_id))


def chunk_size(owner: User) -> int:
    """Return how many deliveries of a company's run one worker takes at a time."""
    if owner.letters_per_minute is None:
        return CHUNK_SIZE
    few = owner.letters_per_minute * LIMITED_SECONDS // 60
    return min(max(few, LEAST_CHUNK_SIZE), CHUNK_SIZE)


def part_of_row(full: int, size: int) -> str:
    """Return an SQL expression for the chunk that a row belongs to, by its place among the rows.

    The first `full` rows, or nearly as many, come in chunks of `size`, the others in small ones.
    """
    small, large = min(size, LAST_CHUNK_SIZE), full // size
    row = "(row_number() OVER (ORDER BY id) - 1)"
    rest = f"{large} + ({row} - {large * size}) / {small}"
    return f"CASE WHEN {row} < {large * size} THEN {row} / {size} ELSE {rest} END"


def skip_unwanted(attempt_id: int, rows: QuerySet[Delivery], now: datetime) -> None:
    """Close those rows of a run that will never go out, each with its reason."""
    mailing = Mailing.objects.filter(attempts=attempt_id).first()
    if mailing is None:
        return  # It was deleted, and all its rows with it.
    waiting = rows.filter(status__in=WAITING)
    nobody = ~Exists(Client.objects.filter(pk=OuterRef("client_id")))
    # Nobody would know whether the old one still agrees: only the new one can be asked.
    moved = waiting.exclude(email=F("client__email")).annotate(now=Lower("client__email"))
    unwanted = {
        reasons.CLIENT_DELETED: waiting.filter(nobody),
        reasons.UNSUBSCRIBED: waiting.filter(client__unsubscribed_at__isnull=False),
        reasons.ADDRESS_CHANGED: moved.exclude(now=Lower("email")),
    }
    if mailing.ends_at is not None and mailing.ends_at <= now:
        unwanted[reasons.WINDOW_CLOSED] = waiting
    with transaction.atomic():
        ended = Ended()
        for reason, found in unwanted.items():
            ended += _skip(found, reason, now)
        ended.add_to(attempt_id)


class Ended(NamedTuple):
    """How many rows of a run have ended without a further try."""

    skipped: int = 0
    unknown: int = 0

    def __add__(self, other: Ended) -> Ended:
        return Ended(self.skipped + other.skipped, self.unknown + other.unknown)

    def add_to(self, attempt_id: int) -> None:
        """Add them to the sums of the run, when all its rows are written: as workers do."""
        if any(self):
            sums = {name: F(name) + number for name, number in self._asdict().items()}
            Attempt.objects.filter(pk=attempt_id).update(**sums)


def _skip(rows: QuerySet[Delivery], reason: str, now: datetime) -> Ended:
    """Close rows with a reason; whoever may have the letter already is not skipped."""
    final = {"code": None, "next_try_at": None, "updated_at": now}
    doubtful = rows.filter(doubts__gt=0)
    doubtful.exclude(response__in=reasons.IN_DOUBT).update(response=reasons.ANSWER_LOST)
    unknown = doubtful.update(status=Delivery.Status.UNKNOWN, **final)
    return Ended(rows.update(status=Delivery.Status.SKIPPED, response=reason, **final), unknown)


def runs_to_close() -> QuerySet[Attempt]:
    """Return runs at work that have nothing left to do."""
    left = Chunk.objects.filter(attempt=OuterRef("pk"), due_at__isnull=False)
    return Attempt.objects.running().filter(opening_until=None).exclude(Exists(left))


def close_runs(now: datetime) -> None:
    """Close the runs that have nothing left to do."""
    for attempt_id in runs_to_close().values_list("pk", flat=True):
        close_run(attempt_id, now)


def close_run(attempt_id: int, now: datetime) -> bool:
    """Close a run if every row is final: count the ledger, set the status, plan what is next."""
    with transaction.atomic():
        attempt = runs_to_close().select_for_update(of=("self",)).filter(pk=attempt_id).first()
        if attempt is None:
            return False
        by_status = dict(
            attempt.deliveries.order_by().values_list("status").annotate(n=Count("pk"))
        )
        if any(by_status.get(status) for status in Delivery.OPEN):
            return False
        for name in ("accepted", "rejected", "skipped", "unknown"):
            setattr(attempt, name, by_status.get(name, 0))
        found = sum(by_status.values())
        if gone := max(attempt.planned - found, 0):
            # What became of these is not known; the nightly sweep will miss them in the ledger.
            logger.error("run %s: %s of %s rows are gone", attempt_id, gone, attempt.planned)
            attempt.unknown += gone
        attempt.planned = found + gone
        accepted = attempt.deliveries.filter(status=Delivery.Status.ACCEPTED)
        attempt.doubtful = attempt.deliveries.doubtful().count() if attempt.doubtful else 0
        attempt.status = _verdict(attempt)
        attempt.finished_at = now
        if attempt.status == Attempt.Status.SUCCESS:
            last = accepted.order_by("-pk").values_list("response", flat=True).first()
            attempt.server_response = last or ""
        attempt.save(update_fields=["status", "finished_at", "server_response", *Attempt.ALL_SUMS])
        # Its timetable may be edited in this very moment.
        rows = Mailing.objects.select_related("owner").select_for_update(of=("self",))
        mailing = rows.get(pk=attempt.mailing_id)
        mailing.plan(now)
        mailing.save(update_fields=["next_run_at", "status"])
        # Where the server refuses a third of all, the addresses may not be to blame.
        if 0 < attempt.rejected <= attempt.accepted / 2:
            give_up_addresses(attempt_id)
    sums = {name: getattr(attempt, name) for name in Attempt.SUMS}
    extra = {"run": attempt_id, "mailing": mailing.pk, "owner": mailing.owner_id, **sums}
    logger.info("run %s is closed: %s, %s", attempt_id, attempt.status, sums, extra=extra)
    return True


# Few of a run's rows are refused ones, and only their words are looked at. A run may end days after
# a reply: what was said or done of the address since counts more. Clients are locked in the order
# of their keys: two runs that end at once may have refused the same people.
GIVE_UP = """
    WITH refused AS MATERIALIZED (
        SELECT client_id, email, response, updated_at FROM mailings_delivery
         WHERE attempt_id = %s AND status = 'rejected')
    UPDATE mailings_client
       SET undeliverable_at = gone.updated_at, undeliverable_reply = gone.response
      FROM (SELECT c.id, d.response, d.updated_at
              FROM refused d JOIN mailings_client c ON c.id = d.client_id
             WHERE d.response {matches}
               AND (c.email = d.email OR lower(c.email) = lower(d.email))
               AND c.undeliverable_at IS NULL
               AND (c.retried_at IS NULL OR c.retried_at < d.updated_at)
               AND NOT EXISTS (SELECT 1 FROM mailings_delivery later
                                WHERE later.client_id = c.id AND later.status = 'accepted'
                                  AND later.updated_at > d.updated_at)
             ORDER BY c.id {lock}) gone
     WHERE mailings_client.id = gone.id
"""


def give_up_addresses(attempt_id: int) -> int:
    """Remember which addresses do not exist, as the replies of a run say; return how many.

    Not those that clients have no more, nor those that the owner wants tried again since.
    """
    # Only rows of clients change, no keys: who files a client in a list meanwhile need not wait.
    lock = "FOR NO KEY UPDATE OF c" if connection.vendor == "postgresql" else ""
    statement = GIVE_UP.format(matches=connection.operators["regex"], lock=lock)
    with connection.cursor() as cursor:
        cursor.execute(statement, [attempt_id, NO_SUCH_ADDRESS])
        count = max(cursor.rowcount, 0)
    if count:
        logger.info("run %s: %s addresses do not exist", attempt_id, count)
    return count


def _verdict(attempt: Attempt) -> Attempt.Status:
    if attempt.accepted == 0:
        return Attempt.Status.FAILURE
    skipped = attempt.deliveries.filter(status=Delivery.Status.SKIPPED)
    # Most runs skip nobody: then there is nothing to count a second time.
    not_wanted = attempt.skipped and skipped.filter(response__in=reasons.NOT_WANTED).count()
    if attempt.accepted == attempt.planned - not_wanted:
        return Attempt.Status.SUCCESS
    return Attempt.Status.PARTIAL
