"""Letters out over kept connections, and what the server's replies mean."""

from __future__ import annotations

import logging
import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any

from mailings import reasons
from mailings.smtp.protocol import SETUP, Broken, Link, Reply, Server
from mailings.smtp.session import Session
from mailings.smtp.setup import Took, open_link

logger = logging.getLogger("vestnik.delivery")


class Outcome(Enum):
    ACCEPTED = "the server has taken the letter over"
    LATER = "not now: the same person is tried again"
    NEVER = "never: the server refuses this person"
    SLOW = "the recipient's mail system asks for fewer letters; nothing is held against anybody"
    LOST = "the connection broke before the letter was handed over"
    DOUBT = "the connection broke after it was handed over, before the answer"
    REFUSED = "not this letter: policy or quota; not the person's fault"
    LOGIN = "the server does not let us in, or no longer; not the person's fault"
    TROUBLE = "the server takes nothing from us at the moment; nobody's fault"
    RETURNED = "not begun: no longer allowed, or the worker stops"


LETTER = ("rcpt", "data", "body")

# (stages, reply code, enhanced code) -> outcome; the first row that matches counts.
RULES: tuple[tuple[tuple[str, ...], str, str, Outcome], ...] = (
    # Our right to send is refused for good: only people can mend that (RFC 4954 section 6).
    (("login",), r"5..", r".*", Outcome.LOGIN),
    (("mail", *LETTER), r"(530|534|535|538)", r".*", Outcome.LOGIN),
    # Before the first letter nothing else can be about a mailing or a person.
    (SETUP, r"...", r".*", Outcome.TROUBLE),
    (("mail", *LETTER), r"454", r".*", Outcome.TROUBLE),
    # "Our system has detected an unusual rate of mail" and its like (Gmail 4.7.28, Outlook
    # 4.7.650, Yahoo 4.16.55, RFC 3463 4.4.5): the recipient's system wants fewer of them.
    (LETTER, r"4..", r"4\.(7\.28|7\.65\d|16\.55|4\.5)", Outcome.SLOW),
    # The server closes because it ends or waited too long for us: no word about the letter.
    (LETTER, r"421", r"4\.(3\.|4\.2)", Outcome.LOST),
    (LETTER, r"421", r".*", Outcome.SLOW),
    # RFC 5321 4.2.1: the server closes the connection, whatever was asked.
    (("mail",), r"421", r".*", Outcome.LOST),
    # RFC 5321 4.2.3: out of step, for example inside a transaction that it did not close.
    (("mail",), r"503", r".*", Outcome.LOST),
    # The sender's address is ours: a refusal of it concerns every letter.
    (("mail",), r"[45]..", r".*", Outcome.TROUBLE),
    # RFC 5321 4.2.3: the server does not follow our commands, or fails by itself; that says
    # nothing of the person. One such reply is tried later, several in a row are trouble.
    (LETTER, r"50[0234]", r".*", Outcome.LOST),
    # RFC 3463 3.8: security or policy. One such reply is tried later, several in a row mean that
    # the server does not want this mailing.
    # 5.4.5 and 5.3: a sending limit, or the system is full.
    (LETTER, r"5..", r"5\.(7\.|4\.5|3\.)", Outcome.REFUSED),
    (LETTER, r"4..", r".*", Outcome.LATER),
    (LETTER, r"5..", r".*", Outcome.NEVER),
    (("body",), r"2..", r".*", Outcome.ACCEPTED),
)

ENHANCED = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")


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
        found = ENHANCED.match(self.text.partition(" ")[2])
        return found[1] if found else ""


def classify(stage: str, reply: Reply) -> Outcome:
    """Return what a reply at a stage means, by the table RULES."""
    if stage == "body" and 200 <= reply.code < 300:
        return Outcome.ACCEPTED  # The table's last row, for nearly every letter.
    found = ENHANCED.match(reply.text)
    return _look_up(stage, f"{reply.code:03}", found[1] if found else "")


@lru_cache(maxsize=1024)
def _look_up(stage: str, code: str, enhanced: str) -> Outcome:
    for stages, code_pattern, enhanced_pattern, outcome in RULES:
        fits = re.fullmatch(code_pattern, code) and re.match(enhanced_pattern, enhanced)
        if stage in stages and fits:
            return outcome
    return Outcome.LOST


