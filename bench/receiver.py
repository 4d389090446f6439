"""A mail server that logs what it took over, letter by letter, and misbehaves as it is told.

    python bench/receiver.py --port 2525 --log letters.log [--delay 0.05] [--close-after 100] …

Replies to what came in one read leave together, `--delay` seconds later: a network's round trip.
`--cut STAGE=SHARE` closes the connection at that share of the commands (hello, mail, rcpt, data)
or letters (dot: the letter is taken over, the answer to it withheld); at hello only while letters
come in, so that a server which was left alone for a while is found well. `--slow DOMAIN=RATE` answers
421 to recipients there beyond that many letters in any one second.

Lines of the log, their fields parted by tabs; numbers of letters count from 1:

    L  number  unix time  bytes on the wire  recipient  Message-ID     a letter was taken over
    R  number                                 the client certainly read the reply to this letter
    C  stage   unix time                                               a connection was cut
    B  refused | closed                     421: too many connections, too many letters on one
    T  domain  unix time                     421: too many letters a second for this domain
    D  recipient  unix time                  a DATA command came in (with --commands)
    S  recipient  unix time                  the first bytes of a body came in (with --commands)

Only what a client can send after it has read a reply proves that it did: the next letter's body,
RSET. Commands sent along with a letter prove nothing, nor does QUIT, also where a body was due: a
client that gives up says it with the reply unread.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import random
import re
import select
import signal
import socket
import time
from collections import deque
from pathlib import Path

CALM = 3.0  # seconds without a letter after which no connection is cut at EHLO
FLUSH_SECONDS = 0.1  # between two looks of whoever reads the log
END = b"\r\n.\r\n"
MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)


class Cut(Exception):
    """The connection is to be closed at once, what was answered before being sent."""


class Session:
    """One connection: bytes in, replies out."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.buffer = b""
        self.scanned = 0  # bytes of the buffer that hold no end of a body
        self.in_body = self.has_begun = self.ending = self.closed = False
        self.taken = 0
        self.recipient = b""
        # Letters by what became of their replies: on the way out; sent, perhaps not yet read.
        self.answered: list[int] = []
        self.sent: list[int] = []

    def feed(self, data: bytes) -> None:
        """Take in what came in one read, and answer it."""
        if self.ending:
            return
        if self.in_body and not data.startswith(b"QUIT\r\n"):
            self.confirm()
            self._begin_body()
        self.buffer += data
        replies: list[bytes] = []
        was_sent = bool(self.sent)
        try:
            while not self.ending:
                reply = self._take_body() if self.in_body else self._take_command(was_sent)
                if reply is None:
                    break
                replies.append(reply)
        except Cut:
            self.ending = True
            self.server.answer(self, b"".join(replies), hard=True)
            return
        if replies:
            self.server.answer(self, b"".join(replies))

    def confirm(self) -> None:
        """Log that the replies sent so far were read."""
        for number in self.sent:
            self.server.log.write(b"R\t%d\n" % number)
        self.sent = []

    def _begin_body(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            self.server.note_command(b"S", self.recipient)

    def _take_body(self) -> bytes | None:
        end = self.buffer.find(END, max(self.scanned - len(END), 0))
        if end < 0:
            self.scanned = len(self.buffer)
            return None
        letter, self.buffer = self.buffer[: end + len(END)], self.buffer[end + len(END) :]
        self.in_body, self.scanned = False, 0
        self.taken += 1
        number = self.server.take_over(self.recipient, letter)
        self.server.maybe_cut("dot")
        self.answered.append(number)
        return b"250 2.0.0 Ok: queued\r\n"

    def _take_command(self, was_sent: bool) -> bytes | None:
        line, found, rest = self.buffer.partition(b"\n")
        if not found:
            return None
        self.buffer = rest
        verb = line[:4].upper()
        if verb == b"MAIL":
            return self._mail()
        if verb == b"RCPT":
            return self._rcpt(line)
        if verb == b"DATA":
            self.server.note_command(b"D", self.recipient)
            self.server.maybe_cut("data")
            self.in_body, self.has_begun = True, False
            return b"354 Go on\r\n"
        if was_sent and verb != b"QUIT":
            self.confirm()
        return self._take_other(verb)

    def _mail(self) -> bytes:
        self.server.maybe_cut("mail")
        if self.taken >= self.server.options.close_after:
            self.ending = True
            self.server.log.write(b"B\tclosed\n")
            return b"421 4.3.2 Enough for one connection\r\n"
        return b"250 2.1.0 Ok\r\n"

    def _rcpt(self, line: bytes) -> bytes:
        self.server.maybe_cut("rcpt")
        self.recipient = line[line.find(b"<") + 1 : line.rfind(b">")]
        if self.server.is_too_fast(self.recipient):
            self.ending = True
            return b"421 4.7.28 Too fast\r\n"
        return b"250 2.1.5 Ok\r\n"

    def _take_other(self, verb: bytes) -> bytes:
        if verb == b"EHLO":
            self.server.maybe_cut("hello")
            return self.server.hello
        if verb == b"QUIT":
            self.ending = True
            return b"221 2.0.0 Bye\r\n"
        return b"250 2.0.0 Ok\r\n"  # HELO, RSET, NOOP


class Server:
    """All connections in one loop, and the log."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cuts = {name: float(share) for name, share in (cut.split("=") for cut in options.cut)}
        slow = (limit.split("=") for limit in options.slow)
        self.limits = {domain.encode(): int(rate) for domain, rate in slow}
        self.let_through = {domain: deque(maxlen=rate) for domain, rate in self.limits.items()}
        self.random = random.Random(options.seed)
        lines = [b"receiver", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES"]
        lines += [] if options.no_pipelining else [b"PIPELINING"]
        self.hello = b"".join(b"250-%s\r\n" % line for line in lines) + b"250 SIZE 10240000\r\n"
        self.log = Path(options.log).open("wb", buffering=1 << 20)  # noqa: SIM115 - its whole life
        self.letters, self.took_at = 0, time.monotonic()
        self.sessions: dict[int, Session] = {}
        # Replies that wait for their time: when, order, for whom, which, and close afterwards?
        self.waiting: list[tuple[float, int, Session, bytes, bool]] = []
        self.order = 0
        self.stopping = False
        self.poll = select.epoll()
        self.listener = socket.create_server(("127.0.0.1", options.port), backlog=1024)
        self.listener.setblocking(False)
        self.poll.register(self.listener, select.EPOLLIN)

    def run(self) -> None:
        flushed = time.monotonic()
        while not self.stopping:
            for fd, _event in self.poll.poll(self._patience(), 256):
                if fd == self.listener.fileno():
                    self._accept()
                elif fd in self.sessions:
                    self._read(self.sessions[fd])
            clock = time.monotonic()
            while self.waiting and self.waiting[0][0] <= clock:
                _due, _order, session, replies, hard = heapq.heappop(self.waiting)
                self._send(session, replies, hard)
            if clock - flushed >= FLUSH_SECONDS:
                self.log.flush()
                flushed = clock
        self.log.close()

    def stop(self, *_signal: object) -> None:
        self.stopping = True

    def take_over(self, recipient: bytes, letter: bytes) -> int:
        """Log a letter; return its number."""
        self.letters, self.took_at = self.letters + 1, time.monotonic()
        found = MESSAGE_ID.search(letter)
        name = found[1] if found else b"-"
        self.log.write(
            b"L\t%d\t%.6f\t%d\t%s\t%s\n" % (self.letters, time.time(), len(letter), recipient, name)
        )
        if self.letters <= self.options.keep:
            Path(f"{self.options.log}.{self.letters}.eml").write_bytes(letter)
        return self.letters

    def maybe_cut(self, stage: str) -> None:
        is_quiet = stage == "hello" and time.monotonic() - self.took_at > CALM
        if self.random.random() < self.cuts.get(stage, 0) and not is_quiet:
            self.log.write(b"C\t%s\t%.6f\n" % (stage.encode(), time.time()))
            raise Cut

    def is_too_fast(self, recipient: bytes) -> bool:
        """Return whether the recipient's domain has had all its letters of this second."""
        domain = recipient.rpartition(b"@")[2]
        if domain not in self.limits:
            return False
        now, moments = time.monotonic(), self.let_through[domain]
        if len(moments) == moments.maxlen and now - moments[0] < 1:
            self.log.write(b"T\t%s\t%.6f\n" % (domain, time.time()))
            return True
        moments.append(now)
        return False

    def note_command(self, kind: bytes, recipient: bytes) -> None:
        if self.options.commands:
            self.log.write(b"%s\t%s\t%.6f\n" % (kind, recipient, time.time()))

    def answer(self, session: Session, replies: bytes, *, hard: bool = False) -> None:
        """Send replies when their time comes; `hard`: close then, whatever is still to be read."""
        if not self.options.delay:
            self._send(session, replies, hard)
            return
        self.order += 1
        due = time.monotonic() + self.options.delay
        heapq.heappush(self.waiting, (due, self.order, session, replies, hard))

    def _patience(self) -> float:
        if not self.waiting:
            return FLUSH_SECONDS
        return min(max(self.waiting[0][0] - time.monotonic(), 0), FLUSH_SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _address = self.listener.accept()
                if len(self.sessions) >= self.options.connections:
                    self.log.write(b"B\trefused\n")
                    sock.send(b"421 4.7.0 Too many connections\r\n")
                    sock.close()
                    continue
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                session = self.sessions[sock.fileno()] = Session(self, sock)
                self.poll.register(sock, select.EPOLLIN)
                self.answer(session, b"220 receiver ESMTP\r\n")

    def _read(self, session: Session) -> None:
        try:
            data = session.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            session.feed(data)
        else:
            self._close(session)

    def _send(self, session: Session, replies: bytes, hard: bool) -> None:
        if session.closed:
            return
        try:
            if replies:
                session.sock.send(replies)
            session.sent += session.answered
            session.answered = []
            if session.ending and not hard:
                # Closed at once, with bytes of the client unread, the reply might never arrive.
                session.sock.shutdown(socket.SHUT_WR)
        except OSError:
            hard = True
        if hard:
            self._close(session)

    def _close(self, session: Session) -> None:
        if not session.closed:
            session.closed = True
            del self.sessions[session.sock.fileno()]
            session.sock.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before every reply")
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--close-after", type=int, default=10**9, help="letters of a connection")
    parser.add_argument("--connections", type=int, default=10**9, help="at a time, others get 421")
    parser.add_argument("--cut", action="append", default=[], metavar="STAGE=SHARE")
    parser.add_argument("--slow", action="append", default=[], metavar="DOMAIN=RATE")
    parser.add_argument("--commands", action="store_true", help="log when letters began")
    parser.add_argument("--keep", type=int, default=0, help="write so many letters to files")
    parser.add_argument("--seed", type=int, default=0, help="of the cuts")
    server = Server(parser.parse_args())
    signal.signal(signal.SIGTERM, server.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Whoever started it ends it.
    server.run()


if __name__ == "__main__":
    main()
