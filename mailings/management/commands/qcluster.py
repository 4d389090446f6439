"""django-q2's cluster, kept alive, and the clock that rings when a mailing is due.

This process forks the cluster into a process group of its own and stays its guardian. A cluster
that ends (its database or Redis went away) or stands still (a worker killed while it held the
queue's lock leaves that lock closed for ever) is killed and started anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from config.lifeline import STOP_PATIENCE, end_with_parent, let_children_die_with_us
from django.conf import settings
from django.core.checks import Tags
from django.db import close_old_connections, connections
from django.utils import timezone
from django_q.cluster import Cluster
from django_q.management.commands.qcluster import Command as QClusterCommand

from blog.readings import timer
from home import counting
from mailings import housekeeping, rescue, runs, tasks
from mailings.models import Host
from mailings.pulse import Pulse

logger = logging.getLogger("vestnik.clock")

# All in seconds.
TICK = 1.0  # between two looks at what is due
HEARTBEAT = 5.0  # between two signs of life
TIDY = 3600.0  # between two looks for journals that nobody needs
RESTART_DELAY = 3.0  # before a cluster that ended by itself is started again
STALL = 20.0  # work waits and no worker moves: the cluster stands still


class Clock:
    """Looks once a second whether something is due, and rings if so.

    django-q2's own schedules are looked at every half minute only. The clock is no state: it
    reads the database, and any number of clocks may ring at once.
    """

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"[:100]
        self.heartbeat = self.rang = self.tidied = float("-inf")
        self.workers = 0
        self.idle_at = time.monotonic()
        self.pulse = Pulse()

    def tick(self) -> None:
        close_old_connections()
        now, clock = timezone.now(), time.monotonic()
        if clock - self.heartbeat >= HEARTBEAT or self.workers != tasks.count_workers():
            self.heartbeat = clock
            self._sign_on(now)
            self._beat(now, clock)
        rescue.free_abandoned(now)
        if clock - self.tidied >= TIDY:
            self.tidied = clock
            housekeeping.tidy()
        waiting = runs.is_work_waiting(now)
        if not waiting:
            self.idle_at = clock
        if waiting or clock - self.rang >= settings.MAILING_INTERVAL:
            self.rang = clock
            tasks.ring_unless_rung()
        timer.by_the_clock()
        counting.by_the_clock()

    def _sign_on(self, now: datetime) -> None:
        """Show that this host is alive, and how many workers it has."""
        self.workers = tasks.count_workers()
        seen = {"seen_at": now, "workers": self.workers}
        Host.objects.update_or_create(name=self.name, defaults=seen)
        Host.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()

    def _beat(self, now: datetime, clock: float) -> None:
        """Tell the log how sending goes, if of all hosts it is this one's part to do so."""
        if Host.objects.speaker(now) == self.name:
            self.pulse.beat(clock)
        else:
            self.pulse.rest()

    @property
    def stalled(self) -> bool:
        """Return whether work has waited for long while no worker of this host moved."""
        moved_at = max(self.idle_at, tasks.moved_at.value)
        return time.monotonic() - moved_at > STALL and not tasks.is_anybody_at_work()

    def stop(self) -> None:
        Host.objects.filter(name=self.name).delete()


class Command(QClusterCommand):
    """Start workers and the clock; a database or Redis that is down is waited for."""

    # All other checks load every page of the site, which no worker needs: 8 MB in each.
    requires_system_checks = (Tags.models, Tags.caches, Tags.database)

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        clock = Clock()
        while not tasks.cluster_stops.value:
            self._guard_cluster(clock)
            rest(RESTART_DELAY)
        timer.try_to_settle()
        with contextlib.suppress(Exception):  # The database may be what is down.
            clock.stop()

    def _guard_cluster(self, clock: Clock) -> None:
        """Run one cluster until it ends, stands still, or this process is told to stop."""
        connections.close_all()
        clock.idle_at = time.monotonic()
        tasks.forget_workers()
        cluster = os.fork() or run_cluster()
        while not tasks.cluster_stops.value:
            self._tick(clock)
            if os.waitpid(cluster, os.WNOHANG)[0]:
                logger.error("The cluster ended by itself; starting it again.")
                break
            if clock.stalled:
                logger.error("The cluster stands still; starting it again.")
                break
            rest(TICK)
        else:
            stop_cluster(cluster)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(cluster, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(cluster, 0)

    def _tick(self, clock: Clock) -> None:
        try:
            clock.tick()
        except Exception as error:  # noqa: BLE001 - the clock goes on when the database is back
            logger.error("The clock could not look what is due: %s", error)
            connections.close_all()
            clock.idle_at = time.monotonic()


def ask_to_stop(signum: int, frame: object) -> None:
    tasks.cluster_stops.value = 1


def rest(seconds: float) -> None:
    """Sleep, but no longer than until this process is told to stop."""
    end = time.monotonic() + seconds
    while not tasks.cluster_stops.value and time.monotonic() < end:
        time.sleep(0.1)


def run_cluster() -> None:
    """Be the cluster: the forked child's whole life."""
    guardian = os.getppid()
    os.setpgrp()
    end_with_parent()
    let_children_die_with_us()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = 1
    try:
        cluster = Cluster()
        cluster.start()
        end_without(guardian)
        cluster.sentinel.join()
        code = 0
    except Exception as error:  # noqa: BLE001 - the guardian starts another one
        logger.error("The cluster could not start: %s", error)
    finally:
        sys.stdout.flush()
        os._exit(code)


def end_without(guardian: int) -> None:
    """Kill this cluster when its guardian is gone and it does not end by itself.

    By signals: told to stop, django-q2 waits within its handler, perhaps for ever.
    """
    alone = 0.0

    def look(_signum: int, _frame: object) -> None:
        nonlocal alone
        if os.getppid() != guardian:
            alone += TICK
        if alone >= STOP_PATIENCE:
            os.killpg(0, signal.SIGKILL)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, TICK, TICK)


def stop_cluster(pid: int) -> None:
    """Ask the cluster to stop and wait until it has."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_PATIENCE
    while time.monotonic() < end:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(0.05)
