"""A worker's turn: open what is due, send what is planned, close what is done."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from mailings import limits, reasons
from mailings.delivery import ledger, letter, runs
from mailings.delivery.hold import Hold, Letter
from mailings.delivery.transport import Outcome, Pool, Result
from mailings.journal import Journal
from mailings.metrics import Tally
from mailings.models import Attempt, AttemptQuerySet, Chunk, Mailing, MailServer
from mailings.smtp.protocol import Server

logger = logging.getLogger("vestnik.delivery")

CLAIM = 250  # rows claimed at a time, at least
FLUSH_ROWS, FLUSH_SECONDS = 250, 0.2  # results wait for their batch no longer than this
REREAD_SECONDS = 0.4  # consent is read again
LOOK_SECONDS = 1.0  # between two looks at what is due
TURNS_SECONDS = 0.25  # the order in which runs have their turn is read again
LEASE_SECONDS = 5.0  # between two prolongations of a lease
TALLY_SECONDS = 5.0  # between two savings of the numbers for /metrics
MOST_HOLDS = 4  # chunks in hand
STOP_SECONDS = 4.0  # a worker that is told to stop waits so long for the last answers
# So many broken connections in a row, without a proper reply between them, are the server's
# trouble; and so are complaints of so many domains.
TROUBLE = 3
ERRORS = 20  # chunks with an error of ours that a pass puts aside before it gives up itself


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


COUNTED_AS = {
    Outcome.ACCEPTED: "accepted",
    Outcome.NEVER: "rejected",
    Outcome.LATER: "deferred",
    Outcome.SLOW: "deferred",
    Outcome.DOUBT: "in_doubt",
}


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
    end = time.monotonic() + seconds if seconds is not None else float("inf")
    summary = Summary()
    for patience in range(ERRORS, 0, -1):
        turn = Turn(stopping, end, summary, mailing_id, progress)
        try:
            turn.run()
            return summary
        except Exception:
            if turn.at_work_on is None or patience == 1:
                raise
            hold = turn.at_work_on
            logger.exception("chunk %s of run %s", hold.chunk.pk, hold.chunk.attempt_id)
            turn.put_aside(hold)  # Raises where the database is what is down.
        finally:
            turn.close()
    return summary


def waiting(now: datetime) -> bool:
    """Return whether there is anything a worker could do at this moment."""
    if Mailing.objects.due(now).exists() or Mailing.objects.outlived(now).exists():
        return True
    if Attempt.objects.window_over(now).with_free_chunk(now).exists():
        return True
    server = MailServer.objects.filter(name=Server.from_settings().name).first()
    if server and server.trouble_since and server.next_try_at > now:
        return False
    return Attempt.objects.may_go(now).with_free_chunk(now).exists()


@dataclass
class Turn:
    """One worker at work: its connections, the chunks it holds, what it knows of the server."""

    stopping: Callable[[], bool]
    end: float
    summary: Summary
    mailing_id: int | None = None
    progress: Callable[[Attempt], None] | None = None
    worker: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.server = Server.from_settings()
        self.tally, self.domains = Tally(), limits.Domains()
        self.journal: Journal | None = None
        self.pool: Pool | None = None
        self.skeletons: dict[int, letter.Skeleton] = {}
        self.holds: list[Hold] = []
        self.at_work_on: Hold | None = None
        self.suspects: list[tuple[Letter, Result]] = []
        self.breaks, self.complaints, self.trouble = 0, set(), ""
        self.looked, self.reread = float("-inf"), time.monotonic()
        self.tallied = self.reread
        self.over: list[Attempt] = []
        self.turns: list[Attempt] = []
        self.read_turns = float("-inf")
        self.opens: list[datetime] = []

    # -- the loop

    def run(self) -> None:
        while not self._is_over():
            self._look_around()
            self._take_chunk()
            if self.holds:
                self._work()
            elif (wait := limits.soon(self.opens, timezone.now(), LOOK_SECONDS)) is not None:
                time.sleep(min(wait, FLUSH_SECONDS))
            else:
                break
        self._finish()
        self._close_finished_runs()

    def _is_over(self) -> bool:
        return self.stopping() or time.monotonic() >= self.end

    def _look_around(self) -> None:
        clock, now = time.monotonic(), timezone.now()
        if clock - self.looked < LOOK_SECONDS:
            return
        self.looked = clock
        ledger.free_abandoned(now)
        self.domains.refresh()
        self.summary.opened += runs.open_due(now, self.mailing_id)
        over = self._runs().window_over(now)
        Chunk.objects.filter(attempt__in=over.values("pk"), due_at__gt=now).update(due_at=now)
        self.over = list(over.with_free_chunk(now))

    def _work(self) -> None:
        for hold in self.holds:
            self.at_work_on = hold
            self._top_up(hold)
        self.at_work_on = None
        # Letters that wait for a limit have no connection that could wake us.
        timeout = FLUSH_SECONDS if any(hold.hand for hold in self.holds) else 0.02
        for sent, result in self.pool.turn(timeout):
            self._take_in(sent, result)
        self._keep()
        for hold in list(self.holds):
            if hold.is_done and not hold.hand:
                self._put_back(hold)
        if self.trouble and not self.holds:
            self._report_trouble()

    def _finish(self) -> None:
        """Wait for the letters that are on the wire, and give everything back."""
        patience = float("inf")
        while self.holds:
            if self.stopping():
                patience = min(patience, time.monotonic() + STOP_SECONDS)
            if time.monotonic() > patience:
                self.pool.give_up()
            for hold in self.holds:
                hold.finish()
            self.pool.withdraw()
            self._work()

    def close(self) -> None:
        """End the sessions. What an error left unrecorded stays in the journal."""
        if self.pool:
            self.pool.close()
        if self.journal:
            self.journal.abandon() if self.holds else self.journal.close()
        self.pool = self.journal = None

    def put_aside(self, bad: Hold) -> None:
        """After an error of ours: let the chunk rest, and leave the others to the next turn."""
        for hold in self.holds:
            hold.finish()
        self.pool.withdraw()
        patience = time.monotonic() + self.server.timeout
        while self.pool.is_busy and time.monotonic() < patience:
            self.pool.turn(FLUSH_SECONDS)  # The answers reach the journal.
        for hold in {*self.holds, bad}:
            rest = ledger.REST if hold is bad else timedelta()
            ledger.put_aside(hold.chunk, timezone.now() + rest)

    def _close_finished_runs(self) -> None:
        for attempt_id in runs.finished_runs().values_list("pk", flat=True):
            runs.close_run(attempt_id, timezone.now())

    # -- chunks in and out

    def _take_chunk(self) -> None:
        """Take another chunk where those in hand will soon have nothing more to claim."""
        can_claim = any(hold.can_claim(timezone.now()) for hold in self.holds)
        if can_claim or self.trouble or len(self.holds) >= MOST_HOLDS:
            return
        if self.holds and (self.state.trouble_since or len(self.pool.queue) > CLAIM):
            return
        now = timezone.now()
        if (chunk := self._next_chunk(now)) is None:
            return
        hold = self.at_work_on = Hold(chunk)
        if self.journal is None:
            self._set_up(chunk)
        attempt = chunk.attempt
        if attempt.pk not in self.skeletons:
            self.skeletons = {attempt.pk: letter.Skeleton.of_run(attempt, self.server.sender)}
        hold.skeleton, hold.journal = self.skeletons[attempt.pk], self.journal
        self.holds.append(hold)
        self.at_work_on = None

    def _set_up(self, chunk: Chunk) -> None:
        self.pool = Pool(
            self.server, settings.SMTP_CONNECTIONS, Letter.answered, self.tally.took
        )  # fmt: skip
        try:
            self.journal = Journal(self.worker)
        except OSError as error:
            ledger.note_reply(chunk.attempt_id, str(error))
            raise

    def _runs(self) -> AttemptQuerySet:
        running = Attempt.objects.running().select_related("mailing__owner").defer("html", "text")
        return running.filter(mailing=self.mailing_id) if self.mailing_id else running

    def _next_chunk(self, now: datetime) -> Chunk | None:
        if time.monotonic() - self.read_turns >= TURNS_SECONDS or not self.turns:
            self._read_turns(now)
        for waiting_runs in (self.over, self.turns):
            while waiting_runs:
                if chunk := ledger.take_chunk(waiting_runs[0], self.worker, now):
                    waiting_runs.append(waiting_runs.pop(0))
                    return chunk
                del waiting_runs[0]
        return None

    def _read_turns(self, now: datetime) -> None:
        """Read whose turn it is: runs that the server's state and all limits admit."""
        self.read_turns = time.monotonic()
        self.state = MailServer.objects.get_or_create(name=self.server.name)[0]
        self.turns, self.opens = list(self._runs().may_go(now).with_free_chunk(now)[:50]), []
        if self.turns and not self.state.admits(now):
            self.summary.trouble, self.turns = self.state.response, []
        waits = limits.opens_at({run.mailing.owner for run in self.turns}, now)
        self.turns = [run for run in self.turns if run.mailing.owner_id not in waits]
        self.opens = list(waits.values())

    def _put_back(self, hold: Hold) -> None:
        self.at_work_on = hold
        self._settle_suspects(of=hold)
        self._flush(hold)
        now = timezone.now()
        if hold.held:
            hold.chunk.attempt.hold(*hold.held, now)
        ledger.release_chunk(hold.chunk, now, hold.not_before)
        self.holds.remove(hold)
        self.at_work_on = None

    def _report_trouble(self) -> None:
        self.state.report_trouble(self.trouble, timezone.now())
        logger.warning("mail server %s: %s", self.server.name, self.trouble)
        self.summary.trouble, self.trouble, self.breaks = self.trouble, "", 0
        self.turns = []
        self.complaints.clear()

    # -- letters out

    def _top_up(self, hold: Hold) -> None:
        """Claim more rows where there is room."""
        now = timezone.now()
        if self.trouble or hold.held or time.monotonic() > hold.turn_ends:
            hold.finish()
            self.pool.withdraw()
        if not hold.can_claim(now):
            return
        room = max(CLAIM, 2 * settings.SMTP_CONNECTIONS)
        if self.state.trouble_since:
            room = 0 if any(each.hand for each in self.holds) else 1  # the probe
        elif len(self.pool.queue) > room // 2:
            return
        owner = hold.chunk.attempt.mailing.owner
        room, hold.not_before = limits.ration(owner, room, now) if room else (0, None)
        if not room:
            self._wait_for_limit(hold, now)
            return
        read_at = time.monotonic()
        claimed = ledger.claim(hold.chunk, room, now)
        hold.claimed_all = not claimed
        rows, late = self.domains.sort(claimed)
        for row, wait in late:
            result = Result(Outcome.SLOW, None, reasons.DOMAIN_SLOW, wait)
            hold.results.append((Letter(row, hold, 0.0), result))
        self.pool.submit(hold.letter(row, read_at) for row in rows)

    def _wait_for_limit(self, hold: Hold, now: datetime) -> None:
        if hold.not_before and hold.not_before > now + timedelta(seconds=LOOK_SECONDS):
            hold.finish()

    # -- answers in

    def _take_in(self, sent: Letter, result: Result) -> None:
        hold, outcome = sent.hold, result.outcome
        del hold.hand[sent.row.id]
        if outcome is Outcome.ACCEPTED:
            hold.refusals = 0
            if self.suspects:
                self._settle_suspects()
        elif outcome is Outcome.SLOW:
            result = self._complaint(sent, result)
        elif outcome in (Outcome.LOST, Outcome.DOUBT):
            self.breaks += 1
            if self.breaks >= TROUBLE:
                self.trouble = result.text
        elif outcome is Outcome.TROUBLE:
            self.trouble = result.text
        elif outcome in (Outcome.REFUSED, Outcome.LOGIN):
            hold.refused(result)
        if outcome in (Outcome.ACCEPTED, Outcome.LATER, Outcome.NEVER):
            self._server_is_well()
        is_suspect = outcome in (Outcome.LOST, Outcome.REFUSED)
        (self.suspects if is_suspect else hold.results).append((sent, result))

    def _complaint(self, sent: Letter, result: Result) -> Result:
        """A domain asks for fewer letters; if all do, it is the server that wants none."""
        self.complaints.add(limits.domain_of(sent.row.email))
        if len(self.complaints) >= TROUBLE:
            self.trouble = result.text
        wait = self.domains.complained(sent.row.email)
        if wait is None:
            return Result(Outcome.LATER, result.code, result.text)
        return Result(Outcome.SLOW, result.code, result.text, wait)

    def _server_is_well(self) -> None:
        self.breaks = 0
        if self.complaints:
            self.complaints.clear()
        if self.state.trouble_since:
            self.state.report_success()

    def _settle_suspects(self, of: Hold | None = None) -> None:
        """Decide on letters that may have met the server's trouble: was it, or try them later?"""
        settled = [pair for pair in self.suspects if of is None or pair[0].hold is of]
        self.suspects = [pair for pair in self.suspects if pair not in settled]
        for sent, result in settled:
            outcome = Outcome.TROUBLE if self.trouble or sent.hold.held else Outcome.LATER
            sent.hold.results.append((sent, Result(outcome, result.code, result.text)))

    # -- what is due while letters are on their way

    def _keep(self) -> None:
        clock = time.monotonic()
        for hold in self.holds:
            self.at_work_on = hold
            if len(hold.results) >= FLUSH_ROWS or clock - hold.flushed >= FLUSH_SECONDS:
                self._flush(hold)
            if clock - hold.renewed >= LEASE_SECONDS:
                hold.renewed = clock
                if not ledger.renew_lease(hold.chunk, timezone.now()):
                    hold.finish()
        self.at_work_on = None
        if clock - self.reread >= REREAD_SECONDS:
            self.reread = clock
            self._read_consent_again(self.holds)
        if clock - self.tallied >= TALLY_SECONDS:
            self.tallied = clock
            self.tally.save()

    def _read_consent_again(self, holds: Iterable[Hold]) -> None:
        for hold in holds:
            if hold.hand:
                read_at = time.monotonic()
                hold.allow(ledger.still_allowed(hold.chunk, hold.hand, timezone.now()), read_at)
        self.pool.withdraw()
        self.domains.refresh()

    def _flush(self, hold: Hold) -> None:
        hold.flushed = time.monotonic()
        if not hold.results:
            return
        results, hold.results = hold.results, []
        pairs = [(sent.row, result) for sent, result in results]
        sums = ledger.record(hold.chunk, pairs, timezone.now())
        hold.recorded(results, sums)
        accepted = [row.email for row, result in pairs if result.outcome is Outcome.ACCEPTED]
        self.domains.accepted(accepted)
        for _row, result in pairs:
            if name := COUNTED_AS.get(result.outcome):
                setattr(self.summary, name, getattr(self.summary, name) + 1)
                self.tally.add(f"letters:{name}")
        if self.progress:
            rows = Attempt.objects.select_related("mailing").defer("html", "text")
            if attempt := rows.filter(pk=hold.chunk.attempt_id).first():
                self.progress(attempt)
