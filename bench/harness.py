"""The product under measurement: a fresh site on one database, its `qcluster`, and its ledger."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import redis
from processes import answers, family, in_session, kill, wait_for
from servers import Receiver, Sink

BASE_DIR = Path(__file__).resolve().parents[1]
WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "4"))
# Databases of our own: what the variables name otherwise is never touched.
TEMPLATE, DATABASE, REDIS_DATABASE = "vestnik_bench_template", "vestnik_bench", "7"
NAMED = os.environ.get("DATABASE_URL", "")
SERVER = urlsplit(NAMED if "postgres" in NAMED else "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = urlsplit(os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379")

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
text = "<p>Dear {{ client.full_name }}, " + "the new harvest has come to our shop. " * 2 + "</p>"
Message.objects.create(
    owner=user, subject="News for {{ client.full_name }}", body=[("heading", "News"), ("text", text)]
)
"""

START = """
from datetime import timedelta
mailing = Mailing.objects.create(
    owner=User.objects.get(), name="bench", all_clients=True, message=Message.objects.get(),
    in_doubt="@DOUBT@", starts_at=timezone.now() + timedelta(seconds=@SECONDS@))
result = mailing.pk, mailing.starts_at.timestamp()
"""

RUN = """
SELECT id, planned, accepted, rejected, skipped, unknown, status, started_at, finished_at
  FROM mailings_attempt WHERE mailing_id = {} ORDER BY id DESC LIMIT 1
"""


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
        began, ended = (
            datetime.fromisoformat(str(moment)) for moment in (self.started_at, self.finished_at)
        )
        return (ended - began).total_seconds()


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
        self.connection: Any = None
        if clients:
            self.python(PREPARE.replace("@N@", str(clients)))

    @property
    def log(self) -> Path:
        return self.folder / "qcluster.log"

    def python(self, code: str) -> Any:
        """Run code with the models at hand; return what it puts in `result`."""
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
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

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

    def save_mailing(self, due_in: float = 0, in_doubt: str = "resend") -> tuple[int, float]:
        """Save a mailing to all clients; return its id and when it is due (Unix time)."""
        code = START.replace("@SECONDS@", str(due_in)).replace("@DOUBT@", in_doubt)
        mailing_id, due = self.python(code)
        return mailing_id, due

    def start(self) -> None:
        """Start a `qcluster` and wait until it is at work."""
        self.launch()
        wait_for(lambda: self.query("SELECT 1 FROM mailings_worker"), "qcluster is at work")

    def launch(self) -> None:
        with self.log.open("a") as log:
            self.cluster = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=BASE_DIR,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
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
        if self.connection:
            self.connection.close()
        shutil.rmtree(self.folder)


# --- Databases --------------------------------------------------------------------------------


def environment(folder: Path, database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "VESTNIK_ENV_FILE": "",
        "PYTHONPATH": f"{BASE_DIR}:{BASE_DIR / 'site'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "bench-" + "x" * 50,
        "DEBUG": "false",
        "VAR_DIR": str(folder),
        "DEFAULT_FROM_EMAIL": "Vestnik <news@vestnik.test>",
        "DATABASE_URL": database_url,
        "REDIS_URL": "",
    }


def manage(env: dict[str, str], *args: str) -> None:
    command = [sys.executable, "manage.py", *args]
    done = subprocess.run(command, cwd=BASE_DIR, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


def databases() -> list[str]:
    """Return the databases to measure on: BENCH_DATABASES, or those that answer."""
    services = answers(SERVER.hostname, SERVER.port or 5432) and answers(
        REDIS.hostname, REDIS.port or 6379
    )
    default = "postgres sqlite" if services else "sqlite"
    return os.environ.get("BENCH_DATABASES", default).split()


def connect(url: str) -> Any:
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)
    connection = psycopg2.connect(url, connect_timeout=5)
    connection.autocommit = True
    return connection


def in_server(database: str) -> str:
    return SERVER._replace(path=f"/{database}").geturl()


def on_server(url: str, *statements: str) -> None:
    connection = connect(urlsplit(url)._replace(path="/postgres").geturl())
    for statement in statements:
        connection.cursor().execute(statement)
    connection.close()


def create_database(url: str) -> None:
    name = urlsplit(url).path[1:]
    on_server(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')


def fresh_database(database: str, folder: Path) -> str:
    """Copy the migrated database; return the URL of the copy."""
    template = migrated(database)
    if database == "sqlite":
        shutil.copy(template, folder / "db.sqlite3")
        return f"sqlite:///{folder / 'db.sqlite3'}"
    on_server(
        in_server(DATABASE),
        f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)',
        f'CREATE DATABASE "{DATABASE}" TEMPLATE "{TEMPLATE}"',
    )
    return in_server(DATABASE)


@cache
def migrated(database: str) -> str:
    """Migrate an empty database, once; it is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if database == "postgres":
        create_database(in_server(TEMPLATE))
        drops = [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in (DATABASE, TEMPLATE)]
        atexit.register(on_server, in_server(DATABASE), *drops)
        manage(environment(folder, in_server(TEMPLATE)), "migrate", "-v0")
        return TEMPLATE
    path = folder / "db.sqlite3"
    manage(environment(folder, f"sqlite:///{path}"), "migrate", "-v0")
    with connect(f"sqlite:///{path}") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return str(path)


def redis_of(database: str) -> str:
    """Return the URL of our Redis database, its queue emptied; SQLite goes without Redis."""
    if database == "sqlite":
        return ""
    url = REDIS._replace(path=f"/{REDIS_DATABASE}").geturl()
    client = redis.Redis.from_url(url)
    for key in client.scan_iter("*vestnik*"):
        client.delete(key)
    return url
