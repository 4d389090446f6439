"""Chunks in a worker's hands: whose turn it is, what is on its way, what has come of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from mailings import limits, reasons, server_health
from mailings.delivery import ledger, letter
from mailings.delivery.ledger import Claimed, Sums
from mailings.delivery.transport import Outcome, Result, Transport
from mailings.journal import Journal
from mailings.models import Attempt, AttemptQuerySet, Chunk
from mailings.unsubscribe import urls_of

# A letter may begin this long after its consent was read: nothing begins later than a second
# after a stop. It is read again before that (REREAD_SECONDS of dispatch.py).
CONSENT_SECONDS = 0.9
LIMITED_TURN = 10.0  # of a company whose own limit leaves the others their turns
OVERTIME = 1.0  # seconds after a turn in which letters that wait still go out
MOST_WAIT = 1.0  # for a place under a limit; the chunk goes back rather than wait longer
CHUNK_TURN = 2.0  # seconds after which a chunk goes back, so that other runs have their turn
BATCH = 500  # rows that are claimed, and results that are written, at a time
# So many refusals for policy in a row pause a run, and one does before any letter of it was taken.
REFUSALS = 3
QUOTAS = ("5.4.5", "5.1.90")  # a sending limit is reached (RFC 3463 3.5; Exchange's own code)
# And so does a share of refused addresses among a run's first letters. So many go out at a time
# until they are decided: then neither more nor less than these are judged.
FIRST_LETTERS, MOST_REFUSED = 200, 0.05


# It goes on while the machine sleeps: when it wakes, a right that was read before is over.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake() -> float:
    """Return the seconds by which rights to begin are measured."""
    return time.clock_gettime(CLOCK)


class Letter:
    """One letter on its way (smtp.session.Letter)."""

    __slots__ = ("allowed_until", "hold", "recipient", "row", "slot", "utf8")

    def __init__(self, row: Claimed, hold: Hold, allowed_until: float) -> None:
        self.row, self.hold, self.allowed_until = row, hold, allowed_until
        self.recipient, self.utf8 = letter.envelope_address(row.email)
        self.slot: int | None = None

    def may_begin(self) -> bool:
        return awake() < self.allowed_until

    def build(self) -> bytes:
        row = self.row
        url = self.hold.url(row.client_id)
        recipient = letter.Recipient(row.id, row.email, row.full_name, url)
        return self.hold.skeleton.build(recipient)

    def handing_over(self) -> None:
        self.slot = self.hold.journal.handed_over(self.row.id)

    def answered(self, result: Result) -> None:
        """Note the answer at once; the database hears of it with the next batch."""
        if self.slot is not None:
            self.hold.journal.answered(self.slot, self.row.id, result)


class Hold:
    """A chunk that this worker holds: what of it is on its way, and what has come of it."""

    skeleton: letter.Skeleton
    journal: Journal

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self.url = urls_of(chunk.attempt_id)
        self.hand: dict[int, Letter] = {}
        self.results: list[tuple[Letter, Result]] = []
        self.claims_no_more = False
        self.reserved = 0  # letters that limits let out from `not_before` on
        self.not_before: datetime | None = None
        self.pause: tuple[str, str] | None = None  # reason and words for which the run is paused
        self.refusals = self.accepted = 0
        self.has_accepted = chunk.attempt.accepted > 0  # the run, as far as we know
        self.last_refusal = Result(Outcome.REFUSED)
        # Its run may still be paused for the share of refusals among its first letters.
        run = chunk.attempt
        can_brake = run.planned >= FIRST_LETTERS and not run.brake_released
        self.is_young = can_brake and run.accepted + run.rejected < FIRST_LETTERS
        self.flushed = self.renewed = time.monotonic()
        is_limited = chunk.attempt.mailing.owner.letters_per_minute
        self.turn_ends = self.flushed + (LIMITED_TURN if is_limited else CHUNK_TURN)

    @property
    def batch(self) -> int:
        """Return how many rows to claim, and how many results to write, at a time."""
        return FIRST_LETTERS if self.is_young else BATCH

    def can_claim(self, now: datetime) -> bool:
        return not self.claims_no_more and (self.not_before is None or self.not_before <= now)

    def ration(self, room: int, now: datetime) -> int:
        """Return how many letters, `room` at most, the limits let out now."""
        if not self.reserved:
            owner = self.chunk.attempt.mailing.owner
            self.reserved, self.not_before = limits.ration(owner, room, now)
            if self.not_before > now + timedelta(seconds=MOST_WAIT):
                # The letters in hand have their places already: they still go out.
                self.claims_no_more = True
        if self.not_before > now:
            return 0
        count, self.reserved = self.reserved, 0
        return count

    def take_in_hand(self, row: Claimed, read_at: float) -> Letter:
        """Return the letter of a row whose consent was read at `read_at` (see `awake`)."""
        new = Letter(row, self, read_at + CONSENT_SECONDS)
        self.hand[row.id] = new
        return new

    def begin_no_more(self) -> None:
        """Begin nothing more of this chunk."""
        self.claims_no_more = True
        for each in self.hand.values():
            each.allowed_until = 0.0

    def stop_if_over(self, health: server_health.Health, transport: Transport) -> None:
        """Claim nothing more when the turn is over, and begin nothing more in trouble."""
        overtime = time.monotonic() - self.turn_ends
        if health.trouble or self.pause:
            self.begin_no_more()
            transport.withdraw()
        elif overtime > 0 and not health.is_probing:
            self.claims_no_more = True
            if overtime > OVERTIME:
                # What the server has in hand goes on, however slow it is.
                transport.withdraw_queued(lambda letter: letter.hold is self)

    def withdraw_domain(self, domain: str) -> None:
        """Begin nothing more to a domain that has just asked for fewer letters."""
        for each in self.hand.values():
            if limits.domain_of(each.row.email) == domain:
                each.allowed_until = 0.0

    def read_consent_again(self) -> None:
        """Prolong the rights of letters that may still go out, end those of the others."""
        read_at = awake()
        ids = ledger.still_allowed(self.chunk, self.hand, timezone.now())
        for pk, each in self.hand.items():
            if pk not in ids:
                each.allowed_until = 0.0
            elif each.allowed_until:
                each.allowed_until = read_at + CONSENT_SECONDS

    def refused(self, letter: Letter, result: Result) -> None:
        """Take in a refusal that is nobody's fault; some of them pause the run.

        Where somebody was refused before, it says no more than it did then: others had their
        letters meanwhile.
        """
        if result.outcome is Outcome.REFUSED and self.is_persons(letter, result):
            return
        self.refusals += 1
        self.last_refusal = result
        is_certain = result.outcome is Outcome.LOGIN or result.enhanced in QUOTAS
        if is_certain or self.refusals >= REFUSALS:
            self.pause_for_refusal(result)

    def is_persons(self, letter: Letter, result: Result) -> bool:
        """Return whether a refusal is about this person: they were refused before.

        A quota is about nobody: whoever is next in turn meets it.
        """
        return letter.row.response.startswith("5") and result.enhanced not in QUOTAS

    def decide(self, letter: Letter, result: Result, *, in_trouble: bool) -> None:
        """Say what an answer comes to that may have been the server's trouble."""
        # At first it is held against nobody. But whom it meets also after somebody let the run go
        # on must not stand in the way of the others for ever.
        run = self.chunk.attempt
        if result.outcome is Outcome.REFUSED:
            is_released = run.brake_released and result.enhanced not in QUOTAS
            is_try = is_released or self.is_persons(letter, result)
        else:
            # It may be this very letter that breaks connections, for everybody.
            is_try = letter.row.tries > 0 or (run.brake_released and run.breaks > 0)
        is_nobodys = (in_trouble or self.pause) and not is_try
        outcome = Outcome.TROUBLE if is_nobodys else Outcome.LATER
        self.results.append((letter, Result(outcome, result.code, result.text)))

    @property
    def got_nowhere(self) -> bool:
        """Return whether the server refused letters, and has never taken one of this run."""
        return bool(self.refusals and not self.accepted) and not self.has_accepted

    def pause_for_refusal(self, result: Result) -> None:
        """Pause the run for a refusal, with the reason that the server's code gives."""
        if result.outcome is Outcome.LOGIN:
            reason = reasons.LOGIN_REFUSED
        elif result.enhanced in QUOTAS or result.enhanced.startswith("5.3."):
            reason = reasons.QUOTA_REFUSED
        else:
            reason = reasons.POLICY_REFUSED
        self.pause = (reason, result.text)

    def recorded(self, results: Sequence[tuple[Letter, Result]], sums: Sums) -> None:
        """Free what was noted of results that are in the database; look how the run does."""
        for each, _result in results:
            if each.slot is not None:
                self.journal.recorded(each.slot)
        self.has_accepted = sums.accepted > 0
        self._brake([result for _letter, result in results], sums)

    def _brake(self, results: Sequence[Result], sums: Sums) -> None:
        """Pause the run where too many of its first letters are refused."""
        refusals = [r for r in results if r.outcome is Outcome.NEVER]
        # A refusal that is nobody's fault is tried again, but permanent it is all the same.
        refusals += [r for r in results if r.outcome is Outcome.LATER and (r.code or 0) >= 500]
        final = sum(r.outcome in (Outcome.ACCEPTED, Outcome.NEVER) for r in results)
        decided = sums.accepted + sums.rejected
        is_early = decided - final < FIRST_LETTERS <= sums.planned
        self.is_young = self.is_young and decided < FIRST_LETTERS
        if refusals and is_early and not self.chunk.attempt.brake_released:
            refused = sums.rejected + ledger.count_refused_for_now(self.chunk.attempt)
            if refused > MOST_REFUSED * max(decided, FIRST_LETTERS):
                self.pause = (reasons.TOO_MANY_REFUSED, refusals[-1].text)


