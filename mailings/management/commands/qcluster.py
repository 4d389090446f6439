"""django-q2's cluster, and the clock that rings when a mailing is due."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections
from django.utils import timezone
from django_q.cluster import Cluster
from django_q.management.commands.qcluster import Command as QClusterCommand

from mailings import tasks
from mailings.delivery import dispatch
from mailings.models import Worker

logger = logging.getLogger("vestnik.clock")

TICK = 1.0  # seconds between two looks at what is due
HEARTBEAT = 5.0  # seconds between two signs of life
RESTART_DELAY = 5.0  # seconds before a cluster that could not go on is started again


class VestnikCluster(Cluster):
    """A cluster that tells its workers at once when it stops."""

    def stop(self) -> bool:
        tasks.cluster_stops.set()
        return super().stop() if self.sentinel else False


class Clock:
    """Looks once a second whether something is due, and rings if so.

    django-q2's own schedules are looked at every half minute only. The clock is no state: it
    reads the database, and any number of clocks may ring at once.
    """

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"[:100]
        self.heartbeat = 0.0
        self.rang = 0.0

    def tick(self) -> None:
        close_old_connections()
        now = timezone.now()
        if time.monotonic() - self.heartbeat >= HEARTBEAT:
            self.heartbeat = time.monotonic()
            Worker.objects.update_or_create(name=self.name, defaults={"seen_at": now})
            Worker.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()
        overdue = time.monotonic() - self.rang >= settings.MAILING_INTERVAL
        if overdue or dispatch.waiting(now):
            self.rang = time.monotonic()
            tasks.ring_unless_rung()

    def stop(self) -> None:
        Worker.objects.filter(name=self.name).delete()


class Command(QClusterCommand):
    """Start workers and the clock; a database or Redis that is down is waited for."""

    def handle(self, *args: Any, **options: Any) -> None:
        tasks.cluster_stops = multiprocessing.get_context("fork").Event()
        clock = Clock()
        while not tasks.cluster_stops.is_set():
            self._run_cluster(clock)
            if not tasks.cluster_stops.wait(RESTART_DELAY):
                logger.warning("The cluster ended by itself; starting it again.")
        self._last_words(clock)

    def _run_cluster(self, clock: Clock) -> None:
        connections.close_all()
        cluster = VestnikCluster()
        try:
            cluster.start()
        except RuntimeError as error:
            logger.error("%s", error)
            return
        while cluster.sentinel.is_alive() and not tasks.cluster_stops.is_set():
            self._tick(clock)
            tasks.cluster_stops.wait(TICK)
        cluster.sentinel.join()

    def _tick(self, clock: Clock) -> None:
        try:
            clock.tick()
        except Exception as error:  # noqa: BLE001 - the clock goes on when the database is back
            logger.error("The clock could not look what is due: %s", error)
            connections.close_all()

    def _last_words(self, clock: Clock) -> None:
        try:
            clock.stop()
        except Exception as error:  # noqa: BLE001 - the cluster has stopped all the same
            logger.warning("The sign of life could not be taken back: %s", error)
