"""`make bench`: how fast the whole product sends, and whether every letter is accounted for.

One run goes through everything: a mailing is saved, its run opened by a `qcluster` that waits,
its letters sent to smtp-sink, its ledger closed. In the same run two yardsticks are measured
beside it: smtp-source (Postfix's load generator) with as many connections, and Django's own
`send_messages` over one connection. Settings by environment:

    BENCH_N            letters (20000)
    BENCH_DATABASES    "postgres sqlite" where PostgreSQL and Redis answer, else "sqlite"
    BENCH_WORKERS      worker processes (2)
    BENCH_CONNECTIONS  connections of each (4)
"""

from __future__ import annotations

import atexit
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

BASE_DIR = Path(__file__).resolve().parents[1]
LETTERS = int(os.environ.get("BENCH_N", "20000"))
WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "4"))
POSTGRES = os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/vestnik_bench")
REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/7")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Row:
    """One line of the table. Rates in letters a second, CPU in seconds per 1,000 letters."""

    what: str
    letters: int
    rate: float
    cpu_workers: float | None = None
    cpu_database: float | None = None
    cpu_receiver: float | None = None
    worker_peak_mb: float | None = None
    opening_s: float | None = None
    planned: int | None = None
    accepted: int | None = None
    lost: int | None = None
    doubled: int | None = None
    unknown: int | None = None


# --- Processes and what they cost -------------------------------------------------------------


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def cpu_seconds(pids: list[int], *, with_dead_children: bool = False) -> float:
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15] if with_dead_children else fields[11:13]))
    return total / TICKS


def peak_mb(pids: list[int]) -> float:
    peaks = []
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except FileNotFoundError:
            continue
        if found := re.search(r"VmHWM:\s+(\d+)", status):
            peaks.append(int(found[1]) / 1024)
    return max(peaks, default=0.0)


def postgres_pids() -> list[int]:
    done = subprocess.run(["pgrep", "-x", "postgres"], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


class Sink:
    """smtp-sink, which takes everything and counts it."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.counters = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the sink
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = ["smtp-sink", *user, "-c", "-4", "-m", "512", *options]
        self.process = subprocess.Popen(
            [*command, f"127.0.0.1:{self.port}", "1024"], stdout=self.counters
        )
        atexit.register(self.process.kill)
        while not answers("127.0.0.1", self.port):
            time.sleep(0.05)

    @property
    def taken(self) -> int:
        """Return how many letters have come in."""
        self.counters.seek(0)
        numbers = re.findall(rb"mesg=(\d+)", self.counters.read())
        return int(numbers[-1]) if numbers else 0

    def cpu(self) -> float:
        return cpu_seconds([self.process.pid])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


# --- The product ------------------------------------------------------------------------------

# @N@ is the number of letters.
PREPARE = """
from django.db import connection
user = User.objects.create_user("bench@example.com", company="ООО «Ромашка»")
if connection.vendor == "postgresql":
    numbers = "SELECT n FROM generate_series(1, @N@) n"
else:
    numbers = (
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < @N@)"
        " SELECT n FROM r"
    )
with connection.cursor() as cursor:
    cursor.execute(
        "INSERT INTO mailings_client (owner_id, email, full_name, comment, created_at)"
        " SELECT " + str(user.pk) + ", 'c' || q.n || '@example.com',"
        " CASE WHEN q.n % 5 = 0 THEN 'Иван Петров ' ELSE 'John Smith ' END || q.n,"
        f" '', CURRENT_TIMESTAMP FROM ({numbers}) q"
    )
    if connection.vendor == "postgresql":
        cursor.execute("ANALYZE mailings_client")
text = "<p>Dear {{ client.full_name }}, " + "the new harvest has come to our shop. " * 6 + "</p>"
Message.objects.create(
    owner=user, subject="News for {{ client.full_name }}", body=[("heading", "News"), ("text", text)]
)
"""

START = """
mailing = Mailing.objects.create(owner=User.objects.get(), name="bench", all_clients=True,
                                 message=Message.objects.get(), starts_at=timezone.now())
