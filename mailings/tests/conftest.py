from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import runs, tasks
from mailings.management.commands import qcluster
from mailings.models import Attempt, Mailing, MailServer
from mailings.tests.servers import ScriptedServer


@pytest.fixture(autouse=True)
def own_journals(settings, tmp_path) -> None:
    """Let no test find journals of one that runs beside it."""
    settings.VAR_DIR = tmp_path


@pytest.fixture(autouse=True)
def no_mailing_failed_before() -> None:
    runs._not_before.clear()


@pytest.fixture
def server(settings) -> Iterator[ScriptedServer]:
    """A mail server that takes everything until told otherwise; the site sends to it."""
    with ScriptedServer() as server:
        point_at(settings, server.url)
        yield server


def point_at(settings, url: str) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = urlsplit(url).hostname, urlsplit(url).port
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.SMTP_TIMEOUT = 1
    settings.SMTP_CONNECTIONS = 2
    settings.DEFAULT_FROM_EMAIL = "Vestnik <news@vestnik.test>"


@pytest.fixture
def due(owner) -> Mailing:
    """A mailing of five clients whose time has come."""
    return make_due(owner, 5)


def make_due(owner, count: int, *, domain: str = "example.com", **fields) -> Mailing:
    clients = [make_client(owner, f"c{n}@{domain}", full_name=f"Client {n}") for n in range(count)]
    fields.setdefault("starts_at", timezone.now() - timedelta(minutes=1))
    return make_mailing(owner, clients=clients, **fields)


def only_run(mailing: Mailing) -> Attempt:
    return Attempt.objects.get(mailing=mailing)


def ledger_of(mailing: Mailing) -> dict[str, str]:
    """Return the state of each recipient of the mailing's only run."""
    return dict(only_run(mailing).deliveries.values_list("email", "status"))


def let_time_pass(mailing: Mailing) -> None:
    """Make everything that waits (deferred letters, the mail server's rest) due now."""
    run = only_run(mailing)
    now = timezone.now() - timedelta(seconds=1)
    run.deliveries.filter(status="deferred").update(next_try_at=now)
    run.chunks.filter(due_at__isnull=False).update(due_at=now)
    MailServer.objects.filter(next_try_at__isnull=False).update(next_try_at=now)


@pytest.fixture
def clock(monkeypatch) -> qcluster.Clock:
    """The clock of a host; it rings for nobody, and leaves the test its connection."""
    monkeypatch.setattr(tasks, "ring_unless_rung", lambda: None)
    monkeypatch.setattr(qcluster, "close_old_connections", lambda: None)
    return qcluster.Clock()
