"""What the mail server's answers in a row say of it: the breaker that all workers share."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from mailings import limits
from mailings.delivery.transport import Outcome, Result
from mailings.models import Chunk, MailServer

logger = logging.getLogger("vestnik.delivery")

TROUBLE = 3  # broken connections in a row, or complaining domains, that are the server's trouble
TELL_SECONDS = 1.0  # between two notes for the other workers that letters are taken
PATIENCE = timedelta(seconds=2.5)  # for such a note of another worker
NO_PLACE_SECONDS = 15.0  # seconds for which a worker without a connection leaves them to the others
MORE_SECONDS = 40.0  # a silent server may take longer than a turn to break one connection often


class Health:
    """What the answers in a row say of the server, as this worker sees it.

    `trouble` holds the server's words where it takes nothing from us at the moment.
    """

    def __init__(self, name: str, worker: str) -> None:
        self.name, self.worker, self.trouble = name, worker, ""
        self.is_out = False  # letters wait, and the server is not to be tried yet
        self.gave_up = False  # it was this worker that broke the connections, since it stops
        self._is_full = False  # the trouble is that there was no connection
        self._rest_until = self._told_at = float("-inf")
        self.domains = limits.Domains()
        self._suspects: list[tuple[Any, Result]] = []
        self._breaks: list[int] = []  # connections in a row: the run whose letter each met
        self._complaints: set[str] = set()  # domains
        self.read()

    def read(self) -> None:
        """Read what all workers know of the server."""
        self.state = MailServer.objects.get_or_create(name=self.name)[0]

    @property
    def patience(self) -> float:
        """Return seconds that a turn may last longer, to see whether the server is in trouble."""
        return MORE_SECONDS if self._breaks else 0.0

    @property
    def is_probing(self) -> bool:
        """Return whether a single letter is to find out if the trouble is over."""
        return self.state.trouble_since is not None

    def judge(self, letter: Any, result: Result) -> None:
        """Take in an answer; hand it on to the letter's hold when it is certain what it means."""
        hold, outcome = letter.hold, result.outcome
        if outcome is Outcome.ACCEPTED:
            hold.refusals, hold.accepted = 0, hold.accepted + 1
            if hold.chunk.attempt.breaks:
                hold.chunk.attempt.forgive_breaks()
            if self._suspects:
                self._settle(lambda sent, cause: cause is Outcome.UNSENT or sent.hold is hold)
        elif outcome is Outcome.SLOW:
            result = self._complaint(letter, result)
        elif outcome in (Outcome.UNSENT, Outcome.DOUBT) and not self.gave_up:
            self._breaks.append(hold.chunk.attempt_id)
            if len(self._breaks) >= TROUBLE:
                self.trouble = result.text
        elif outcome in (Outcome.TROUBLE, Outcome.FULL):
            self.trouble, self._is_full = result.text, outcome is Outcome.FULL
            self._breaks.clear()
        elif outcome in (Outcome.REFUSED, Outcome.LOGIN):
            hold.refused(letter, result)
        if outcome in (Outcome.ACCEPTED, Outcome.LATER, Outcome.NEVER):
            self._is_well()
        # One such answer says little: the next ones show whether it was the server's trouble.
        is_suspect = outcome in (Outcome.UNSENT, Outcome.REFUSED)
        (self._suspects if is_suspect else hold.results).append((letter, result))

    def settle(self, hold: Any) -> None:
        """Decide on a hold's letters that may have met trouble; no further answer comes."""
        self._settle(lambda sent, _cause: sent.hold is hold)

    def _settle(self, is_meant: Callable[[Any, Outcome], bool]) -> None:
        """Decide on suspects: was it trouble, or shall they be tried later?"""
        # A server that goes down with this worker breaks connections as well; nobody is to blame.
        in_trouble = bool(self.trouble) or self.gave_up
        suspects, self._suspects = self._suspects, []
        for letter, result in suspects:
            if is_meant(letter, result.outcome):
                letter.hold.decide(letter, result, in_trouble=in_trouble)
            else:
                self._suspects.append((letter, result))

    @property
    def is_resting(self) -> bool:
        """Return whether this worker leaves the server's few connections to the others."""
        return time.monotonic() < self._rest_until

    def face_trouble(self, is_over: Callable[[], bool]) -> str:
        """Stop all workers until the next probe; return the server's words.

        Where there was no connection for us because others have them all, only this worker
        rests, and nothing is returned.
        """
        if self._is_full and self._others_are_served(is_over):
            self._rest_until = time.monotonic() + NO_PLACE_SECONDS * random.uniform(0.8, 1.2)
            logger.info("mail server %s has no connection to spare: %s", self.name, self.trouble)
            self.trouble, self._is_full = "", False
            return ""
        words, self.trouble, self._is_full = self.trouble, "", False
        broken_by = set(self._breaks) if len(self._breaks) >= TROUBLE else ()
        self.state.report_trouble(words, timezone.now(), broken_by, worker=self.worker)
        self._breaks, self._complaints = [], set()
        return words

    def _others_are_served(self, is_over: Callable[[], bool]) -> bool:
        """Wait a moment for a letter of another worker to be taken; who ends leaves it to them."""
        asked_at = timezone.now()
        others = Chunk.objects.exclude(worker__in=("", self.worker))
        served = MailServer.objects.filter(name=self.name, well_at__gt=asked_at)
        while (now := timezone.now()) - asked_at < PATIENCE:
            if served.exists() or is_over():
                return True
            if not others.filter(leased_until__gte=now).exists():
                return False
            time.sleep(0.1)
        return False

    def _complaint(self, letter: Any, result: Result) -> Result:
        """A domain asks for fewer letters; if all do, it is the server that wants none."""
        domain = limits.domain_of(letter.row.email)
        self._complaints.add(domain)
        letter.hold.withdraw_domain(domain)
        if len(self._complaints) >= TROUBLE:
            self.trouble = result.text
        wait = self.domains.complained(letter.row.email)
        outcome = Outcome.LATER if wait is None else Outcome.SLOW
        return Result(outcome, result.code, result.text, wait or 0.0)

    def _is_well(self) -> None:
        self._breaks.clear()
        self._complaints.clear()
        if self.state.trouble_since:
            self.state.report_success()
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            MailServer.objects.filter(pk=self.state.pk).update(well_at=timezone.now())
