"""When readings are counted: a little later, in whatever process there is.

A web process counts ten seconds after a reading came, and when it ends. `qcluster` does so every
ten seconds, and so counts what a web process left that was killed.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time

from django.conf import settings
from django.db import connections

from blog.readings.settle import settle

logger = logging.getLogger("vestnik.web")

SECONDS = 10.0

_guard = threading.Lock()
_timer: threading.Timer | None = None
_is_end_arranged = False
_counted_at = float("-inf")


def soon() -> None:
    """Count what waits in ten seconds, in a thread, unless that is arranged already."""
    global _timer, _is_end_arranged
    if not settings.READINGS_SETTLE_BY_THEMSELVES:
        return
    with _guard:
        # After a fork the thread is the parent's, and not alive here.
        if _timer is not None and _timer.is_alive():
            return
        if not _is_end_arranged:
            _is_end_arranged = True
            atexit.register(try_to_settle)
        _timer = threading.Timer(SECONDS, in_thread)
        _timer.daemon = True
        _timer.start()


def in_thread() -> None:
    global _timer
    # What comes from here on may be too late for this time.
    with _guard:
        _timer = None
    try:
        is_done = try_to_settle()
    finally:
        connections.close_all()
    if not is_done:
        soon()


def by_the_clock() -> None:
    """Count what waits if it is time; called by the clock of `qcluster` every second."""
    global _counted_at
    if time.monotonic() - _counted_at >= SECONDS:
        _counted_at = time.monotonic()
        try_to_settle()


def try_to_settle() -> bool:
    try:
        settle()
    except Exception:
        # What was not counted still waits.
        logger.warning("Readings could not be counted.", exc_info=True)
        return False
    return True