result = mailing.pk
"""

LOOK = """
SELECT planned, accepted, unknown, status, started_at, finished_at FROM mailings_attempt
 WHERE finished_at IS NOT NULL
"""


class Product:
    """A fresh site on one database, and its `qcluster`."""

    def __init__(self, database: str, sink: Sink, folder: Path) -> None:
        self.database = database
        self.env = {
            **os.environ,
            "PYTHONPATH": f"{BASE_DIR}:{BASE_DIR / 'site'}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "SECRET_KEY": "bench-" + "x" * 50,
            "DEBUG": "false",
            "VAR_DIR": str(folder),
            "EMAIL_URL": f"smtp://127.0.0.1:{sink.port}",
            "DEFAULT_FROM_EMAIL": "Vestnik <news@vestnik.test>",
            "MAILING_WORKERS": str(WORKERS),
            "SMTP_CONNECTIONS": str(CONNECTIONS),
            "DATABASE_URL": POSTGRES if database == "postgres" else "",
            "REDIS_URL": REDIS if database == "postgres" else "",
        }
        if database == "postgres":
            recreate_database()
        self.manage("migrate", "-v0")

    def manage(self, *args: str) -> None:
        subprocess.run([sys.executable, "manage.py", *args], cwd=BASE_DIR, env=self.env, check=True)

    def python(self, code: str) -> object:
        program = (
            "import django, json; django.setup()\n"
            "from django.utils import timezone\n"
            "from accounts.models import User; from mailings.models import *\n"
            f"result = None\n{code}\nprint('\\n' + json.dumps(result))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=BASE_DIR,
            env=self.env,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    def look(self) -> dict | None:
        """Return the run when it is closed; asks the database itself, which costs it nothing."""
        connection = (
            psycopg2.connect(POSTGRES)
            if self.database == "postgres"
            else sqlite3.connect(Path(self.env["VAR_DIR"]) / "db.sqlite3")
        )
        cursor = connection.cursor()
        cursor.execute(LOOK)
        row = cursor.fetchone()
        connection.close()
        if row is None:
            return None
        run = dict(zip(("planned", "accepted", "unknown", "status"), row, strict=False))
        began, ended = (datetime.fromisoformat(str(moment)) for moment in row[4:])
        return {**run, "seconds": (ended - began).total_seconds()}

    def start(self) -> None:
        log = (Path(self.env["VAR_DIR"]) / "qcluster.log").open("w")
        self.cluster = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=BASE_DIR,
            env=self.env,
            stdout=log,
            stderr=log,
        )
        while not self.python("result = Worker.objects.count()"):
            time.sleep(0.2)

    def stop(self) -> None:
        self.cluster.terminate()
        self.cluster.wait()


def recreate_database() -> None:
    parts = urlsplit(POSTGRES)
    connection = psycopg2.connect(parts._replace(path="/postgres").geturl())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{parts.path[1:]}" WITH (FORCE)')
        cursor.execute(f'CREATE DATABASE "{parts.path[1:]}"')
    connection.close()


def measure_product(database: str) -> Row:
    sink = Sink()
    folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-"))
    product = Product(database, sink, folder)
    product.python(PREPARE.replace("@N@", str(LETTERS)))
    product.start()
    pids = family(product.cluster.pid)
    before = cpu_seconds(pids), cpu_seconds(postgres_pids(), with_dead_children=True), sink.cpu()
    product.python(START)
    while not (run := product.look()):
        time.sleep(0.1)
    after = cpu_seconds(pids), cpu_seconds(postgres_pids(), with_dead_children=True), sink.cpu()
    costs = [round((b - a) * 1000 / LETTERS, 4) for a, b in zip(before, after, strict=True)]
    peak = peak_mb(pids)
    product.stop()
    taken = sink.taken
    sink.stop()
    log = (folder / "qcluster.log").read_text()
    opening = re.search(r"opened in ([\d.]+) s", log)
    shutil.rmtree(folder)
    return Row(
        what=f"Vestnik, {database}, {WORKERS} x {CONNECTIONS} connections",
        letters=LETTERS,
        rate=round(run["accepted"] / run["seconds"]),
        cpu_workers=costs[0],
        cpu_database=costs[1] if database == "postgres" else 0.0,
        cpu_receiver=costs[2],
        worker_peak_mb=round(peak, 1),
        opening_s=float(opening[1]) if opening else None,
        planned=run["planned"],
        accepted=run["accepted"],
        lost=max(run["planned"] - taken, 0),
        doubled=max(taken - run["accepted"] - run["unknown"], 0),
        unknown=run["unknown"],
    )


# --- The yardsticks ---------------------------------------------------------------------------


def measure_smtp_source() -> Row:
    sink, sessions = Sink(), WORKERS * CONNECTIONS
    before_sink = sink.cpu()
    start = time.monotonic()
    subprocess.run(
        ["smtp-source", "-4", "-d", "-s", str(sessions), "-l", "4096", "-m", str(LETTERS)]
        + ["-f", "a@x.test", "-t", "b@x.test", "-M", "x.test", f"127.0.0.1:{sink.port}"],
        check=True,
    )
    seconds = time.monotonic() - start
    cpu = (sink.cpu() - before_sink) * 1000 / LETTERS
    sink.stop()
    rate = round(LETTERS / seconds)
    return Row(f"smtp-source -d -s {sessions}", LETTERS, rate, cpu_receiver=round(cpu, 4))


DJANGO_MAIL = """
import time
from django.core.mail import EmailMultiAlternatives, get_connection
connection = get_connection()
connection.open()
text, page = "The new harvest has come. " * 45, "<p>The new harvest has come. </p>" * 70
mails = []
for n in range({n}):
    mail = EmailMultiAlternatives(f"News for client {{n}}", text, "news@vestnik.test",
        [f"c{{n}}@example.com"], headers={{"List-Unsubscribe": f"<https://x.test/u/{{n}}/>"}})
    mail.attach_alternative(page, "text/html")
    mails.append(mail)
