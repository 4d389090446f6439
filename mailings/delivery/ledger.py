"""The ledger: who takes which rows, what is written of each, and when a run adds up.

Chunks are what workers take; rows move inside them. Consent is a condition of the very
statement that claims a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Min, Q, QuerySet

from mailings.delivery import journal, reasons, runs
from mailings.delivery.transport import Outcome, Result
from mailings.models import Attempt, Chunk, Delivery, Mailing

# A worker prolongs its lease every few seconds; a dead one's chunks are free after this time.
LEASE = timedelta(seconds=20)
REST = timedelta(seconds=60)  # before a chunk that met an error of ours is tried again
Status = Delivery.Status
# Nothing was tried: the row goes back as it was.
NOT_BEGUN = (Outcome.TROUBLE, Outcome.RETURNED)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this worker may send now."""

    id: int
    email: str
    client_id: int
    full_name: str
    tries: int


# --- Chunks -----------------------------------------------------------------------------------


def free_chunks(now: datetime) -> QuerySet[Chunk]:
    """Return chunks with something to do that nobody holds, the longest waiting first."""
    unheld = Q(leased_until=None) | Q(leased_until__lt=now)
    mailing = "attempt__mailing__"
    allowed = Q(**{mailing + "is_active": True, mailing + "owner__is_active": True})
    over = Q(**{mailing + "ends_at__lte": now})
    return Chunk.objects.filter(unheld, allowed | over, due_at__lte=now).order_by("due_at", "pk")


def overdue_chunks(now: datetime) -> QuerySet[Chunk]:
    """Return free chunks of mailings whose window is over: nothing of them is sent."""
    return free_chunks(now).filter(attempt__mailing__ends_at__lte=now)


def take_chunk(chunks: QuerySet[Chunk], worker: str, now: datetime) -> Chunk | None:
    """Lease the first of `chunks`; bring what a dead holder left in it into order."""
    with transaction.atomic():
        chunk = chunks.select_for_update(skip_locked=True, of=("self",)).first()
        if chunk is None:
            return None
        dead_worker = chunk.worker
        chunk.worker, chunk.leased_until = worker, now + LEASE
        chunk.save(update_fields=["worker", "leased_until"])
        settle_dead_worker(chunk, dead_worker, now)
    journal.forget(dead_worker, chunk.pk)
    return chunk


def free_abandoned(now: datetime) -> None:
    """End the leases of workers that died on this machine; elsewhere they run out by themselves."""
    for pk, worker in Chunk.objects.filter(leased_until__gte=now).values_list("pk", "worker"):
        if journal.is_abandoned(worker, pk):
            Chunk.objects.filter(pk=pk, worker=worker).update(leased_until=None)


def renew_lease(chunk: Chunk, now: datetime) -> bool:
    """Prolong the lease; return False where somebody else took the chunk over."""
    mine = Chunk.objects.filter(pk=chunk.pk, worker=chunk.worker)
    return bool(mine.update(leased_until=now + LEASE))


def release_chunk(chunk: Chunk, now: datetime) -> None:
    """Give the chunk back, due when its next row is; close the run if it was the last."""
    rows = rows_of(chunk)
    state = rows.aggregate(
        open=Count("pk", filter=Q(status__in=(Status.PLANNED, Status.SENDING))),
        next_try=Min("next_try_at", filter=Q(status=Status.DEFERRED)),
    )
    due_at = now if state["open"] else state["next_try"]
    mine = Chunk.objects.filter(pk=chunk.pk, worker=chunk.worker)
    mine.update(worker="", leased_until=None, due_at=due_at)
    if due_at is None:
        runs.close_run(chunk.attempt_id, now)


def hold_run(chunk: Chunk, now: datetime) -> None:
    """Let a run wait whose letters the mail server refuses; others go on."""
    wait = timedelta(seconds=settings.MAILING_RETRY_DELAYS[0])
    Chunk.objects.filter(attempt=chunk.attempt_id, due_at__lt=now + wait).update(due_at=now + wait)


def put_aside(chunk: Chunk, now: datetime) -> None:
    """Let a chunk rest that could not be worked on; its next holder reads our journal."""
    mine = Chunk.objects.filter(pk=chunk.pk, worker=chunk.worker)
    mine.update(leased_until=None, due_at=now + REST)


def rows_of(chunk: Chunk) -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        attempt_id=chunk.attempt_id, pk__range=(chunk.first_id, chunk.last_id)
    )


# --- Rows -------------------------------------------------------------------------------------


