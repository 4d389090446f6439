"""Several hosts work on one run: one is cut off in the middle, one is added in the middle.

Each host is a network namespace with its own address, folder and `qcluster`; PostgreSQL, Redis
and the mail server are reached over a bridge. Where namespaces cannot be made, a host is a
process group whose lines can be pulled out. Only where DATABASE_URL and REDIS_URL name services
(`make test-services`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bench.processes import wait_for
from mailings.tests.processes import BASE_DIR, Site, site, template
from mailings.tests.servers import ScriptedServer
from mailings.tests.test_outages import Cable

__all__ = ["site", "template"]

pytestmark = pytest.mark.skipif(
    not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")),
    reason="needs PostgreSQL and Redis (make test-services)",
)

SERVICES = {"DATABASE_URL": 5432, "REDIS_URL": 6379, "EMAIL_URL": 25}  # usual ports
LETTERS = 4000
SHARE = 20  # letters after which a host is taken to do its part
CRAWL = 0.1  # seconds for a letter while the test waits for a host


class Receiver(ScriptedServer):
    """A mail server that notes which host each letter came from, as slow as `delay` says."""

    def __enter__(self) -> Receiver:
        self.session = threading.local()
        self.taken: list[tuple[str, str]] = []  # (address of the host, recipient)
        self.delay = CRAWL
        self.before = self.note
        return super().__enter__()

    def _serve(self, sock: socket.socket) -> None:
        self.session.peer = sock.getpeername()[0]
        super()._serve(sock)

    def note(self, stage: str, recipient: str) -> None:
        if stage == "body":
            self.taken.append((self.session.peer, recipient))
            time.sleep(self.delay)

    def wait_for_share_of(self, *hosts: Host) -> None:
        def look() -> bool:
            numbers = Counter(address for address, _recipient in self.taken)
            return all(numbers[host.address] >= SHARE for host in hosts)

        wait_for(look, f"{', '.join(host.address for host in hosts)} send letters")


class Line(Cable):
    """A line to a service from any address of this machine; it may leave from one, too."""

    def __init__(self, near: str, url: str, usual_port: int, leave: str = "") -> None:
        self.near, self.leave = near, leave
        parts = urlsplit(url)
        super().__init__(parts.hostname, parts.port or usual_port)
        user = parts.netloc.rpartition("@")[0]
        place = f"{user}@{near}:{self.port}" if user else f"{near}:{self.port}"
        self.url = parts._replace(netloc=place).geturl()

    def plug(self) -> None:
        self.listener = socket.create_server((self.near, self.port))
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        source = (self.leave, 0) if self.leave else None
        while True:
            try:
                near, _address = listener.accept()
                far = socket.create_connection(self.target, source_address=source)
            except OSError:
                return
            self.pairs.append((near, far))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()


class Host:
    """A machine that sends: an address, a folder and a `qcluster`."""

    prefix: tuple[str, ...] = ()  # of its commands

    def __init__(self, address: str) -> None:
        self.address = address

    def start(self, site: Site, urls: dict[str, str]) -> None:
        folder = site.folder / self.address
        folder.mkdir()
        with (site.folder / f"{self.address}.log").open("w") as log:
            process = subprocess.Popen(
                [*self.prefix, sys.executable, "manage.py", "qcluster"],
                cwd=BASE_DIR,
                env={**site.env, **urls, "VAR_DIR": str(folder), "MAILING_WORKERS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        site.processes.append(process)


# --- Hosts in network namespaces --------------------------------------------------------------


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


class NamespaceHost(Host):
    def __init__(self, net: Namespaces, number: int) -> None:
        super().__init__(f"{net.subnet}.{number}")
        self.name, self.plug = f"{net.name}-{number}", f"{net.name}p{number}"
        self.prefix = ("ip", "netns", "exec", self.name)
        self.bridge = net.name

    def build(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self.plug, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.plug, "master", self.bridge, "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def cut_off(self) -> None:
        """Take the plug out: packets vanish, nobody is told."""
        ip("link", "set", self.plug, "down")


class Namespaces:
    """A bridge, the hosts on it, and lines from it to the services of this machine."""

    @staticmethod
    def can_be_made() -> bool:
        """Return whether this user may make namespaces here."""
        net = Namespaces()
        try:
            net.build()
            net.add_host()
        except (OSError, subprocess.SubprocessError):
            return False
        finally:
            net.remove()
        return True

    def __init__(self) -> None:
        number = os.getpid()
        self.name = f"vk{number % 10**6}"
        self.subnet = f"10.{200 + number % 50}.{number // 50 % 250}"
        self.hosts: list[NamespaceHost] = []
        self.lines: dict[str, Line] = {}

    @property
    def address(self) -> str:
        return f"{self.subnet}.1"

    def build(self) -> None:
        ip("link", "add", self.name, "type", "bridge")
        ip("address", "add", f"{self.address}/24", "dev", self.name)
        ip("link", "set", self.name, "up")

    def add_host(self) -> NamespaceHost:
        host = NamespaceHost(self, len(self.hosts) + 2)
        self.hosts.append(host)
        host.build()
        return host

    def urls(self, urls: dict[str, str], host: Host) -> dict[str, str]:
        """Return the addresses under which a host reaches the services and the mail server."""
        if not self.lines:
            # These services listen on the loopback device only, the mail server on the bridge.
            for name in ("DATABASE_URL", "REDIS_URL"):
                self.lines[name] = Line(self.address, urls[name], SERVICES[name])
        return {**urls, **{name: line.url for name, line in self.lines.items()}}

    def remove(self) -> None:
        for line in self.lines.values():
            line.pull()
        # Sockets that still wait for an answer keep a namespace alive, and its plug with it.
        plugs = [("link", "del", host.plug) for host in self.hosts]
        names = [("netns", "del", host.name) for host in self.hosts]
        for words in [*plugs, *names, ("link", "del", self.name)]:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                ip(*words)


# --- Hosts that are process groups ------------------------------------------------------------


class CabledHost(Host):
    def __init__(self, number: int) -> None:
        super().__init__(f"127.0.0.{number}")
        self.lines: list[Line] = []

    def cut_off(self) -> None:
        for line in self.lines:
            line.pull()


class Cables:
    address = "127.0.0.1"

    def __init__(self) -> None:
        self.hosts: list[CabledHost] = []

    def build(self) -> None:
        """There is nothing to build."""

    def add_host(self) -> CabledHost:
        self.hosts.append(CabledHost(len(self.hosts) + 2))
        return self.hosts[-1]

    def urls(self, urls: dict[str, str], host: CabledHost) -> dict[str, str]:
        host.lines = [
            Line(
                "127.0.0.1", url, SERVICES[name], leave=host.address if name == "EMAIL_URL" else ""
            )
            for name, url in urls.items()
        ]
        return dict(zip(urls, (line.url for line in host.lines), strict=True))

    def remove(self) -> None:
        for host in self.hosts:
            host.cut_off()


# --- The test ---------------------------------------------------------------------------------


@pytest.fixture
def net(site: Site) -> Iterator[Namespaces | Cables]:
    net = Namespaces() if Namespaces.can_be_made() else Cables()
    try:
        net.build()
        yield net
        site.stop()
        site.processes.clear()
    finally:
        net.remove()


def test_run_goes_on_while_hosts_come_and_go(site, net):
    """S5: three hosts share a run; one is cut off, one comes new; nobody is left out."""
    with Receiver(host=net.address) as mail:
        urls = {name: site.env[name] for name in ("DATABASE_URL", "REDIS_URL")}
        urls["EMAIL_URL"] = mail.url
        site.env["EMAIL_URL"] = mail.url
        mailing = site.make_due(LETTERS)

        def add_host() -> Host:
            host = net.add_host()
            host.start(site, net.urls(urls, host))
            return host

        staying, lost, other = (add_host() for _number in range(3))
        mail.wait_for_share_of(staying, lost, other)
        lost.cut_off()
        open_then = open_recipients(site, mailing)
        on_the_wire = {
            recipient for address, recipient in list(mail.taken) if address == lost.address
        }
        newcomer = add_host()
        mail.wait_for_share_of(newcomer)
        mail.delay = 0
        run = site.wait_for_status(mailing, "success", "partial", "failure")

    assert run["status"] == "success"
    assert run["accepted"] == run["planned"] == LETTERS
    numbers = Counter(mail.recipients())
    assert set(numbers) == {f"c{number}@example.com" for number in range(LETTERS)}
    doubled = {recipient for recipient, number in numbers.items() if number > 1}
    assert doubled <= on_the_wire & open_then


def test_a_vanished_host_holds_no_lock(site):
    """PostgreSQL ends a transaction whose host says nothing more."""
    shown = site.python("""
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            result = cursor.fetchone()[0]
    """)
    assert shown == "20s"


def open_recipients(site: Site, mailing: int) -> set[str]:
    """Return the recipients whose result nobody has written."""
    rows = site.python(f"""
        rows = Delivery.objects.filter(attempt__mailing={mailing}, status__in=Delivery.OPEN)
        result = list(rows.values_list("email", flat=True))
    """)
    return set(rows)
