"""Kept connections in one loop: letters in, what became of them out."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any

from mailings.smtp.connect import Took, open_connection
from mailings.smtp.protocol import Broken, Connection, Reply, Server
from mailings.smtp.session import Session

logger = logging.getLogger("vestnik.delivery")


class Pool:
    """Kept connections in one loop. Letters go in by `submit`; `step` sends and receives.

    Connections are opened in threads of their own, the first one alone: refused beside it, the
    others know that one works. A connection that cannot be opened while another one works is
    left out for a while, since many servers allow only a few. What becomes of each letter is
    told to the methods at the end, which a subclass defines.
    """

    REST = 15.0  # seconds before a refused extra connection is tried again
    LOOK = 0.25  # seconds between two looks for servers that do not answer
    MOMENT = 0.003  # seconds of a step: who calls it does more than to send

    def __init__(
        self,
        server: Server,
        size: int,
        took: Took = lambda stage, seconds: None,
    ) -> None:
        self.server, self.size, self._took = server, size, took
        self.queue: deque[Any] = deque()
        self.sessions: dict[int, Session] = {}
        self._idle: deque[Session] = deque()
        self._writing: set[int] = set()
        self._opening = 0
        self._opened: SimpleQueue[tuple[Connection | Broken, list[tuple[str, float]], bool]] = (
            SimpleQueue()
        )
        self._rest_until = self._looked = 0.0
        self._closed = False
        # Whoever calls `step` must hear of something before more is sent; they have heard of it.
        self.is_urgent = self.is_heard = False
        self._wake, self._bell = socket.socketpair()
        self._wake.setblocking(False)
        self._poll = select.epoll()
        self._bell_fd = self._wake.fileno()
        self._poll.register(self._bell_fd, select.EPOLLIN)

    # -- what the worker calls

    def submit(self, letters: Iterable[Any]) -> None:
        """Queue letters (see smtp.session.Letter)."""
        self.queue.extend(letters)

    def step(self, timeout: float) -> None:
        """Send and receive for a moment; wait up to `timeout` seconds for the first event."""
        if self.is_urgent and not self.is_heard:
            return  # It came while the database was waited for.
        self.is_urgent = False
        self._feed()
        events = self._poll.poll(timeout)
        now = time.monotonic()
        end = now + self.MOMENT
        while events:
            self._take_in(events)
            now = time.monotonic()
            events = now < end and not self.is_urgent and self._poll.poll(end - now)
        if now - self._looked >= self.LOOK:
            self._drop_silent()

    def serve_until(self, fd: int, mask: int) -> bool:
        """Send and receive until another file is ready (see select.epoll).

        Returns False, with the file perhaps not ready, when nothing more may be sent before
        whoever calls `step` has heard of something.
        """
        self._poll.register(fd, mask)
        try:
            while not self.is_urgent:
                events = self._poll.poll(self.LOOK)
                self._take_in(events)
                if any(each == fd for each, _mask in events):
                    return True
                if time.monotonic() - self._looked >= self.LOOK:
                    self._drop_silent()
        finally:
            self._poll.unregister(fd)
        return False

    def _take_in(self, events: list[tuple[int, int]]) -> None:
        for fd, mask in events:
            if session := self.sessions.get(fd):
                self._serve(session, mask)
            elif fd == self._bell_fd:
                self._adopt_opened()
        if self._idle and self.queue:
            self._feed()

    def withdraw(self) -> None:
        """Give back the letters that wait and may no longer begin."""
        if any(not letter.may_begin() for letter in self.queue):
            letters, self.queue = self.queue, deque()
            for letter in letters:
                self.queue.append(letter) if letter.may_begin() else self.returned(letter)

    def withdraw_queued(self, is_meant: Callable[[Any], bool]) -> None:
        """Give back letters that wait; what the server has in hand goes on."""
        letters, self.queue = self.queue, deque()
        for letter in letters:
            self.returned(letter) if is_meant(letter) else self.queue.append(letter)

    @property
    def is_owed(self) -> bool:
        """Return whether letters have begun to leave whose answers are not there."""
        return any(session.stage == "body" for session in self.sessions.values())

    def hear_last_answers(self, seconds: float) -> None:
        """Wait so long for answers to letters on the wire, where no other may begin."""
        self.withdraw()
        end = time.monotonic() + seconds
        while self.is_owed and time.monotonic() < end:
            self.is_heard = True
            self.step(self.LOOK)

    def give_up(self) -> None:
        """Wait no longer for answers: letters that left whole are in doubt, others were not begun."""
        for session in [s for s in self.sessions.values() if s.letter]:
            if not session.handed_over:
                letter, session.letter = session.letter, None
                self.returned(letter)
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
        if self.queue and (not self.sessions or time.monotonic() >= self._rest_until):
            wanted = min(self.size - len(self.sessions), len(self.queue))
            is_extra = bool(self.sessions)
            for _ in range(wanted - self._opening if is_extra else 1 - self._opening):
                self._opening += 1
                threading.Thread(target=self._open, args=(is_extra,), daemon=True).start()

    def _open(self, is_extra: bool) -> None:
        """Open one connection, beside another one that works or not: the life of a thread."""
        timings: list[tuple[str, float]] = []
        try:
            opened: Connection | Broken = open_connection(
                self.server, lambda stage, seconds: timings.append((stage, seconds))
            )
        except Broken as broken:
            opened = broken
        except Exception as error:  # whatever it was, the worker must hear of it
            logger.exception("opening a connection")
            opened = Broken("connect", f"{type(error).__name__}: {error}")
        self._opened.put((opened, timings, is_extra))
        try:
            self._bell.send(b"!")
        except OSError:
            self._adopt_opened()  # The pool is closed.

    def _adopt_opened(self) -> None:
        if not self._closed:
            self._wake.recv(64)
        while True:
            try:
                opened, timings, is_extra = self._opened.get_nowait()
            except Empty:
                return
            for stage, seconds in timings:
                self._took(stage, seconds)
            self._opening -= 1
            if isinstance(opened, Broken):
                self._could_not_open(opened, is_extra)
            elif self._closed:
                opened.close()
            else:
                session = Session(opened, self.server, self, self._took)
                self.sessions[session.fd] = session
                self._poll.register(session.fd, select.EPOLLIN)
                self._idle.append(session)

    def _could_not_open(self, broken: Broken, is_extra: bool) -> None:
        # A server that refuses one connection more than it allows is in no trouble, also where
        # the connection that worked has ended meanwhile.
        if is_extra or self.sessions or self._opening:
            self._rest_until = time.monotonic() + self.REST
        elif self.queue:
            self.not_taken(self.queue.popleft(), broken)

    def _serve(self, session: Session, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._guarded(session, session.on_writable)
        if mask & ~select.EPOLLOUT and session.fd in self.sessions:
            self._guarded(session, session.on_readable)
        if session.unsent or session.fd in self._writing:
            self._watch_writing(session)
        if session.letter is None and session.fd in self.sessions:
            self._idle.append(session)

    def _watch_writing(self, session: Session) -> None:
        if session.fd not in self.sessions:
            self._writing.discard(session.fd)
        elif session.unsent:
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
            self.in_doubt(letter)
        elif letter and not self.goes_back(session, session.stage, letter):
            self.not_taken(letter, Broken(session.stage, broken.words, broken.code))
        session.close()

    def goes_back(self, session: Session, stage: str, letter: Any) -> bool:
        """Queue a letter again that came to a session when the server had had enough of it.

        Servers close idle and long sessions; that is nobody's failure.
        """
        if stage not in ("reset", "mail") or not session.sent:
            return False
        self.queue.appendleft(letter)
        return True

    # -- what sessions call (session.Desk)

    def take(self, session: Session, *, ahead: bool) -> Any | None:
        """Return the next letter that may begin, if it is this session's turn."""
        # Announced behind another letter it would wait while other connections are free.
        while len(self.queue) > (1 if ahead else 0):
            letter = self.queue.popleft()
            if not letter.may_begin():
                self.returned(letter)
            elif letter.utf8 and not session.takes_utf8:
                self.cannot_take(letter)
            else:
                return letter
        return None

    def withdrawn(self, session: Session, letter: Any) -> None:
        self.returned(letter)

    # -- what becomes of letters

    def ended(self, session: Session, letter: Any, stage: str, reply: Reply) -> None:
        """Take in the server's verdict (see session.Desk)."""
        raise NotImplementedError

    def not_taken(self, letter: Any, broken: Broken) -> None:
        """Take in that there was no session, or that it broke before the letter was handed over."""
        raise NotImplementedError

    def in_doubt(self, letter: Any) -> None:
        """Take in that the session broke after the letter was handed over, before the verdict."""
        raise NotImplementedError

    def cannot_take(self, letter: Any) -> None:
        """Take in that the server does not know internationalised addresses (RFC 6531)."""
        raise NotImplementedError

    def returned(self, letter: Any) -> None:
        """Take back a letter that may no longer begin."""
        raise NotImplementedError