# A letter may go out: the client agrees, the mailing is on and not over, its owner not blocked,
# and nobody else has taken the chunk over.
# The same words serve the claim and every later look. Plain SQL: both run for every letter.
ALLOWED = """
    EXISTS (SELECT 1 FROM mailings_client c
             WHERE c.id = client_id AND c.unsubscribed_at IS NULL)
    AND EXISTS (SELECT 1 FROM mailings_attempt a
                  JOIN mailings_mailing m ON m.id = a.mailing_id
                  JOIN accounts_user u ON u.id = m.owner_id
                 WHERE a.id = %(attempt)s AND m.is_active AND u.is_active
                   AND (m.ends_at IS NULL OR m.ends_at > %(now)s))
    AND EXISTS (SELECT 1 FROM mailings_chunk k
                 WHERE k.id = %(chunk)s AND k.worker = %(worker)s)
"""
# By a range of keys and without LIMIT: whatever the planner believes of a table that grew a
# second ago, it walks the primary key over these few rows.
CLAIM = f"""
    UPDATE mailings_delivery SET status = 'sending', updated_at = %(now)s
     WHERE id BETWEEN %(first)s AND %(last)s AND attempt_id = %(attempt)s
       AND (status = 'planned' OR (status = 'deferred' AND next_try_at <= %(now)s))
       AND {ALLOWED}
    RETURNING id, email, client_id,
              (SELECT full_name FROM mailings_client c WHERE c.id = client_id), tries
"""
STILL_ALLOWED = f"SELECT id FROM mailings_delivery WHERE id IN ({{ids}}) AND {ALLOWED}"


def claim(chunk: Chunk, count: int, now: datetime) -> list[Claimed]:
    """Move the next rows that may go out now, up to `count`, to `sending` and return them.

    The chunk remembers how far it was claimed; an empty list means that its end is reached.
    """
    rows: list[tuple] = []
    params = _rights(chunk, now)
    with connection.cursor() as cursor:
        while not rows and (first := max(chunk.first_id, chunk.claimed_to + 1)) <= chunk.last_id:
            chunk.claimed_to = min(first + count - 1, chunk.last_id)
            cursor.execute(CLAIM, {**params, "first": first, "last": chunk.claimed_to})
            rows = cursor.fetchall()
    return [Claimed(*row) for row in sorted(rows)]


def still_allowed(chunk: Chunk, ids: Iterable[int], now: datetime) -> set[int]:
    """Return those of the chunk's claimed rows that may still go out."""
    numbers = ", ".join(map(str, map(int, ids)))
    if not numbers:
        return set()
    params = _rights(chunk, now)
    with connection.cursor() as cursor:
        cursor.execute(STILL_ALLOWED.format(ids=numbers), params)
        return {row[0] for row in cursor.fetchall()}


def _rights(chunk: Chunk, now: datetime) -> dict[str, Any]:
    """Return the values that ALLOWED asks for."""
    names = {"attempt": chunk.attempt_id, "chunk": chunk.pk, "worker": chunk.worker}
    return {"now": to_column(now), **names}


def to_column(moment: datetime) -> Any:
    """Return a moment as the database's driver wants it in plain SQL."""
    return connection.ops.adapt_datetimefield_value(moment)


def give_back(ids: Iterable[int]) -> None:
    """Put rows that were claimed and not begun back to `planned`."""
    rows = Delivery.objects.filter(pk__in=list(ids), status=Status.SENDING).order_by()
    rows.update(status=Status.PLANNED)


def skip_unwanted(chunk: Chunk, now: datetime) -> None:
    """Close the rows of a chunk that will never go out, each with its reason."""
    mailing = Mailing.objects.filter(attempts=chunk.attempt_id).first()
    if mailing is None:
        return  # It was deleted, and all its rows with it.
    waiting = rows_of(chunk).filter(status__in=(Status.PLANNED, Status.DEFERRED))
    doubtful = Q(status=Status.DEFERRED, response__in=reasons.IN_DOUBT)
    with transaction.atomic():
        skipped = _skip(waiting.filter(client=None), reasons.CLIENT_DELETED, now)
        gone = waiting.filter(client__unsubscribed_at__isnull=False)
        skipped += _skip(gone, reasons.UNSUBSCRIBED, now)
        unknown = 0
        if mailing.ends_at is not None and mailing.ends_at <= now:
            unknown = waiting.filter(doubtful).update(
                status=Status.UNKNOWN, next_try_at=None, updated_at=now
            )
            skipped += _skip(waiting, reasons.WINDOW_CLOSED, now)
        _add_to_sums(chunk.attempt_id, Counter(skipped=skipped, unknown=unknown))


def _skip(rows: QuerySet[Delivery], reason: str, now: datetime) -> int:
    return rows.update(
        status=Status.SKIPPED, response=reason, code=None, next_try_at=None, updated_at=now
    )


# --- Results ----------------------------------------------------------------------------------


# VALUES names its columns column1, column2, … in PostgreSQL and in SQLite.
ACCEPT = """
    UPDATE mailings_delivery SET status = 'accepted', tries = tries + 1,
           code = v.column2, response = v.column3, next_try_at = NULL, updated_at = %s
      FROM (VALUES {values}) v
     WHERE id = v.column1 AND status IN ('sending', 'planned', 'deferred')
"""
RECORD = """
    UPDATE mailings_delivery SET status = v.column2, tries = tries + 1, code = v.column3,
           response = v.column4, next_try_at = v.column5, updated_at = %s
      FROM (VALUES {values}) v
     WHERE id = v.column1 AND status = 'sending'
    RETURNING status
"""
ADD = """
    UPDATE mailings_attempt SET accepted = accepted + %s, rejected = rejected + %s,
           skipped = skipped + %s, unknown = unknown + %s, last_attempt_at = %s,
           server_response = CASE WHEN %s OR server_response = '' THEN %s ELSE server_response END
     WHERE id = %s
"""


