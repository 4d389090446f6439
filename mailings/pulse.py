"""A line of the log about once a minute while letters go out, none while nothing does.

It speaks for the whole service, from the sums that all workers share; of several hosts the one
that has been there longest writes it.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from mailings.metrics import OUTCOMES, Latency, Totals
from mailings.models import MailServer

logger = logging.getLogger("vestnik.pulse")

LINE_SECONDS = 60.0  # between two lines, at least


class Reading(NamedTuple):
    moment: float  # in seconds of a clock that is never set
    totals: Totals


class Pulse:
    """The readings since the last line, and when that was."""

    def __init__(self) -> None:
        self._first: Reading | None = None  # before the first letter that the next line counts
        self._last: Reading | None = None  # after the last one
        self._told = float("-inf")

    def rest(self) -> None:
        """Leave it to another host."""
        self._first = None

    def beat(self, moment: float) -> None:
        """Take a reading; write a line if it is time."""
        reading = Reading(moment, Totals.read())
        if self._first is None or reading.totals.letters == self._first.totals.letters:
            self._first = self._last = reading
            return
        is_going = reading.totals.letters != self._last.totals.letters
        if is_going:
            self._last = reading
        is_whole = moment - self._first.moment >= LINE_SECONDS or not is_going
        if is_whole and moment - self._told >= LINE_SECONDS:
            tell(self._first, self._last)
            self._first, self._told = self._last, moment


def tell(first: Reading, last: Reading) -> None:
    """Write the line of what came between two readings."""
    numbers = compare(first, last)
    line = (
        "%(seconds)d s: accepted %(accepted)d, rejected %(rejected)d, deferred %(deferred)d, "
        "in doubt %(in_doubt)d; %(per_second).1f letters/s"
    )
    if numbers["body_ms"] is not None:
        line += "; letters answered after %(body_ms).1f ms"
    if numbers["breakers"]:
        line += "; out of order: %(breakers)s"
    logger.info(line, numbers, extra=numbers)


def compare(first: Reading, last: Reading) -> dict[str, Any]:
    seconds = last.moment - first.moment
    change = last.totals.since(first.totals)
    body = change.latencies.get("body", Latency())
    out_of_order = MailServer.objects.current().exclude(trouble_since=None)
    return {
        "seconds": round(seconds, 1),
        **{name: change.letters[name] for name in OUTCOMES},
        "per_second": round(change.letters["accepted"] / seconds, 1),
        "body_ms": round(body.mean * 1000, 1) if body.replies else None,
        "breakers": list(out_of_order.values_list("name", flat=True)),
    }
