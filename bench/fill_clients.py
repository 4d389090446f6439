"""Fill a site with clients, fast, and say what its numbers cost: for bench/public_site.py.

    python bench/fill_clients.py 1000000

makes one company have as many clients, by one statement, while `qcluster` runs as README starts it,
and waits until the number of clients is right. Then it leaves some changes waiting, as many as a page
reads along, and measures reading. Printed as JSON: how many unique clients there are, how long adding
them and the way to the right number took (seconds, from the commit on), and what reading the numbers
costs (milliseconds, median; queries; changes that waited). The environment says which site.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django

django.setup()

from databases import BASE_DIR  # noqa: E402
from django.db import connection  # noqa: E402
from measured_wsgi import Count  # noqa: E402

from accounts.models import User  # noqa: E402
from home.counting import CLIENTS, FEW, read_totals, sum_up  # noqa: E402
from home.models import Change  # noqa: E402
from mailings.models import Client, Host, Mailing  # noqa: E402

READS = 500
HOUR = 3600
WARM_UP = 15.0  # seconds from the start of the workers: their clock has begun its round of ten
LOOK = 0.2  # seconds between two looks at the number
NUMBERS = {
    "postgresql": "SELECT n FROM generate_series({first}, {last}) n",
    "sqlite": (
        "WITH RECURSIVE r(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM r WHERE n < {last})"
        " SELECT n FROM r"
    ),
}
AT_WORK = """
SELECT count(*) FROM pg_stat_activity
 WHERE backend_type = 'autovacuum worker' AND datname = current_database()
"""
INSERT = """
INSERT INTO mailings_client (owner_id, email, full_name, comment, created_at)
SELECT {owner}, 'c' || q.n || '@example.com', 'Client ' || q.n, '', CURRENT_TIMESTAMP
  FROM ({numbers}) q
"""


def owner() -> User:
    return User.objects.get_or_create(email="bench-numbers@example.com")[0]


def add_clients(number: int) -> None:
    """Add clients until there are as many."""
    first = Client.objects.filter(owner=owner()).count() + 1
    if first <= number:
        numbers = NUMBERS[connection.vendor].format(first=first, last=number)
        with connection.cursor() as cursor:
            cursor.execute(INSERT.format(owner=owner().pk, numbers=numbers))


@contextmanager
def workers() -> Iterator[None]:
    """Run `qcluster`; the mailings of the examples stay where they are."""
    Mailing.objects.update(is_active=False)
    command = [sys.executable, "manage.py", "qcluster"]
    process = subprocess.Popen(
        command, cwd=BASE_DIR, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not Host.objects.filter(workers__gt=0).exists():
            time.sleep(LOOK)
        time.sleep(WARM_UP)
        yield
    finally:
        process.terminate()
        process.wait()


def wait_until_right(clients: int) -> None:
    end = time.perf_counter() + HOUR
    while read_totals()[CLIENTS] != clients:
        if time.perf_counter() > end:
            raise RuntimeError("The number of clients does not come right.")
        time.sleep(LOOK)


def wait_for_the_vacuum() -> None:
    """Wait until PostgreSQL tidies no table of this database by itself; it would be measured along."""
    if connection.vendor != "postgresql":
        return
    while True:
        with connection.cursor() as cursor:
            cursor.execute(AT_WORK)
            if not cursor.fetchone()[0]:
                return
        time.sleep(LOOK)


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
    wanted = int(sys.argv[1])
    sum_up(HOUR)
    with workers():
        before, there = read_totals()[CLIENTS], Client.objects.filter(owner=owner()).count()
        began = time.perf_counter()
        add_clients(wanted)
        added = time.perf_counter()
        wait_until_right(before + max(wanted - there, 0))
        right = time.perf_counter()
    sum_up(HOUR)
    with connection.cursor() as cursor:
        # As autovacuum would, a minute later.
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")
    add_clients(wanted + FEW)  # Nobody is there to sum them up.
    wait_for_the_vacuum()
    waiting = {"waiting": Change.objects.count()}
    seconds = {"added_s": added - began, "right_s": right - added}
    print(json.dumps({**measure_reading(), **waiting, **seconds}))


if __name__ == "__main__":
    main()
