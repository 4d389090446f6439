"""The rows of a measurement, printed as one table, and what they say of the targets."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from report import any_is_missed, print_table, verdict

# What must be reached on two cores with everything on one machine.
RATE, DJANGO, COST, GROWTH = 0.70, 12, 0.10, 0.85
PEAK_MB, FLAT_MB = 120, 10
MANY = 100_000  # letters of a run from which on a worker's memory must be seen to be flat
# Seconds a recipient, and seconds below which a run need not be opened however small it is.
OPENING, OPENING_FLOOR = 15 / 1_000_000, 1.5
SLOW, PLAIN = 0.90, 0.80
# Seconds: to the first letter; to the last of a few beside very many (p95); from a stop to the
# last letter that began; from SIGTERM to the end.
WITHIN = {"first": 2.0, "fair": 5.0, "stop": 1.0, "sigterm": 5.0}
EXACT, UNAFFECTED = 0.05, 0.95  # of a limit, and of the rate of domains that do not complain
LETTER_SIZE = 4000, 5000  # bytes on the wire


@dataclass
class Row:
    """One line of the table. Rates in letters a second, CPU in seconds per 1,000 letters."""

    what: str
    letters: int
    rate: float | None = None
    cpu_workers: float | None = None
    cpu_database: float | None = None
    cpu_receiver: float | None = None
    worker_peak_mb: float | None = None
    worker_growth_mb: float | None = None
    opening_s: float | None = None
    planned: int | None = None
    accepted: int | None = None
    lost: int | None = None
    doubled: int | None = None
    unknown: int | None = None
    doubts: int | None = None
    checked_by: str = ""
    result: str = ""
    # What the row is compared with, for the verdicts and the JSON: its rate, and the share.
    kind: str = "yardstick"
    against: float | None = None
    share: float | None = None
    django: float | None = None
    seconds: float | None = None

    def compare(self, rate: float, with_what: str) -> None:
        """Note the rate as a share of another one."""
        self.against, self.share = rate, self.rate / rate
        self.result = f"{self.share:.0%} of {with_what} ({rate:,.0f}/s)"


# Three tables of a width that can be read; each has the rows that have something in it.
TABLES = (
    {
        "rate": "letters/s",
        "cpu_workers": "CPU workers",
        "cpu_database": "CPU database",
        "cpu_receiver": "CPU receiver",
        "worker_peak_mb": "worker's peak, MB",
        "worker_growth_mb": "grew by, MB",
    },
    {
        "planned": "planned",
        "accepted": "accepted",
        "lost": "lost",
        "doubled": "doubled",
        "unknown": "unknown",
        "checked_by": "checked by",
    },
    {"opening_s": "opened in, s", "result": "result"},
)


def cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        digits = 0 if name == "rate" else 3 if name.startswith("cpu") else 1
        return f"{value:,.{2 if name == 'opening_s' else digits}f}"
    return str(value)


def print_tables(rows: list[Row]) -> None:
    """Print rows as Markdown; rows and columns that nothing fills are left out."""
    dicts = [asdict(row) for row in rows]
    for headings in TABLES:
        filled = [row for row in dicts if any(row[name] not in (None, "") for name in headings)]
        names = [n for n in headings if any(row[n] not in (None, "") for row in filled)]
        if filled:
            _print_table({"what": "what", "letters": "letters", **headings}, names, filled)


def _print_table(headings: dict[str, str], names: list[str], rows: list[dict]) -> None:
    names = ["what", "letters", *names]
    cells = [[headings[name] for name in names]]
    cells += [[cell(name, row[name]) for name in names] for row in rows]
    print_table(cells)


def verdicts(rows: list[Row]) -> list[str]:
    """Return a line for every target that the rows say something about."""
    judges = {
        "rate": _rate,
        "growth": _growth,
        "opening": _opening,
        "slow": _share,
        "plain": _share,
        "limit": _limit,
        "others": _others,
        **dict.fromkeys(WITHIN, _within),
    }
    lines = []
    for row in rows:
        if row.kind in judges:
            lines += judges[row.kind](row)
        if row.planned is not None and row.kind != "opening":
            words = f"lost {row.lost}, doubled {row.doubled}"
            lines.append(_line(row, words, "0", not (row.lost or row.doubled)))
            # The receivers refuse nobody for good.
            is_met = row.accepted == row.planned == row.letters
            lines.append(_line(row, f"accepted {row.accepted:,}", f"{row.letters:,}", is_met))
    return lines


def summaries(runs: list[list[str]]) -> list[str]:
    """Return for each target in how many of the runs it was met; where it is missing it was not."""
    targets: dict[tuple[str, str], list[str]] = {}
    for line in (line for lines in runs for line in lines):
        what, _, words = line.rpartition(": ")[0].partition(": ")
        targets.setdefault((what, re.sub(r"\d[\d.,]*", "#", words)), []).append(line)
    return [
        f"met in {sum(not any_is_missed([line]) for line in same)} of {len(runs)}:"
        f" {same[-1].rpartition(': ')[0]}"
        for same in targets.values()
    ]


def _line(row: Row, words: str, target: str, is_met: bool) -> str:
    return verdict(f"{row.what}, {row.letters:,} letters", words, target, is_met)


def _rate(row: Row) -> list[str]:
    grew, lines = row.worker_growth_mb, []
    if row.share is not None:
        words = f"rate {row.share:.2f} x smtp-source"
        lines.append(_line(row, words, f"{RATE:.2f}", row.share >= RATE))
    if row.django:
        words = f"rate {row.rate / row.django:.1f} x Django's send_messages"
        lines.append(_line(row, words, str(DJANGO), row.rate / row.django >= DJANGO))
    cost = row.cpu_workers + (row.cpu_database or 0)
    words = f"workers and database {cost:.3f} CPU-s per 1,000"
    if row.cpu_database is None:
        words += ", that of the database NOT MEASURED: it is on another machine"
    is_met = cost <= COST and row.cpu_database is not None
    lines.append(_line(row, words, f"{COST:.2f}", is_met))
    peak = f"a worker's memory {row.worker_peak_mb:.0f} MB at its peak"
    lines.append(_line(row, peak, f"{PEAK_MB}", row.worker_peak_mb < PEAK_MB))
    # A run of few letters is over before anything can be seen.
    if grew is not None or row.letters >= MANY:
        words = "its growth NOT MEASURED" if grew is None else f"grew by {grew:.1f} MB"
        lines.append(_line(row, words, f"{FLAT_MB}", grew is not None and grew <= FLAT_MB))
    return lines


def _opening(row: Row) -> list[str]:
    target = max(OPENING * row.letters, OPENING_FLOOR)
    words = f"{row.planned:,} planned in {row.opening_s:.2f} s"
    is_met = row.opening_s <= target and row.planned == row.letters
    return [_line(row, words, f"{target:g} s", is_met)]


def _growth(row: Row) -> list[str]:
    words = f"{row.share:.2f} of the rate"
    return [_line(row, words, f"{GROWTH:.2f}", row.share >= GROWTH)]


def _share(row: Row) -> list[str]:
    target = SLOW if row.kind == "slow" else PLAIN
    return [_line(row, row.result, f"{target:.0%}", row.share >= target)]


def _limit(row: Row) -> list[str]:
    return [_line(row, row.result, f"within {EXACT:.0%}", abs(row.share - 1) <= EXACT)]


def _others(row: Row) -> list[str]:
    words = f"all others at {row.share:.0%} of their rate"
    return [_line(row, words, f"{UNAFFECTED:.0%}", row.share >= UNAFFECTED)]


def _within(row: Row) -> list[str]:
    target = WITHIN[row.kind]
    lines = [_line(row, row.result, f"{target:g} s", row.seconds <= target)]
    if row.doubts is not None:
        lines.append(_line(row, f"in doubt {row.doubts}", "0", not row.doubts))
    return lines
