"""What a run costs when it has been sent: its space on disk, and the time to delete it."""

from __future__ import annotations

from harness import Product
from table import Row

# Tables with their indexes, in bytes.
SIZE = {
    "postgres": "SELECT pg_total_relation_size('mailings_delivery')",
    "sqlite": "SELECT SUM(pgsize) FROM dbstat WHERE name IN"
    " (SELECT name FROM sqlite_master WHERE tbl_name = 'mailings_delivery')",
}
PRUNE = """
import time
from datetime import timedelta
from mailings import housekeeping
long_ago = timezone.now() - timedelta(days=1000)
Attempt.objects.update(started_at=long_ago, finished_at=long_ago)
began = time.monotonic()
deleted = housekeeping.prune(timezone.now(), housekeeping.Deadline())
result = [deleted, time.monotonic() - began]
"""


def keeping_row(product: Product, letters: int) -> Row:
    """Weigh the ledger of a run that is over, and delete it as the night does."""
    megabytes = product.query(SIZE[product.database])[0][0] / 1e6
    deleted, seconds = product.python(PRUNE)
    row = Row(f"keeping a run, {product.database}", letters, kind="keeping", seconds=seconds)
    row.result = f"{megabytes:,.0f} MB of ledger; {deleted:,} rows deleted in {seconds:.1f} s"
    return row
