"""Journals of other workers on the same host: those that cannot be read, those that are left."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from mailings import journal, rescue, runs
from mailings.delivery import dispatch, ledger
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