def record(chunk: Chunk, results: list[tuple[Claimed, Result]], now: datetime) -> None:
    """Write results and add them to the run's sums, in one transaction."""
    accepted = [(row, result) for row, result in results if result.outcome is Outcome.ACCEPTED]
    others = [(row, result) for row, result in results if result.outcome is not Outcome.ACCEPTED]
    not_begun = [row.id for row, result in others if result.outcome in NOT_BEGUN]
    tried = [(row, result) for row, result in others if result.outcome not in NOT_BEGUN]
    bad_words = [result.text for _row, result in others if result.text][-1:]
    words = bad_words or [result.text for _row, result in accepted[:1]] or [""]
    with transaction.atomic(), connection.cursor() as cursor:
        if others and not _is_ours(chunk):
            # Whoever took the chunk over decides on its rows. That a letter arrived stays true.
            not_begun, tried = [], []
        give_back(not_begun)
        sums = Counter(accepted=_record_accepted(accepted, now))
        sums += _record_others(chunk, tried, now)
        numbers = [sums[name] for name in ("accepted", "rejected", "skipped", "unknown")]
        reply = [bool(bad_words), words[0]]
        cursor.execute(ADD, [*numbers, to_column(now), *reply, chunk.attempt_id])


def _is_ours(chunk: Chunk) -> bool:
    mine = Chunk.objects.select_for_update().filter(pk=chunk.pk, worker=chunk.worker)
    return mine.exists()


def _record_accepted(results: list[tuple[Claimed, Result]], now: datetime) -> int:
    if not results:
        return 0
    values = ", ".join(["(%s, %s, %s)"] * len(results))
    columns = ((row.id, result.code, result.text[:500]) for row, result in results)
    params = [value for row in columns for value in row]
    with connection.cursor() as cursor:
        cursor.execute(ACCEPT.format(values=values), [to_column(now), *params])
        return cursor.rowcount


def _record_others(
    chunk: Chunk, results: list[tuple[Claimed, Result]], now: datetime
) -> Counter[str]:
    """Write what was not accepted; return how many rows came into each state."""
    if not results:
        return Counter()
    params: list[Any] = [to_column(now)]
    for row, result in results:
        status, next_try_at = _next_state(chunk, row, result, now)
        moment = next_try_at and to_column(next_try_at)
        params += [row.id, status.value, result.code, result.text[:500], moment]
    # A column of VALUES that holds nothing but NULL is text to PostgreSQL.
    casts = ("::smallint", "::timestamptz") if connection.vendor == "postgresql" else ("", "")
    values = ", ".join([f"(%s, %s, %s{casts[0]}, %s, %s{casts[1]})"] * len(results))
    with connection.cursor() as cursor:
        cursor.execute(RECORD.format(values=values), params)
        return Counter(row[0] for row in cursor.fetchall())


def _next_state(
    chunk: Chunk, row: Claimed, result: Result, now: datetime
) -> tuple[Delivery.Status, datetime | None]:
    if result.outcome is Outcome.NEVER:
        return Status.REJECTED, None
    doubt = result.outcome is Outcome.DOUBT
    if doubt and chunk.attempt.mailing.in_doubt == Mailing.Doubt.LEAVE:
        return Status.UNKNOWN, None
    delays = settings.MAILING_RETRY_DELAYS
    if row.tries >= len(delays):
        return (Status.UNKNOWN if doubt else Status.REJECTED), None
    # What a dead worker left waited long enough already.
    delay = 0 if result.text == reasons.WORKER_DIED else delays[row.tries]
    return Status.DEFERRED, now + timedelta(seconds=delay)


def _add_to_sums(attempt_id: int, sums: Counter[str]) -> None:
    changes = {name: F(name) + number for name, number in sums.items() if number}
    if changes:
        Attempt.objects.filter(pk=attempt_id).update(**changes)


def note_reply(attempt_id: int, words: str) -> None:
    """Show the mail server's words at the run."""
    Attempt.objects.filter(pk=attempt_id).update(server_response=words)


def settle_dead_worker(chunk: Chunk, dead_worker: str, now: datetime) -> None:
    """Bring the rows that a dead worker was sending into order, with the help of its journal."""
    traces = journal.read_traces(dead_worker, chunk.pk)
    fields = ("pk", "email", "client_id", "client__full_name", "tries")
    rows = rows_of(chunk).filter(status=Status.SENDING).values_list(*fields)
    results = []
    for row in (Claimed(*values) for values in rows):
        if row.id in traces.answered:
            result = traces.answered[row.id]
        elif traces.found and row.id not in traces.handed_over:
            result = Result(Outcome.RETURNED)
        else:
            result = Result(Outcome.DOUBT, None, reasons.WORKER_DIED)
        results.append((row, result))
    if results:
        record(chunk, results, now)
