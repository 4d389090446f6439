"""Fill a site with clients, fast, and say what its numbers cost: for bench/public_site.py.

    python bench/fill_clients.py 1000000

makes one company have as many clients, by one statement, sums up what the triggers wrote down, and
prints as JSON how many unique clients there are, how long that took (seconds), and what reading the
numbers costs (milliseconds, median; queries). The environment says which site.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402
from measured_wsgi import Count  # noqa: E402

from accounts.models import User  # noqa: E402
from home.counting import read_totals, sum_up  # noqa: E402
from mailings.models import Client  # noqa: E402

READS = 200
HOUR = 3600
NUMBERS = {
    "postgresql": "SELECT n FROM generate_series({first}, {last}) n",
    "sqlite": (
        "WITH RECURSIVE r(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM r WHERE n < {last})"
        " SELECT n FROM r"
    ),
}
INSERT = """
INSERT INTO mailings_client (owner_id, email, full_name, comment, created_at)
SELECT {owner}, 'c' || q.n || '@example.com', 'Client ' || q.n, '', CURRENT_TIMESTAMP
  FROM ({numbers}) q
"""


def add_clients(number: int) -> None:
    """Add clients until there are as many."""
    owner, _created = User.objects.get_or_create(email="bench-numbers@example.com")
    first = Client.objects.filter(owner=owner).count() + 1
    if first <= number:
        numbers = NUMBERS[connection.vendor].format(first=first, last=number)
        with connection.cursor() as cursor:
            cursor.execute(INSERT.format(owner=owner.pk, numbers=numbers))


def measure_reading() -> dict[str, Any]:
    count, times = Count(), []
    for _ in range(READS):
        began = time.perf_counter()
        read_totals()
        times.append((time.perf_counter() - began) * 1000)
    with connection.execute_wrapper(count):
        totals = read_totals()
    return {
        "clients": totals["clients"],
        "milliseconds": statistics.median(times),
        "queries": count.queries,
    }


def main() -> None:
    began = time.perf_counter()
    add_clients(int(sys.argv[1]))
    added = time.perf_counter()
    sum_up(HOUR)
    summed_up = time.perf_counter()
    with connection.cursor() as cursor:
        # As autovacuum would, a minute later.
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")
    seconds = {"added_s": added - began, "summed_up_s": summed_up - added}
    print(json.dumps({**measure_reading(), **seconds}))


if __name__ == "__main__":
    main()
