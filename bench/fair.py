"""The row `fair`: one company sends very many letters, another one's few come due meanwhile."""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
import time

from harness import Product, Run, say, unix_time
from servers import rate_receiver
from table import Row

BIG = int(os.environ.get("BENCH_FAIR", "200000"))
FEW, TRIES = 50, 20
PATIENCE = 120  # seconds for the few letters

LEFT = """
SELECT coalesce(sum(a.planned - a.accepted - a.rejected - a.skipped - a.unknown), 0)
  FROM mailings_attempt a JOIN mailings_mailing m ON m.id = a.mailing_id
  JOIN accounts_user u ON u.id = m.owner_id
 WHERE a.status = 'running' AND u.email = 'bench@example.com'
"""


class BigCompany:
    """Sends one mailing after the other, each opened while the one before is half done."""

    def __init__(self, product: Product) -> None:
        self.product, self.runs = product, 0
        self.mailing_id: int | None = None

    def go_on(self) -> int:
        """Save the next mailing where it is time; return how many letters are left."""
        left = int(self.product.query(LEFT)[0][0])
        last = self.mailing_id and self.product.run_of(self.mailing_id)
        is_open = self.mailing_id is None or (last and last.planned >= BIG)
        if left < BIG / 2 and is_open:
            self.mailing_id, _due = self.product.save_mailing()
            self.runs += 1
        return left


def fair_row(database: str) -> Row:
    """Measure from the due time of the few letters to the moment when all were accepted."""
    say(f"few letters beside {BIG:,}, {database}, {TRIES} tries")
    server = rate_receiver()
    product = Product(database, server, clients=BIG)
    product.add_company("small", FEW)
    product.open_console()
    product.start()
    big, waits = BigCompany(product), []
    for _ in range(5 * TRIES):
        while not big.go_on():
            time.sleep(0.1)
        if (wait := few_letters(product, big)) is not None:
            waits.append(wait)
        if len(waits) == TRIES:
            break
    else:
        sys.exit(f"{BIG:,} letters are sent too soon to measure anything beside them.")
    product.close()
    server.stop()
    longest, middle = max(waits), statistics.median(waits)
    late = sorted(waits)[math.ceil(0.95 * TRIES) - 1]
    row = Row(f"{FEW} letters beside {BIG:,}, {database}", FEW, kind="fair", seconds=late)
    row.result = (
        f"p95 {late:.2f} s after the due time, median {middle:.2f} s, longest {longest:.2f} s, "
        f"{TRIES} tries, {big.runs} big runs"
    )
    return row


def few_letters(product: Product, big: BigCompany) -> float | None:
    """Let them come due at a random moment; return the seconds that they took.

    None: the big company had nothing to send for a moment.
    """
    mailing_id, due = product.save_mailing(due_in=0.5 + random.random(), company="small")
    end = time.monotonic() + PATIENCE
    was_busy = True
    while not ((run := product.run_of(mailing_id)) and run.finished_at):
        was_busy = big.go_on() > 0 and was_busy
        if time.monotonic() > end:
            sys.exit(f"{product.log.read_text()[-3000:]}\nNot sent in {PATIENCE} s: {run}.")
        time.sleep(0.1)
    expect_all(run)
    return unix_time(run.finished_at) - due if was_busy else None


def expect_all(run: Run) -> None:
    if run.accepted != FEW:
        sys.exit(f"{FEW} letters should have been accepted: {run}.")
