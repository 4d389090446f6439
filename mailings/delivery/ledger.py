"""The ledger: who takes which rows, and what is written of each.

Workers take chunks; a worker's lease on a chunk and how far it has claimed it are all that is
written before a letter goes out. Consent is a condition of the very statement that claims a row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Min, Q, QuerySet

from mailings import journal, metrics, reasons, runs
from mailings.delivery.transport import Outcome, Result
from mailings.models import Attempt, Chunk, Delivery, Mailing
from mailings.runs import rows_in, to_column

# A worker prolongs its lease with every claim; a dead one's chunks are free after this time.
LEASE = timedelta(seconds=20)
ASIDE_TIME = timedelta(seconds=60)  # before a chunk that met an error of ours is tried again
Status = Delivery.Status
# Held against nobody: the row stays as it was.
NOT_COUNTED = (Outcome.TROUBLE, Outcome.FULL, Outcome.LOGIN, Outcome.RETURNED)


class Claimed(NamedTuple):
    """A row that this worker may send now."""

    id: int
    email: str
    client_id: int
    full_name: str
    tries: int
    response: str  # what was said of it the last time
    updated_at: datetime
    doubts: int  # of these tries


def take_chunk(
    attempt: Attempt, worker: str, now: datetime, ours: Sequence[int] = ()
) -> Chunk | None:
    """Lease a free chunk of a run; bring what a dead holder left in it into order.

    `ours` are chunks that the worker has in hand: also after a lease ran out it is no other.
    """
    with transaction.atomic():
        free = Chunk.objects.free(now).filter(attempt=attempt).exclude(pk__in=ours)
        free = free.order_by("due_at", "pk")
        chunk = free.select_for_update(skip_locked=True).first()
        if chunk is None:
            return None
        chunk.attempt = attempt
        dead_worker = chunk.worker
        settle_dead_worker(chunk, now)
        chunk.worker, chunk.claimed_to = worker, 0
        chunk.taken_at, chunk.leased_until = now, now + LEASE
        chunk.save(update_fields=["worker", "leased_until", "claimed_to", "taken_at"])
    forget_journal(dead_worker)
    return chunk


def forget_journal(worker: str) -> None:
    """Delete the journal of a dead worker that nobody needs any more."""
    if journal.is_abandoned(worker) and not Chunk.objects.filter(worker=worker).exists():
        journal.forget(worker)


def renew_lease(chunk: Chunk, now: datetime) -> bool:
    """Prolong the lease and say how far the chunk is claimed.

    Returns False where somebody else took the chunk over.
    """
    return bool(_mine(chunk).update(leased_until=now + LEASE, claimed_to=chunk.claimed_to))


def _mine(chunk: Chunk) -> QuerySet[Chunk]:
    return Chunk.objects.filter(pk=chunk.pk, worker=chunk.worker)


def release_chunk(chunk: Chunk, now: datetime, not_before: datetime | None = None) -> None:
    """Give the chunk back, due when its next row is; close the run if it was the last."""
    with transaction.atomic():
        if not _mine(chunk).select_for_update():
            return  # Somebody else took it over, and has its letters in hand.
        due_at = _due_at(chunk, now)
        is_over = Attempt.objects.window_over(now).filter(pk=chunk.attempt_id).exists()
        if due_at is not None and (due_at <= now or is_over):
            runs.skip_unwanted(chunk.attempt_id, rows_in(chunk), now)
            due_at = _due_at(chunk, now)
        if due_at is not None and not_before is not None:
            due_at = max(due_at, not_before)
        _mine(chunk).update(worker="", leased_until=None, claimed_to=0, due_at=due_at)
    if due_at is None:
        runs.close_run(chunk.attempt_id, now)


def _due_at(chunk: Chunk, now: datetime) -> datetime | None:
    state = rows_in(chunk).aggregate(
        planned=Count("pk", filter=Q(status=Status.PLANNED)),
        next_try=Min("next_try_at", filter=Q(status=Status.DEFERRED)),
    )
    return now if state["planned"] else state["next_try"]


def put_aside(chunk: Chunk, now: datetime) -> None:
    """Let a chunk rest that could not be worked on; it is freed as that of a dead worker is."""
    _mine(chunk).update(due_at=now + ASIDE_TIME)


# A letter may go out while the client agrees and has the address still, the mailing is on and not
# over, its run not paused, its owner not blocked. By a range of keys and without LIMIT, and with
# the client as a value rather than a join: whatever the planner believes of tables that grew a
# second ago, it walks two primary keys over these few rows. No name means that the client has to
# be left out: as a condition PostgreSQL would look each client up twice.
CLAIM = """
    SELECT d.id, d.email, d.client_id,
           (SELECT c.full_name FROM mailings_client c
             WHERE c.id = d.client_id AND c.unsubscribed_at IS NULL
               AND (c.email = d.email OR lower(c.email) = lower(d.email))),
           d.tries, d.response, d.updated_at, d.doubts
      FROM mailings_delivery d
     WHERE d.id {which} AND d.attempt_id + 0 = %(attempt)s
       AND (d.status = 'planned' OR (d.status = 'deferred' AND d.next_try_at <= %(now)s))
       AND EXISTS (SELECT 1 FROM mailings_attempt a
                     JOIN mailings_mailing m ON m.id = a.mailing_id
                     JOIN accounts_user u ON u.id = m.owner_id
                    WHERE a.id = %(attempt)s AND a.paused_at IS NULL AND m.is_active AND u.is_active
                      AND (m.ends_at IS NULL OR m.ends_at > %(now)s))
     ORDER BY d.id
