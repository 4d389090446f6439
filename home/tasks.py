"""What workers do for the home page."""

from __future__ import annotations

from home.counting import recount, sum_up


def settle_numbers() -> None:
    """Sum up what is too much for the clock of `qcluster`; called every minute."""
    sum_up()


def recount_numbers() -> None:
    """Count anew what could have gone wrong; called every night."""
    recount()
