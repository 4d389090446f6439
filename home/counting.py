"""How many mailings and clients there are, without counting them when somebody asks.

Triggers of the database write every change of a client, a mailing or an owner into `Change`,
whoever makes it and however many rows at once. `sum_up` sums the changes up into `Total`: the clock
of `qcluster` does so for a moment every ten seconds, and calls for a worker where that is not
enough. Pages read the totals and some of the changes that wait, and write nothing. Nobody waits for
a row that counts everything, and what it costs follows what changed, not what there is.

A client counts by address, once whatever its case and however many owners have it. `Address` keeps
how many clients have each one, by a digest: addresses lie in one table only.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django_q.tasks import async_task

from blog.readings.waiting import locked
from home.models import Address, Change, Total
from home.triggers import are_installed, drop_triggers, make_triggers

logger = logging.getLogger("vestnik.web")

Row = tuple[str, str, int]  # of `Change`: name, address, amount

MAILINGS, ACTIVE, CLIENTS = NAMES = ("mailings", "active", "clients")
STEP = 5_000  # changes that one transaction sums up
FEW = 500  # that a page reads along with the totals
SECONDS = 10.0  # between two times that the clock sums up
MOMENT = 0.2  # seconds that it does so; its other work is to look for mailings that are due
CALL_AGAIN = 60.0  # seconds after which the clock calls again for a worker that did not come
PATIENCE = 3.0  # seconds that a worker waits for the clock to end its moment

_summed_up_at = _called_at = float("-inf")

# What there is when counting begins, as changes.
FIRST_CHANGES = """
INSERT INTO home_change (name, address, amount)
SELECT 'clients', email, 1 FROM mailings_client
UNION ALL SELECT 'mailings', '', COUNT(*) FROM mailings_mailing
UNION ALL SELECT 'active', '', COUNT(*) FROM mailings_mailing m
    JOIN accounts_user u ON u.id = m.owner_id
    WHERE m.is_active AND m.status <> 'finished' AND u.is_active
