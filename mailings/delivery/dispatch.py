"""A worker's turn: open what is due, send what is planned, close what is done."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty

from django.conf import settings
from django.utils import timezone

from mailings.delivery import ledger, letter, runs
from mailings.delivery.journal import Journal
from mailings.delivery.smtp import Server
from mailings.delivery.transport import Envelope, Outcome, Pool, Result
from mailings.models import Attempt, Chunk, Mailing, MailServer
from mailings.unsubscribe import make_token, unsubscribe_url

logger = logging.getLogger("vestnik.delivery")

CLAIM = 200  # rows claimed at a time
FLUSH_ROWS, FLUSH_SECONDS = 200, 0.2  # results wait for their batch no longer than this
# A letter may begin this long after its consent was read; it is read again before that.
CONSENT_SECONDS, REREAD_SECONDS = 0.9, 0.4
LEASE_SECONDS = 5  # between two prolongations of a lease
CHUNK_TURN = 5.0  # seconds after which a chunk goes back, so that other runs have their turn
# So many broken connections in a row, without a proper reply between them, are the server's
# trouble; so many refusals for policy or quota, without an accepted letter, hold the run.
BREAKS_ARE_TROUBLE = REFUSALS_HOLD = 3


@dataclass
class Summary:
    """What a pass did: for the command line and for tests."""

    opened: int = 0
    accepted: int = 0
    rejected: int = 0
    deferred: int = 0
    in_doubt: int = 0
    trouble: str = ""

    @property
    def all_went_out(self) -> bool:
        return not (self.rejected or self.deferred or self.in_doubt or self.trouble)


# --- Sending ----------------------------------------------------------------------------------


def run_pass(
    *,
    stopping: Callable[[], bool] = lambda: False,
    seconds: float | None = None,
    mailing_id: int | None = None,
    progress: Callable[[Attempt], None] | None = None,
) -> Summary:
    """Open what is due and send until nothing is left, the time is up, or `stopping()`.

    Command line and worker both call this. Running it twice at once does no harm.
    """
    turn = Turn(stopping=stopping, mailing_id=mailing_id, progress=progress)
    try:
        turn.run(seconds)
    finally:
        turn.close()
    return turn.summary


@dataclass
class Turn:
    """One worker at work: its connections, the chunk it holds, the letters in its hand."""

    stopping: Callable[[], bool]
    mailing_id: int | None = None
    progress: Callable[[Attempt], None] | None = None
    worker: str = field(default_factory=lambda: uuid.uuid4().hex)
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.server = Server.from_settings()
        self.pool: Pool | None = None
        self.journal: Journal | None = None
        self.skeletons: dict[int, letter.Skeleton] = {}
        self.hand: dict[int, tuple[ledger.Claimed, Envelope]] = {}
        self.results: list[tuple[ledger.Claimed, Result]] = []
        self.suspects: list[tuple[ledger.Claimed, Result]] = []
        self.breaks = self.refusals = 0
        self.trouble = self.held = ""
        self.not_before = 0.0

    def run(self, seconds: float | None) -> None:
        end = time.monotonic() + seconds if seconds is not None else float("inf")
        while not self.stopping() and time.monotonic() < end:
            now = timezone.now()
            ledger.free_abandoned(now)
            self.summary.opened += runs.open_due(now, self.mailing_id)
            chunk = self._next_chunk(now)
            if chunk is None:
                break
            self._work_safely(chunk)
        for attempt_id in runs.finished_runs().values_list("pk", flat=True):
            runs.close_run(attempt_id, timezone.now())

    def close(self) -> None:
        """End the sessions. What an error left unrecorded stays in the journal."""
        self._drop_everything()

    def _next_chunk(self, now: datetime) -> Chunk | None:
        Chunk.objects.filter(
            attempt__mailing__ends_at__lte=now, due_at__gt=now
        ).update(due_at=now)  # fmt: skip
        chunks = ledger.free_chunks(now)
        if self.mailing_id is not None:
            chunks = chunks.filter(attempt__mailing=self.mailing_id)
        if not chunks.exists():
            return None
        self.state = MailServer.objects.get_or_create(name=self.server.name)[0]
        if not self.state.admits(now):
            self.summary.trouble = self.state.response
            chunks = chunks.filter(pk__in=ledger.overdue_chunks(now).values("pk"))
        self.trouble, self.held, self.breaks, self.refusals = "", "", 0, 0
        return ledger.take_chunk(chunks.select_related("attempt__mailing"), self.worker, now)

    def _work_safely(self, chunk: Chunk) -> None:
        """Work on a chunk; an error of ours puts it aside, and the others go on."""
        try:
            self._work_on(chunk)
        except Exception:
            logger.exception("chunk %s of run %s", chunk.pk, chunk.attempt_id)
            self._drop_everything()
            ledger.put_aside(chunk, timezone.now())  # Raises where the database is what is down.

    def _drop_everything(self) -> None:
        self._revoke(self.hand)
        if self.pool:
            self.pool.close()
        if self.journal:
            self.journal.abandon()
        self.pool = self.journal = None
        self.hand, self.results, self.suspects = {}, [], []

    def _work_on(self, chunk: Chunk) -> None:
        self.journal = Journal(self.worker, chunk.pk)
        self.turn_ends = time.monotonic() + CHUNK_TURN
        self.flushed = self.reread = self.renewed = time.monotonic()
        while self._top_up(chunk) or self.hand:
            self._collect(FLUSH_SECONDS if self.hand else 0.02)
            self._keep(chunk)
        self._settle_suspects()
        self._flush(chunk)
        now = timezone.now()
        ledger.skip_unwanted(chunk, now)
        if self.trouble:
            self.state.report_trouble(self.trouble, now)
            ledger.note_reply(chunk.attempt_id, self.trouble)
            self.summary.trouble = self.trouble
            logger.warning("mail server %s: %s", self.server.name, self.trouble)
        ledger.release_chunk(chunk, now)
        if self.held:
            ledger.hold_run(chunk, now)
            ledger.note_reply(chunk.attempt_id, self.held)
            logger.warning("run %s is held: %s", chunk.attempt_id, self.held)
        self.journal.close()
        self.journal = None

    # -- letters out

    def _top_up(self, chunk: Chunk) -> bool:
        """Claim more rows where there is room; return whether more may come."""
        if self.trouble or self.held or self.stopping() or time.monotonic() > self.turn_ends:
            self._revoke(self.hand)
            return False
        # In trouble a single letter is the probe.
        room = (1 if self.state.trouble_since else CLAIM) - len(self.hand)
        if room < (1 if self.state.trouble_since else CLAIM // 2):
            return True
        if not (room := self._rationed(room)):
            return True
        read_at = time.monotonic()
        claimed = ledger.claim(chunk, room, timezone.now())
        for row in claimed:
            self._submit(chunk.attempt, row, read_at)
        return bool(claimed)

    def _rationed(self, room: int) -> int:
        """Return how many letters the rate limit lets out now, at most `room`."""
        rate = settings.MAILING_RATE_LIMIT
        if not rate:
            return room
        if time.monotonic() < self.not_before:
            return 0
        ration, now = max(1, min(room, int(rate * REREAD_SECONDS))), timezone.now()
        start = self.state.reserve(ration, rate, now)
        if start > now:
            self.not_before = time.monotonic() + (start - now).total_seconds()
            return 0
        return ration

    def _submit(self, attempt: Attempt, row: ledger.Claimed, read_at: float) -> None:
        skeleton = self._skeleton(attempt)
        address, utf8 = letter.envelope_address(row.email)
        url = unsubscribe_url(make_token(row.client_id, attempt.pk))
        recipient = letter.Recipient(row.id, row.email, row.full_name, url)
        envelope = Envelope(
            id=row.id,
            recipient=address,
            build=lambda: skeleton.build(recipient),
            allowed_until=read_at + CONSENT_SECONDS,
            notes=self.journal,
            utf8=utf8,
        )
        self.hand[row.id] = (row, envelope)
        if self.pool is None:
            self.pool = Pool(self.server, settings.SMTP_CONNECTIONS)
        self.pool.submit(envelope)

    def _skeleton(self, attempt: Attempt) -> letter.Skeleton:
        if attempt.pk not in self.skeletons:
            owner = attempt.mailing.owner
            content = letter.Content(attempt.subject, attempt.html, attempt.text)
            sender = letter.Sender(owner.sender_name, self.server.sender, owner.email)
            # With its time a run's name is unique also where a database was made anew.
            run = f"{attempt.pk:x}.{int(attempt.started_at.timestamp()):x}"
            self.skeletons = {attempt.pk: letter.Skeleton(content, run=run, sender=sender)}
        return self.skeletons[attempt.pk]

    def _revoke(self, ids: object) -> None:
        for row_id in ids:
            self.hand[row_id][1].allowed_until = 0.0

    # -- answers in

    def _collect(self, timeout: float) -> None:
        """Take in what has been answered; wait for the first answer up to `timeout` seconds."""
        if self.pool is None:
            time.sleep(timeout)  # The rate limit lets nothing out yet.
            return
        try:
            envelope, result = self.pool.results.get(timeout=timeout)
            while True:
                self._take_in(envelope, result)
                envelope, result = self.pool.results.get_nowait()
        except Empty:
            return

    def _take_in(self, envelope: Envelope, result: Result) -> None:
        row, _envelope = self.hand.pop(envelope.id)
        if result.outcome in (Outcome.LOST, Outcome.DOUBT):
            self.breaks += 1
            if self.breaks >= BREAKS_ARE_TROUBLE:
                self.trouble = result.text
        elif result.outcome is Outcome.TROUBLE:
            self.trouble = result.text
        elif result.outcome is Outcome.REFUSED:
            self.refusals += 1
            if self.refusals >= REFUSALS_HOLD:
                self.held = result.text
        elif result.outcome is not Outcome.RETURNED:
            self._server_is_well(result)
        is_suspect = result.outcome in (Outcome.LOST, Outcome.REFUSED)
        (self.suspects if is_suspect else self.results).append((row, result))

    def _server_is_well(self, result: Result) -> None:
        self.breaks = 0
        if result.outcome is Outcome.ACCEPTED:
            self.refusals = 0
            self._settle_suspects()
        if self.state.trouble_since:
            self.state.report_success()

    def _settle_suspects(self) -> None:
        """Decide on letters that may have met the server's trouble: was it, or try them later?"""
        outcome = Outcome.TROUBLE if self.trouble or self.held else Outcome.LATER
        self.results += [(row, Result(outcome, r.code, r.text)) for row, r in self.suspects]
        self.suspects = []

    def _keep(self, chunk: Chunk) -> None:
        """Do what is due while letters are on their way: flush, read consent, prolong the lease."""
        clock = time.monotonic()
        if len(self.results) >= FLUSH_ROWS or clock - self.flushed >= FLUSH_SECONDS:
            self._flush(chunk)
        if self.hand and clock - self.reread >= REREAD_SECONDS:
            self._read_consent_again(chunk, clock)
        if clock - self.renewed >= LEASE_SECONDS:
            self.renewed = clock
            if not ledger.renew_lease(chunk, timezone.now()):
                self._revoke(self.hand)

    def _read_consent_again(self, chunk: Chunk, clock: float) -> None:
        allowed = ledger.still_allowed(chunk, self.hand, timezone.now())
        for row_id, (_row, envelope) in self.hand.items():
            if row_id not in allowed or self.trouble or self.stopping():
                envelope.allowed_until = 0.0
            elif envelope.allowed_until:
                envelope.allowed_until = clock + CONSENT_SECONDS
        self.reread = clock

    def _flush(self, chunk: Chunk) -> None:
        self.flushed = time.monotonic()
        if not self.results:
            return
        ledger.record(chunk, self.results, timezone.now())
        for _row, result in self.results:
            self._count(result)
        self.results = []
        if self.progress:
            rows = Attempt.objects.select_related("mailing").defer("html", "text")
            if attempt := rows.filter(pk=chunk.attempt_id).first():
                self.progress(attempt)

    def _count(self, result: Result) -> None:
        name = {
            Outcome.ACCEPTED: "accepted",
            Outcome.NEVER: "rejected",
            Outcome.LATER: "deferred",
            Outcome.DOUBT: "in_doubt",
        }.get(result.outcome)
        if name:
            setattr(self.summary, name, getattr(self.summary, name) + 1)


def waiting(now: datetime) -> bool:
    """Return whether there is anything a worker could do at this moment."""
    if Mailing.objects.due(now).exists() or Mailing.objects.outlived(now).exists():
        return True
    if not ledger.free_chunks(now).exists():
        return False
    server = MailServer.objects.filter(name=Server.from_settings().name).first()
    if server is None or server.trouble_since is None or server.next_try_at <= now:
        return True
    return ledger.overdue_chunks(now).exists()