start = time.monotonic()
connection.send_messages(mails)
result = time.monotonic() - start
"""


def measure_django() -> Row:
    letters = min(LETTERS, 5000)  # Its rate does not depend on the number.
    sink = Sink()
    folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-"))
    seconds = Product("sqlite", sink, folder).python(DJANGO_MAIL.format(n=letters))
    sink.stop()
    shutil.rmtree(folder)
    return Row("Django's send_messages, one connection", letters, round(letters / seconds))


# --- The table --------------------------------------------------------------------------------


def print_table(rows: list[Row]) -> None:
    names = [name for name in asdict(rows[0]) if any(asdict(row)[name] is not None for row in rows)]
    cells = [names] + [
        ["" if (v := asdict(row)[n]) is None else str(v) for n in names] for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    for number, line in enumerate(cells):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    source, django = rows[-2], rows[-1]
    for row in rows[:-2]:
        print(
            f"{row.what}: {row.rate / source.rate:.2f} x smtp-source,"
            f" {row.rate / django.rate:.1f} x Django's send_messages"
        )


def main() -> None:
    if not shutil.which("smtp-sink"):
        sys.exit("make bench needs smtp-sink and smtp-source (apt install postfix).")
    services = answers("127.0.0.1", urlsplit(POSTGRES).port or 5432) and answers(
        "127.0.0.1", urlsplit(REDIS).port or 6379
    )
    default = "postgres sqlite" if services else "sqlite"
    databases = os.environ.get("BENCH_DATABASES", default).split()
    rows = [measure_product(database) for database in databases]
    rows += [measure_smtp_source(), measure_django()]
    print_table(rows)
    report = BASE_DIR / "var" / "bench.json"
    report.parent.mkdir(exist_ok=True)
    report.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False))
    print(
        f"Written to {report.relative_to(BASE_DIR)}; peak of this process "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB."
    )


if __name__ == "__main__":
    main()
