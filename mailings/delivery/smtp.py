"""One SMTP session: commands out, replies in, every wait bounded. It knows no mailing.

RFC 5321 (SMTP), RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import struct
import time
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import NamedTuple, Protocol

import idna
from django.conf import settings

# The stages before the first letter, in their order.
SETUP = ("connect", "hello", "tls", "login")
# What lets a letter go on at each stage.
GO_ON = {"reset": (250,), "mail": (250,), "rcpt": (250, 251, 252), "data": (354,)}

REPLY_LINE = re.compile(rb"^(\d{3})(?:([ -])(.*))?$", re.DOTALL)
MAX_LINE, MAX_REPLY = 4096, 65536  # bytes; RFC 5321 4.5.3.1.5 asks for 512 a line


class Reply(NamedTuple):
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


class Broken(Exception):
    """The conversation cannot go on: refused, lost, timed out, or not SMTP."""

    def __init__(self, stage: str, words: str, code: int | None = None) -> None:
        super().__init__(words)
        self.stage, self.words, self.code = stage, words, code


class Closed(Exception):
    """The right to begin a letter ended before its DATA."""


class ClosedLate(Closed):
    """The same, when the server waits for the body already: only leaving it takes that back."""


class Letter(Protocol):
    """What a session needs of a letter."""

    recipient: str
    utf8: bool  # RFC 6531: the recipient's mailbox is not ASCII

    def build(self) -> bytes:
        """Return the letter dot-stuffed, with the final dot."""

    def check(self) -> None:
        """Raise `Closed` unless the letter may begin."""

    def handing_over(self) -> None:
        """Note that from now on the letter may arrive."""


@dataclass(frozen=True)
class Server:
    """Where letters go, and how long to wait for a whole reply (seconds)."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False
    timeout: float = 30
    sender: str = ""
    hello_name: str = field(default_factory=socket.gethostname)

    @classmethod
    def from_settings(cls) -> Server:
        return cls(
            host=settings.EMAIL_HOST,
            port=settings.EMAIL_PORT,
            user=settings.EMAIL_HOST_USER or "",
            password=settings.EMAIL_HOST_PASSWORD or "",
            starttls=getattr(settings, "EMAIL_USE_TLS", False),
            tls=getattr(settings, "EMAIL_USE_SSL", False),
            timeout=settings.SMTP_TIMEOUT,
            sender=to_ascii(parseaddr(settings.DEFAULT_FROM_EMAIL)[1]),
        )

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


