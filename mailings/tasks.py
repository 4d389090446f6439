"""What django-q2 calls. A task only wakes a worker: the work itself is in the database."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.dispatch import receiver
from django_q.brokers import get_broker
from django_q.signals import post_spawn
from django_q.tasks import async_task

from mailings import housekeeping, runs
from mailings.delivery import dispatch
from mailings.models import Attempt

logger = logging.getLogger("vestnik.delivery")

# After this time a worker lets other tasks of the queue have their turn (seconds); it stays
# far below Q_CLUSTER["timeout"], after which django-q2 would kill it.
TURN_SECONDS = 60

# Shared memory of the processes of a cluster: `qcluster` imports this before it forks. Plain
# values, no events: a signal handler that sets an event its own process waits for can deadlock.
cluster_stops = multiprocessing.RawValue("b", 0)
moved_at = multiprocessing.RawValue("d", 0.0)  # time.monotonic of a worker's last move
# The workers that were started, each at the place of its process id, and those that are at work.
workers = multiprocessing.RawArray("i", 1024)
at_work = multiprocessing.RawArray("i", 1024)
# Signals that told this very worker to stop.
_told_to_stop: list[int] = []


def run_pass() -> dict[str, Any]:
    """Open what is due and send what is planned, as one turn of one worker."""
    with at_work_here():
        summary = dispatch.run_pass(
            stopping=is_stopping, seconds=TURN_SECONDS, opened=_call_the_others
        )
    return vars(summary)


def _call_the_others(run: Attempt) -> None:
    """Let the other workers begin with a run at once; the clock rings for one a second."""
    if run.planned > runs.CHUNK_SIZE:
        for _ in range(settings.Q_CLUSTER["workers"] - 1):
            ring()


@contextmanager
def at_work_here() -> Iterator[None]:
    """Show that this worker is busy, also where it does not move for a while."""
    pid = os.getpid()
    at_work[pid % len(at_work)] = pid
    try:
        yield
    finally:
        at_work[pid % len(at_work)] = 0
    if _told_to_stop:
        sys.exit(0)


def is_anybody_at_work() -> bool:
    """Return whether a worker of this cluster is at work; opening a run may take long."""
    return any(pid and _is_alive(pid) for pid in at_work)


def forget_workers() -> None:
    """Begin with no worker: a new cluster is about to start."""
    # Where this process is the first of a container, dead ones stay in the table of processes.
    for places in (workers, at_work):
        places[:] = [0] * len(places)


def count_workers() -> int:
    """Return how many workers of this cluster are alive."""
    for place, pid in enumerate(workers):
        if pid and not _is_alive(pid):
            workers[place] = 0  # The number of its process may be given away again.
    return sum(pid != 0 for pid in workers)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:  # There is none, or its number went to a process of somebody else.
        return False
    return True


def is_stopping() -> bool:
    """Say whether to stop, and show that this worker moves."""
    moved_at.value = time.monotonic()
    return bool(cluster_stops.value or _told_to_stop)


def ring() -> None:
    """Wake a worker. Where the queue cannot be reached, the clock does it a little later."""
    try:
        async_task("mailings.tasks.run_pass", task_name="mailing pass")
    except Exception:
        logger.warning("The queue could not be reached; the clock will ring.", exc_info=True)


def ring_unless_rung() -> None:
    """Wake a worker unless a call for one is waiting in the queue already."""
    if get_broker().queue_size() == 0:
        ring()


@receiver(post_spawn)
def sign_on(**kwargs: object) -> None:
    """Let the guardian of the cluster count this worker."""
    workers[os.getpid() % len(workers)] = os.getpid()


@receiver(post_spawn)
def end_pass_on_sigterm(**kwargs: object) -> None:
    """Let a worker that gets SIGTERM end its pass and then itself; a second one kills it."""

    def stop(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _told_to_stop.append(signum)
        if at_work[os.getpid() % len(at_work)] != os.getpid():
            sys.exit(0)  # It waits for a task; as an exception this opens the queue's lock again.

    signal.signal(signal.SIGTERM, stop)


@receiver(post_spawn)
def spare_the_collector(**kwargs: object) -> None:
    """Let Python look for cycles in what is new, and less often: it took a tenth of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def housekeep() -> None:
    """Do the night's work for one turn; call for the next turn where something is left."""
    with at_work_here():
        is_left = housekeeping.run(housekeeping.Deadline(TURN_SECONDS, is_stopping))
    if is_left:
        async_task("mailings.tasks.housekeep", task_name="housekeeping")
