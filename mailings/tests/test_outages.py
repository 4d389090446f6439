"""The database or Redis goes away and comes back: the page says so, the worker goes on.

Runs over real connections, so only where DATABASE_URL and REDIS_URL name services
(`make test-services`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from bench.processes import free_port, wait_for
from mailings.tests.processes import Site, site, template
from mailings.tests.servers import ScriptedServer

__all__ = ["site", "template"]

pytestmark = pytest.mark.skipif(
    not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")),
    reason="needs PostgreSQL and Redis (make test-services)",
)


class Cable:
    """A TCP line to a service that can be pulled out and put in again."""

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = free_port()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.plug()

    def plug(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def pull(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for pair in self.pairs:
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _address = listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            self.pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with near, far, contextlib.suppress(OSError, ValueError):
            while True:
                for sock in select.select([near, far], [], [])[0]:
                    data = sock.recv(65536)
                    if not data:
                        return
                    other[sock].sendall(data)


def through_cable(site: Site, name: str) -> Cable:
    parts = urlsplit(site.env[name])
    cable = Cable(parts.hostname, parts.port or {"DATABASE_URL": 5432, "REDIS_URL": 6379}[name])
    user = f"{parts.username}@" if parts.username else ""
    site.env[name] = parts._replace(netloc=f"{user}127.0.0.1:{cable.port}").geturl()
    return cable


@pytest.fixture(params=["DATABASE_URL", "REDIS_URL"])
def cable(request, site: Site) -> Iterator[Cable]:
    site.own_env = dict(site.env)
    cable = through_cable(site, request.param)
    cable.name = request.param
    yield cable
    cable.pull()


def status_of(url: str) -> int:
    try:
        with urlopen(url, timeout=20) as answer:
            return answer.status
    except HTTPError as error:
        return error.code
    except URLError:
        return 0


def test_pages_say_503_and_come_back(site, cable):
    """S5: the site stays up: without Redis as before, without its database with a 503 of ours."""
    port = free_port()
    site.start("runserver", "--noreload", f"127.0.0.1:{port}")
    page, health = f"http://127.0.0.1:{port}/accounts/login/", f"http://127.0.0.1:{port}/healthz"
    wait_for(lambda: status_of(page) == 200, "the site is up")
    cable.pull()
    is_shown = 503 if cable.name == "DATABASE_URL" else 200
    for path in ("/", "/blog/", "/"):
        assert status_of(f"http://127.0.0.1:{port}{path}") == is_shown
    with pytest.raises(HTTPError) as answer:
        urlopen(health, timeout=20)
    assert answer.value.code == 503
    part = {"DATABASE_URL": "database", "REDIS_URL": "cache"}[cable.name]
    assert json.load(answer.value)[part] != "ok"
    cable.plug()
    wait_for(lambda: status_of(page) == 200, "the site is back")


def test_worker_waits_and_goes_on(site, cable):
    """S5: a worker whose database or Redis goes away in the middle of a run finishes it later."""
    with ScriptedServer() as mail:
        site.env["EMAIL_URL"] = mail.url
        mailing = site.make_due(300)
        reached, released = threading.Event(), threading.Event()

        def hold(stage: str, _recipient: str) -> None:
            if stage == "body" and len(mail.letters) > 100:
                reached.set()
                released.wait(60)

        mail.before = hold
        cluster = site.start("qcluster")
        assert reached.wait(60)
        cable.pull()
        mail.before = None
        released.set()
        if cable.name == "DATABASE_URL":
            wait_for(lambda: "clock could not look" in site.log_of(cluster), "the clock noticed")
        cable.plug()
        run = site.wait_for_status(mailing, "success")
        assert run["accepted"] == 300
        assert set(mail.recipients()) == {f"c{n}@example.com" for n in range(300)}
        # What was on the wire of two connections when the database went away.
        assert len(mail.letters) - 300 <= 4
