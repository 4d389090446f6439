"""Letters out over kept connections, and what the server's replies mean."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Protocol

from mailings.delivery import reasons
from mailings.delivery.smtp import (
    SETUP,
    Broken,
    Closed,
    ClosedLate,
    Connection,
    Reply,
    Server,
)

logger = logging.getLogger("vestnik.delivery")


class Outcome(Enum):
    ACCEPTED = "the server has taken the letter over"
    LATER = "not now: the same person is tried again"
    NEVER = "never: the server refuses this person"
    LOST = "the connection broke before the letter was handed over"
    DOUBT = "the connection broke after it was handed over, before the answer"
    REFUSED = "not this letter: policy or quota; not the person's fault"
    TROUBLE = "the server takes nothing from us at the moment; nobody's fault"
    RETURNED = "not begun: no longer allowed, or the worker stops"


# (stages, reply code, enhanced code) -> outcome; the first row that matches counts.
RULES: tuple[tuple[tuple[str, ...], str, str, Outcome], ...] = (
    # Before the first letter nothing can be about a person.
    (SETUP, r"...", r".*", Outcome.TROUBLE),
    # RFC 5321 4.2.1: the server closes the connection, whatever was asked.
    (("mail", "rcpt", "data", "body"), r"421", r".*", Outcome.LOST),
    # Authentication wanted, or our right to send taken away (RFC 4954 section 6).
    (("mail", "rcpt", "data", "body"), r"(454|530|534|535|538)", r".*", Outcome.TROUBLE),
    # RFC 5321 4.2.3: out of step, for example inside a transaction that it did not close.
    (("mail",), r"503", r".*", Outcome.LOST),
    # The sender's address is ours: a refusal of it concerns every letter.
    (("mail",), r"[45]..", r".*", Outcome.TROUBLE),
    # RFC 5321 4.2.3: the server does not follow our commands, or fails by itself; that says
    # nothing of the person. One such reply is tried later, several in a row are trouble.
    (("rcpt", "data", "body"), r"50[0234]", r".*", Outcome.LOST),
    # RFC 3463 3.8: security or policy. One such reply is tried later, several in a row mean that
    # the server does not want this mailing.
    # 5.4.5 and 5.3: a sending limit, or the system is full.
    (("rcpt", "data", "body"), r"5..", r"5\.(7\.|4\.5|3\.)", Outcome.REFUSED),
    (("rcpt", "data", "body"), r"4..", r".*", Outcome.LATER),
    (("rcpt", "data", "body"), r"5..", r".*", Outcome.NEVER),
    (("body",), r"2..", r".*", Outcome.ACCEPTED),
)

ENHANCED = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")


@dataclass(slots=True)
class Result:
    """How one try for one recipient ended, with the server's words."""

    outcome: Outcome
    code: int | None = None
    text: str = ""


class Notes(Protocol):
    """Where it is written down at once what became of a letter (see journal.py)."""

    def handed_over(self, delivery_id: int) -> None: ...

    def answered(self, delivery_id: int, result: Result) -> None: ...


@dataclass(slots=True, eq=False)
class Envelope:
    """One letter on its way: for whom, its bytes (dot-stuffed, with the final dot), its rights.

    `allowed_until` (time.monotonic seconds) ends the right to begin; whoever claimed the letter
    prolongs it while consent holds.
    """

    id: int
    recipient: str
    build: Callable[[], bytes]
    allowed_until: float
    notes: Notes
    utf8: bool = False
    on_the_wire: bool = False

    def check(self) -> None:
        if time.monotonic() >= self.allowed_until:
            raise Closed

    def handing_over(self) -> None:
        self.notes.handed_over(self.id)
        self.on_the_wire = True


def classify(stage: str, reply: Reply) -> Outcome:
    """Return what a reply at a stage means, by the table RULES."""
    found = ENHANCED.match(reply.text)
    return _look_up(stage, str(reply.code), found[1] if found else "")


@lru_cache(maxsize=1024)
def _look_up(stage: str, code: str, enhanced: str) -> Outcome:
    for stages, code_pattern, enhanced_pattern, outcome in RULES:
        fits = re.fullmatch(code_pattern, code) and re.match(enhanced_pattern, enhanced)
        if stage in stages and fits:
            return outcome
    return Outcome.LOST


