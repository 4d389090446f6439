"""Databases of our own on the servers of this machine, migrated once and copied for each row."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import redis
from processes import answers

BASE_DIR = Path(__file__).resolve().parents[1]
# Databases of our own: what the variables name otherwise is never touched.
TEMPLATE, DATABASE, REDIS_DATABASE = "vestnik_bench_template", "vestnik_bench", "7"
NAMED = os.environ.get("DATABASE_URL", "")
SERVER = urlsplit(NAMED if "postgres" in NAMED else "postgres://postgres@127.0.0.1:5432/postgres")
REDIS = urlsplit(os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379")


def environment(folder: Path, database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "VESTNIK_ENV_FILE": "",
        "PYTHONPATH": f"{BASE_DIR}:{BASE_DIR / 'site'}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "bench-" + "x" * 50,
        "DEBUG": "false",
        "LANGUAGE_CODE": "en",
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


def url_of(database: str) -> str:
    return SERVER._replace(path=f"/{database}").geturl()


def run_sql(url: str, *statements: str) -> None:
    connection = connect(urlsplit(url)._replace(path="/postgres").geturl())
    for statement in statements:
        connection.cursor().execute(statement)
    connection.close()


def create_database(url: str) -> None:
    name = urlsplit(url).path[1:]
    run_sql(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')


def fresh_database(database: str, folder: Path) -> str:
    """Copy the migrated database; return the URL of the copy."""
    template = migrated(database)
    if database == "sqlite":
        shutil.copy(template, folder / "db.sqlite3")
        return f"sqlite:///{folder / 'db.sqlite3'}"
    run_sql(
        url_of(DATABASE),
        f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)',
        f'CREATE DATABASE "{DATABASE}" TEMPLATE "{TEMPLATE}"',
    )
    return url_of(DATABASE)


@cache
def migrated(database: str) -> str:
    """Migrate an empty database, once; it is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if database == "postgres":
        create_database(url_of(TEMPLATE))
        drops = [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in (DATABASE, TEMPLATE)]
        atexit.register(run_sql, url_of(DATABASE), *drops)
        manage(environment(folder, url_of(TEMPLATE)), "migrate", "-v0")
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
