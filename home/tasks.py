"""What workers do for the home page."""

from __future__ import annotations

from home.counting import recount, settle


def settle_numbers() -> None:
    """Sum up what changed the numbers since the last time; called every minute."""
    settle()


def recount_numbers() -> None:
    """Count anew what could have gone wrong; called every night."""
    recount()
