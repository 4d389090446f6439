"""What workers do for the home page."""

from __future__ import annotations

from home.counting import settle


def settle_numbers() -> None:
    """Sum up what changed the numbers since the last time; called every minute."""
    settle()
