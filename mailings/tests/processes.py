"""The site as real processes on a database of its own, for tests that kill them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from bench.processes import family, wait_for

BASE_DIR = Path(__file__).resolve().parents[2]
# Test processes beside this one (pytest-xdist) have databases of their own.
TEMPLATE_NAME = f"vestnik_template_{os.getpid()}"


def answers(url: str) -> bool:
    """Return whether a page is there, and well."""
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@dataclass
class Site:
    """A database on disk or in PostgreSQL, and the processes that work on it."""

    folder: Path
    env: dict[str, str]
    processes: list[subprocess.Popen] = field(default_factory=list)
    # What the test itself looks through, where that is not what the processes use.
    own_env: dict[str, str] | None = None

    def manage(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=BASE_DIR,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=600,
        )

    def start(self, *args: str, **env: str) -> subprocess.Popen:
        """Start `manage.py …` in a process group of its own; its output goes to a file."""
        log = (self.folder / f"{args[0]}-{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, "manage.py", *args],
            cwd=BASE_DIR,
            env={**self.env, **env},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def serve(self, port: int) -> subprocess.Popen:
        """Start gunicorn with two processes in a group of its own; its output goes to a file."""
        log = (self.folder / "gunicorn.log").open("a")
        command = ["-m", "gunicorn", "--chdir", "site", "--workers", "2", "config.wsgi"]
        process = subprocess.Popen(
            [sys.executable, *command, "--bind", f"127.0.0.1:{port}"],
            cwd=BASE_DIR,
            env=self.env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def python(self, code: str) -> Any:
        """Run code with the models at hand in a process of its own; return what it puts in
        `result`."""
        done = self.execute(code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def execute(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code as `python` does, however it ends."""
        program = (
            "import json, sys; sys.path.insert(0, 'site'); import django; django.setup()\n"
            "from datetime import timedelta\n"
            "from django.utils import timezone\n"
            "from accounts.models import *; from mailings.models import *\n"
            "result = None\n"
            f"{textwrap.dedent(code)}\n"
            "print('\\n' + json.dumps(result, default=str))"
        )
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=BASE_DIR,
            env=self.own_env or self.env,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def log_of(self, process: subprocess.Popen) -> str:
        number = self.processes.index(process)
        return (self.folder / f"{process.args[2]}-{number}.log").read_text()

    def make_due(self, clients: int, **fields: Any) -> int:
        """Make a user with clients and a mailing to all of them that is due; return its id."""
        return self.python(f"""
            number = User.objects.count()
            user = User.objects.create_user(f"owner{{number}}@example.com", company="Romashka")
            Client.objects.bulk_create(
                Client(owner=user, email=f"c{{n}}@example.com", full_name=f"Client {{n}}")
                for n in range({clients})
            )
            message = Message.objects.create(
                owner=user, subject="News", body=[("text", "<p>Hello</p>")]
            )
            fields = dict(name="News", message=message, all_clients=True,
                          starts_at=timezone.now() - timedelta(minutes=1))
            fields.update({fields!r})
            result = Mailing.objects.create(owner=user, **fields).pk
        """)

    def run_of(self, mailing_id: int) -> dict[str, Any]:
        """Return the mailing's last run and how many of its deliveries are in each state."""
        return self.python(f"""
            run = Attempt.objects.filter(mailing={mailing_id}).first()
            result = {{}}
            if run:
                names = ("status", "planned", "accepted", "rejected", "skipped", "unknown")
                result = {{name: getattr(run, name) for name in names}}
                states = run.deliveries.values_list("status", flat=True)
                result["states"] = {{state: list(states).count(state) for state in states}}
                result["tries"] = {{row.email: row.tries for row in run.deliveries.all()}}
        """)

    def wait_for_status(self, mailing_id: int, *statuses: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            run = self.run_of(mailing_id)
            return run if run.get("status") in statuses else None

        return wait_for(look, f"run of mailing {mailing_id} is {statuses}; see {self.folder}")

    def stop(self) -> None:
        for process in self.processes:
            kill_group(process)


def kill_group(process: subprocess.Popen) -> None:
    """SIGKILL a process and everything that it and its children started."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@dataclass
class Template:
    """A migrated database that every test copies."""

    folder: Path
    postgres: str = ""  # URL of the server's maintenance database; empty for SQLite

    def copy(self, folder: Path, name: str) -> str:
        """Return the URL of a fresh copy."""
        if not self.postgres:
            shutil.copy(self.folder / "db.sqlite3", folder / "db.sqlite3")
            return f"sqlite:///{folder / 'db.sqlite3'}"
        self._sql(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE_NAME}"')
        return self._url(name)

    def drop(self, name: str) -> None:
        if self.postgres:
            self._sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _url(self, name: str) -> str:
        return urlsplit(self.postgres)._replace(path=f"/{name}").geturl()

    def _sql(self, statement: str) -> None:
        import psycopg2

        connection = psycopg2.connect(self.postgres)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()


def base_env(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(BASE_DIR),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "true",
        "SECRET_KEY": "tests-only-" + "x" * 50,
        "LANGUAGE_CODE": "en",
        "VAR_DIR": str(folder),
        "SMTP_TIMEOUT": "5",
        "SMTP_CONNECTIONS": "2",
        "DEFAULT_FROM_EMAIL": "Vestnik <news@vestnik.test>",
    }


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    folder = tmp_path_factory.mktemp("template")
    url = os.environ.get("DATABASE_URL", "")
    template = Template(folder, urlsplit(url)._replace(path="/postgres").geturl() if url else "")
    env = base_env(folder)
    if template.postgres:
        template.drop(TEMPLATE_NAME)
        template._sql(f'CREATE DATABASE "{TEMPLATE_NAME}"')
        env["DATABASE_URL"] = template._url(TEMPLATE_NAME)
    assert Site(folder, env).manage("migrate", "-v0").returncode == 0
    yield template
    template.drop(TEMPLATE_NAME)


@pytest.fixture
def site(template: Template, tmp_path: Path) -> Iterator[Site]:
    """Yield a migrated, empty site; its processes are killed afterwards."""
    name = f"vestnik_site_{os.getpid()}"
    template.drop(name)
    env = base_env(tmp_path)
    env["DATABASE_URL"] = template.copy(tmp_path, name)
    if os.environ.get("REDIS_URL"):
        parts = urlsplit(os.environ["REDIS_URL"])
        env["REDIS_URL"] = parts._replace(path=f"/{int(parts.path[1:]) + 4}").geturl()
        import redis

        redis.from_url(env["REDIS_URL"]).flushdb()
    site = Site(tmp_path, env)
    yield site
    site.stop()
    template.drop(name)