class Connection:
    """One SMTP session. `open()` it, `send()` any number of letters, `close()` it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.sock: socket.socket | None = None
        self.extensions: dict[str, str] = {}
        self.is_open = False
        self.sent = 0
        self._buffer = b""
        self._reset_first = False
        self._begun: Letter | None = None  # its MAIL, RCPT and DATA are out, not answered

    def open(self) -> None:
        """Connect, greet, secure and log in. Raises `Broken` with a stage of SETUP."""
        address = (self.server.host, self.server.port)
        try:
            self.sock = socket.create_connection(address, timeout=self.server.timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._let_kernel_time_out()
        except (OSError, ValueError) as error:  # UnicodeError: no host can have this name
            raise Broken("connect", f"{self.server.name}: {describe(error)}") from error
        if self.server.tls:
            self._secure()
        self._expect("connect", 220)
        self._hello()
        if self.server.starttls:
            self._command("tls", b"STARTTLS", 220)
            self._secure()
            self._hello()
        if self.server.user:
            self._login()
        self.is_open = True

    def send(self, letter: Letter, following: Letter | None = None) -> tuple[str, Reply]:
        """Send one letter; return the last stage reached and the reply that ended it.

        Stage `body` means that the letter was handed over and the reply is the server's verdict;
        any other stage, that it was refused there. Where the server pipelines, the commands of
        the `following` letter go out behind the body (RFC 2920 3.1 allows it); it must be the
        next that is sent. Raises `Closed` where the letter may no longer begin, and `Broken`
        where the session cannot be used any further (its stage `body`: the letter was handed
        over before).
        """
        refused = self._begin(letter)
        self._reset_first = refused is not None
        if refused:
            return refused
        try:
            letter.check()
        except Closed as closed:
            raise ClosedLate from closed
        body = letter.build()
        if following is not None:
            body += self._begin_behind(following)
        letter.handing_over()
        self._write("data", body)
        reply = self._read_reply("body")
        self.sent += 1
        # Some servers keep the transaction open after they refused its letter.
        self._reset_first = not 200 <= reply.code < 300
        return "body", reply

    def _let_kernel_time_out(self) -> None:
        """Bound every wait without the system calls that Python's own time-out costs each time.

        A TLS socket cannot do without those: see `_limit`.
        """
        whole, part = divmod(self.server.timeout, 1)
        wait = struct.pack("ll", int(whole), int(part * 1_000_000))
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)

    def _limit(self, seconds: float) -> None:
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.settimeout(max(seconds, 0.001))
        elif seconds <= 0:
            raise TimeoutError

    def close(self, *, politely: bool = True) -> None:
        if self.sock is None:
            return
        try:
            if politely:
                self.sock.settimeout(1)
                self.sock.sendall(b"QUIT\r\n")
        except OSError:
            pass  # It is being closed anyway.
        finally:
            self.sock.close()
            self._begin_anew()

    def _begin(self, letter: Letter) -> tuple[str, Reply] | None:
        """Bring the session to the point where it waits for the body; return a refusal."""
        stages, commands = ["mail", "rcpt", "data"], self._commands(letter)
        if self._begun is letter:
            self._begun = None
            return self._read_pipelined(stages)
        if self._buffer:
            # Every further reply would be taken for that of another command.
            raise Broken("mail", f"{self.server.name}: the server said more than it was asked")
        if self._reset_first:
            stages, commands = ["reset", *stages], [b"RSET", *commands]
        if "PIPELINING" in self.extensions:
            letter.check()
            self._write("mail", b"\r\n".join([*commands, b""]))
            return self._read_pipelined(stages)
        return self._lock_step(stages, commands, letter)

    def _begin_behind(self, following: Letter) -> bytes:
        """Return what begins the following letter, to be written behind a body; maybe nothing."""
        if "PIPELINING" not in self.extensions or (
            following.utf8 and "SMTPUTF8" not in self.extensions
        ):
            return b""
        try:
            following.check()
        except Closed:
            return b""
        self._begun = following
        return b"\r\n".join([*self._commands(following), b""])

    def _commands(self, letter: Letter) -> list[bytes]:
        mail = f"MAIL FROM:<{self.server.sender}>{' SMTPUTF8' if letter.utf8 else ''}"
        return [mail.encode(), f"RCPT TO:<{letter.recipient}>".encode(), b"DATA"]

    def _read_pipelined(self, stages: list[str]) -> tuple[str, Reply] | None:
        refusals: list[tuple[str, Reply]] = []
        for stage in stages:
            reply = self._read_reply(stage)
            if reply.code not in GO_ON[stage]:
                refusals.append((stage, reply))
            if reply.code == 421:
                break  # The server closes; no further answer comes.
        if refusals and reply.code == 354:
            # RFC 2920 3.1: the server waits for a body although nobody was accepted.
            self._write("data", b".\r\n")
            self._read_reply("rcpt")
        return refusals[0] if refusals else None

    def _lock_step(
        self, stages: list[str], commands: list[bytes], letter: Letter
    ) -> tuple[str, Reply] | None:
        for stage, command in zip(stages, commands, strict=True):
            if stage == "data":
                self._reset_first = True  # Should the gate be closed, MAIL and RCPT must go.
                letter.check()
            self._write(stage, command + b"\r\n")
            reply = self._read_reply(stage)
            if reply.code not in GO_ON[stage]:
                return stage, reply
        return None

    def _hello(self) -> None:
        name = self.server.hello_name.encode("ascii", "replace")
        self._write("hello", b"EHLO " + name + b"\r\n")
        reply = self._read_reply("hello")
        if reply.code != 250:
            self._command("hello", b"HELO " + name, 250)
            self.extensions = {}
            return
        lines = [line.upper().partition(" ") for line in reply.text.split("\n")[1:]]
        self.extensions = {keyword: rest for keyword, _, rest in lines}

    def _secure(self) -> None:
        context = ssl.create_default_context()
        try:
            self.sock.settimeout(self.server.timeout)
            self.sock = context.wrap_socket(self.sock, server_hostname=self.server.host)
        except OSError as error:
            raise Broken("tls", f"TLS: {describe(error)}") from error
        # What came before the handshake may be somebody else's (RFC 3207 section 6).
        self._buffer = b""

    def _login(self) -> None:
        methods = self.extensions.get("AUTH", "").split()
        user, password = self.server.user, self.server.password
        if "PLAIN" in methods or "LOGIN" not in methods:
            token = base64.b64encode(f"\0{user}\0{password}".encode())
            self._command("login", b"AUTH PLAIN " + token, 235)
            return
        self._command("login", b"AUTH LOGIN", 334)
        self._command("login", base64.b64encode(user.encode()), 334)
        self._command("login", base64.b64encode(password.encode()), 235)

    def _command(self, stage: str, command: bytes, code: int) -> None:
        self._write(stage, command + b"\r\n")
        self._expect(stage, code)

    def _expect(self, stage: str, code: int) -> None:
        reply = self._read_reply(stage)
        if reply.code != code:
            raise Broken(stage, str(reply), reply.code)

    def _write(self, stage: str, data: bytes) -> None:
        try:
            self._limit(self.server.timeout)
            self.sock.sendall(data)
        except OSError as error:
            raise Broken(stage, f"{self.server.name}: {describe(error)}") from error

    def _read_reply(self, stage: str) -> Reply:
        """Read one reply of any number of lines, all of it within the time limit."""
        deadline = time.monotonic() + self.server.timeout
        lines: list[str] = []
        size = 0
        while True:
            line = self._read_line(stage, deadline)
            found = REPLY_LINE.match(line)
            size += len(line)
            if not found or size > MAX_REPLY:
                raise Broken(stage, f"{self.server.name}: not an SMTP reply: {readable(line)}")
            lines.append(readable(found[3] or b""))
            if found[2] != b"-":
                return Reply(int(found[1]), "\n".join(lines))

    def _read_line(self, stage: str, deadline: float) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE:
                raise Broken(stage, f"{self.server.name}: a reply without an end")
            self._buffer += self._receive(stage, deadline)
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def _receive(self, stage: str, deadline: float) -> bytes:
        try:
            self._limit(deadline - time.monotonic())
            data = self.sock.recv(65536)
        except OSError as error:
            raise Broken(stage, f"{self.server.name}: {describe(error)}") from error
        if not data:
            raise Broken(stage, f"{self.server.name}: the server closed the connection")
        return data


def to_ascii(address: str) -> str:
    """Return an address with its domain as every server takes it (RFC 5891)."""
    local, _at, domain = address.rpartition("@")
    if not domain.isascii():
        domain = idna.encode(domain, uts46=True).decode()
    return f"{local}@{domain}"


def describe(error: Exception) -> str:
    if isinstance(error, TimeoutError | BlockingIOError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def readable(line: bytes) -> str:
    """Return a server's bytes as text that can be stored and shown."""
    text = line[:500].decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
