"""`make bench`: how fast the whole product sends, and whether every letter is accounted for.

One run goes through everything: a mailing is saved, its run opened by a `qcluster` that waits,
its letters sent to smtp-sink, its ledger closed. Before and after it smtp-source (Postfix's load
generator) sends as many over as many connections, since machines drift; Django's own
`send_messages` over one connection is measured once. Settings by environment:

    BENCH_N            letters (20000)
    BENCH_DATABASES    "postgres sqlite" where PostgreSQL and Redis answer, else "sqlite"
    BENCH_ROWS         which rows: rate opening first slow lockstep closing two-connections,
                       and besides these, some minutes long: fair stop limits sigterm; or "all"
    BENCH_OPEN         recipients of the run that is opened without sending (100000)
    BENCH_GROWTH       1: measure the rate at a tenth of BENCH_N as well (from 1000000 on: always)
    BENCH_FAIR         letters of the company beside which another one sends 50 (200000)
    BENCH_RUNS         how often all of it is measured, one after the other (1)
    BENCH_WORKERS      worker processes (2)
    BENCH_CONNECTIONS  connections of each (4)

DATABASE_URL and REDIS_URL name the servers; what is measured lives in databases of its own there
(vestnik_bench, vestnik_bench_template; number 7 of Redis), which are made anew and dropped.
The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import os
import platform
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from databases import databases, manage
from fair import fair_row
from harness import CONNECTIONS, WORKERS, Product, Run, say
from keeping import keeping_row
from limits import domain_row, limit_rows
from processes import clean_up_on_sigterm, connected, cpu_seconds, memory_mb, pids_named, wait_for
from report import any_is_missed, write_report
from servers import Receiver, Sink, has_sink, rate_receiver
from stop import sigterm_rows, stop_rows
from table import LETTER_SIZE, Row, print_tables, summaries, verdicts
from yardsticks import (
    has_source,
    measure_django,
    measure_smtp_source,
    run_lock_step,
    run_smtp_source,
)

LETTERS = int(os.environ.get("BENCH_N", "20000"))
RUNS = int(os.environ.get("BENCH_RUNS", "1"))
SOURCE = min(LETTERS, 100_000)  # letters of smtp-source: its rate does not depend on them
OPEN = int(os.environ.get("BENCH_OPEN", "100000"))
GROWTH = LETTERS >= 1_000_000 or os.environ.get("BENCH_GROWTH") == "1"
SPEED_ROWS = "rate opening first slow lockstep closing two-connections"
ALL_ROWS = f"{SPEED_ROWS} fair stop limits sigterm"
ROWS = os.environ.get("BENCH_ROWS", SPEED_ROWS).replace("all", ALL_ROWS).split()
SESSIONS = WORKERS * CONNECTIONS
FEW = min(LETTERS, 50_000)  # letters of the rows about odd servers
SLOW_LETTERS, SLOW_CONNECTIONS, SLOW_DELAY = min(LETTERS, 8000), 20, 0.05
FIRST_RECIPIENTS, FIRST_TRIES = 1000, 5
STANDSTILL = 120  # seconds without a letter after which a run is given up


# --- One run ----------------------------------------------------------------------------------


class Watch:
    """The memory of the workers while they send: at a fifth of the run and at its end."""

    def __init__(self, product: Product, letters: int) -> None:
        self.product, self.letters = product, letters
        self.early: dict[int, float] = {}
        self.late: dict[int, float] = {}

    def look(self, taken: int) -> None:
        if taken < self.letters / 5:
            return
        if not self.early:
            pids = connected(self.product.server.port, self.product.members())
            self.early = {pid: memory_mb(pid) or 0.0 for pid in pids}
        for pid in self.early:
            self.late[pid] = memory_mb(pid) or self.late.get(pid, 0.0)

    def peak(self) -> float:
        """Return the most that any process of the cluster held, in MB."""
        return max(memory_mb(pid, "VmHWM") or 0.0 for pid in self.product.members())

    def growth(self) -> float | None:
        return max((self.late[pid] - mb for pid, mb in self.early.items()), default=None)


def await_end(product: Product, mailing_id: int, watch: Watch) -> Run:
    """Wait until the run is closed; end the program where nothing moves any more."""
    moved_at, before = time.monotonic(), -1
    while not ((run := product.run_of(mailing_id)) and run.finished_at):
        # smtp-sink counts once a second.
        taken = max(product.server.taken, run.accepted if run else 0)
        watch.look(taken)
        if taken != before:
            moved_at, before = time.monotonic(), taken
        if time.monotonic() - moved_at > STANDSTILL:
            tail = product.log.read_text()[-3000:]
            sys.exit(f"{tail}\nNothing moved for {STANDSTILL} s: {taken:,} letters came, {run}.")
        time.sleep(0.1)
    return run


def costs(product: Product) -> list[float]:
    """Return the CPU seconds so far of workers, database (0 if it is elsewhere) and receiver."""
    services = pids_named("postgres", "redis-server") if product.database == "postgres" else []
    return [cpu_seconds(product.members()), cpu_seconds(services), product.server.cpu()]


def measure(
    what: str,
    kind: str,
    database: str,
    server: Sink | Receiver,
    letters: int,
    then: Callable[[Product], None] = lambda product: None,
    **env: str,
) -> Row:
    """Send a mailing through the whole product; `env` are settings that differ.

    `then` is called when all is sent, before the product is removed.
    """
    say(f"{what}, {database}, {letters:,} letters")
    product = Product(database, server, clients=letters, **env)
    product.start()
    watch = Watch(product, letters)
    before = costs(product)
    mailing_id, _due = product.save_mailing()
    run = await_end(product, mailing_id, watch)
    spent = [(b - a) * 1000 / letters for a, b in zip(before, costs(product), strict=True)]
    peak = watch.peak()
    opening = re.search(r"opened in ([\d.]+) s", product.log.read_text())
    then(product)
    product.close()
    server.stop()
    lost, doubled = compare(server, run, letters)
    is_elsewhere = database == "postgres" and not spent[1]
    return Row(
        what=f"{what}, {database}",
        kind=kind,
        letters=letters,
        rate=run.accepted / run.seconds,
        cpu_workers=spent[0],
        cpu_database=None if is_elsewhere else spent[1],
        cpu_receiver=spent[2],
        worker_peak_mb=peak,
        worker_growth_mb=watch.growth(),
        opening_s=float(opening[1]) if opening else None,
        planned=run.planned,
        accepted=run.accepted,
        lost=lost,
        doubled=doubled,
        unknown=run.unknown,
        checked_by="count" if server.counts_only else "log",
    )


def compare(server: Sink | Receiver, run: Run, letters: int) -> tuple[int, int]:
    """Return how many letters were lost and doubled by what the receiver has, not the ledger."""
    excused = run.rejected + run.skipped + run.unknown
    if server.counts_only:
        return max(letters - excused - server.taken, 0), max(server.taken - letters, 0)
    recipients = {letter.recipient for letter in server.letters}
    missing = {f"c{n}@example.com" for n in range(1, letters + 1)} - recipients
    return max(len(missing) - excused, 0), len(server.letters) - len(recipients)


# --- The rows ---------------------------------------------------------------------------------


def measure_letter() -> tuple[int, str]:
    """Send a few letters; return the size of one in bytes, and what it consists of."""
    receiver = Receiver("--keep", "1")
    product = Product("sqlite", receiver, clients=20)
    product.save_mailing()
    manage(product.env, "mailing")
    wait_for(lambda: receiver.taken, "a letter arrives")
    size = round(statistics.mean(letter.size for letter in receiver.letters))
    head, _blank, body = receiver.kept(1).partition(b"\r\n\r\n")
    headers = re.findall(rb"^([\w-]+):", head, re.MULTILINE)
    parts = re.findall(rb"^Content-Type: (text/\w+)", body, re.MULTILINE)
    product.close()
    receiver.stop()
    return size, (
        f"{size:,} bytes on the wire, {b' and '.join(parts).decode()}, the client's name in both, "
        f"{len(headers)} headers: {b', '.join(headers).decode()}"
    )


def rate_rows(size: int) -> list[Row]:
    """Measure the product on each database, smtp-source before, between and after."""
    rows, sources = [], [source_row(size)]
    name = f"Vestnik, {WORKERS} x {CONNECTIONS} connections"
    for database in databases():
        small = None
        if GROWTH:
            small = measure(name, "rate", database, rate_receiver(), LETTERS // 10)
        kept: list[Row] = []
        row = measure(
            name,
            "rate",
            database,
            rate_receiver(),
            LETTERS,
            then=lambda product, kept=kept: kept.append(keeping_row(product, LETTERS)),
        )
        sources.append(source_row(size))
        around = [source.rate for source in sources[-2:] if source]
        for measured in filter(None, (small, row)):
            if around:
                measured.compare(statistics.mean(around), "smtp-source")
        if small:
            growth = Row(f"growth, {database}", LETTERS, row.rate, kind="growth")
            growth.compare(small.rate, f"the rate at {small.letters:,}")
            rows += [small, growth]
        rows += [row, *kept]
    django = measure_django(LETTERS, size)
    for row in rows:
        row.django = django.rate if row.kind == "rate" else None
    return [*rows, *filter(None, sources), django]


def source_row(size: int) -> Row | None:
    return measure_smtp_source(SOURCE, SESSIONS, size) if has_source() else None


# The mailing goes to a list in which all clients are.
TO_A_LIST = """
from django.db import connection
mailing = Mailing.objects.get()
everybody = ClientList.objects.create(owner=mailing.owner, name="Everybody")
with connection.cursor() as cursor:
    cursor.execute(
        f"INSERT INTO {Client.lists.through._meta.db_table} (client_id, clientlist_id)"
        f" SELECT id, {everybody.pk} FROM mailings_client")
    if connection.vendor == "postgresql":
        cursor.execute(f"ANALYZE {Client.lists.through._meta.db_table}")
