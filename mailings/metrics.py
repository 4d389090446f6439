"""Numbers of the service: how they come together, and how they are read.

Every worker adds up its own numbers in a `Tally` and saves them every second or so into the rows
of `Counter`, which hold the sums over all workers and hosts since the service began. Names:

    letters:<outcome>     what the mail server, or we, said to letters: accepted, rejected, deferred…
    stage:<stage>:<le>    replies of the mail server in this stage that took up to `le` seconds
                          (and longer than the bound below it; `inf`: longer than all bounds)
    stage:<stage>:sum     seconds that they took together
    anything else         events of that name, such as breaker_opened
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from django.db import connection

# Upper bounds in seconds; the last count of a stage is of what took longer than all of them.
BOUNDS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
STAGES = ("connect", "hello", "tls", "login", "mail", "rcpt", "data", "body")
SUFFIXES = (*(f"{bound:g}" for bound in BOUNDS), "inf", "sum")


# --- Writing ----------------------------------------------------------------------------------

# In the order of names: two workers never wait for each other's rows crosswise.
ADD = """
    INSERT INTO mailings_counter (name, value) VALUES {values}
    ON CONFLICT (name) DO UPDATE SET value = mailings_counter.value + excluded.value
"""


class Tally:
    """Numbers of one worker since it saved them last. For use in one thread."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, float] = defaultdict(float)
        self._stages: defaultdict[str, list[float]] = defaultdict(lambda: [0] * len(SUFFIXES))

    def add(self, name: str, value: float = 1) -> None:
        """Count `value` more of `name`."""
        self._numbers[name] += value

    def took(self, stage: str, seconds: float) -> None:
        """Note how long the mail server took to reply in a stage (one of STAGES)."""
        numbers = self._stages[stage]
        numbers[bisect_left(BOUNDS, seconds)] += 1
        numbers[-1] += seconds

    def save(self) -> None:
        """Add everything to the sums in the database and forget it.

        An error of the database is raised and the numbers are kept. Call it outside of a
        transaction: one that is rolled back would lose them.
        """
        rows = self._rows()
        if not rows:
            return
        params = [value for row in rows for value in row]
        with connection.cursor() as cursor:
            cursor.execute(ADD.format(values=", ".join(["(%s, %s)"] * len(rows))), params)
        self._numbers.clear()
        self._stages.clear()

    def _rows(self) -> list[tuple[str, float]]:
        """Return names with what is to be added to them, in the order of names."""
        rows = [(name, value) for name, value in self._numbers.items() if value]
        for stage, numbers in self._stages.items():
            named = zip(SUFFIXES, numbers, strict=True)
            rows += [(f"stage:{stage}:{suffix}", value) for suffix, value in named if value]
        return sorted(rows)
