"""Sessions with servers that speak in unusual ways, with big letters, and at the end of a worker."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from mailings import reasons
from mailings.delivery import dispatch
from mailings.delivery.transport import Outcome, Result, Transport
from mailings.models import Chunk, MailServer
from mailings.smtp.protocol import Server
from mailings.tests import servers
from mailings.tests.conftest import ledger_of, let_time_pass, make_due, only_run
from mailings.tests.servers import CLOSE, HANG, ScriptedServer
from mailings.tests.test_faults import certificates, context_for

__all__ = ["certificates"]


@pytest.fixture
def server(server: ScriptedServer) -> ScriptedServer:
    """The mail server of all tests, answering at once."""
    server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


class Voice:
    """A socket whose owner speaks in its own way."""

    def __init__(self, sock: socket.socket, say: Callable[[socket.socket, bytes], None]) -> None:
        self._sock, self._say = sock, say

    def sendall(self, data: bytes) -> None:
        self._say(self._sock, data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


def in_pieces(sock: socket.socket, data: bytes) -> None:
    for byte in data:
        sock.sendall(bytes([byte]))


def in_several_lines(sock: socket.socket, data: bytes) -> None:
    if data[3:4] == b" ":
        data = data[:3] + b"-First\r\n" + data[:3] + b"-\r\n" + data
    sock.sendall(data)


def with_bare_newlines(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data.replace(b"\r\n", b"\n"))


def all_at_once() -> Callable[[socket.socket, bytes], None]:
    """Keep agreement to MAIL and RCPT back until there is more to say."""
    kept: dict[socket.socket, bytes] = {}

    def say(sock: socket.socket, data: bytes) -> None:
        kept[sock] = kept.get(sock, b"") + data
        if not data.startswith(b"250 2.1."):
            sock.sendall(kept.pop(sock))

    return say


def let_speak(monkeypatch, say: Callable[[socket.socket, bytes], None]) -> None:
    class Speaker(servers.Session):
        def __init__(self, server: ScriptedServer, sock: socket.socket) -> None:
            super().__init__(server, sock)
            self.sock = Voice(sock, say)

    monkeypatch.setattr(servers, "Session", Speaker)


def assert_each_got_one(server: ScriptedServer, count: int) -> None:
    assert sorted(server.recipients()) == sorted(f"c{n}@example.com" for n in range(count))


class TestWaysToSpeak:
    @pytest.mark.parametrize(
        "say",
        [in_pieces, in_several_lines, with_bare_newlines, all_at_once()],
        ids=["in pieces", "several lines", "bare newlines", "all at once"],
    )
    def test_letters_go_out(self, server, due, monkeypatch, say):
        let_speak(monkeypatch, say)
        server.fail("rcpt", servers.NEVER, to="c3@example.com")
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.accepted, run.rejected) == ("partial", 4, 1)
        assert run.deliveries.get(status="rejected").email == "c3@example.com"
        assert len(server.letters) == 4

    def test_in_pieces_without_pipelining(self, server, due, monkeypatch):
        server.extensions = ()
        let_speak(monkeypatch, in_pieces)
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert_each_got_one(server, 5)


@dataclass
class Letter:
    """What a session needs of a letter, and what became of it."""

    recipient: str
    content: bytes = b"Subject: Hello\r\n\r\nHello\r\n"
    allowed: bool = True
    utf8: bool = False
    results: list[Result] = field(default_factory=list)

    def may_begin(self) -> bool:
        return self.allowed

    def build(self) -> bytes:
        return self.content + b".\r\n"

    def handing_over(self) -> None:
        pass


def ignore(*_args: object) -> None:
    """Take what nobody wants to know."""


@pytest.fixture
def transport(server, settings):
    """Connections to the server, as a worker keeps them."""

    def open_transport(size: int = 1) -> Transport:
        opened.append(Transport(Server.from_settings(), size, ignore, ignore))
        return opened[-1]

    opened: list[Transport] = []
    yield open_transport
    for each in opened:
        each.close()


def send(transport: Transport, *letters: Letter) -> list[Outcome]:
    """Send letters; return what became of them, in their order."""
    transport.submit(letters)
    end = time.monotonic() + 20
    while not all(letter.results for letter in letters):
        assert time.monotonic() < end
        transport.step(0.1)
        for letter, result in transport.take_results():
            letter.results.append(result)
    assert all(len(letter.results) == 1 for letter in letters)
    return [letter.results[0].outcome for letter in letters]


MEGABYTE = b"".join(b"%06d %s\r\n" % (n, b"x" * 70) for n in range(13_000))


class TestBigLetters:
    @pytest.fixture(autouse=True)
    def tight(self, server, monkeypatch):
        """Leave so little room in the kernel that a letter goes out in many parts."""
        server.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain = socket.create_connection

        def create_connection(*args, **kwargs):
            sock = plain(*args, **kwargs)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            return sock

        monkeypatch.setattr(socket, "create_connection", create_connection)

    @pytest.mark.parametrize("pipelining", [True, False])
    def test_arrive_whole_beside_small_ones(self, server, transport, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        letters = [Letter(f"c{n}@example.com") for n in range(6)]
        letters[1].content = letters[2].content = letters[4].content = MEGABYTE
        assert set(send(transport(2), *letters)) == {Outcome.ACCEPTED}
        assert dict(server.letters) == {each.recipient: each.content for each in letters}

    @pytest.mark.parametrize("from_the_start", [True, False])
    def test_arrive_whole_over_tls(self, server, transport, settings, certificates, from_the_start):
        server.tls = context_for(certificates, "127.0.0.1")
        server.tls_first = settings.EMAIL_USE_SSL = from_the_start
        settings.EMAIL_USE_TLS = not from_the_start
        letters = [Letter(f"c{n}@example.com", MEGABYTE) for n in range(3)]
        assert set(send(transport(), *letters)) == {Outcome.ACCEPTED}
        assert server.letters == [(each.recipient, MEGABYTE) for each in letters]

    def test_cut_off_in_the_middle_it_is_not_in_doubt(self, server, transport, monkeypatch):
        """A letter whose final dot did not leave cannot have been taken."""

        class Cutter(servers.Session):
            def do_data(self, line: bytes) -> None:
                if self.recipient != "c1@example.com" or server.sessions > 1:
                    return super().do_data(line)
                self.answer("data")
                self.reader.read(100_000)
                raise ConnectionError

        monkeypatch.setattr(servers, "Session", Cutter)
        letters = [Letter(f"c{n}@example.com", MEGABYTE) for n in range(3)]
        outcomes = send(transport(), *letters)
        assert outcomes == [Outcome.ACCEPTED, Outcome.UNSENT, Outcome.ACCEPTED]

    def test_a_server_that_stops_reading(self, server, transport, settings):
        """It is given up after a while, and the letter is not in doubt."""
        settings.SMTP_TIMEOUT = 0.3
        stuck = threading.Event()

        class Sleeper(servers.Session):
            def do_data(self, _line: bytes) -> None:
                self.answer("data")
                stuck.wait(20)
                raise ConnectionError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(servers, "Session", Sleeper)
            assert send(transport(), Letter("c0@example.com", MEGABYTE)) == [Outcome.UNSENT]
            stuck.set()


class TestKeptSessions:
    @pytest.mark.parametrize("pipelining", [True, False])
    def test_closed_by_the_server_while_idle(self, server, transport, monkeypatch, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        closed = threading.Event()

        class Impatient(servers.Session):
            def do_data(self, line: bytes) -> None:
                super().do_data(line)
                self.sock.shutdown(socket.SHUT_RDWR)
                closed.set()
                raise ConnectionError

        monkeypatch.setattr(servers, "Session", Impatient)
        kept = transport()
        for number in range(3):
            assert send(kept, Letter(f"c{number}@example.com")) == [Outcome.ACCEPTED]
            assert closed.wait(10)
            closed.clear()
        assert_each_got_one(server, 3)

    def test_closed_with_farewell_while_idle(self, server, transport, monkeypatch):
        said = threading.Event()

        class Polite(servers.Session):
            def do_data(self, line: bytes) -> None:
                super().do_data(line)
                self.sock.sendall(b"421 4.4.2 Idle for too long\r\n")
                said.set()
                raise ConnectionError

        monkeypatch.setattr(servers, "Session", Polite)
        kept = transport()
        outcomes = []
        for number in range(3):
            outcomes += send(kept, Letter(f"c{number}@example.com"))
            assert said.wait(10)
            said.clear()
        assert outcomes == [Outcome.ACCEPTED] * 3
        assert_each_got_one(server, 3)

    def test_after_every_letter_in_a_run(self, server, due, monkeypatch):
        class Impatient(servers.Session):
            def do_data(self, line: bytes) -> None:
                super().do_data(line)
                raise ConnectionError

        monkeypatch.setattr(servers, "Session", Impatient)
        dispatch.run_pass()
        for _ in range(5):
            let_time_pass(due)
            dispatch.run_pass()
        assert only_run(due).status == "success"
        assert_each_got_one(server, 5)

    @pytest.mark.parametrize("allowed", [1, 2])
    def test_a_server_that_allows_few_connections(self, server, owner, settings, allowed):
        settings.SMTP_CONNECTIONS = 6
        server.max_sessions = allowed
        due = make_due(owner, 30)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.accepted) == ("success", 30)
        assert MailServer.objects.get().trouble_since is None
        assert_each_got_one(server, 30)


class TestWithdrawn:
    @pytest.mark.parametrize("pipelining", [True, False])
    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
    def test_a_letter_that_loses_its_right_is_not_sent(self, server, transport, stage, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        letters = [Letter(f"c{n}@example.com") for n in range(4)]

        def withdraw(now: str, recipient: str) -> None:
            if now == stage and (recipient == "c2@example.com" or len(server.letters) == 2):
                letters[2].allowed = False

        server.before = withdraw
        outcomes = send(transport(), *letters)
        expected = [Outcome.ACCEPTED] * 4
        expected[2] = Outcome.RETURNED
        assert outcomes == expected
        assert "c2@example.com" not in server.recipients()
        assert len(server.letters) == 3

    def test_letters_that_wait_come_back(self, server, transport):
        server.fail("data", HANG)
        pool = transport()
        letters = [Letter(f"c{n}@example.com", allowed=n == 0) for n in range(4)]
        pool.submit(letters)
        pool.withdraw()
        returned = pool.take_results()
        assert [letter.recipient[:2] for letter, _result in returned] == ["c1", "c2", "c3"]
        assert {result.outcome for _letter, result in returned} == {Outcome.RETURNED}


class Stop:
    """What a pass asks whether it shall stop."""

    def __init__(self) -> None:
        self._is_wanted, self._is_heard = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        if self._is_wanted.is_set():
            self._is_heard.set()
        return self._is_wanted.is_set()

    def tell(self) -> None:
        """Return when the pass knows that it shall."""
        self._is_wanted.set()
        assert self._is_heard.wait(30)


class TestStop:
    """SIGTERM: a worker ends soon, whatever the server does."""

    @pytest.mark.parametrize(("policy", "status"), [("resend", "deferred"), ("leave", "unknown")])
    def test_a_server_that_never_answers_the_final_dot(
        self, server, owner, settings, monkeypatch, policy, status
    ):
        settings.SMTP_TIMEOUT, settings.SMTP_CONNECTIONS = 60, 1
        monkeypatch.setattr(dispatch, "STOP_SECONDS", 0.2)
        server.fail("body", HANG, to="c1@example.com")
        due = make_due(owner, 4, in_doubt=policy)
        began = time.monotonic()
        dispatch.run_pass(stopping=lambda: "c1@example.com" in server.recipients())
        assert time.monotonic() - began < 30
        states = ledger_of(due)
        assert states.pop("c0@example.com") == "accepted"
        assert states.pop("c1@example.com") == status
        assert set(states.values()) == {"planned"}
        doubtful = only_run(due).deliveries.get(email="c1@example.com")
        assert doubtful.response == reasons.ANSWER_LOST
        assert not Chunk.objects.exclude(worker="").exists()
        assert MailServer.objects.get().trouble_since is None

        server.recover()
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == ("success" if policy == "resend" else "partial")

    def test_no_letter_is_handed_over_any_more(self, server, owner, settings):
        """Its answer might come too late, and it would be in doubt for nothing."""
        settings.SMTP_CONNECTIONS = 1
        due = make_due(owner, 4)
        stop = Stop()

        def tell(stage: str, recipient: str) -> None:
            if (stage, recipient) == ("data", "c1@example.com"):
                stop.tell()

        server.before = tell
        summary = dispatch.run_pass(stopping=stop)
        assert (summary.accepted, summary.in_doubt) == (1, 0)
        assert server.recipients() == ["c0@example.com"]
        assert Counter(ledger_of(due).values()) == {"accepted": 1, "planned": 3}
        assert not only_run(due).deliveries.filter(status="planned").exclude(tries=0).exists()
        assert not Chunk.objects.exclude(worker="").exists()
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert_each_got_one(server, 4)

    def test_a_server_that_ends_with_the_worker(self, server, owner, settings, monkeypatch):
        """As when a machine is shut down: connections that it closes use up nobody's tries."""
        settings.SMTP_CONNECTIONS = 2
        due = make_due(owner, 2)
        asked, broken, stop = threading.Event(), threading.Event(), Stop()
        not_taken = Transport.not_taken

        def note(pool: Transport, *args: Any) -> None:
            not_taken(pool, *args)
            broken.set()

        monkeypatch.setattr(Transport, "not_taken", note)

        def tell(stage: str, recipient: str) -> None:
            if (stage, recipient) == ("body", "c0@example.com"):
                asked.set()
                assert broken.wait(30)
            elif (stage, recipient) == ("rcpt", "c1@example.com"):
                assert asked.wait(30)
                stop.tell()

        server.before = tell
        server.fail("rcpt", CLOSE, to="c1@example.com")
        summary = dispatch.run_pass(stopping=stop)
        assert (summary.accepted, summary.in_doubt, summary.deferred) == (1, 0, 0)
        row = only_run(due).deliveries.get(email="c1@example.com")
        assert (row.status, row.tries) == ("planned", 0)
        assert MailServer.objects.get().trouble_since is None

    @pytest.mark.parametrize("stage", ["connect", "hello", "rcpt"])
    def test_a_server_that_never_answers_before(self, server, owner, settings, monkeypatch, stage):
        settings.SMTP_TIMEOUT = 60
        monkeypatch.setattr(dispatch, "STOP_SECONDS", 0.2)
        server.fail(stage, HANG)
        due = make_due(owner, 4)
        hung = threading.Event()
        server.before = lambda at, _recipient: at == stage and hung.set()
        began = time.monotonic()
        dispatch.run_pass(stopping=hung.is_set)
        assert time.monotonic() - began < 30
        assert not set(ledger_of(due).values()) & {"unknown", "accepted", "rejected"}
        assert not Chunk.objects.exclude(worker="").exists()
        server.recover()
        server.before = None
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert_each_got_one(server, 4)

    def test_no_files_and_no_sockets_are_left(self, server, due):
        dispatch.run_pass()
        let_time_pass(due)
        before = len(os.listdir("/proc/self/fd"))
        make = make_due(due.owner, 3, domain="more.test")
        dispatch.run_pass()
        assert only_run(make).status == "success"
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # The server's own.