"""
NEXT = CLAIM.format(which="BETWEEN %(first)s AND %(last)s")


def claim(chunk: Chunk, count: int, now: datetime) -> list[Claimed]:
    """Return the next rows that may go out now, up to `count`.

    The chunk remembers how far it was claimed; an empty list means that its end is reached, or
    that somebody else took it over.
    """
    rows: list[Claimed] = []
    while not rows and (first := max(chunk.first_id, chunk.claimed_to + 1)) <= chunk.last_id:
        chunk.claimed_to = min(first + count - 1, chunk.last_id)
        if not renew_lease(chunk, now):
            return []
        rows = _select(NEXT, chunk, now, first=first, last=chunk.claimed_to)
    return rows


def still_allowed(chunk: Chunk, ids: Iterable[int], now: datetime) -> set[int]:
    """Return those of the chunk's claimed rows that may still go out."""
    numbers = ", ".join(map(str, map(int, ids)))
    if not numbers or not _mine(chunk).exists():
        return set()
    return {row.id for row in _select(CLAIM.format(which=f"IN ({numbers})"), chunk, now)}


def _select(statement: str, chunk: Chunk, now: datetime, **params: int) -> list[Claimed]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"attempt": chunk.attempt_id, "now": to_column(now), **params})
        rows = map(Claimed._make, cursor.fetchall())
        return [row for row in rows if row.full_name is not None]


# Results travel as one JSON text, a list a row: both databases take it apart faster than their
# drivers bind values.
RESULTS = {
    "postgresql": "SELECT (v ->> 0)::bigint AS id, v ->> 1 AS status, (v ->> 2)::smallint AS tries,"
    " (v ->> 3)::smallint AS code, v ->> 4 AS response, (v ->> 5)::timestamptz AS next_try_at,"
    " (v ->> 6)::smallint AS doubts"
    " FROM json_array_elements(%(results)s::json) v",
    "sqlite": "SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS status,"
    " json_extract(value, '$[2]') AS tries, json_extract(value, '$[3]') AS code,"
    " json_extract(value, '$[4]') AS response, json_extract(value, '$[5]') AS next_try_at,"
    " json_extract(value, '$[6]') AS doubts"
    " FROM json_each(%(results)s)",
}
RECORD = """
    UPDATE mailings_delivery SET status = v.status, tries = mailings_delivery.tries + v.tries,
           doubts = mailings_delivery.doubts + v.doubts, code = v.code, response = v.response,
           next_try_at = v.next_try_at, updated_at = %(now)s
      FROM ({results}) v
     WHERE mailings_delivery.id = v.id
       AND mailings_delivery.status IN ('planned', 'deferred', 'sending')
    RETURNING mailings_delivery.status, mailings_delivery.doubts > 0
"""
ADD = """
    UPDATE mailings_attempt SET accepted = accepted + %s, rejected = rejected + %s,
           skipped = skipped + %s, unknown = unknown + %s, doubtful = doubtful + %s,
           last_attempt_at = %s,
           server_response = CASE WHEN %s OR server_response = '' THEN %s ELSE server_response END
     WHERE id = %s RETURNING planned, accepted, rejected
"""


class Sums(NamedTuple):
    """What a run has come to, and the states that the rows just written came into."""

    planned: int = 0
    accepted: int = 0
    rejected: int = 0
    states: Counter[str] = Counter()


