"""A connection that does not come about: the verdict falls within a worker's turn.

However long SMTP_TIMEOUT lets a letter wait: here it is far longer than the test may take.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.conf import settings as site_settings
from django.urls import reverse

from mailings import tasks
from mailings.delivery import dispatch
from mailings.models import Mailing, MailServer
from mailings.server_health import MORE_SECONDS
from mailings.smtp import connect
from mailings.tests.conftest import ledger_of, only_run, point_at
from mailings.tests.servers import HANG
from mailings.tests.test_trouble import NOTICE

LONGEST = 180  # of SMTP_TIMEOUT
SETUP_SECONDS = connect.SETUP_SECONDS
HOST = "mail.example.test"


@pytest.fixture(autouse=True)
def limits(settings, server, monkeypatch) -> None:
    settings.SMTP_TIMEOUT = LONGEST
    monkeypatch.setattr(connect, "REPLY_SECONDS", 0.3)
    monkeypatch.setattr(connect, "SETUP_SECONDS", 0.5)


def assert_out_of_order(due: Mailing, browser) -> None:
    """Send for one turn; the breaker opens, nobody is blamed, and the owner sees it."""
    began = time.monotonic()
    summary = dispatch.run_pass(seconds=30)
    assert time.monotonic() - began < 10
    assert "no answer in time" in summary.trouble
    assert MailServer.objects.get().trouble_since
    assert set(ledger_of(due).values()) == {"planned"}
    run = only_run(due)
    assert "no answer in time" in run.server_response
    assert not run.deliveries.exclude(tries=0).exists()
    page = browser(due.owner).get(reverse("mailing:attempt", args=[run.pk]))
    assert NOTICE in page.content.decode()


@pytest.fixture
def unreachable() -> Iterator[int]:
    """Yield a port at which nobody answers, not even with a refusal: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]


class TestVerdict:
    """S5: a server that is out of order is noticed, and the owner is told."""

    @pytest.mark.parametrize("stage", ["connect", "hello"])
    def test_no_answer(self, server, due, browser, stage):
        server.fail(stage, HANG)
        assert_out_of_order(due, browser)

    def test_no_handshake(self, server, due, browser, settings):
        server.fail("connect", HANG)
        settings.EMAIL_USE_SSL = True
        assert_out_of_order(due, browser)

    def test_answers_that_come_too_slowly_in_all(self, server, due, browser, settings):
        server.extensions = ("PIPELINING", "AUTH PLAIN")
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = "vestnik"
        server.before = lambda _stage, _recipient: time.sleep(0.2)
        assert_out_of_order(due, browser)

    def test_no_connection(self, due, browser, settings, unreachable):
        point_at(settings, f"smtp://127.0.0.1:{unreachable}")
        settings.SMTP_TIMEOUT = LONGEST
        assert_out_of_order(due, browser)

    def test_no_answer_of_the_dns(self, due, browser, settings, monkeypatch):
        settings.EMAIL_HOST, over = HOST, threading.Event()
        plain = socket.getaddrinfo

        def hang(host: str, *args, **kwargs):
            return over.wait(20) if host == HOST else plain(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        assert_out_of_order(due, browser)
        over.set()


def test_another_address_of_the_host_is_tried_in_time(
    server, due, settings, monkeypatch, unreachable
):
    settings.EMAIL_HOST = HOST
    plain = socket.getaddrinfo

    def both(host: str, *args, **kwargs):
        if host != HOST:
            return plain(host, *args, **kwargs)
        return [
            *plain("127.0.0.1", unreachable, **kwargs),
            *plain("127.0.0.1", server.port, **kwargs),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    dispatch.run_pass()
    assert only_run(due).status == "success"


def test_a_letter_may_take_longer(server, due):
    server.before = lambda stage, _recipient: stage == "body" and time.sleep(0.4)
    dispatch.run_pass()
    assert only_run(due).status == "success"


def test_a_turn_ends_before_the_queue_would_kill_the_worker():
    assert SETUP_SECONDS < tasks.TURN_SECONDS
    assert site_settings.Q_CLUSTER["timeout"] > tasks.TURN_SECONDS + MORE_SECONDS + LONGEST
