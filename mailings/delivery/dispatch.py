"""A worker's turn: open what is due, send what is planned, close what is done."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.utils import timezone

from mailings import limits, overlap, reasons, rescue, runs, server_health
from mailings.delivery import ledger
from mailings.delivery.hold import BATCH, Hold, Letter, Rota, awake
from mailings.delivery.transport import Outcome, Result, Transport
from mailings.journal import Journal
from mailings.metrics import Summary, Tally
from mailings.models import Attempt, Chunk
from mailings.smtp.protocol import Server

logger = logging.getLogger("vestnik.delivery")

FLUSH_SECONDS = 0.2  # results wait for their batch no longer than this
REREAD_SECONDS = 0.4  # consent is read again
LOOK_SECONDS = 1.0  # between two looks at what is due
RENEW_SECONDS = 5.0  # between two prolongations of a lease
TALLY_SECONDS = 5.0  # between two savings of the numbers for /metrics
MOST_HOLDS = 4  # chunks in hand
STOP_SECONDS = 3.5  # a worker that stops, or met an error, waits so long for the last answers
ERRORS = 20  # chunks with an error of ours that a pass puts aside before it gives up itself


def run_pass(
    *,
    stopping: Callable[[], bool] = lambda: False,
    seconds: float | None = None,
    mailing_id: int | None = None,
    progress: Callable[[Attempt], None] | None = None,
    opened: Callable[[Attempt], None] = lambda run: None,
) -> Summary:
    """Open what is due and send until nothing is left, the time is up, or `stopping()`.

    Command line and worker both call this. Running it twice at once does no harm. `opened` is
    called with each run that this worker opens, as soon as its first letters may go out.
    """
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    summary, errors = Summary(), 0
    while True:
        turn = Turn(stopping, end, summary, mailing_id, progress, opened)
        try:
            turn.run()
            return summary
        except Exception:
            turn.hear_last_answers()
            hold, errors = turn.at_work_on, errors + 1
            if hold is None or errors == ERRORS:
                raise
            logger.exception("chunk %s of run %s", hold.chunk.pk, hold.chunk.attempt_id)
            ledger.put_aside(hold.chunk, timezone.now())  # Raises where the database is down.
        finally:
            turn.close()


@dataclass
class Turn:
    """One worker at work: its connections, the chunks it holds, what it knows of the server."""

    stopping: Callable[[], bool]
    end: float
    summary: Summary
    mailing_id: int | None = None
    progress: Callable[[Attempt], None] | None = None
    opened: Callable[[Attempt], None] = lambda run: None
    worker: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.server = Server.from_settings()
        self.tally, self.health = Tally(), server_health.Health(self.server.name, self.worker)
        self.journal: Journal | None = None
        self.transport: Transport | None = None
        self.holds: list[Hold] = []
        self.at_work_on: Hold | None = None
        self.reread = self.tallied = time.monotonic()
        self.rota, self.must_open, self.looked = Rota(self.mailing_id), False, float("-inf")

    # -- the loop

    def run(self) -> None:
        while not self._is_over():
            self._look_around()
            if self.must_open:
                self._open_runs()
                if not self.holds:
                    continue
            else:
                self._take_chunk()
            if self.health.is_out:
                self.summary.trouble = self.health.state.response
            if self.holds:
                self._work()
            elif self.health.is_out and self.health.is_resting:
                time.sleep(FLUSH_SECONDS)
            elif (wait := limits.soon(self.rota.waits, timezone.now(), LOOK_SECONDS)) is not None:
                time.sleep(min(wait, FLUSH_SECONDS))
            else:
                break
        self._finish()
        runs.close_runs(timezone.now())

    def _is_over(self) -> bool:
        return self.stopping() or time.monotonic() >= self.end + self.health.patience

    def _look_around(self) -> None:
        clock, now = time.monotonic(), timezone.now()
        if clock - self.looked < LOOK_SECONDS:
            return
        self.looked = clock
        rescue.free_abandoned(now)
        self.health.domains.refresh()
        self.rota.read_over(now)
        self.must_open = runs.is_opening_due(now, self.mailing_id)

    def _open_runs(self) -> None:
        """Open runs with empty hands: it may take longer than a lease holds."""
        for hold in self.holds:
            hold.claims_no_more = True
        if not self.holds:
            self.must_open = False
            now, scope = timezone.now(), self.mailing_id
            self.summary.opened += runs.open_due(now, scope, self.stopping, self.opened)
            self.rota.forget()

    def _work(self) -> None:
        for hold in self.holds:
            self.at_work_on = hold
            self._top_up(hold)
        self.at_work_on = None
        # Letters that wait for a limit have no connection that could wake us.
        self.transport.step(FLUSH_SECONDS if any(hold.hand for hold in self.holds) else 0.02)
        for sent, result in self.transport.take_results():
            del sent.hold.hand[sent.row.id]
            self.health.judge(sent, result)
        self._keep()
        for hold in list(self.holds):
            if hold.claims_no_more and not hold.hand:
                self._put_back(hold)
        if self.health.trouble and not self.holds:
            self.summary.trouble = self.health.face_trouble(self._is_over)
            self.rota.forget()

    def _finish(self) -> None:
        """Wait for the letters that are on the wire, and give everything back."""
        while self.holds:
            if self.stopping():
                self.hear_last_answers()
                self.health.gave_up = True
                self.transport.give_up()
            for hold in self.holds:
                hold.claims_no_more = True
            self.transport.withdraw_queued(lambda _letter: True)
            self._work()

    def close(self) -> None:
        """End the sessions. What an error left unrecorded stays in the journal."""
        self.tally.try_to_save()
        if self.transport:
            overlap.share_waits(None)
            self.transport.close()
        if self.journal:
            self.journal.abandon() if self.holds else self.journal.close()
        self.transport = self.journal = None

    def hear_last_answers(self) -> None:
        """Begin nothing more; let answers that are still on their way reach the journal."""
        overlap.share_waits(None)  # With it a connection that is made anew has no time limit.
        for hold in self.holds:
            hold.begin_no_more()
        if self.transport:
            self.transport.hear_last_answers(STOP_SECONDS)

    # -- chunks in and out

    def _take_chunk(self) -> None:
        """Take another chunk where those in hand will soon have nothing more to claim."""
        can_claim = any(hold.can_claim(timezone.now()) for hold in self.holds)
        if can_claim or self.health.trouble or len(self.holds) >= MOST_HOLDS:
            return
        if self.holds and (self.health.is_probing or len(self.transport.queue) > BATCH):
            return
        if not self.holds:
            self.rota.forget()  # Before a worker gives up it must have looked.
        ours = [hold.chunk.pk for hold in self.holds]
        chunk = self.rota.take_chunk(self.worker, self.health, timezone.now(), ours)
        if chunk is None or not (self.journal or self._set_up(chunk)):
            return
        hold = self.at_work_on = Hold(chunk)
        hold.skeleton = self.rota.skeleton(chunk.attempt, self.server.sender)
        hold.journal = self.journal
        self.holds.append(hold)
        self.at_work_on = None

    def _set_up(self, chunk: Chunk) -> bool:
        """Get ready to send; return False, and end this turn, where a journal cannot be made."""
        try:
            self.journal = Journal(self.worker)
        except OSError as error:
            logger.error("a journal cannot be made: %s", error)
            chunk.attempt.note_reply(str(error))
            ledger.release_chunk(chunk, timezone.now())  # Other hosts may have room.
            self.end = float("-inf")
            return False
        size = settings.SMTP_CONNECTIONS
        self.transport = Transport(self.server, size, Letter.answered, self.tally.took)
        overlap.share_waits(self.transport.serve_until)
        return True

    def _put_back(self, hold: Hold) -> None:
        self.at_work_on = hold
        if hold.got_nowhere and not hold.pause:
            hold.pause_for_refusal(hold.last_refusal)
        self.health.settle(hold)
        self._flush(hold)
        now = timezone.now()
        if hold.pause:
            hold.chunk.attempt.pause(*hold.pause, now)
        limits.give_back(hold.chunk.attempt.mailing.owner, hold.reserved)
        ledger.release_chunk(hold.chunk, now, hold.not_before)
        self.holds.remove(hold)
        self.at_work_on = None

    def _top_up(self, hold: Hold) -> None:
        """Claim more rows where there is room."""
        now = timezone.now()
        hold.stop_if_over(self.health, self.transport)
        if not hold.can_claim(now) or (hold.is_young and (hold.hand or hold.results)):
            return
        room = max(hold.batch, 2 * settings.SMTP_CONNECTIONS)
        if self.health.is_probing:
            room = 0 if any(each.hand for each in self.holds) else 1  # the probe
        elif len(self.transport.queue) > room // 2:
            return
        if not (room := room and hold.ration(room, now)):
            return
        read_at = awake()
        claimed = ledger.claim(hold.chunk, room, timezone.now())
        limits.give_back(hold.chunk.attempt.mailing.owner, room - len(claimed))
        hold.claims_no_more = not claimed or hold.chunk.claimed_to >= hold.chunk.last_id
        rows, late = self.health.domains.admit(claimed)
        for row, wait in late:
            result = Result(Outcome.SLOW, None, reasons.DOMAIN_SLOW, wait)
            hold.results.append((Letter(row, hold, 0.0), result))
        self.transport.submit(hold.take_in_hand(row, read_at) for row in rows)

    def _keep(self) -> None:
        clock = time.monotonic()
        for hold in self.holds:
            self.at_work_on = hold
            is_enough = len(hold.results) >= hold.batch or not hold.hand
            if is_enough or clock - hold.flushed >= FLUSH_SECONDS:
                self._flush(hold)
            if clock - hold.renewed >= RENEW_SECONDS:
                hold.renewed = clock
                if not ledger.renew_lease(hold.chunk, timezone.now()):
                    hold.begin_no_more()
        self.at_work_on = None
        if clock - self.reread >= REREAD_SECONDS:
            self.reread = clock
            for hold in self.holds:
                hold.read_consent_again()
            self.transport.withdraw()
            self.health.domains.refresh()
        if clock - self.tallied >= TALLY_SECONDS:
            self.tallied = clock
            self.tally.save()

    def _flush(self, hold: Hold) -> None:
        hold.flushed = time.monotonic()
        if not hold.results:
            return
        results, hold.results = hold.results, []
        pairs = [(sent.row, result) for sent, result in results]
        sums = ledger.record(hold.chunk, pairs, timezone.now())
        hold.recorded(results, sums)
        returned = sum(result.outcome is Outcome.RETURNED for _row, result in pairs)
        limits.give_back(hold.chunk.attempt.mailing.owner, returned)
        accepted = [row.email for row, result in pairs if result.outcome is Outcome.ACCEPTED]
        self.health.domains.accepted(accepted)
        doubts = sum(result.outcome is Outcome.DOUBT for _row, result in pairs)
        for name, count in self.summary.count(sums.states, doubts).items():
            self.tally.add(f"letters:{name}", count)
        if self.progress:
            rows = Attempt.objects.select_related("mailing").defer("html", "text")
            if attempt := rows.filter(pk=hold.chunk.attempt_id).first():
                self.progress(attempt)