class Pool:
    """Kept connections in one loop. Letters go in by `submit`, `turn` brings their results.

    Connections are opened in threads of their own, the first one alone: refused beside it, the
    others know that one works. A connection that cannot be opened while another one works is
    left out for a while, since many servers allow only a few. When none works, a letter comes
    back as TROUBLE.
    """

    REST = 15.0  # seconds before a refused extra connection is tried again
    LOOK = 0.25  # seconds between two looks for servers that do not answer

    def __init__(
        self,
        server: Server,
        size: int,
        answered: Callable[[Any, Result], None] = lambda letter, result: None,
        took: Took = lambda stage, seconds: None,
    ) -> None:
        self.server, self.size, self._note, self._took = server, size, answered, took
        self.queue: deque[Any] = deque()
        self.sessions: dict[int, Session] = {}
        self._idle: deque[Session] = deque()
        self._writing: set[int] = set()
        self._results: list[tuple[Any, Result]] = []
        self._opening = 0
        self._opened: SimpleQueue[tuple[Link | Broken, list[tuple[str, float]]]] = SimpleQueue()
        self._rest_until = self._looked = 0.0
        self._closed = False
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._wake.fileno(), select.EPOLLIN)

    # -- what the worker calls

    def submit(self, letters: Iterable[Any]) -> None:
        """Queue letters (see smtp.session.Letter)."""
        self.queue.extend(letters)

    def turn(self, timeout: float) -> list[tuple[Any, Result]]:
        """Send and receive what is possible; wait up to `timeout` seconds for the first event."""
        self._feed()
        for fd, mask in self._poll.poll(0 if self._results else timeout):
            if fd == self._wake.fileno():
                self._adopt_opened()
            elif session := self.sessions.get(fd):
                self._serve(session, mask)
        if time.monotonic() - self._looked >= self.LOOK:
            self._drop_silent()
        results, self._results = self._results, []
        return results

    def withdraw(self) -> None:
        """Give back the letters that wait and may no longer begin."""
        kept = deque(letter for letter in self.queue if letter.may_begin())
        if len(kept) < len(self.queue):
            returned = (letter for letter in self.queue if not letter.may_begin())
            self._results += [(letter, Result(Outcome.RETURNED)) for letter in returned]
            self.queue = kept

    @property
    def is_busy(self) -> bool:
        """Return whether letters are on the wire."""
        return any(session.letter for session in self.sessions.values())

    def give_up(self) -> None:
        """Wait no longer for answers: letters without one are in doubt."""
        for session in [s for s in self.sessions.values() if s.letter]:
            self._drop(session, Broken(session.stage, f"{self.server.name}: no answer in time"))

    def close(self) -> None:
        """End the sessions at once; letters on the wire stay in doubt."""
        self._closed = True
        for session in self.sessions.values():
            session.close()
        self.sessions = {}
        self._adopt_opened()
        self._poll.close()
        self._wake.close()

    # -- connections

    def _feed(self) -> None:
        while self._idle and self.queue:
            session = self._idle.popleft()
            is_free = session.fd in self.sessions and session.letter is None
            if is_free and (letter := self.take(session, ahead=False)):
                self._guarded(session, lambda s=session, x=letter: s.begin(x))
        if self.queue and time.monotonic() >= self._rest_until:
            wanted = min(self.size - len(self.sessions), len(self.queue))
            for _ in range(wanted - self._opening if self.sessions else 1 - self._opening):
                self._opening += 1
                threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        """Open one connection: the life of a thread."""
        timings: list[tuple[str, float]] = []
        try:
            opened: Link | Broken = open_link(
                self.server, lambda stage, seconds: timings.append((stage, seconds))
            )
        except Broken as broken:
            opened = broken
        except Exception as error:  # whatever it was, the worker must hear of it
            logger.exception("opening a connection")
            opened = Broken("connect", f"{type(error).__name__}: {error}")
        self._opened.put((opened, timings))
        try:
            self._bell.send(b"!")
        except OSError:
            self._adopt_opened()  # The pool is closed.

    def _adopt_opened(self) -> None:
        if not self._closed:
            self._wake.recv(64)
        while True:
            try:
                opened, timings = self._opened.get_nowait()
            except Empty:
                return
            for stage, seconds in timings:
                self._took(stage, seconds)
            self._opening -= 1
            if isinstance(opened, Broken):
                self._could_not_open(opened)
            elif self._closed:
                opened.close()
            else:
                session = Session(opened, self.server, self, self._took)
                self.sessions[session.fd] = session
                self._poll.register(session.fd, select.EPOLLIN)
                self._idle.append(session)

    def _could_not_open(self, broken: Broken) -> None:
        if self.sessions or self._opening:
            self._rest_until = time.monotonic() + self.REST
        elif self.queue:
            reply = Reply(broken.code or 0, broken.words.partition(" ")[2] if broken.code else "")
            outcome = classify(broken.stage, reply)
            self._results.append((self.queue.popleft(), Result(outcome, broken.code, broken.words)))

    def _serve(self, session: Session, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._guarded(session, session.on_writable)
        if mask & ~select.EPOLLOUT and session.fd in self.sessions:
            self._guarded(session, session.on_readable)
        if session.wants_to_write or session.fd in self._writing:
            self._watch_writing(session)
        if session.letter is None and session.fd in self.sessions:
            self._idle.append(session)

    def _watch_writing(self, session: Session) -> None:
        if session.fd not in self.sessions:
            self._writing.discard(session.fd)
        elif session.wants_to_write:
            self._writing.add(session.fd)
            self._poll.modify(session.fd, select.EPOLLIN | select.EPOLLOUT)
        else:
            self._writing.discard(session.fd)
            self._poll.modify(session.fd, select.EPOLLIN)

    def _guarded(self, session: Session, action: Callable[[], None]) -> None:
        """Whatever goes wrong with one session, its letter's result comes and the others go on."""
        try:
            action()
        except Broken as broken:
            self._drop(session, broken)
        except Exception as error:
            logger.exception("a session with %s", self.server.name)
            self._drop(session, Broken(session.stage, f"{type(error).__name__}: {error}"))

    def _drop_silent(self) -> None:
        self._looked = time.monotonic()
        silent = [s for s in self.sessions.values() if s.deadline <= self._looked]
        for session in silent:
            words = f"{self.server.name}: no answer in time"
            self._drop(session, Broken(session.stage, words))

    def _drop(self, session: Session, broken: Broken) -> None:
        del self.sessions[session.fd]
        self._writing.discard(session.fd)
        self._poll.unregister(session.fd)
        letter, following = session.letter, session.following
        if following:
            self.queue.appendleft(following)
        if letter and session.handed_over:
            self._end(letter, Result(Outcome.DOUBT, None, reasons.ANSWER_LOST))
        elif letter and session.stage in ("reset", "mail") and session.sent:
            # Servers close idle and long sessions; that is nobody's failure.
            self.queue.appendleft(letter)
        elif letter:
            self._end(letter, Result(Outcome.LOST, broken.code, broken.words))
        session.close()

    # -- what sessions call (smtp.session.Desk)

    def take(self, session: Session, *, ahead: bool) -> Any | None:
        """Return the next letter that may begin, if it is this session's turn."""
        # Announced behind another letter it would wait while other connections are free.
        while len(self.queue) > (1 if ahead else 0):
            letter = self.queue.popleft()
            if not letter.may_begin():
                self._end(letter, Result(Outcome.RETURNED))
            elif letter.utf8 and not session.takes_utf8:
                self._end(letter, Result(Outcome.NEVER, None, reasons.NO_SMTPUTF8))
            else:
                return letter
        return None

    def ended(self, session: Session, letter: Any, stage: str, reply: Reply) -> None:
        outcome = classify(stage, reply)
        if letter.utf8 and stage == "mail" and outcome is Outcome.TROUBLE and reply.code > 500:
            # The sender is fine; it is the internationalised recipient that is refused.
            outcome = Outcome.NEVER
        if outcome is Outcome.LOST:
            self._end_lost(session, letter, stage, reply)
        else:
            self._end(letter, Result(outcome, reply.code, str(reply)))
        if outcome is Outcome.LOST or reply.code == 421:
            raise Broken(stage, str(reply), reply.code)

    def _end_lost(self, session: Session, letter: Any, stage: str, reply: Reply) -> None:
        if stage in ("reset", "mail") and session.sent:
            self.queue.appendleft(letter)
        elif stage == "body" and not 400 <= reply.code < 600:
            # A refusal says that the letter was not taken; a reply that means nothing does not.
            self._end(letter, Result(Outcome.DOUBT, None, reasons.ANSWER_LOST))
        else:
            self._end(letter, Result(Outcome.LOST, reply.code, str(reply)))

    def withdrawn(self, session: Session, letter: Any) -> None:
        self._end(letter, Result(Outcome.RETURNED))

    def _end(self, letter: Any, result: Result) -> None:
        self._note(letter, result)
        self._results.append((letter, result))
