"""Letters out, and what each of the server's replies means."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from mailings import reasons
from mailings.smtp.connect import Took
from mailings.smtp.pool import Pool
from mailings.smtp.protocol import SETUP, Broken, Reply, Server
from mailings.smtp.session import Session


class Outcome(Enum):
    ACCEPTED = "the server has taken the letter over"
    LATER = "not now: the same person is tried again"
    NEVER = "never: the server refuses this person"
    SLOW = "the recipient's mail system asks for fewer letters; nothing is held against anybody"
    UNSENT = "not taken, and the connection is given up: it broke, or the server makes no sense"
    DOUBT = "the connection broke after it was handed over, before the answer"
    REFUSED = "not this letter: policy or quota; not the person's fault"
    LOGIN = "the server does not let us in, or no longer; not the person's fault"
    TROUBLE = "the server takes nothing from us at the moment; nobody's fault"
    RETURNED = "not begun: no longer allowed, or the worker stops"
    FULL = "no connection for us: the server is out of order, or others have all its places"


LETTER = ("rcpt", "data", "body")

# (stages, reply code, enhanced code) -> outcome; the first row that matches counts.
RULES: tuple[tuple[tuple[str, ...], str, str, Outcome], ...] = (
    # Our right to send is refused for good: only people can mend that (RFC 4954 section 6).
    (("login",), r"5..", r".*", Outcome.LOGIN),
    (("mail", *LETTER), r"(530|534|535|538)", r".*", Outcome.LOGIN),
    # Before the first letter nothing else can be about a mailing or a person. Servers that allow
    # few connections say so at once, with 421 or by closing (000: no reply at all).
    (("connect", "hello"), r"(000|4..)", r".*", Outcome.FULL),
    (SETUP, r"...", r".*", Outcome.TROUBLE),
    (("mail", *LETTER), r"454", r".*", Outcome.TROUBLE),
    # "Our system has detected an unusual rate of mail" and its like (Gmail 4.7.28, Outlook
    # 4.7.650, Yahoo 4.16.55, RFC 3463 4.4.5): the recipient's system wants fewer of them.
    (LETTER, r"4..", r"4\.(7\.28|7\.65\d|16\.55|4\.5)", Outcome.SLOW),
    # The server closes because it ends or waited too long for us: no word about the letter.
    (LETTER, r"421", r"4\.(3\.|4\.2)", Outcome.UNSENT),
    (LETTER, r"421", r".*", Outcome.SLOW),
    # RFC 5321 4.2.1, 4.2.3: it closes, or is out of step, perhaps in a transaction left open.
    (("mail",), r"421|503", r".*", Outcome.UNSENT),
    # The sender's address is ours: a refusal of it concerns every letter, but for one of policy.
    (("mail",), r"5..", r"5\.(7\.|4\.5)", Outcome.REFUSED),
    (("mail",), r"[45]..", r".*", Outcome.TROUBLE),
    # RFC 5321 4.2.3: the server does not follow our commands, or fails by itself; that says
    # nothing of the person. One such reply is tried later, several in a row are trouble.
    (LETTER, r"50[0234]", r".*", Outcome.UNSENT),
    # It has no room, or cannot keep the letter (RFC 3463 3.4), whoever it is for.
    (("data", "body"), r"4..", r"4\.3\.[015]", Outcome.UNSENT),
    # Security or policy (RFC 3463 3.8), a sending limit (5.4.5), a full system (5.3), a sender that
    # is refused (3.2): the server may not want this mailing; Hold.refused counts.
    (LETTER, r"5..", r"5\.(7\.|4\.5|3\.|1\.(7|8|90)$)", Outcome.REFUSED),
    (LETTER, r"4..", r".*", Outcome.LATER),
    (LETTER, r"5..", r".*", Outcome.NEVER),
    (("body",), r"2..", r".*", Outcome.ACCEPTED),
)

ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3}\b|)")  # matches anything


@dataclass(slots=True)
class Result:
    """How one try for one recipient ended, with the server's words."""

    outcome: Outcome
    code: int | None = None
    text: str = ""
    wait: float = 0.0  # SLOW: seconds until the letter's turn comes again

    @property
    def enhanced(self) -> str:
        """Return the enhanced status code (RFC 3463) of the reply, or nothing."""
        return ENHANCED.match(self.text.partition(" ")[2])[1]


def classify(stage: str, reply: Reply) -> Outcome:
    """Return what a reply at a stage means, by the table RULES."""
    if stage == "body" and 200 <= reply.code < 300:
        return Outcome.ACCEPTED  # The table's last row, for nearly every letter.
    return _look_up(stage, f"{reply.code:03}", ENHANCED.match(reply.text)[1])


@lru_cache(maxsize=1024)
def _look_up(stage: str, code: str, enhanced: str) -> Outcome:
    for stages, codes, details, outcome in RULES:
        if stage in stages and re.fullmatch(codes, code) and re.match(details, enhanced):
            return outcome
    return Outcome.UNSENT


class Transport(Pool):
    """Connections to the mail server that sort its replies. `take_results` after each `step`.

    `note` is called at once with each letter and what became of it.
    """

    def __init__(
        self, server: Server, size: int, note: Callable[[Any, Result], None], took: Took
    ) -> None:
        super().__init__(server, size, took)
        self._note = note
        self._results: list[tuple[Any, Result]] = []

    def take_results(self) -> list[tuple[Any, Result]]:
        """Return what has become of letters since the last call."""
        self.is_heard = True
        results, self._results = self._results, []
        return results

    def ended(self, session: Session, letter: Any, stage: str, reply: Reply) -> None:
        outcome = classify(stage, reply)
        if letter.utf8 and stage == "mail" and outcome is Outcome.TROUBLE and reply.code > 500:
            # The sender is fine; it is the internationalised recipient that is refused.
            outcome = Outcome.NEVER
        if outcome is not Outcome.UNSENT:
            self._end(letter, Result(outcome, reply.code, str(reply)))
        elif self.goes_back(session, stage, letter):
            pass
        elif stage == "body" and not 400 <= reply.code < 600:
            # A refusal says that the letter was not taken; a reply that means nothing does not.
            self.in_doubt(letter)
        else:
            self._end(letter, Result(Outcome.UNSENT, reply.code, str(reply)))
        if outcome is Outcome.UNSENT or reply.code == 421:
            raise Broken(stage, str(reply), reply.code)

    def not_taken(self, letter: Any, broken: Broken) -> None:
        outcome = Outcome.UNSENT
        if broken.stage in SETUP:
            words = broken.words.partition(" ")[2] if broken.code else ""
            outcome = classify(broken.stage, Reply(broken.code or 0, words))
        self._end(letter, Result(outcome, broken.code, broken.words))

    def in_doubt(self, letter: Any) -> None:
        self._end(letter, Result(Outcome.DOUBT, None, reasons.ANSWER_LOST))

    def cannot_take(self, letter: Any) -> None:
        self._end(letter, Result(Outcome.NEVER, None, reasons.NO_SMTPUTF8))

    def returned(self, letter: Any) -> None:
        self._end(letter, Result(Outcome.RETURNED))

    def _end(self, letter: Any, result: Result) -> None:
        self._note(letter, result)
        self._results.append((letter, result))
        if result.outcome is not Outcome.ACCEPTED:
            self.is_urgent, self.is_heard = True, False
