"""A worker sends while PostgreSQL works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from django.db import ProgrammingError, connection

from mailings import overlap
from mailings.delivery.transport import Outcome, Transport
from mailings.smtp.protocol import Server
from mailings.tests.servers import HANG, NEVER
from mailings.tests.test_session import Letter, ignore

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite works within the process"),
]
LOCK = 4711


@pytest.fixture
def transport(server) -> Iterator[Transport]:
    """Connections that are served while the database is waited for."""
    transport = Transport(Server.from_settings(), 1, ignore, ignore)
    overlap.share_waits(transport.serve_until)
    yield transport
    overlap.share_waits(None)
    transport.close()


class Statement:
    """A statement that the database works on until a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self.condition, self.held, self.over = condition, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold)
        self.settings = connection.get_connection_params()
        self.settings.pop("cursor_factory", None)

    def _hold(self) -> None:
        conn = psycopg2.connect(**self.settings)
        conn.cursor().execute("SELECT pg_advisory_lock(%s)", [LOCK])
        self.held.set()
        while not self.condition() and not self.over.wait(0.01):
            pass
        conn.close()

    def run(self) -> None:
        self.thread.start()
        assert self.held.wait(10)
        guard = threading.Timer(10, self.over.set)
        guard.start()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        guard.cancel()
        self.thread.join()
        assert not self.over.is_set(), "the condition never held while the database worked"


def outcomes(transport: Transport) -> list[Outcome]:
    return [result.outcome for _letter, result in transport.take_results()]


def test_letters_go_out_meanwhile(transport, server):
    transport.submit(Letter(f"c{n}@example.com") for n in range(20))
    transport.step(0.0)  # Opens the connection.
    Statement(lambda: len(server.letters) == 20).run()
    while len(results := transport._results) < 20:
        transport.step(1.0)
    assert {result.outcome for _letter, result in results} == {Outcome.ACCEPTED}


def test_nothing_is_begun_after_news_that_the_worker_must_hear_first(transport, server):
    server.fail("rcpt", NEVER, to="c0@example.com")
    transport.submit(Letter(f"c{n}@example.com") for n in range(20))
    transport.step(0.0)
    Statement(lambda: transport.is_urgent).run()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    transport.step(0.0)
    # The one that was announced behind it may have gone out.
    assert len(server.letters) <= 1
    assert outcomes(transport)[0] is Outcome.NEVER
    while len(server.letters) < 19:
        transport.step(1.0)
        transport.take_results()


def test_an_error_of_the_statement_is_told_as_ever(transport, server):
    transport.submit([Letter("c@example.com")])
    with pytest.raises(ProgrammingError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")


def test_other_threads_wait_by_themselves(transport, server):
    """Connections that a worker's threads might use serve no letters."""
    transport.submit([Letter("c@example.com")])
    transport.step(0.0)  # On a fast machine the letter may go out in this step already.
    before = len(server.letters)
    params = {**connection.get_connection_params()}
    params.pop("cursor_factory", None)
    seen = []

    def ask() -> None:
        conn = psycopg2.connect(**params)
        cursor = conn.cursor()
        cursor.execute("SELECT 42")
        seen.append(cursor.fetchone()[0])
        conn.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert (seen, len(server.letters)) == ([42], before)


def test_a_server_that_hangs_is_left_also_meanwhile(transport, server, settings):
    settings.SMTP_TIMEOUT = 1
    server.fail("body", HANG)
    transport.submit([Letter("c@example.com")])
    transport.step(0.0)
    Statement(lambda: bool(transport._results)).run()
    assert outcomes(transport) == [Outcome.DOUBT]