mailing.lists.add(everybody)
mailing.all_clients = False
mailing.save()
"""


def opening_row(database: str, *, of_a_list: bool = False) -> Row:
    """Open a run as a worker does, with no worker there to send it."""
    what = f"opening a run{' to a list' if of_a_list else ''}, {database}"
    say(f"{what}, {OPEN:,} recipients")
    receiver = rate_receiver()
    product = Product(database, receiver, clients=OPEN)
    product.save_mailing()
    if of_a_list:
        product.python(TO_A_LIST)
    seconds, planned = product.python("""
import time
from mailings import runs
began = time.monotonic()
runs.open_due(timezone.now())
result = [time.monotonic() - began, Attempt.objects.get().planned]
""")
    product.close()
    receiver.stop()
    return Row(what, OPEN, kind="opening", opening_s=seconds, planned=planned)


def first_row(database: str) -> Row:
    """Let mailings come due while a `qcluster` waits; measure until the first letter is there."""
    say(f"first letter, {database}, {FIRST_TRIES} tries")
    receiver = Receiver()
    product = Product(database, receiver, clients=FIRST_RECIPIENTS)
    product.start()
    waits = []
    for number in range(1, FIRST_TRIES + 1):
        mailing_id, due = product.save_mailing(due_in=3 + random.random())
        watch = Watch(product, 10**9)
        await_end(product, mailing_id, watch)
        wait_for(lambda n=number: receiver.taken >= FIRST_RECIPIENTS * n, "all letters are there")
        waits.append(receiver.letters[FIRST_RECIPIENTS * (number - 1)].time - due)
    product.close()
    receiver.stop()
    row = Row(f"first letter, {database}", FIRST_RECIPIENTS, kind="first", seconds=max(waits))
    middle = statistics.median(waits)
    row.result = f"{max(waits):.2f} s after the due time, median {middle:.2f} s, {len(waits)} tries"
    return row


def slow_row(database: str) -> Row:
    """Send to a server that is a round trip of 50 ms away, over 20 connections of one worker.

    A letter needs one round trip: its body and the next one's MAIL, RCPT and DATA leave in one
    write; the next body has to wait for the reply to DATA (RFC 2920 3.1).
    """
    row = measure(
        f"slow server, {SLOW_DELAY * 1000:.0f} ms, 1 x {SLOW_CONNECTIONS}",
        "slow",
        database,
        Receiver("--delay", str(SLOW_DELAY)),
        SLOW_LETTERS,
        MAILING_WORKERS="1",
        SMTP_CONNECTIONS=str(SLOW_CONNECTIONS),
    )
    row.compare(SLOW_CONNECTIONS / SLOW_DELAY, "connections / round trip")
    return row


def plain_row(what: str, database: str, *options: str, usable: int, size: int) -> Row:
    """Compare with smtplib over as many connections as the server allows, a process each."""
    receiver = Receiver(*options)
    plain = FEW / run_lock_step(receiver.port, FEW, usable, size)
    receiver.stop()
    row = measure(what, "plain", database, Receiver(*options), FEW)
    row.compare(plain, f"smtplib, {usable} x 1 connection")
    return row


def lockstep_row(database: str, size: int) -> Row:
    """Measure without PIPELINING, on smtp-sink, which is fast; ours where it is missing.

    The client that it is compared with runs before and after it, since machines drift.
    """
    options = ("-p",) if has_sink() else ("--no-pipelining",)
    server = Sink if has_sink() else Receiver

    def alone(send: Callable[[int, int, int, int], float]) -> float:
        sink = server(*options)
        seconds = send(sink.port, FEW, SESSIONS, size)
        sink.stop()
        return FEW / seconds

    plain = [alone(run_lock_step)]
    row = measure("no PIPELINING", "plain", database, server(*options), FEW)
    plain.append(alone(run_lock_step))
    row.compare(statistics.mean(plain), f"smtplib, {SESSIONS} x 1 connection")
    if has_source():
        row.result += f"; {row.rate / alone(run_smtp_source):.0%} of smtp-source"
    return row


def other_rows(size: int) -> list[Row]:
    rows, names = [], databases()
    if "opening" in ROWS:
        for database in names:
            rows += [opening_row(database), opening_row(database, of_a_list=True)]
    if "first" in ROWS:
        rows += [first_row(database) for database in names]
    for database in names:
        rows += odd_rows(database, size)
    return rows


def odd_rows(database: str, size: int) -> list[Row]:
    """Measure servers that are slow or peculiar."""
    rows = []
    if "slow" in ROWS:
        rows.append(slow_row(database))
    if "lockstep" in ROWS:
        rows.append(lockstep_row(database, size))
    if "closing" in ROWS:
        option = ("--close-after", "100")
        rows.append(
            plain_row("closes after 100 letters", database, *option, usable=SESSIONS, size=size)
        )
    if "two-connections" in ROWS:
        option = ("--connections", "2")
        rows.append(plain_row("allows 2 connections", database, *option, usable=2, size=size))
    return rows


def manners_rows() -> list[Row]:
    """Measure how fair and polite the engine is, on each database."""
    rows = []
    for database in databases():
        if "fair" in ROWS:
            rows.append(fair_row(database))
        if "stop" in ROWS:
            rows += stop_rows(database)
        if "limits" in ROWS:
            rows += [*limit_rows(database), domain_row(database)]
        if "sigterm" in ROWS:
            rows += sigterm_rows(database)
    return rows


def notes_on(size: int, letter: str) -> list[str]:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.platform()}"
    notes = [f"Machine: {machine}.", f"A letter: {letter}."]
    if not LETTER_SIZE[0] <= size <= LETTER_SIZE[1]:
        words = f"a letter has {LETTER_SIZE[0]:,} to {LETTER_SIZE[1]:,} bytes"
        notes.append(f"{words}: NOT MET")
    left_out = [row for row in ALL_ROWS.split() if row not in ROWS]
    left_out += [] if GROWTH else ["growth (BENCH_N from 1000000 on, or BENCH_GROWTH=1)"]
    if left_out:
        notes.append(f"Not measured in this run: {', '.join(left_out)}.")
    notes.append("CPU: seconds for 1,000 letters.")
    notes.append("Checked by: count = smtp-sink's counter; log = the receiver's list of letters.")
    if not (has_sink() and has_source()):
        notes.append(
            "smtp-sink or smtp-source is missing (apt install postfix): bench/receiver.py stands"
            " in for the first, and there is no rate to compare with the second's."
        )
    return notes


def measure_all(size: int) -> list[Row]:
    rows = rate_rows(size) if "rate" in ROWS else []
    return [*rows, *other_rows(size), *manners_rows()]


def main() -> None:
    clean_up_on_sigterm()
    if unknown := set(ROWS) - set(ALL_ROWS.split()):
        sys.exit(f"BENCH_ROWS: {' '.join(sorted(unknown))} is none of: {ALL_ROWS}")
    size, letter = measure_letter()
    notes, runs = notes_on(size, letter), []
    for number in range(1, RUNS + 1):
        rows = measure_all(size)
        runs.append({"rows": rows, "verdicts": verdicts(rows)})
        if RUNS > 1:
            print(f"Run {number} of {RUNS}\n")
        print_tables(rows)
        print(*notes, "", *runs[-1]["verdicts"], "", sep="\n", flush=True)
        content = [{**run, "rows": [asdict(row) for row in run["rows"]]} for run in runs]
        path = write_report("bench", {"notes": notes, "runs": content})
    if RUNS > 1:
        print(*summaries([run["verdicts"] for run in runs]), sep="\n")
    print(f"\nWritten to {path}.")
    sys.exit(any(any_is_missed([*notes, *run["verdicts"]]) for run in runs))


if __name__ == "__main__":
    main()
