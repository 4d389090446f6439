"""What workers do for the home page."""

from __future__ import annotations

from django.conf import settings

from home.counting import ask_a_worker, recount, sum_up_for_a_turn
from mailings import tasks as queue

# Seconds of one call. Where there is one worker alone, letters shall not wait long for it.
TURN, SHORT_TURN = 45.0, 10.0


def settle_numbers() -> None:
    """Sum up what is too much for the clock of `qcluster`, a turn in each call, until it is all.

    Called by the clock, and every minute besides. Other tasks of the queue come between two calls.
    """
    seconds = TURN if settings.Q_CLUSTER["workers"] > 1 else SHORT_TURN
    with queue.at_work_here():
        is_left = sum_up_for_a_turn(seconds, queue.is_stopping)
        if is_left and not queue.is_stopping():
            ask_a_worker()


def recount_numbers() -> None:
    """Count anew what could have gone wrong; called every night."""
    recount()