class Pool:
    """Kept connections, a thread each. Letters go in by `submit`, results come by `results`.

    A connection that cannot be opened while another one works is left out for a while: many
    servers allow only a few. When none works, its letter comes back as TROUBLE.
    """

    REST = 15.0  # seconds before a refused extra connection is tried again

    def __init__(self, server: Server, size: int) -> None:
        self.server = server
        self.inbox: SimpleQueue[Envelope | None] = SimpleQueue()
        self.results: SimpleQueue[tuple[Envelope, Result]] = SimpleQueue()
        self.working = 0
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._closing = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(size)]
        for thread in self.threads:
            thread.start()

    def submit(self, envelope: Envelope) -> None:
        self.inbox.put(envelope)

    def close(self) -> None:
        """Let every thread finish the letter in hand, then end the sessions."""
        self._closing.set()
        for _ in self.threads:
            self.inbox.put(None)
        for thread in self.threads:
            thread.join(self.server.timeout + 5)

    def _run(self) -> None:
        connection = Connection(self.server)
        envelope = self.inbox.get()
        while envelope is not None:
            following = self._look_ahead(connection)
            result = self._try_safely(connection, envelope, following)
            if result is None:
                for left in (envelope, following):
                    if left:
                        self.inbox.put(left)
                following = None
                self._closing.wait(self.REST)
            else:
                self.results.put((envelope, result))
            envelope = following or self.inbox.get()
        self._drop(connection, politely=True)

    def _look_ahead(self, connection: Connection) -> Envelope | None:
        """Return the next letter if it is at hand and can be announced with this one."""
        if not connection.is_open or self.inbox.qsize() < 2:
            return None
        try:
            following = self.inbox.get_nowait()
        except Empty:
            return None
        if following is None:
            self.inbox.put(None)
        return following

    def _try_safely(
        self, connection: Connection, envelope: Envelope, following: Envelope | None
    ) -> Result | None:
        """Whatever goes wrong with one letter, its result comes and the thread lives on."""
        try:
            result = self._try(connection, envelope, following)
            if result is not None:
                envelope.notes.answered(envelope.id, result)
            return result
        except Exception as error:
            logger.exception("delivery %s", envelope.id)
            self._drop(connection, politely=False)
            if envelope.on_the_wire:
                return Result(Outcome.DOUBT, None, reasons.ANSWER_LOST)
            return Result(Outcome.LOST, None, f"{type(error).__name__}: {error}")

    def _try(
        self, connection: Connection, envelope: Envelope, following: Envelope | None = None
    ) -> Result | None:
        """Send over the kept connection, or a new one; None: leave it to the other threads."""
        was_used = connection.sent > 0
        try:
            self._ensure_open(connection, envelope)
            return self._send(connection, envelope, following)
        except ClosedLate:
            self._drop(connection, politely=False)
            return Result(Outcome.RETURNED)
        except Closed:
            return Result(Outcome.RETURNED)
        except Broken as broken:
            self._drop(connection, politely=False)
            if broken.stage in SETUP:
                return None if self.working else Result(Outcome.TROUBLE, broken.code, broken.words)
            if broken.stage in ("reset", "mail") and was_used:
                # Servers close idle and long sessions; that is nobody's failure.
                return self._try(connection, envelope)
            if broken.stage == "body":
                return Result(Outcome.DOUBT, None, reasons.ANSWER_LOST)
            return Result(Outcome.LOST, broken.code, broken.words)

    def _send(
        self, connection: Connection, envelope: Envelope, following: Envelope | None
    ) -> Result:
        if envelope.utf8 and "SMTPUTF8" not in connection.extensions:
            return Result(Outcome.NEVER, None, reasons.NO_SMTPUTF8)
        stage, reply = connection.send(envelope, following)
        outcome = classify(stage, reply)
        if envelope.utf8 and stage == "mail" and outcome is Outcome.TROUBLE and reply.code > 500:
            # The sender is fine; it is the internationalised recipient that is refused.
            outcome = Outcome.NEVER if reply.code not in (530, 534, 535, 538) else outcome
        if outcome is Outcome.LOST:
            # A refusal at `body` says that the letter was not taken; a reply that means nothing
            # there leaves it in doubt.
            refused = stage != "body" or 400 <= reply.code < 600
            raise Broken("data" if stage == "body" and refused else stage, str(reply), reply.code)
        return Result(outcome, reply.code, str(reply))

    def _ensure_open(self, connection: Connection, envelope: Envelope) -> None:
        if connection.is_open:
            return
        if self.working:
            self._open(connection, envelope)
            return
        # The first connection alone: refused beside it, the others know that one works.
        with self._opening:
            self._open(connection, envelope)

    def _open(self, connection: Connection, envelope: Envelope) -> None:
        envelope.check()
        connection.open()
        with self._lock:
            self.working += 1

    def _drop(self, connection: Connection, *, politely: bool) -> None:
        if connection.is_open:
            with self._lock:
                self.working -= 1
        connection.close(politely=politely)
