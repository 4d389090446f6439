"""Mail servers for tests: real sockets, real SMTP, and misbehaviour by stage and recipient."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

CLOSE = b"<close>"  # close the connection without a word
HANG = b"<hang>"  # never answer
DRIP = b"<drip>"  # answer one character at a time, for ever
LATER = b"451 4.7.1 Try again later\r\n"
NEVER = b"550 5.1.1 No such user\r\n"
GOODBYE = b"421 4.3.2 Closing\r\n"
GARBAGE = b"\x00\xff<html>what?</html>\r\n"

GOOD = {
    "connect": b"220 test ESMTP\r\n",
    "mail": b"250 2.1.0 Ok\r\n",
    "rcpt": b"250 2.1.5 Ok\r\n",
    "data": b"354 Go on\r\n",
    "body": b"250 2.0.0 Ok: queued\r\n",
    "login": b"235 2.7.0 Welcome\r\n",
}


@dataclass
class Fault:
    """What to do at a stage instead of agreeing; for one recipient or for all."""

    stage: str
    action: bytes
    to: str = "*"
    times: int = 10**9


@dataclass
class ScriptedServer:
    """An SMTP server that keeps every letter it takes over and misbehaves as it is told.

    `letters` holds (recipient, bytes) of letters whose body has come in whole, also where the
    answer to it was withheld: that is what a real server may have delivered.
    """

    faults: list[Fault] = field(default_factory=list)
    # None: a server that knows HELO only.
    extensions: tuple[str, ...] | None = ("PIPELINING", "8BITMIME", "SMTPUTF8")
    tls: ssl.SSLContext | None = None
    tls_first: bool = False  # TLS from the first byte instead of STARTTLS
    before: Callable[[str, str], None] | None = None
    letters: list[tuple[str, bytes]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    sessions: int = 0
    nested_mail: bool = False  # refuse MAIL inside a transaction, as strict servers do
    max_sessions: int = 10**9
    close_after: int = 10**9
    host: str = "127.0.0.1"

    def __enter__(self) -> ScriptedServer:
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.alive = 0
        self.listener = socket.create_server((self.host, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    @property
    def url(self) -> str:
        return f"smtp://{self.host}:{self.port}"

    def fail(self, stage: str, action: bytes, *, to: str = "*", times: int = 10**9) -> None:
        self.faults.append(Fault(stage, action, to, times))

    def recover(self) -> None:
        self.faults.clear()

    def recipients(self) -> list[str]:
        return [recipient for recipient, _letter in self.letters]

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                sock, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls and self.tls_first:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
        with self.lock:
            self.sessions += 1
            self.alive += 1
            crowded = self.alive > self.max_sessions
        try:
            with sock:
                if crowded:
                    sock.sendall(b"421 4.7.0 Too many connections\r\n")
                else:
                    Session(self, sock).run()
        except OSError:
            pass  # The client went away, or was sent away by the script.
        finally:
            with self.lock:
                self.alive -= 1

    def action(self, stage: str, recipient: str) -> bytes | None:
        with self.lock:
            for fault in self.faults:
                if fault.stage == stage and fault.to in ("*", recipient) and fault.times > 0:
                    fault.times -= 1
                    return fault.action
        return None


class Session:
    def __init__(self, server: ScriptedServer, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.reader = sock.makefile("rb")
        self.recipient = ""
        self.taken = 0
        self.in_transaction = False

    def run(self) -> None:
        self.answer("connect")
        while line := self.reader.readline():  # STARTTLS puts another reader in its place.
            verb = line.split(b" ")[0].strip().upper().decode("utf-8", "replace")
            self.server.commands.append(line.decode("utf-8", "replace").strip())
            handler = getattr(self, f"do_{verb.lower()}", None)
            if handler is None:
                self.sock.sendall(b"500 5.5.2 What?\r\n")
            else:
                handler(line)

    def answer(self, stage: str, good: bytes | None = None) -> bool:
        """Say what the script wants at this stage; return whether it was agreement."""
        if self.server.before:
            self.server.before(stage, self.recipient)
        action = self.server.action(stage, self.recipient)
        if action == CLOSE:
            raise ConnectionError
        if action == HANG:
            self.server.stopped.wait()
            raise ConnectionError
        if action == DRIP:
            self.drip()
        self.sock.sendall(action or good or GOOD[stage])
        if action and action.startswith(b"421"):
            raise ConnectionError
        return action is None

    def drip(self) -> None:
        while not self.server.stopped.wait(0.05):
            self.sock.sendall(b"2")
        raise ConnectionError

    def do_ehlo(self, _line: bytes) -> None:
        if self.server.extensions is None:
            self.sock.sendall(b"500 5.5.1 What?\r\n")
            return
        lines = ["test", *self.server.extensions]
        parts = [f"250-{line}\r\n" for line in lines[:-1]] + [f"250 {lines[-1]}\r\n"]
        self.answer("hello", "".join(parts).encode())

    def do_helo(self, _line: bytes) -> None:
        self.answer("hello", b"250 test\r\n")

    def do_starttls(self, _line: bytes) -> None:
        if self.answer("tls", b"220 Go\r\n"):
            self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)
            self.reader = self.sock.makefile("rb")

    def do_auth(self, _line: bytes) -> None:
        self.answer("login")

    def do_mail(self, _line: bytes) -> None:
        if self.taken >= self.server.close_after:
            self.sock.sendall(GOODBYE)
            raise ConnectionError
        if self.in_transaction and self.server.nested_mail:
            self.sock.sendall(b"503 Error: nested MAIL command\r\n")
            return
        self.in_transaction = True
        self.recipient = ""
        self.answer("mail")

    def do_rcpt(self, line: bytes) -> None:
        recipient = re.search(rb"<(.*?)>", line)[1].decode("utf-8", "replace")
        self.recipient = recipient
        if not self.answer("rcpt"):
            self.recipient = ""

    def do_data(self, _line: bytes) -> None:
        if not self.recipient:
            self.sock.sendall(b"554 5.5.1 No valid recipients\r\n")
            return
        if not self.answer("data"):
            return
        letter = b""
        for line in self.reader:
            if line == b".\r\n":
                break
            letter += line
        else:
            raise ConnectionError
        action = self.server.action("before-body", self.recipient)
        if action is None:
            self.server.letters.append((self.recipient, letter))
            self.taken += 1
        if self.answer("body"):
            self.in_transaction = False

    def do_rset(self, _line: bytes) -> None:
        self.in_transaction = False
        self.recipient = ""
        self.sock.sendall(b"250 2.0.0 Ok\r\n")

    def do_quit(self, _line: bytes) -> None:
        self.sock.sendall(b"221 2.0.0 Bye\r\n")
        raise ConnectionError
