"""A chunk in a worker's hands, and its letters on their way."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime

from mailings import reasons
from mailings.delivery import letter
from mailings.delivery.ledger import Claimed, Sums
from mailings.delivery.transport import Outcome, Result
from mailings.journal import Journal
from mailings.models import Chunk
from mailings.unsubscribe import make_token, unsubscribe_url

# A letter may begin this long after its consent was read.
CONSENT_SECONDS = 0.9
CHUNK_TURN = 2.0  # seconds after which a chunk goes back, so that other runs have their turn
# So many refusals for policy or quota, without an accepted letter between them, pause the run;
# and so does a share of refused addresses among a run's first letters.
REFUSALS = 3
FIRST_LETTERS, MOST_REFUSED = 200, 0.05


class Letter:
    """One letter on its way (smtp.session.Letter)."""

    __slots__ = ("allowed_until", "hold", "recipient", "row", "slot", "utf8")

    def __init__(self, row: Claimed, hold: Hold, allowed_until: float) -> None:
        self.row, self.hold, self.allowed_until = row, hold, allowed_until
        self.recipient, self.utf8 = letter.envelope_address(row.email)
        self.slot: int | None = None

    def may_begin(self) -> bool:
        return time.monotonic() < self.allowed_until

    def build(self) -> bytes:
        row = self.row
        url = unsubscribe_url(make_token(row.client_id, self.hold.chunk.attempt_id))
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
        self.hand: dict[int, Letter] = {}
        self.results: list[tuple[Letter, Result]] = []
        self.claimed_all = False
        self.not_before: datetime | None = None
        self.held: tuple[str, str] | None = None  # reason and words that pause the run
        self.refusals = 0
        self.flushed = self.renewed = time.monotonic()
        self.turn_ends = self.flushed + CHUNK_TURN

    @property
    def is_done(self) -> bool:
        return self.claimed_all

    def can_claim(self, now: datetime) -> bool:
        return not self.claimed_all and (self.not_before is None or self.not_before <= now)

    def letter(self, row: Claimed, read_at: float) -> Letter:
        """Return the letter of a row whose consent was read at `read_at` (time.monotonic)."""
        new = Letter(row, self, read_at + CONSENT_SECONDS)
        self.hand[row.id] = new
        return new

    def finish(self) -> None:
        """Begin nothing more of this chunk."""
        self.claimed_all = True
        for each in self.hand.values():
            each.allowed_until = 0.0

    def allow(self, ids: Collection[int], read_at: float) -> None:
        """Prolong the rights of letters that may still go out, end those of the others."""
        for pk, each in self.hand.items():
            if pk not in ids:
                each.allowed_until = 0.0
            elif each.allowed_until:
                each.allowed_until = read_at + CONSENT_SECONDS

    def refused(self, result: Result) -> None:
        """Take in a refusal that is nobody's fault; some of them pause the run."""
        self.refusals += 1
        if result.outcome is Outcome.LOGIN:
            self.held = (reasons.LOGIN_REFUSED, result.text)
        elif self.refusals >= REFUSALS:
            policy = result.enhanced.startswith("5.7.")
            reason = reasons.POLICY_REFUSED if policy else reasons.QUOTA_REFUSED
            self.held = (reason, result.text)

    def recorded(self, results: Sequence[tuple[Letter, Result]], sums: Sums) -> None:
        """Free what was noted of results that are in the database; look how the run does."""
        refusals = [r for _letter, r in results if r.outcome is Outcome.NEVER]
        final = len(refusals)
        for each, result in results:
            final += result.outcome is Outcome.ACCEPTED
            if each.slot is not None:
                self.journal.recorded(each.slot)
        decided = sums.accepted + sums.rejected
        is_young = decided - final < FIRST_LETTERS <= sums.planned
        is_bad = sums.rejected > MOST_REFUSED * max(decided, FIRST_LETTERS)
        if refusals and is_young and is_bad and not self.chunk.attempt.brake_released:
            self.held = (reasons.TOO_MANY_REFUSED, refusals[-1].text)