"""


def read_totals() -> dict[str, int]:
    """Return the numbers, with the changes that wait as far as they are few.

    Totals come first: what is summed up between two queries is missing then, and never there twice.
    """
    totals = Counter(dict(Total.objects.values_list("name", "value")))
    rows = Change.objects.order_by("pk").values_list("name", "address", "amount")
    sums, amounts = sort_out(rows[:FEW])
    totals.update(sums)
    totals[CLIENTS] += count_gained(*find_clients(amounts))
    return {name: totals[name] for name in NAMES}


def sum_up(
    seconds: float = 20, *, stops: Callable[[], bool] = lambda: False, waits: bool = True
) -> bool:
    """Sum up everything that changed, or as much as there is time for; return whether that was all.

    `stops`: asked between two steps whether to end. `waits`: for somebody else who sums up, or
    else leave all of it to them.
    """
    end = time.monotonic() + seconds
    while sum_up_step(waits=waits):
        if stops() or time.monotonic() >= end:
            return False
    return True


# --- Who does it, and when --------------------------------------------------------------------


@contextmanager
def alone() -> Iterator[None]:
    """Be the only process of this host that sums up; BlockingIOError where another one does.

    So many changes take one worker of a host and no more, and its clock none of their time.
    """
    with locked(Path(settings.VAR_DIR) / "counting.lock", wait=False):
        yield


def by_the_clock() -> None:
    """Sum up if it is time; called by the clock of `qcluster` every second.

    For what is more than a moment's work it calls for a worker, and goes on the next second until
    one comes: all of them may be busy with letters.
    """
    global _summed_up_at
    now = time.monotonic()
    if now - _summed_up_at < SECONDS:
        return
    _summed_up_at = now
    try:
        with alone():
            is_done = sum_up(MOMENT, waits=False)
        if not is_done:
            _summed_up_at = float("-inf")
            call_a_worker(now)
    except BlockingIOError:
        pass  # A worker is at it.
    except Exception:
        # What was not summed up still waits.
        logger.warning("The numbers of the home page could not be summed up.", exc_info=True)


def call_a_worker(now: float) -> None:
    """Ask a worker to sum up, but not again while the call waits."""
    global _called_at
    if now - _called_at >= CALL_AGAIN:
        _called_at = now
        ask_a_worker()


def ask_a_worker() -> None:
    async_task("home.tasks.settle_numbers", task_name="numbers of the home page")


def sum_up_for_a_turn(seconds: float, stops: Callable[[], bool]) -> bool:
    """Sum up as a worker does; return whether something is left, and nobody here at it."""
    end = time.monotonic() + PATIENCE
    while not stops():
        try:
            with alone():
                return not sum_up(seconds, stops=stops)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False  # Another worker is.
            time.sleep(0.05)
    return False


# --- One step ---------------------------------------------------------------------------------


def sum_up_step(*, waits: bool = True) -> bool:
    """Sum up the oldest changes; return whether there were any."""
    if not Change.objects.exists():
        return False
    with transaction.atomic():
        if not lock_totals(waits=waits):
            return False
        rows = Change.objects.order_by("pk").values_list("pk", "name", "address", "amount")
        changes = list(rows[:STEP])
        add_to_totals(change[1:] for change in changes)
        Change.objects.filter(pk__in=[change[0] for change in changes]).delete()
    return bool(changes)


def lock_totals(*, waits: bool) -> bool:
    """Be the only one to change the totals; without waiting, return False where somebody else is."""
    Total.objects.bulk_create([Total(name=name) for name in NAMES], ignore_conflicts=True)
    row = Total.objects.filter(name=CLIENTS)
    if connection.features.has_select_for_update_skip_locked:
        row = row.select_for_update(skip_locked=not waits)
    return row.first() is not None


def add_to_totals(changes: Iterable[Row]) -> None:
    sums, amounts = sort_out(changes)
    sums[CLIENTS] = change_addresses(amounts)
    for total in Total.objects.filter(name__in=[name for name, n in sums.items() if n]):
        total.value += sums[total.name]
        total.save(update_fields=["value"])


def sort_out(changes: Iterable[Row]) -> tuple[Counter[str], dict[UUID, int]]:
    """Return by how much each number changes, and that of the clients by address."""
    sums: Counter[str] = Counter()
    amounts: Counter[UUID] = Counter()
    for name, address, amount in changes:
        if name == CLIENTS:
            amounts[digest(address)] += amount
        else:
            sums[name] += amount
    return sums, {key: amount for key, amount in amounts.items() if amount}


def change_addresses(amounts: dict[UUID, int]) -> int:
    """Change how many clients have these addresses; return by how many addresses more are in use."""
    before, after = find_clients(amounts)
    Address.objects.bulk_create(
        [Address(pk=key, clients=number) for key, number in sorted(after.items()) if number],
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["clients"],
    )
    Address.objects.filter(pk__in=[key for key, number in after.items() if not number]).delete()
    return count_gained(before, after)


def find_clients(amounts: dict[UUID, int]) -> tuple[dict[UUID, int], dict[UUID, int]]:
    """Return how many clients have these addresses, and how many will."""
    rows = Address.objects.filter(pk__in=list(amounts)).values_list("digest", "clients")
    before = dict(rows)
    return before, {key: before.get(key, 0) + amount for key, amount in amounts.items()}


def count_gained(before: dict[UUID, int], after: dict[UUID, int]) -> int:
    """Return by how many addresses more are in use."""
    return sum(number > 0 for number in after.values()) - sum(n > 0 for n in before.values())


def digest(address: str) -> UUID:
    return UUID(bytes=blake2b(address.lower().encode(), digest_size=16).digest())


# --- Every night ------------------------------------------------------------------------------

# What there is, less what nobody has summed up yet. One statement sees one state of the database,
# and a trigger writes its change in the transaction of what it is about: the difference is exact.
COUNTED = """
UPDATE home_total SET value = ({count}) - COALESCE(
    (SELECT SUM(amount) FROM home_change WHERE name = home_total.name), 0)
 WHERE name = %s
"""
COUNTS = {
    MAILINGS: "SELECT COUNT(*) FROM mailings_mailing",
    ACTIVE: """
        SELECT COUNT(*) FROM mailings_mailing m JOIN accounts_user u ON u.id = m.owner_id
         WHERE m.is_active AND m.status <> 'finished' AND u.is_active""",
}


def recount() -> dict[str, int]:
    """Count mailings anew; return by how much each number was wrong.

    A mailing that is switched in the very moment in which its owner is blocked may count as
    active twice or not at all: neither transaction sees the other. Clients cannot go wrong so.
    """
    with transaction.atomic():
        if not lock_totals(waits=False):
            return {}  # Somebody sums up: the next night will do.
        before = dict(Total.objects.values_list("name", "value"))
        with connection.cursor() as cursor:
            for name, count in COUNTS.items():
                cursor.execute(COUNTED.format(count=count), [name])
        after = dict(Total.objects.values_list("name", "value"))
    wrong = {name: before[name] - after[name] for name in COUNTS if before[name] != after[name]}
    if wrong:
        logger.warning("numbers of the home page were wrong by %s and are counted anew", wrong)
    return wrong


# --- When the database is made or changed -----------------------------------------------------


def install_triggers(**signal: Any) -> None:
    """Install the triggers where they are missing, and count what there is, once."""
    tables = connection.introspection.table_names()
    if Change._meta.db_table not in tables or are_installed():
        return
    with transaction.atomic():
        make_triggers()
        for model in (Change, Address, Total):
            model.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(FIRST_CHANGES)
    while sum_up_step():
        pass


def remove_triggers(plan: list[Any], **signal: Any) -> None:
    """Remove the triggers while SQLite rebuilds tables, which it cannot do beside them."""
    if plan and connection.vendor == "sqlite":
        drop_triggers()
