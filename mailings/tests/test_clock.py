"""The clock of a `qcluster` host: that it lives, and how many workers it has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from conftest import make_mailing
from home import counting
from home.models import Change
from mailings import tasks
from mailings.management.commands import qcluster
from mailings.models import Host
from mailings.tests.test_metrics import ago


@pytest.fixture(autouse=True)
def no_workers() -> Iterator[None]:
    tasks.forget_workers()
    yield
    tasks.forget_workers()


@pytest.fixture
def start_worker() -> Iterator:
    """Return a function that starts a process and counts it among the workers."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        started.append(process)
        tasks.workers[process.pid % len(tasks.workers)] = process.pid
        return process

    yield start
    for process in started:
        end(process)


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


class TestCount:
    def test_those_that_are_alive(self, start_worker):
        one, _other = start_worker(), start_worker()
        assert tasks.count_workers() == 2
        end(one)
        assert tasks.count_workers() == 1

    def test_one_that_is_dead_is_forgotten(self, start_worker):
        end(start_worker())
        tasks.count_workers()
        assert not any(tasks.workers)

    def test_a_new_cluster_begins_with_none(self, start_worker):
        worker = start_worker()
        tasks.at_work[worker.pid % len(tasks.at_work)] = worker.pid
        tasks.forget_workers()
        assert tasks.count_workers() == 0
        assert not tasks.is_anybody_at_work()


@pytest.mark.django_db
class TestSignOfLife:
    def test_it_says_how_many_workers_are_alive(self, clock, start_worker):
        start_worker()
        start_worker()
        clock.tick()
        assert Host.objects.get(name=clock.name).workers == 2

    def test_it_says_at_once_when_that_changes(self, clock, start_worker):
        """A health check shall not wait for the next sign of life."""
        worker = start_worker()
        clock.tick()
        end(worker)
        clock.tick()
        assert Host.objects.get().workers == 0

    def test_otherwise_it_writes_every_few_seconds_only(self, clock):
        clock.tick()
        Host.objects.update(seen_at=ago(3))
        before = Host.objects.get().seen_at
        clock.tick()
        assert Host.objects.get().seen_at == before
        clock.heartbeat -= qcluster.HEARTBEAT
        clock.tick()
        assert Host.objects.get().seen_at > before

    def test_hosts_that_are_long_gone_are_forgotten(self, clock):
        Host.objects.create(name="gone", seen_at=ago(90_000))
        clock.tick()
        assert [host.name for host in Host.objects.all()] == [clock.name]

    def test_it_signs_off(self, clock):
        clock.tick()
        clock.stop()
        assert not Host.objects.exists()


@pytest.mark.django_db
def test_it_sums_up_the_numbers_of_the_home_page(clock, owner, monkeypatch):
    monkeypatch.setattr(counting, "_summed_up_at", float("-inf"))
    make_mailing(owner)
    clock.tick()
    assert not Change.objects.exists()
    make_mailing(owner)
    clock.tick()
    assert Change.objects.exists()