class Rota:
    """Whose turn it is, as one worker sees it."""

    # Seconds after which the order is read again; until then runs have their turn in a circle.
    READ_AGAIN = 0.5

    def __init__(self, mailing_id: int | None) -> None:
        self.mailing_id = mailing_id
        self.waits: list[datetime] = []  # when limits let letters out that must wait now
        self._over: list[Attempt] = []
        self._skeletons: dict[int, letter.Skeleton] = {}
        self.forget()

    def forget(self) -> None:
        """Read the order anew before the next turn."""
        self._turns: list[Attempt] = []
        self._read_at, self._was_empty = float("-inf"), True

    def read_over(self, now: datetime) -> None:
        """Read which runs' windows are over: what is left of them is to be skipped."""
        over = self._runs().window_over(now)
        ids = list(over.order_by().values_list("pk", flat=True))
        self._over = []
        if ids:
            Chunk.objects.filter(attempt__in=ids, due_at__gt=now).update(due_at=now)
            self._over = list(over.with_free_chunk(now))

    def take_chunk(
        self, worker: str, health: server_health.Health, now: datetime, ours: Sequence[int]
    ) -> Chunk | None:
        """Lease the next chunk for a worker that holds the chunks `ours` already."""
        is_used_up = not self._turns and not self._was_empty
        if is_used_up or time.monotonic() - self._read_at >= self.READ_AGAIN:
            self._read(health, now)
        for turns in (self._over, self._turns):
            while turns:
                if chunk := ledger.take_chunk(turns[0], worker, now, ours):
                    turns.append(turns.pop(0))
                    return chunk
                del turns[0]
        return None

    def _read(self, health: server_health.Health, now: datetime) -> None:
        self._read_at = time.monotonic()
        health.read()
        self._turns = list(self._runs().may_go(now).with_free_chunk(now)[:50])
        waits = limits.waits_until({run.mailing.owner for run in self._turns}, now)
        self._turns = [run for run in self._turns if run.mailing.owner_id not in waits]
        # If it is some runs' letters that break connections, those of others make the probe.
        self._turns.sort(key=lambda run: run.breaks if health.is_probing else 0)
        self.waits = list(waits.values())
        # Last: the right to probe a server in trouble is given to one worker at a time.
        health.is_out = bool(self._turns) and (
            health.is_resting or not health.state.take_probe(health.worker, now)
        )
        self._turns = [] if health.is_out else self._turns
        self._was_empty = not self._turns

    def skeleton(self, attempt: Attempt, address: str) -> letter.Skeleton:
        """Return the letter of a run; `address` is what the service sends from."""
        if attempt.pk not in self._skeletons:
            self._skeletons = {attempt.pk: letter.Skeleton.of_run(attempt, address)}
        return self._skeletons[attempt.pk]

    def _runs(self) -> AttemptQuerySet:
        running = Attempt.objects.running().select_related("mailing__owner").defer("html", "text")
        return running.filter(mailing=self.mailing_id) if self.mailing_id else running
