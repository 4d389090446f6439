from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import runpy
import signal
import struct
import subprocess
import sys
import termios
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from bench.processes import wait_for
from mailings.management.commands.mailing import Progress
from mailings.models import Attempt
from mailings.tests.conftest import make_due, only_run
from mailings.tests.processes import BASE_DIR, Site, site, template
from mailings.tests.servers import GOODBYE, LATER, ScriptedServer

__all__ = ["site", "template"]


def run(*args: str) -> str:
    out = io.StringIO()
    call_command("mailing", *args, stdout=out)
    return out.getvalue()


def test_command_sends_what_is_due_and_prints_a_summary(server, due):
    """S6, S7: the script works from the command line, checks what is due, sends, writes the log."""
    out = run()
    assert "Runs opened: 1. Accepted: 5, rejected: 0" in out
    assert only_run(due).status == "success"
    assert len(server.letters) == 5


def test_nothing_due(server, db):
    assert "Runs opened: 0" in run()


@pytest.mark.parametrize(("stage", "action"), [("rcpt", LATER), ("connect", GOODBYE)])
def test_exit_code_is_1_if_something_could_not_be_sent(server, due, stage, action):
    server.fail(stage, action)
    with pytest.raises(SystemExit) as exit_info:
        run()
    assert exit_info.value.code == 1


def test_one_mailing_only(server, owner, stranger):
    mine, other = make_due(owner, 2), make_due(stranger, 2)
    run("--mailing", str(mine.pk))
    assert mine.attempts.exists()
    assert not other.attempts.exists()


def test_unknown_mailing(db):
    with pytest.raises(CommandError, match="no mailing 99"):
        run("--mailing", "99")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_only(due):
    attempt = Attempt(mailing=due, planned=4, accepted=2, slot=timezone.now() - timedelta(hours=1))
    from django.core.management.base import OutputWrapper

    terminal, file = Terminal(), io.StringIO()
    Progress(OutputWrapper(terminal)).show(attempt)
    Progress(OutputWrapper(file)).show(attempt)
    assert "█" * 10 + "░" * 10 in terminal.getvalue()
    assert "2 of 4" in terminal.getvalue()
    assert "█" not in file.getvalue()


class TestWatch:
    """The command as a process that goes on by itself."""

    @pytest.fixture
    def mail(self, site: Site):
        with ScriptedServer() as server:
            site.env.update(EMAIL_URL=server.url, MAILING_INTERVAL="1")
            yield server

    def test_it_looks_again_every_interval_until_it_is_stopped(self, site, mail):
        """S6, S7: on a schedule; what becomes due between two passes is sent by the next one."""
        command = site.start("mailing", "--watch", PYTHONUNBUFFERED="1")
        wait_for(lambda: "Runs opened: 0" in site.log_of(command), "a pass with nothing to do")
        mailing = site.make_due(3)
        assert site.wait_for_status(mailing, "success")["accepted"] == 3
        assert len(mail.letters) == 3
        assert command.poll() is None
        command.send_signal(signal.SIGTERM)
        assert command.wait(30) == 0

    def test_it_goes_on_after_trouble(self, site, mail):
        """S5: a server that takes nothing ends no schedule."""
        mail.fail("connect", GOODBYE)
        mailing = site.make_due(3)
        command = site.start("mailing", "--watch", PYTHONUNBUFFERED="1")
        passes = "Runs opened: "
        wait_for(lambda: site.log_of(command).count(passes) > 1, "a pass after one in trouble")
        assert command.poll() is None
        assert site.run_of(mailing)["accepted"] == 0
        command.send_signal(signal.SIGTERM)
        assert command.wait(30) == 1


class Watcher:
    """The command on a terminal of its own, and what it has written there."""

    def __init__(self, site: Site) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "mailing", "--status"],
            cwd=BASE_DIR, env=site.env, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        site.processes.append(self.process)
        os.close(slave)
        self.written = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        # The other end is closed: Linux says so with an error.
        with contextlib.suppress(OSError):
            while part := os.read(self.master, 65536):
                self.written += part

    @property
    def pictures(self) -> list[str]:
        """Return what was drawn whole, one picture after the other."""
        return self.written.decode(errors="replace").split("\x1b[J")[:-1]

    def shows(self, words: str) -> bool:
        return words in "".join(self.pictures[-1:])

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.reader.join(30)
        os.close(self.master)
        return code


class TestStatus:
    """The state of the service on a terminal."""

    def test_it_is_refreshed_in_place_until_stopped(self, site):
        watcher = Watcher(site)
        wait_for(lambda: watcher.shows("Accepted: 0"), "a first picture")
        site.python("Counter.objects.create(name='letters:accepted', value=5)")
        wait_for(lambda: watcher.shows("Accepted: 5"), "a picture of the change")
        height = watcher.pictures[0].count("\n")
        assert watcher.pictures[1].startswith(f"\x1b[{height}A")
        assert watcher.stop(signal.SIGINT) == 0
        # The terminal is left as it was.
        assert watcher.written.endswith(b"\x1b[?7h\x1b[?25h")

    def test_it_outlives_an_outage(self, site):
        """Who watches one shall see its end."""
        rename(site, "mailings_counter", "away")
        watcher = Watcher(site)
        wait_for(lambda: watcher.shows("The database does not answer: "), "words that say so")
        rename(site, "away", "mailings_counter")
        wait_for(lambda: watcher.shows("Accepted: 0"), "the state")
        assert watcher.stop(signal.SIGTERM) == 0


def rename(site: Site, table: str, name: str) -> None:
    site.python(f"""
        from django.db import connection
        connection.cursor().execute("ALTER TABLE {table} RENAME TO {name}")
    """)


def test_the_interval_is_a_minute_by_default(monkeypatch):
    """S6: the period of the schedule is a setting, by default one minute."""
    monkeypatch.delenv("MAILING_INTERVAL", raising=False)
    settings = runpy.run_path(str(BASE_DIR / "site" / "config" / "settings.py"))
    assert settings["MAILING_INTERVAL"] == 60
