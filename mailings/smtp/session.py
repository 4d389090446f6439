"""Letters over one open session, without ever waiting.

A loop calls `on_readable` when the server has said something, and the session answers with all
that can go out at once. Where the server pipelines, the commands of the next letter travel
behind the body of the one before (RFC 2920 3.1 allows it), so a letter costs one round trip.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from typing import Protocol

from mailings.smtp.connect import Took
from mailings.smtp.protocol import GO_ON, Broken, Connection, Reply, ReplyReader, Server, describe

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
ENVELOPE = ("mail", "rcpt", "data")
STAGES = (*ENVELOPE, "body")


class Letter(Protocol):
    """What a session needs of a letter."""

    recipient: str
    utf8: bool  # RFC 6531: the recipient's mailbox is not ASCII

    def may_begin(self) -> bool:
        """Return whether the letter may still go out."""

    def build(self) -> bytes:
        """Return the letter dot-stuffed, with the final dot."""

    def handing_over(self) -> None:
        """Note that from now on the letter may arrive."""


class Desk(Protocol):
    """Where a session gets its letters, and where it reports what became of them."""

    def take(self, session: Session, *, ahead: bool) -> Letter | None:
        """Return the next letter that may begin; `ahead`: while another one is on its way."""

    def ended(self, session: Session, letter: Letter, stage: str, reply: Reply) -> None:
        """Take in the reply that ended a letter. Raises `Broken` to give the session up.

        Stage `body` means that the letter was handed over and the reply is the server's verdict;
        any other stage, that it was refused there.
        """

    def withdrawn(self, session: Session, letter: Letter) -> None:
        """Take back a letter that lost its right after DATA, before its body."""


class Session:
    """One open session. `letter` is in hand; `following` was announced behind its body."""

    def __init__(self, link: Connection, server: Server, desk: Desk, took: Took) -> None:
        self.sock, self.server, self.desk, self.took = link.sock, server, desk, took
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()
        self.pipelines = "PIPELINING" in link.extensions
        self.takes_utf8 = "SMTPUTF8" in link.extensions
        self.letter: Letter | None = None
        self.following: Letter | None = None
        self.sent = 0
        self.deadline = float("inf")
        self._reader = ReplyReader()
        self._expected: deque[str] = deque()
        self._to_say: deque[tuple[str, bytes]] = deque()  # lock-step: what is still to be said
        self._refusal: tuple[str, Reply] | None = None
        self._reset_first = False
        self._is_over = False  # nothing more is asked of this server
        self.unsent = b""  # what the kernel did not take yet
        self._after_dot = 0  # bytes of `unsent` that come after a letter's final dot
        self._asked_at: float | None = None
        self._mail = f"MAIL FROM:<{server.sender}>".encode()

    # -- what the loop asks

    @property
    def stage(self) -> str:
        """Return which reply the server owes."""
        return self._expected[0] if self._expected else "idle"

    @property
    def handed_over(self) -> bool:
        """Return whether the letter in hand left whole, and its verdict is not known."""
        return self.stage == "body" and len(self.unsent) <= self._after_dot

    def begin(self, letter: Letter) -> None:
        """Announce a letter on an idle session."""
        self.letter, self._refusal = letter, None
        commands = [*zip(ENVELOPE, self._envelope(letter), strict=True)]
        if self._reset_first:
            commands.insert(0, ("reset", b"RSET"))
        self._reset_first = False
        if self.pipelines:
            self._expected.extend(stage for stage, _command in commands)
            self._write(b"\r\n".join([*(command for _stage, command in commands), b""]))
        else:
            self._to_say.extend(commands)
            self._say_next()

    def on_readable(self) -> None:
        """Take in what the server has said. Raises `Broken` where the session is over."""
        try:
            data = self.sock.recv(16384)
            while isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
                data += self.sock.recv(16384)
        except WOULD_BLOCK:
            return
        except OSError as error:
            raise self._broken(describe(error)) from error
        if not data:
            raise self._broken("the server closed the connection")
        self._on_replies(self._reader.feed(data))

    def on_writable(self) -> None:
        """Send more of what the kernel did not take."""
        unsent, self.unsent = self.unsent, b""
        self._write(unsent, after_dot=self._after_dot, again=True)

    def close(self) -> None:
        Connection(self.sock, {}).close()

    # -- replies

    def _on_replies(self, replies: list[Reply]) -> None:
        reader, expected = self._reader, self._expected
        if replies:
            now = time.monotonic()
            if self._asked_at is not None and expected and expected[0] in STAGES:
                self.took(expected[0], now - self._asked_at)
            self._asked_at = None
            self.deadline = now + self.server.timeout
        error, owed = reader.error, len(expected)
        if len(replies) + reader.has_begun > owed:
            # Every further reply would be taken for that of another command.
            error = error or "the server said more than it was asked"
        self._is_over = bool(error)
        for reply in replies[:owed]:
            self._on_reply(expected.popleft(), reply)
        if error:
            raise self._broken(error)
        if not expected:
            self.deadline = float("inf")

    def _on_reply(self, stage: str, reply: Reply) -> None:
        if stage == "body":
            self._on_verdict(reply)
        elif stage == "unwanted body":
            self._end_refused()
        elif reply.code not in GO_ON[stage]:
            self._on_refusal(stage, reply)
        elif stage == "data":
            self._on_go_ahead()
        elif self._to_say:
            self._say_next()

    def _on_verdict(self, reply: Reply) -> None:
        letter, self.letter, self.following = self.letter, self.following, None
        self.sent += 1
        # Some servers keep the transaction open after they refused its letter.
        self._reset_first = not 200 <= reply.code < 300
        self._refusal = None
        self.desk.ended(self, letter, "body", reply)
        if self.letter is None:
            self._take_next()

    def _on_refusal(self, stage: str, reply: Reply) -> None:
        self._refusal = self._refusal or (stage, reply)
        # After a 421 the server closes; no further answer comes (RFC 5321 3.8).
        if stage == "data" or not self.pipelines or reply.code == 421:
            self._end_refused()

    def _on_go_ahead(self) -> None:
        if self._is_over:
            return
        if self._refusal:
            # RFC 2920 3.1: the server waits for a body although nobody was accepted.
            self._expected.append("unwanted body")
            self._write(b".\r\n")
        else:
            self._send_body()

    def _send_body(self) -> None:
        body = self.letter.build()
        # Noted first, looked at last: a process that stood still in between sends nothing.
        self.letter.handing_over()
        if not self.letter.may_begin():
            letter, self.letter = self.letter, None
            self.desk.withdrawn(self, letter)
            # The server waits for the body: only leaving it takes that back.
            raise Broken("withdrawn", "")
        self._expected.append("body")
        commands = b""
        if self.pipelines and (following := self.desk.take(self, ahead=True)):
            self.following = following
            self._expected.extend(ENVELOPE)
            commands = b"\r\n".join([*self._envelope(following), b""])
        self._write(body + commands, after_dot=len(commands))

    def _end_refused(self) -> None:
        letter, self.letter = self.letter, None
        stage, reply = self._refusal
        self._refusal, self._reset_first = None, True
        self._to_say.clear()
        self.desk.ended(self, letter, stage, reply)
        self._take_next()

    def _take_next(self) -> None:
        if self._is_over:
            return
        if letter := self.desk.take(self, ahead=False):
            self.begin(letter)

    # -- words out

    def _envelope(self, letter: Letter) -> tuple[bytes, bytes, bytes]:
        mail = self._mail + b" SMTPUTF8" if letter.utf8 else self._mail
        return mail, b"RCPT TO:<" + letter.recipient.encode() + b">", b"DATA"

    def _say_next(self) -> None:
        if self._is_over:
            return
        stage, command = self._to_say.popleft()
        if stage == "data" and not self.letter.may_begin():
            letter, self.letter = self.letter, None
            self._to_say.clear()
            self._reset_first = True  # MAIL and RCPT must go.
            self.desk.withdrawn(self, letter)
            self._take_next()
            return
        self._expected.append(stage)
        self._write(command + b"\r\n")

    def _write(self, data: bytes, *, after_dot: int = 0, again: bool = False) -> None:
        self._after_dot = after_dot
        now = time.monotonic()
        if not again:
            self._asked_at = now
            data = self.unsent + data
        self.deadline = now + self.server.timeout
        try:
            count = self.sock.send(data)
        except WOULD_BLOCK:
            count = 0
        except OSError as error:
            self.unsent = data
            raise self._broken(describe(error)) from error
        self.unsent = data[count:] if count < len(data) else b""

    def _broken(self, words: str) -> Broken:
        return Broken(self.stage, f"{self.server.name}: {words}")
