"""The product under measurement: a fresh site on one database, its `qcluster`, and its ledger."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from databases import (
    BASE_DIR,
    connect,
    create_database,
    environment,
    fresh_database,
    manage,
    redis_of,
)
from processes import family, in_session, kill, wait_for
from servers import Receiver, Sink

WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "4"))
SENTENCES = 1  # of the letter: so many that it comes to 4 to 5 KB, frame and headers included

# Letters to @N@ clients c1@@DOMAIN@, c2@… of one company; every fourth may have another domain.
PREPARE = """
from django.db import connection
from home.counting import sum_up
user = User.objects.create_user(
    "@OWNER@@example.com", company="ООО «Ромашка»", letters_per_minute=@PER_MINUTE@)
user.groups.add(Group.objects.get(name=USERS))
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
        " SELECT " + str(user.pk) + ", 'c' || q.n || '@'"
        " || CASE WHEN q.n % 4 = 0 THEN '@FOURTH@' ELSE '@DOMAIN@' END,"
        " CASE WHEN q.n % 5 = 0 THEN 'Иван Петров ' ELSE 'John Smith ' END || q.n,"
        f" '', CURRENT_TIMESTAMP FROM ({numbers}) q"
    )
    if connection.vendor == "postgresql":
        cursor.execute("ANALYZE mailings_client")
text = "<p>Dear {{ client.full_name }}, " + "the new harvest has come to our shop. " * @TIMES@ + "</p>"
Message.objects.create(
    owner=user, subject="News for {{ client.full_name }}", body=[("heading", "News"), ("text", text)]
)
sum_up(3600)  # Or a worker would, in the middle of what is measured.
"""

START = """
from datetime import timedelta
user = User.objects.get(email="@OWNER@@example.com")
mailing = Mailing.objects.create(
    owner=user, name="bench", all_clients=True, message=Message.objects.get(owner=user),
    in_doubt="@DOUBT@", starts_at=timezone.now() + timedelta(seconds=@SECONDS@))
result = mailing.pk, mailing.starts_at.timestamp()
"""

MODELS = """
import django, json, sys; django.setup()
from django.utils import timezone
from django.contrib.auth.models import Group
from accounts.models import USERS, User; from mailings.models import *
result = None
"""

# Runs each line of its input, a JSON string, and answers with a line: `result` as JSON.
CONSOLE = f"""{MODELS}
for line in sys.stdin:
    result = None
    exec(json.loads(line))
    print(json.dumps(result), flush=True)
"""

RUN = """
SELECT id, planned, accepted, rejected, skipped, unknown, status, started_at, finished_at
  FROM mailings_attempt WHERE mailing_id = {} ORDER BY id DESC LIMIT 1