def record(chunk: Chunk, results: list[tuple[Claimed, Result]], now: datetime) -> Sums:
    """Write results and add them to the run's sums, in one transaction; return the new sums."""
    tried = [pair for pair in results if pair[1].outcome not in NOT_COUNTED]
    said = [r.text for _row, r in results if r.outcome is not Outcome.ACCEPTED]
    bad_words = [text for text in said if text not in ("", reasons.DOMAIN_SLOW)]
    words = bad_words[-1:] or [result.text for _row, result in results[:1]] or [""]
    with transaction.atomic(), connection.cursor() as cursor:
        is_mixed = any(result.outcome is not Outcome.ACCEPTED for _row, result in tried)
        if is_mixed and not _mine(chunk).select_for_update():
            # Whoever took the chunk over decides on its rows. That a letter arrived stays true.
            tried = [pair for pair in tried if pair[1].outcome is Outcome.ACCEPTED]
        states, doubtful = _record_rows(chunk, tried, now) if tried else (Counter(), 0)
        numbers = [states[name] for name in ("accepted", "rejected", "skipped", "unknown")]
        reply = [bool(bad_words), words[0]]
        cursor.execute(ADD, [*numbers, doubtful, to_column(now), *reply, chunk.attempt_id])
        metrics.count({metrics.DOUBTFUL: doubtful})
        return Sums(*(cursor.fetchone() or (0, 0, 0)), states)


def _record_rows(
    chunk: Chunk, results: list[tuple[Claimed, Result]], now: datetime
) -> tuple[Counter[str], int]:
    """Write rows; return how many came into each state, and how many may have arrived twice."""
    # In the order in which others lock them.
    rows = json.dumps(sorted(_new_row(chunk, row, result, now) for row, result in results))
    statement = RECORD.format(results=RESULTS[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(statement, {"results": rows, "now": to_column(now)})
        written = cursor.fetchall()
    doubtful = sum(status == "accepted" and has_doubts for status, has_doubts in written)
    return Counter(status for status, _has_doubts in written), doubtful


def _new_row(chunk: Chunk, row: Claimed, result: Result, now: datetime) -> list[Any]:
    """Return id, status, further tries, code, words, next try and further doubts of a row."""
    outcome, words = result.outcome, result.text[:500]
    if outcome is Outcome.ACCEPTED:
        return [row.id, "accepted", 1, result.code, words, None, 0]
    status, wait = _next_state(chunk, row, result)
    next_try_at = None
    if status is Status.DEFERRED:
        next_try_at = str(to_column(now + timedelta(seconds=wait)))
    tries = 0 if outcome is Outcome.SLOW else 1
    doubt = int(outcome is Outcome.DOUBT)
    return [row.id, status.value, tries, result.code, words, next_try_at, doubt]


def _next_state(chunk: Chunk, row: Claimed, result: Result) -> tuple[Delivery.Status, float]:
    """Return the state that a result leads to, and seconds until the next try."""
    doubt = result.outcome is Outcome.DOUBT
    # Of one who may have the letter already no refusal says that they do not.
    end = Status.UNKNOWN if doubt or row.doubts else Status.REJECTED
    if result.outcome is Outcome.SLOW:
        return Status.DEFERRED, result.wait
    if doubt and chunk.attempt.mailing.in_doubt == Mailing.Doubt.LEAVE:
        return Status.UNKNOWN, 0
    delays = settings.MAILING_RETRY_DELAYS
    if result.outcome is Outcome.NEVER or row.tries >= len(delays):
        return end, 0
    # What a dead worker left waited long enough already.
    return Status.DEFERRED, 0 if result.text == reasons.WORKER_DIED else delays[row.tries]


def count_refused_for_now(attempt: Attempt) -> int:
    """Return how many permanent refusals of a run are to be tried again all the same."""
    return attempt.deliveries.filter(status=Status.DEFERRED, code__gte=500).count()


def settle_dead_worker(chunk: Chunk, now: datetime) -> None:
    """Bring the rows that a dead holder had claimed into order, with the help of its journal."""
    if not chunk.claimed_to:
        return
    traces = journal.read_traces(chunk.worker)
    # It claimed none after its last word of its lease, and none of them twice.
    last_claim = (chunk.leased_until or now + LEASE) - LEASE
    late = Q(next_try_at__lte=last_claim, updated_at__lte=chunk.taken_at or now)
    rows = rows_in(chunk).filter(pk__lte=chunk.claimed_to)
    rows = rows.filter(Q(status=Status.PLANNED) | Q(late, status=Status.DEFERRED))
    fields = [{"full_name": "client__full_name"}.get(name, name) for name in Claimed._fields]
    results = []
    for row in (Claimed(*values) for values in rows.values_list(*fields)):
        if row.id in traces.answered:
            results.append((row, traces.answered[row.id]))
        elif row.id in traces.handed_over or not traces.is_whole:
            results.append((row, Result(Outcome.DOUBT, None, reasons.WORKER_DIED)))
    if results:
        states = record(chunk, results, now).states
        doubts = sum(result.outcome is Outcome.DOUBT for _row, result in results)
        numbers = metrics.by_outcome(states, doubts)
        metrics.count({f"letters:{name}": number for name, number in numbers.items()})
