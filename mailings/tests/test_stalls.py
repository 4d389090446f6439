"""What once stalled a run or doubled a letter: slow servers, lost leases, runs opened meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.utils import timezone

from bench.processes import family, wait_for
from mailings import journal, reasons, rescue, runs
from mailings.delivery import dispatch, hold, ledger
from mailings.delivery.transport import Outcome, Result
from mailings.models import Attempt, Chunk, Mailing, MailServer
from mailings.server_health import Health
from mailings.smtp.protocol import Server
from mailings.tests.conftest import ledger_of, make_due, only_run, point_at
from mailings.tests.processes import Site, site, template
from mailings.tests.servers import HANG, LATER, ScriptedServer

__all__ = ["site", "template"]

POLICY = b"550 5.7.1 Message rejected by policy\r\n"
PATIENCE = 10  # seconds until a pass that makes no way is ended
WORKER = "the worker that died"


@pytest.fixture
def short_turns(monkeypatch) -> float:
    """Let turns be over at once; return seconds that are longer than a turn with its overtime."""
    monkeypatch.setattr(hold, "CHUNK_TURN", 0.05)
    monkeypatch.setattr(hold, "OVERTIME", 0.05)
    return 0.3


def assert_each_got_one(server: ScriptedServer, mailing: Mailing) -> None:
    run = only_run(mailing)
    assert (run.status, run.accepted) == ("success", run.planned)
    assert not run.deliveries.exclude(tries=1).exists()
    assert Counter(server.recipients()) == Counter(dict.fromkeys(ledger_of(mailing), 1))


def answer_late(server: ScriptedServer, stage: str, seconds: float) -> None:
    server.before = lambda at, _recipient: time.sleep(seconds) if at == stage else None


class TestServerSlowerThanATurn:
    def test_recipients_answered_late_get_their_letters(self, server, owner, settings, short_turns):
        settings.SMTP_TIMEOUT = PATIENCE
        due = make_due(owner, 3)
        answer_late(server, "rcpt", short_turns)
        dispatch.run_pass(seconds=PATIENCE)
        assert_each_got_one(server, due)

    def test_a_late_greeting_answers_the_probe(self, server, owner, settings, short_turns):
        settings.SMTP_TIMEOUT = PATIENCE
        due = make_due(owner, 3)
        now = timezone.now()
        MailServer.objects.create(
            name=Server.from_settings().name, trouble_since=now, next_try_at=now, failures=1
        )
        answer_late(server, "connect", short_turns)
        assert dispatch.run_pass(seconds=PATIENCE).trouble == ""
        assert MailServer.objects.get().trouble_since is None
        assert_each_got_one(server, due)


class TestOwnLeaseRanOut:
    def test_a_chunk_in_hand_is_not_free(self, due):
        now = timezone.now()
        runs.open_due(now)
        chunk = ledger.take_chunk(only_run(due), "me", now)
        end_lease(chunk)
        assert ledger.take_chunk(chunk.attempt, "me", now, ours=[chunk.pk]) is None
        assert ledger.take_chunk(chunk.attempt, "another", now).pk == chunk.pk

    def test_nobody_gets_two_letters(self, server, owner, settings, monkeypatch):
        settings.SMTP_TIMEOUT = PATIENCE
        due = make_due(owner, 20)
        monkeypatch.setattr(hold.Rota, "READ_AGAIN", 0.0)
        monkeypatch.setattr(hold, "FIRST_LETTERS", 0)  # Or nothing is claimed beside letters.
        asked_again = threading.Event()  # The worker looked for a chunk after its lease's end.
        ended: list[int] = []
        answers: list[Chunk | None] = []
        claim, take_chunk = ledger.claim, ledger.take_chunk

        def claim_and_end_lease(chunk, *args):
            rows = claim(chunk, *args)
            if not ended:
                ended.append(chunk.pk)
                end_lease(chunk)
            return rows

        def take_and_tell(*args):
            chunk = take_chunk(*args)
            if ended:
                answers.append(chunk)
                asked_again.set()
            return chunk

        monkeypatch.setattr(ledger, "claim", claim_and_end_lease)
        monkeypatch.setattr(ledger, "take_chunk", take_and_tell)
        server.before = lambda stage, _to: asked_again.wait(3) if stage == "body" else None
        dispatch.run_pass(seconds=PATIENCE)
        assert answers
        assert set(answers) == {None}
        assert_each_got_one(server, due)


def end_lease(chunk: Chunk) -> None:
    over = timezone.now() - timedelta(seconds=1)
    Chunk.objects.filter(pk=chunk.pk).update(leased_until=over)


class OneAtATime(ScriptedServer):
    """Allows one connection, closes it after some letters, and then counts it no longer."""

    def _serve(self, sock) -> None:
        while self.alive and self.letters and len(self.letters) % self.close_after == 0:
            time.sleep(0.005)
        super()._serve(sock)


def test_answers_on_their_way_are_heard_after_an_error(server, due, monkeypatch):
    """The database goes away while letters are on the wire; none of them is in doubt for that."""
    is_gone, look = threading.Event(), rescue.free_abandoned
    server.before = lambda stage, _recipient: stage == "body" and is_gone.wait(PATIENCE)

    def fail(now: datetime) -> None:
        if server.letters:
            is_gone.set()
            raise OperationalError("server closed the connection unexpectedly")
        look(now)

    monkeypatch.setattr(dispatch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(rescue, "free_abandoned", fail)
    with pytest.raises(OperationalError):
        dispatch.run_pass()
    monkeypatch.undo()
    dispatch.run_pass()
    assert_each_got_one(server, due)


@pytest.mark.parametrize(
    ("stage", "states"), [("body", {"deferred": 4, "planned": 8}), ("rcpt", {"planned": 12})]
)
def test_who_stops_blames_neither_the_server_nor_the_run(
    server, owner, settings, monkeypatch, stage, states
):
    """It breaks the connections itself: only what left whole is in doubt, and others go on."""
    settings.SMTP_TIMEOUT, settings.SMTP_CONNECTIONS = PATIENCE, 4
    monkeypatch.setattr(dispatch, "STOP_SECONDS", 0.1)
    server.fail(stage, HANG)
    due = make_due(owner, 12)
    verb = {"body": "DATA", "rcpt": "RCPT"}[stage]

    def is_stopping() -> bool:
        begun = sum(command.startswith(verb) for command in server.commands)
        return min(begun, len(server.letters) if stage == "body" else begun) >= 4

    assert not dispatch.run_pass(stopping=is_stopping).trouble
    assert MailServer.objects.get().trouble_since is None
    assert (only_run(due).breaks, only_run(due).paused_at) == (0, None)
    assert Counter(ledger_of(due).values()) == states


def test_who_ends_without_a_connection_leaves_the_server_to_the_others(due):
    runs.open_due(timezone.now())
    lease = timezone.now() + timedelta(seconds=20)
    Chunk.objects.update(worker="another", leased_until=lease)
    health = Health("mail.test:25", "this one")
    letter = SimpleNamespace(hold=SimpleNamespace(results=[]))
    health.judge(letter, Result(Outcome.FULL, 421, "421 Too many connections"))
    assert health.face_trouble(lambda: True) == ""
    assert MailServer.objects.get().trouble_since is None


def test_server_with_one_connection_that_closes_often(owner, settings, monkeypatch):
    """A refused extra connection does not keep the worker from opening the only one again."""
    reported = []
    monkeypatch.setattr(MailServer, "report_trouble", lambda *args: reported.append(args))
    with OneAtATime(max_sessions=1, close_after=10) as server:
        point_at(settings, server.url)
        settings.SMTP_CONNECTIONS, settings.SMTP_TIMEOUT = 4, PATIENCE

        def wait_for_the_others(stage: str, _recipient: str) -> None:
            while stage == "body" and server.sessions < 4:
                time.sleep(0.005)

        server.before = wait_for_the_others
        due = make_due(owner, 50)
        summary = dispatch.run_pass(seconds=PATIENCE)
        assert (summary.trouble, reported) == ("", [])
        assert_each_got_one(server, due)


def test_window_over_while_retries_lie_ahead(server, due, settings):
    """One pass closes the run; it does not wait for retries that will never be."""
    settings.MAILING_RETRY_DELAYS = [86400]
    server.fail("rcpt", LATER)
    dispatch.run_pass()
    assert set(ledger_of(due).values()) == {"deferred"}
    Mailing.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    dispatch.run_pass()
    run = only_run(due)
    assert (run.status, run.skipped) == ("failure", 5)
    assert set(run.deliveries.values_list("response", flat=True)) == {reasons.WINDOW_CLOSED}


def test_runs_are_opened_with_empty_hands(server, owner, stranger, monkeypatch):
    """Opening may outlast a lease: what was in hand is given back before."""
    monkeypatch.setattr(runs, "CHUNK_SIZE", 5)
    monkeypatch.setattr(dispatch, "LOOK_SECONDS", 0.0)
    first, later = make_due(owner, 40), []
    open_due = runs.open_due
    opened: list[tuple[int, int, int]] = []  # how many, chunks in hand, letters still planned

    def open_and_tell(now: datetime, *args) -> int:
        in_hand = Chunk.objects.exclude(worker="").count()
        planned = Attempt.objects.filter(mailing=first, deliveries__status="planned").count()
        opened.append((open_due(now, *args), in_hand, planned))
        return opened[-1][0]

    def become_due(_run: Attempt) -> None:
        if not later:
            later.append(make_due(stranger, 5, domain="other.test"))

    monkeypatch.setattr(runs, "open_due", open_and_tell)
    dispatch.run_pass(seconds=PATIENCE, progress=become_due)
    assert [(count, in_hand) for count, in_hand, _planned in opened] == [(1, 0), (1, 0)]
    assert 0 < opened[1][2] < 40
    assert [only_run(mailing).status for mailing in (first, *later)] == ["success", "success"]
    assert len(server.letters) == len(set(server.recipients())) == 45


@pytest.fixture
def braked(site: Site) -> Iterator[tuple[ScriptedServer, threading.Event, threading.Event]]:
    """A mail server that withholds its answers after fifty letters until the second event."""
    reached, released = threading.Event(), threading.Event()
    with ScriptedServer() as server:

        def hold_answers(stage: str, _recipient: str) -> None:
            if stage == "body" and len(server.letters) > 50:
                reached.set()
                released.wait(60)

        server.before = hold_answers
        site.env["EMAIL_URL"] = server.url
        yield server, reached, released
        released.set()


def has_journal(pid: int) -> bool:
    """Return whether the process keeps a journal: whether it is sending."""
    files = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            files.append(os.readlink(link))
        except FileNotFoundError:
            continue
    return any("/journal/" in file for file in files)


def test_sigterm_to_one_worker_ends_that_worker_alone(site, braked):
    """S6: it finishes what is on the wire; another worker goes on with the run."""
    server, reached, released = braked
    mailing = site.make_due(200)
    cluster = site.start("qcluster")
    assert reached.wait(60)
    members = family(cluster.pid)
    (busy,) = [pid for pid in members if has_journal(pid)]
    os.kill(busy, signal.SIGTERM)
    released.set()
    wait_for(lambda: busy not in family(cluster.pid), "the worker has ended")
    run = site.wait_for_status(mailing, "success")
    assert set(members) - {busy} <= set(family(cluster.pid))
    assert run["states"] == {"accepted": 200}
    assert len(server.letters) == len(set(server.recipients())) == 200


def test_policy_that_refuses_every_letter_of_a_small_run(server, owner):
    """Fewer letters than it takes to be sure pause the run where none was accepted."""
    due = make_due(owner, 2)
    server.fail("rcpt", POLICY)
    dispatch.run_pass()
    run = only_run(due)
    assert (run.status, run.paused_for) == ("running", reasons.POLICY_REFUSED)
    assert "Message rejected by policy" in run.server_response
    assert set(ledger_of(due).values()) == {"planned"}
    assert MailServer.objects.get().trouble_since is None


def test_dead_worker_is_settled_on_its_own_machine(due, settings, tmp_path):
    """Its lease need not run out; nobody else has its journal."""
    settings.VAR_DIR = tmp_path
    now = timezone.now()
    runs.open_due(now)
    chunk = ledger.take_chunk(only_run(due), WORKER, now)
    taken, refused, wired, *_rest = ledger.claim(chunk, 10, now)
    notes = journal.Journal(WORKER)
    notes.answered(notes.handed_over(taken.id), taken.id, Result(Outcome.ACCEPTED, 250, "Ok"))
    notes.answered(notes.handed_over(refused.id), refused.id, Result(Outcome.NEVER, 550, "No"))
    notes.handed_over(wired.id)
    rescue.free_abandoned(now)
    assert Chunk.objects.get().worker == WORKER, "it lives"
    notes.abandon()
    rescue.free_abandoned(now)
    states = [state for _email, state in sorted(ledger_of(due).items())]
    assert states == ["accepted", "rejected", "deferred", "planned", "planned"]
    run = only_run(due)
    assert (run.accepted, run.rejected) == (1, 1)
    assert run.deliveries.get(status="deferred").response == reasons.WORKER_DIED
    chunk = Chunk.objects.get()
    assert (chunk.worker, chunk.leased_until, chunk.claimed_to) == ("", None, 0)
    assert not journal.path_of(WORKER).exists()
