"""`make run`, as the processes that a newcomer starts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from bench.processes import family, free_port, wait_for
from mailings.tests.processes import BASE_DIR, kill_group

PATIENCE = 120  # a new database takes a while where many tests run


class Run:
    """One start of `make run` on ports and a folder of its own."""

    def __init__(self, folder: Path, **env: str | None) -> None:
        self.folder, self.port, self.smtp_port = folder, free_port(), free_port()
        self.log = folder / "run.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "site/run.py"],
                cwd=BASE_DIR,
                env={k: v for k, v in {**self.plain_env(), **env}.items() if v is not None},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def plain_env(self) -> dict[str, str]:
        """Return the environment of somebody who has set nothing but where to run."""
        ours = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "EMAIL_URL", "DEBUG",
                "SITE_URL", "SECRET_KEY"}  # fmt: skip
        return {
            **{name: value for name, value in os.environ.items() if name not in ours},
            "PORT": str(self.port),
            "SMTP_PORT": str(self.smtp_port),
            "VAR_DIR": str(self.folder / "var"),
        }

    @property
    def output(self) -> str:
        return self.log.read_text()

    def says(self, words: str) -> bool:
        assert self.process.poll() is None, self.output
        return words in self.output

    def wait_until_up(self) -> None:
        wait_for(lambda: self.says("Vestnik is up: "), "the site is up", PATIENCE)

    def end(self, number: signal.Signals) -> list[int]:
        """Send the signal as a terminal does, to the whole group; return who was running."""
        members = family(self.process.pid)
        os.killpg(self.process.pid, number)
        self.process.wait(60)
        return members

    def letters(self) -> list[Path]:
        return list((self.folder / "var" / "mail" / "new").iterdir())

    def rows(self, query: str) -> list[tuple]:
        database = self.folder / "var" / "db.sqlite3"
        with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection:
            found = connection.execute(query).fetchall()
            connection.commit()
        return found


def is_alive(pid: int) -> bool:
    """Return whether a process still runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def assert_all_stopped(run: Run, members: list[int]) -> None:
    wait_for(lambda: not any(map(is_alive, members)), "all processes have ended")
    assert not listens(run.port)
    assert not listens(run.smtp_port)


@pytest.fixture
def start(tmp_path) -> Iterator:
    runs = []

    def start_run(**env: str | None) -> Run:
        runs.append(Run(tmp_path, **env))
        return runs[-1]

    yield start_run
    for run in runs:
        for pid in family(run.process.pid) if run.process.poll() is None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        kill_group(run.process)


def test_a_newcomers_days(start):
    """I7, S2: the first start fills a new folder, and a seeded mailing arrives by itself; a later
    one keeps what is there. Ctrl-C, a closed terminal and a kill end every process."""
    first = start()
    first.wait_until_up()
    assert f"Vestnik is up: http://127.0.0.1:{first.port}/" in first.output
    assert "Added" in first.output
    planned = """SELECT planned FROM mailings_attempt
                 WHERE finished_at IS NOT NULL AND started_at > datetime('now', '-5 minutes')"""
    (sent,) = wait_for(lambda: first.rows(planned), "the due mailing was sent", PATIENCE)[0]
    assert len(first.letters()) == sent > 1
    recipients = {message_from_bytes(path.read_bytes())["To"] for path in first.letters()}
    assert len(recipients) == sent
    members = first.end(signal.SIGINT)
    assert len(members) >= 5  # the three services and the workers of one
    assert first.process.returncode == 0
    assert "Traceback" not in first.output
    assert_all_stopped(first, members)

    first.rows("DELETE FROM mailings_mailing_clients")
    first.rows("UPDATE mailings_client SET comment = 'changed'")
    second = start()
    second.wait_until_up()
    assert "Added" not in second.output
    assert second.rows("SELECT DISTINCT comment FROM mailings_client") == [("changed",)]
    assert len(second.letters()) >= sent
    members = second.end(signal.SIGHUP)
    assert second.process.returncode == 0
    assert "Traceback" not in second.output
    assert_all_stopped(second, members)

    third = start()
    third.wait_until_up()
    members = family(third.process.pid)
    third.process.kill()
    third.process.wait()
    assert_all_stopped(third, members)


