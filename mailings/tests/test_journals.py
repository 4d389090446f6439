"""Journals of other workers on the same host: those that cannot be read, those that are left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mailings import journal, rescue, runs
from mailings.delivery import dispatch, ledger
from mailings.management.commands import qcluster
from mailings.models import Chunk, Mailing
from mailings.tests.conftest import make_due, only_run

DEAD = "0123456789abcdef0123456789abcdef"


def leave_behind(due: Mailing, worker: str = DEAD) -> Path:
    """Let a worker die in the middle of a mailing's run; return its journal."""
    now = timezone.now()
    runs.open_due(now, due.pk)
    chunk = ledger.take_chunk(only_run(due), worker, now)
    rows = ledger.claim(chunk, 3, now)
    notes = journal.Journal(worker)
    notes.handed_over(rows[0].id)
    notes.abandon()
    return journal.path_of(worker)


def end_leases() -> None:
    Chunk.objects.filter(leased_until__isnull=False).update(
        leased_until=timezone.now() - timedelta(seconds=1)
    )


def deny(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file belong to another user: for root, whom nothing is denied, as if it did."""
    path.chmod(0)
    plain_open, plain_read = os.open, Path.read_bytes

    def refuse_to_open(name, *args, **kwargs):
        if Path(name) == path:
            raise PermissionError(13, "Permission denied", str(name))
        return plain_open(name, *args, **kwargs)

    def refuse_to_read(name: Path) -> bytes:
        if name == path:
            raise PermissionError(13, "Permission denied", str(name))
        return plain_read(name)

    monkeypatch.setattr(os, "open", refuse_to_open)
    monkeypatch.setattr(Path, "read_bytes", refuse_to_read)


def make_loop(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system fail to open the file, also for root."""
    path.unlink()
    path.symlink_to(path.name)


@pytest.fixture(params=[deny, make_loop], ids=["denied", "broken"])
def damage(request, monkeypatch) -> Callable[[Path], None]:
    """Return a function that makes a journal unreadable."""
    journal.warn_once.cache_clear()
    return lambda path: request.param(path, monkeypatch)


class TestUnreadable:
    """S5: the journal of one worker stops no other one."""

    def test_all_others_go_on(self, server, due, stranger, damage, clock, caplog):
        damage(leave_behind(due))
        other = make_due(stranger, 3, domain="other.test")
        for _ in range(2):
            dispatch.run_pass()
            clock.tick()
        assert only_run(other).status == "success"
        assert Chunk.objects.get(attempt__mailing=due).worker == DEAD, "its lease has not run out"
        told = [record for record in caplog.records if DEAD in record.getMessage()]
        assert [record.levelname for record in told] == ["WARNING"]

    def test_its_letters_are_in_doubt_when_its_lease_has_run_out(self, server, due, damage):
        damage(leave_behind(due))
        end_leases()
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.doubtful) == ("success", 3), "all that the dead worker had claimed"

    def test_one_that_cannot_be_deleted_stops_nobody(self, server, due, stranger):
        path = leave_behind(due)
        path.unlink()
        path.mkdir()
        (path / "x").touch()
        rescue.free_abandoned(timezone.now())
        assert Chunk.objects.get().worker == ""
        make_due(stranger, 3, domain="other.test")
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert len(server.letters) == 8


@pytest.fixture
def look(clock) -> Callable[[], None]:
    """Return a function that lets an hour pass on the clock of this host."""

    def pass_an_hour() -> None:
        clock.tidied -= qcluster.TIDY
        clock.tick()

    return pass_an_hour


class TestLeftBehind:
    """What nobody will ask for any more is deleted on the host where it lies."""

    def test_journal_of_chunks_that_went_on_on_another_host(self, server, due, look, settings):
        path, here = leave_behind(due), settings.VAR_DIR
        end_leases()
        look()
        assert path.exists(), "its chunk is to be settled by it"
        settings.VAR_DIR = here / "another host"
        dispatch.run_pass()
        assert only_run(due).status == "success"
        settings.VAR_DIR = here
        assert path.exists()
        look()
        assert not path.exists()

    def test_journal_whose_run_was_deleted(self, due, look):
        path = leave_behind(due)
        due.delete()
        look()
        assert not path.exists()

    def test_journal_of_a_worker_that_lives(self, due, look):
        """It has it from its first chunk on, and keeps it between two."""
        notes = journal.Journal(DEAD)
        look()
        assert notes.path.exists()
        notes.close()

    def test_journal_of_a_worker_that_is_sending(self, server, due, look):
        looked = []

        def tidy(stage: str, _recipient: str) -> None:
            # The thread of the mail server has no database here, and needs none: it lives.
            looked.append((stage, [journal.is_abandoned(name) for name in journal.names()]))
            journal.forget_unnamed()

        server.before = tidy
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert {stage for stage, _dead in looked} >= {"connect", "mail", "rcpt", "data", "body"}
        assert not any(any(dead) for _stage, dead in looked)

    def test_file_that_never_got_its_name(self, db, look):
        new, old = journal.path_of("one.new"), journal.path_of("other.new")
        new.parent.mkdir(parents=True)
        for path in (new, old):
            path.touch()
        os.utime(old, (time.time() - 2 * journal.LONG_AGO,) * 2)
        look()
        assert new.exists()
        assert not old.exists()

    def test_it_looks_once_an_hour(self, db, clock, monkeypatch):
        looks = []
        monkeypatch.setattr(journal, "names", lambda: looks.append(1) or [])
        for _ in range(3):
            clock.tick()
        assert len(looks) == 1
        clock.tidied -= qcluster.TIDY
        clock.tick()
        assert len(looks) == 2

    @pytest.mark.parametrize("folder", ["missing", "unreadable"])
    def test_no_folder_to_look_through(self, db, look, settings, folder):
        if folder == "unreadable":
            (settings.VAR_DIR / "journal").touch()
        look()
