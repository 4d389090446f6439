"""The state of the service in words, for a person at a terminal."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from textwrap import wrap
from typing import Any

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mailings.metrics import Latency, State, Totals, running_attempts
from mailings.models import Attempt, MailServer

BAR, NAME = 20, 24  # characters: with two long numbers they fill a row of a terminal
HOUR, MOMENT = "%H:%M:%S", "%Y-%m-%d %H:%M:%S"
WINDOW = 10.0  # seconds over which the rate is taken
MOST_RUNS, MOST_DOMAINS = 10, 5
STAGES = {
    "connect": gettext_noop("connection"),
    "hello": gettext_noop("greeting"),
    "tls": gettext_noop("encryption"),
    "login": gettext_noop("login"),
    "mail": gettext_noop("sender"),
    "rcpt": gettext_noop("recipient"),
    "data": gettext_noop("start of the letter"),
    "body": gettext_noop("letter"),
}


# --- What is measured between two looks -------------------------------------------------------


class Readings:
    """The totals of the last seconds: from their differences come rate and latency."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Totals]] = deque()

    def add(self, totals: Totals, moment: float) -> None:
        """Keep a reading; `moment` is in seconds of a clock that is never set."""
        self._kept.append((moment, totals))
        while len(self._kept) > 2 and self._kept[1][0] <= moment - WINDOW:
            self._kept.popleft()

    def rate(self) -> float | None:
        """Return accepted letters a second; None where it takes another reading to know."""
        if len(self._kept) < 2:
            return None
        (began, first), (ended, last) = self._kept[0], self._kept[-1]
        return max(last.since(first).letters["accepted"], 0) / (ended - began)

    def latencies(self) -> dict[str, Latency]:
        """Return for each stage the replies since the first reading, or all where none came."""
        first, last = self._kept[0][1], self._kept[-1][1]
        return {
            stage: latency if latency.replies > 0 else last.latencies[stage]
            for stage, latency in last.since(first).latencies.items()
        }


# --- Words ------------------------------------------------------------------------------------


def describe(readings: Readings, now: datetime) -> list[str]:
    """Take a reading and return the lines that tell how the service is."""
    state = State.read(now)
    readings.add(state.totals, time.monotonic())
    lines = [
        _("Vestnik, %(time)s") % {"time": timezone.localtime(now).strftime(MOMENT)},
        "",
        *letter_lines(state, readings),
        *waiting_lines(state),
        *(server_line(server) for server in state.breakers),
        *domain_lines(state.slow_domains),
        "",
        *run_lines(state),
    ]
    return [plain(line) for line in lines]


def letter_lines(state: State, readings: Readings) -> list[str]:
    letters = {name: grouped(count) for name, count in state.totals.letters.items()}
    rate = readings.rate()
    if rate is None and not state.runs:
        rate = 0.0
    lines = [
        _(
            "Accepted: %(accepted)s, rejected: %(rejected)s, to be tried again: %(deferred)s, "
            "in doubt: %(in_doubt)s"
        )
        % letters,
        *doubtful_lines(state.totals.doubtful),
        _("Letters a second: %s") % ("…" if rate is None else grouped(rate, 1)),
    ]
    if latencies := readings.latencies():
        lines.append(latency_line(latencies))
    return lines


def latency_line(latencies: dict[str, Latency]) -> str:
    stages = (
        f"{_(STAGES.get(stage, stage))} {grouped(latency.mean * 1000, 1)}"
        for stage, latency in latencies.items()
    )
    # Commas stand within the numbers already.
    return _("The mail server replied on average after (ms): %s") % "; ".join(stages)


def doubtful_lines(count: int) -> Iterable[str]:
    if count:
        yield _("May have arrived twice: %s") % grouped(count)


def waiting_lines(state: State) -> list[str]:
    numbers = {"hosts": state.hosts, "workers": state.workers}
    lines = [_("Hosts: %(hosts)d, workers: %(workers)d") % numbers]
    if not state.workers:
        lines.append(_("No worker is alive: letters go out by `manage.py mailing` only."))
    lines.append(_("Letters wait for a worker: %s") % span(state.queue_age))
    lines.append(_("Mailings wait for their run: %s") % span(state.oldest_due))
    return lines