def test_interrupted_while_it_prepares_the_database(start):
    run = start()
    wait_for(lambda: run.says("Preparing") and len(family(run.process.pid)) > 1, "it prepares")
    members = run.end(signal.SIGINT)
    lines = ["Preparing the database …", "Stopped before everything was ready."]
    assert run.output.splitlines() == lines
    assert run.process.returncode == 0
    assert_all_stopped(run, members)


def test_workers_that_hang(start, tmp_path):
    """They are killed by their guardian, who has the time to do so and to sign off."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "seeded").touch()
    run = start(EMAIL_URL="smtp://127.0.0.1:9", SMTP_TIMEOUT="1")
    run.wait_until_up()
    wait_for(lambda: len(workers_of(run)) >= 4, "the workers have started", PATIENCE)
    wait_for(lambda: run.rows("SELECT name FROM mailings_host"), "the guardian signed on")
    hung = workers_of(run)
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert_all_stopped(run, run.end(signal.SIGINT))
        assert run.rows("SELECT name FROM mailings_host") == []
    finally:
        for pid in filter(is_alive, hung):
            os.kill(pid, signal.SIGKILL)


def workers_of(run: Run) -> list[int]:
    """Return the processes of the cluster, without the guardian that watches over them."""
    members = family(run.process.pid)
    named = [pid for pid in members if b"qcluster" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return named[1:]


def refusal(run: Run) -> str:
    """Return the one line with which a start was refused."""
    assert run.process.wait(60) == 1
    lines = run.output.splitlines()
    assert len(lines) == 1, run.output
    assert lines[0].startswith("Vestnik cannot start: ")
    return lines[0]


class TestRefusal:
    @pytest.mark.parametrize("name", ["PORT", "SMTP_PORT"])
    def test_port_that_is_busy(self, start, name):
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = busy.getsockname()[1]
            line = refusal(start(**{name: str(port)}))
        assert f"port {port}: Address already in use" in line
        assert f"set {name} to another port" in line

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("abc", "PORT is 'abc'; use a whole number."),
            ("70000", "PORT is 70000; use a number from 1 to 65535."),
        ],
    )
    def test_port_that_is_none(self, start, value, words):
        assert words in refusal(start(PORT=value))

    def test_folder_that_is_a_file(self, start, tmp_path):
        (tmp_path / "var").touch()
        assert f"VAR_DIR needs the folder {tmp_path / 'var'}" in refusal(start())

    def test_production(self, start):
        assert "DEBUG is false, but `make run` is for development" in refusal(start(DEBUG="false"))

    def test_what_the_file_says(self, start, tmp_path):
        """`.env` is read as the settings read it."""
        file = tmp_path / "my.env"
        file.write_text("DEBUG=off\n")
        assert "DEBUG is false" in refusal(start(VESTNIK_ENV_FILE=str(file)))


def test_the_file_says_where(start, tmp_path):
    """Both this process and those it starts take the folder and the mail server from `.env`."""
    elsewhere, file = tmp_path / "elsewhere", tmp_path / "my.env"
    file.write_text(f"VAR_DIR={elsewhere}\nEMAIL_URL=smtp://127.0.0.1:9\nDATABASE_URL=\n")
    elsewhere.mkdir()
    (elsewhere / "seeded").touch()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        smtp_port = str(busy.getsockname()[1])  # It does not matter: a mail server is named.
        run = start(VESTNIK_ENV_FILE=str(file), VAR_DIR=None, SMTP_PORT=smtp_port)
        wait_for(lambda: (elsewhere / "db.sqlite3").exists(), "the database is made")
        run.end(signal.SIGTERM)
    assert run.process.returncode == 0
    assert not (tmp_path / "var").exists()
