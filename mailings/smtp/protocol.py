"""What all parts of the client speak: servers, replies, what may go wrong."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from email.utils import parseaddr
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings

from mailings.mime import to_ascii

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


@dataclass(slots=True)
class Connection:
    """A connection that takes letters: what connect.py hands over to session.py."""

    sock: socket.socket
    extensions: dict[str, str]

    def close(self) -> None:
        """Say QUIT without waiting for an answer, and close."""
        try:
            self.sock.setblocking(False)
            self.sock.send(b"QUIT\r\n")
        except (OSError, ssl.SSLError):
            pass  # It is being closed anyway.
        finally:
            self.sock.close()


class ReplyReader:
    """Puts replies together from the bytes that come in.

    After something that is no reply `error` says what it was, and nothing more is read.
    """

    __slots__ = ("_buffer", "_lines", "_size", "error")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[str] = []
        self._size = 0
        self.error = ""

    @property
    def has_begun(self) -> bool:
        """Return whether the server has begun to say something more."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that `data` completes."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        replies: list[Reply] = []
        for line in lines:
            reply, is_last = parse_line(line)
            self._size += len(line)
            if reply is None or self._size > MAX_REPLY:
                self.error = f"not an SMTP reply: {readable(line)}"
                return replies
            if not is_last:
                self._lines.append(reply.text)
                continue
            if self._lines:
                reply = Reply(reply.code, "\n".join([*self._lines, reply.text]))
                self._lines = []
            self._size = 0
            replies.append(reply)
        if len(self._buffer) > MAX_LINE:
            self.error = "a reply without an end"
        return replies


@lru_cache(maxsize=512)  # Servers say the same few lines over and over.
def parse_line(line: bytes) -> tuple[Reply | None, bool]:
    """Return the reply on a line, None where it is none, and whether it is the reply's last line."""
    found = REPLY_LINE.match(line.rstrip(b"\r"))
    if not found:
        return None, True
    code, hyphen, words = found.groups()
    return Reply(int(code), readable(words or b"")), hyphen != b"-"


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