def server_line(server: MailServer) -> str:
    return _("Mail server %(name)s unavailable since %(since)s, next try %(next)s: %(words)s") % {
        "name": server.name,
        "since": clock(server.trouble_since),
        "next": clock(server.next_try_at) if server.next_try_at else "…",
        "words": server.response,
    }


def domain_lines(domains: dict[str, float]) -> Iterable[str]:
    if not domains:
        return
    slowest = islice(domains.items(), MOST_DOMAINS)
    words = "; ".join(f"{domain} {grouped(rate, 2)}" for domain, rate in slowest)
    yield _("Domains that asked for fewer letters, %(count)d (letters a second): %(domains)s") % {
        "count": len(domains),
        "domains": words + ("; …" if len(domains) > MOST_DOMAINS else ""),
    }


def run_lines(state: State) -> Iterable[str]:
    """Give the sums of the runs at work, and a bar for each of the first."""
    total = state.runs + state.paused
    yield _("Runs at work: %(runs)d, paused: %(paused)d, letters left: %(left)s") % {
        "runs": state.runs,
        "paused": state.paused,
        "left": grouped(state.letters_left),
    }
    for attempt in running_attempts()[:MOST_RUNS]:
        yield run_line(attempt)
    if total > MOST_RUNS:
        yield _("… and %d more") % (total - MOST_RUNS)


def run_line(attempt: Attempt) -> str:
    line = f"{bar(attempt)} {progress_words(attempt)} ({attempt.mailing.owner})"
    if attempt.opening_until:
        line += ". " + _("The other recipients are still being put together.")
    if attempt.paused_at:
        return f"{line}. " + _("Paused: %s") % _(attempt.paused_for)
    return line if attempt.mailing.is_active else f"{line}. " + _("The mailing is switched off.")


def progress_words(attempt: Attempt) -> str:
    return _("%(name)s: %(done)s of %(planned)s") % {
        "name": shorten(attempt.mailing.name),
        "done": grouped(attempt.done),
        "planned": grouped(attempt.planned),
    }


def shorten(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 1].rstrip()}…"


def bar(attempt: Attempt) -> str:
    filled = min(BAR * attempt.done // max(attempt.planned, 1), BAR)
    return "█" * filled + "░" * (BAR - filled)


def grouped(number: float, decimals: int = 0) -> str:
    return number_format(number, decimal_pos=decimals, force_grouping=True)


def span(seconds: float) -> str:
    """Return a time that has passed as hours, minutes and seconds."""
    if seconds <= 0:
        return "—"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def clock(moment: datetime) -> str:
    """Return the time of day, with the date where it is not today."""
    local = timezone.localtime(moment)
    is_today = local.date() == timezone.localdate()
    return local.strftime(HOUR if is_today else MOMENT)


def plain(line: str) -> str:
    """Return the line without what would move a terminal: mail servers send any bytes."""
    return "".join(char if char.isprintable() else " " for char in line)


# --- The terminal -----------------------------------------------------------------------------

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
# A character two columns wide could make a row two, and spoil the count of those to go back.
CUT_LINES, WRAP_LINES = "\x1b[?7l", "\x1b[?7h"
# A row is cleared before it is written: after one as wide as the terminal, its last character goes.
CLEAR_ROW, CLEAR_BELOW = "\x1b[K", "\x1b[J"
INDENT = "  "  # of what does not fit into a row


class Screen:
    """Lines on a terminal that each picture draws over the one before."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.height = 0

    def __enter__(self) -> Screen:
        self.stream.write(HIDE_CURSOR + CUT_LINES, ending="")
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.write(WRAP_LINES + SHOW_CURSOR, ending="")
        self.stream.flush()

    def show(self, lines: list[str]) -> None:
        back = f"\x1b[{self.height}A\r" if self.height else "\r"
        columns, height = shutil.get_terminal_size()
        rows = [row for line in lines for row in fold(line, columns)][: height - 1]
        self.height = len(rows)
        picture = "".join(f"{CLEAR_ROW}{row}\n" for row in rows)
        self.stream.write(back + picture + CLEAR_BELOW, ending="")
        self.stream.flush()


def fold(line: str, columns: int) -> list[str]:
    """Return the line as rows of a terminal."""
    indent = INDENT if columns > 2 * len(INDENT) else ""
    return wrap(line, columns, subsequent_indent=indent) or [""]