"""

# Rows that are in doubt. The words are those of reasons.py: the letter may have arrived.
DOUBTS = "SELECT id FROM mailings_delivery WHERE response LIKE '%: it may have arrived.'"


def say(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


@dataclass
class Run:
    """The last run of a mailing, as the ledger has it."""

    id: int
    planned: int
    accepted: int
    rejected: int
    skipped: int
    unknown: int
    status: str
    started_at: Any
    finished_at: Any

    @property
    def seconds(self) -> float:
        """Return how long the run took, from its opening to its close."""
        return unix_time(self.finished_at) - unix_time(self.started_at)


def unix_time(moment: Any) -> float:
    """Return a moment of the ledger as Unix time; SQLite has text, in UTC."""
    found = datetime.fromisoformat(str(moment))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Product:
    """The site with N clients in a database of its own. `env` adds to its environment.

    `database` is "postgres" or "sqlite"; `urls` names another PostgreSQL and Redis than those
    of the machine.
    """

    def __init__(
        self,
        database: str,
        server: Sink | Receiver,
        *,
        clients: int,
        urls: tuple[str, str] | None = None,
        **env: str,
    ) -> None:
        self.database = database
        self.server = server
        self.folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.url, redis_url = urls or (fresh_database(database, self.folder), redis_of(database))
        self.env = {
            **environment(self.folder, self.url),
            "REDIS_URL": redis_url,
            "EMAIL_URL": f"smtp://127.0.0.1:{server.port}",
            "MAILING_WORKERS": str(WORKERS),
            "SMTP_CONNECTIONS": str(CONNECTIONS),
            **env,
        }
        if urls:
            create_database(self.url)
            manage(self.env, "migrate", "-v0")
        self.cluster: subprocess.Popen | None = None
        self.console: subprocess.Popen | None = None
        self.connection: Any = None
        if clients:
            self.add_company("bench", clients)

    @property
    def log(self) -> Path:
        return self.folder / "qcluster.log"

    def python(self, code: str) -> Any:
        """Run code with the models at hand; return what it puts in `result`."""
        if self.console:
            return self._ask_console(code)
        program = f"{MODELS}\n{code}\nprint('\\n' + json.dumps(result))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=BASE_DIR,
            env=self.env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def open_console(self) -> None:
        """From now on `python` costs no start of a process, and takes milliseconds."""
        with self.log.open("a") as log:
            self.console = subprocess.Popen(
                [sys.executable, "-c", CONSOLE],
                cwd=BASE_DIR,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        atexit.register(self.console.kill)

    def _ask_console(self, code: str) -> Any:
        self.console.stdin.write(json.dumps(code) + "\n")
        self.console.stdin.flush()
        if not (answer := self.console.stdout.readline()):
            raise RuntimeError(f"{self.log.read_text()[-3000:]}\nThe console died of:\n{code}")
        return json.loads(answer)

    def add_company(
        self,
        name: str,
        clients: int,
        *,
        domain: str = "example.com",
        fourth: str = "",
        per_minute: int | None = None,
    ) -> None:
        """Make a company with a message. `fourth` is the domain of every fourth client."""
        self.python(
            filled(
                PREPARE,
                OWNER=name,
                N=clients,
                TIMES=SENTENCES,
                DOMAIN=domain,
                FOURTH=fourth or domain,
                PER_MINUTE=per_minute,
            )
        )

    def query(self, sql: str) -> list[tuple]:
        """Ask the database itself, over one connection, which costs it next to nothing."""
        if self.connection is None:
            self.connection = connect(self.url)
        try:
            cursor = self.connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()
        except psycopg2.Error:
            self.connection = None
            raise

    def run_of(self, mailing_id: int) -> Run | None:
        rows = self.query(RUN.format(mailing_id))
        return Run(*rows[0]) if rows else None

    def save_mailing(
        self, due_in: float = 0, in_doubt: str = "resend", company: str = "bench"
    ) -> tuple[int, float]:
        """Save a mailing to all clients; return its id and when it is due (Unix time)."""
        code = filled(START, SECONDS=due_in, DOUBT=in_doubt, OWNER=company)
        mailing_id, due = self.python(code)
        return mailing_id, due

    def start(self) -> None:
        """Start a `qcluster` and wait until it is at work."""
        self.launch()
        wait_for(lambda: self.query("SELECT 1 FROM mailings_host"), "qcluster is at work")

    def launch(self) -> None:
        self.cluster = start_cluster(self.env, self.log)
        atexit.register(self.kill_cluster)

    def members(self) -> list[int]:
        """Return the processes of the cluster, the oldest first."""
        return family(self.cluster.pid) if self.cluster else []

    def kill_cluster(self) -> None:
        """SIGKILL everything that the cluster started, orphans as well."""
        if self.cluster:
            kill([*self.members(), *in_session(self.cluster.pid)])
            self.cluster.wait()

    def close(self) -> None:
        """Stop the cluster; remove what the product left."""
        if self.cluster:
            self.cluster.send_signal(signal.SIGTERM)
            try:
                self.cluster.wait(60)
            finally:
                self.kill_cluster()
                atexit.unregister(self.kill_cluster)
        if self.console:
            self.console.communicate()
            atexit.unregister(self.console.kill)
        if self.connection:
            self.connection.close()
        shutil.rmtree(self.folder)


class Host:
    """One more `qcluster` for a product, with a folder of its own as on another machine."""

    def __init__(self, product: Product) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-host-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.env = {**product.env, "VAR_DIR": str(self.folder)}
        self.launch()

    def launch(self) -> None:
        self.cluster = start_cluster(self.env, self.folder / "qcluster.log")
        atexit.register(self.kill)

    def kill(self) -> None:
        """SIGKILL everything at once."""
        kill([*family(self.cluster.pid), *in_session(self.cluster.pid)])
        self.cluster.wait()
        atexit.unregister(self.kill)

    def close(self) -> None:
        self.cluster.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.cluster.wait(60)
        self.kill()
        shutil.rmtree(self.folder)


def start_cluster(env: dict[str, str], log: Path) -> subprocess.Popen:
    """Start a `qcluster` in a session of its own."""
    with log.open("a") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=BASE_DIR,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def filled(template: str, **values: object) -> str:
    """Put values in the place of their names between @ signs."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return template
