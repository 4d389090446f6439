"""From a TCP connection to a session that takes letters: greeting, EHLO, TLS, login.

Every wait is bounded, and so are all of them together, but it waits: the loop that sends runs this
in a thread.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from mailings.smtp.protocol import Broken, Connection, Reply, ReplyReader, Server, describe

# Seconds that a server has for a reply before it takes letters, if it has not less by
# Server.timeout, and for all of them together. Letters may be waited for longer; but whether there
# is a connection a worker must know within a turn (TURN_SECONDS of tasks.py), or it would never
# find out that the server is out of order.
REPLY_SECONDS, SETUP_SECONDS = 30.0, 45.0

# Called with a stage and how long the server took for it, in seconds.
Took = Callable[[str, float], None]


def open_connection(server: Server, took: Took = lambda stage, seconds: None) -> Connection:
    """Connect, greet, secure and log in. Raises `Broken` with a stage of SETUP."""
    handshake = Handshake(server, took)
    try:
        handshake.run()
    except BaseException:
        handshake.close()
        raise
    return Connection(handshake.sock, handshake.extensions)


def look_up(server: Server, asked: Future[list[Any]]) -> None:
    """Ask the system for a server's addresses: the life of a thread."""
    try:
        asked.set_result(socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM))
    except Exception as error:  # noqa: BLE001 - raised where the answer is waited for
        asked.set_exception(error)


class Handshake:
    def __init__(self, server: Server, took: Took) -> None:
        self.server, self.took = server, took
        self.end = time.monotonic() + SETUP_SECONDS
        self.sock: socket.socket | None = None
        self.extensions: dict[str, str] = {}
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._reader, self._replies = ReplyReader(), []

    def run(self) -> None:
        self._connect()
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
        if self._replies or self._reader.has_begun:
            raise Broken("hello", f"{self.server.name}: the server said more than it was asked")

    def close(self) -> None:
        if self.sock:
            with suppress(OSError):
                self.sock.close()

    def _patience(self) -> float:
        """Return for how many seconds to wait for what comes next."""
        left = self.end - time.monotonic()
        return max(min(self.server.timeout, REPLY_SECONDS, left), 0.001)

    def _connect(self) -> None:
        began = time.monotonic()
        try:
            self.sock = self._connect_to_any(self._look_up())
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ValueError) as error:  # UnicodeError: no host can have this name
            raise Broken("connect", f"{self.server.name}: {describe(error)}") from error
        self.took("connect", time.monotonic() - began)

    def _look_up(self) -> list[Any]:
        """Return the host's addresses; the system itself would wait for DNS for minutes."""
        asked: Future[list[Any]] = Future()
        threading.Thread(target=look_up, args=(self.server, asked), daemon=True).start()
        return asked.result(self._patience())

    def _connect_to_any(self, addresses: list[Any]) -> socket.socket:
        """Connect to the first address that answers; the time is shared out among them."""
        refused: OSError = OSError("the host has no address")
        until = time.monotonic() + self._patience()
        for number, (*_kind, address) in enumerate(addresses):
            share = (until - time.monotonic()) / (len(addresses) - number)
            try:
                return socket.create_connection(address[:2], timeout=max(share, 0.001))
            except OSError as error:
                refused = error
        raise refused

    def _hello(self) -> None:
        name = self.server.hello_name.encode("ascii", "replace")
        reply = self._ask("hello", b"EHLO " + name)
        if reply.code != 250:
            self._command("hello", b"HELO " + name, 250)
            self.extensions = {}
            return
        lines = [line.upper().partition(" ") for line in reply.text.split("\n")[1:]]
        self.extensions = {keyword: rest for keyword, _, rest in lines}

    def _secure(self) -> None:
        context = ssl.create_default_context()
        try:
            self.sock.settimeout(self._patience())
            self.sock = context.wrap_socket(self.sock, server_hostname=self.server.host)
        except OSError as error:
            raise Broken("tls", f"TLS: {describe(error)}") from error
        # What came before the handshake may be somebody else's (RFC 3207 section 6).
        self._begin_stream()

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
        reply = self._ask(stage, command)
        if reply.code != code:
            raise Broken(stage, str(reply), reply.code)

    def _expect(self, stage: str, code: int) -> None:
        reply = self._read_reply(stage)
        if reply.code != code:
            raise Broken(stage, str(reply), reply.code)

    def _ask(self, stage: str, command: bytes) -> Reply:
        began = time.monotonic()
        try:
            self.sock.settimeout(self._patience())
            self.sock.sendall(command + b"\r\n")
        except OSError as error:
            raise Broken(stage, f"{self.server.name}: {describe(error)}") from error
        reply = self._read_reply(stage)
        self.took(stage, time.monotonic() - began)
        return reply

    def _read_reply(self, stage: str) -> Reply:
        """Read one reply of any number of lines, all of it within the time limit."""
        deadline = time.monotonic() + self._patience()
        while not self._replies:
            try:
                self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionError("the server closed the connection")
            except OSError as error:
                raise Broken(stage, f"{self.server.name}: {describe(error)}") from error
            self._replies = self._reader.feed(data)
            if self._reader.error and not self._replies:
                raise Broken(stage, f"{self.server.name}: {self._reader.error}")
        return self._replies.pop(0)
