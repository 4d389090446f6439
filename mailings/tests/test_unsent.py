"""The exit code of `manage.py mailing`, and its words on what could not be sent."""

from __future__ import annotations

import io
import os
import signal
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import runs
from mailings.delivery import ledger
from mailings.management.commands import mailing as command
from mailings.models import Attempt, Chunk, Mailing
from mailings.tests.conftest import let_time_pass, make_due, only_run
from mailings.tests.servers import GOODBYE, LATER

LOGIN = b"535 5.7.8 Authentication credentials invalid\r\n"
POLICY = b"550 5.7.1 Message rejected by policy\r\n"
QUOTA = b"550 5.4.5 Daily sending quota exceeded\r\n"


def run(*args: str) -> SimpleNamespace:
    """Run the command; return its exit code and what it said on either side."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command("mailing", *args, stdout=out, stderr=err)
    except SystemExit as end:
        code = end.code
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


def failing(*_args: object, **_kwargs: object) -> None:
    raise ValueError("a defect")


def let_a_day_pass() -> None:
    """Let the next run of a daily mailing come due."""
    Attempt.objects.update(slot=timezone.now() - timedelta(days=2))
    Mailing.objects.update(next_run_at=timezone.now())


@pytest.fixture
def named(due) -> str:
    """How the mailing that is due is named in what the command says."""
    return f"Mailing {due.pk}, Weekly news"


class TestPaused:
    """S6: a run that the engine paused is none that went out."""

    def test_login_refused(self, server, due, settings, named):
        server.extensions = ("PIPELINING", "AUTH PLAIN LOGIN")
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = "vestnik"
        server.fail("login", LOGIN)
        done = run()
        assert done.code == 1
        assert f"{named}. Its run is paused: The mail server refused the login" in done.err
        assert "535 5.7.8 Authentication credentials invalid" in done.err

    @pytest.mark.parametrize(
        ("reply", "words"),
        [(POLICY, "policy does not let these letters through"), (QUOTA, "limit is reached")],
    )
    def test_policy_and_quota(self, server, due, named, reply, words):
        server.fail("rcpt", reply)
        done = run()
        assert done.code == 1
        assert f"{named}. Its run is paused: " in done.err
        assert words in done.err
        assert reply.decode().strip() in done.err

    def test_before_this_pass(self, server, due, stranger, named):
        """It is told once, and again to who asks for this mailing."""
        server.fail("rcpt", POLICY)
        run()
        assert (run().code, run().err) == (0, "")
        asked = run("--mailing", str(due.pk))
        assert asked.code == 1
        assert f"{named}. Its run is paused: " in asked.err
        server.recover()
        other = make_due(stranger, 2, domain="other.test")
        asked = run("--mailing", str(other.pk))
        assert (asked.code, asked.err, only_run(other).status) == (0, "", "success")


class TestNotOpened:
    def test_a_mailing_that_is_due(self, server, due, stranger, monkeypatch, named):
        plain = runs.open_run
        monkeypatch.setattr(
            runs, "open_run", lambda pk, now: failing() if pk == due.pk else plain(pk, now)
        )
        other = make_due(stranger, 2, domain="other.test")
        done = run()
        assert done.code == 1
        assert done.err == f"{named} could not be opened; the log says why.\n"
        assert only_run(other).status == "success"

    def test_a_letter_that_cannot_be_composed(self, server, due, monkeypatch, named):
        monkeypatch.setattr(runs.letter, "compose", failing)
        done = run()
        assert done.code == 1
        assert done.err == f"{named}: The letter could not be put together.\n"

    def test_a_run_left_out(self, server, owner):
        due = make_due(owner, 2, periodicity="daily")
        server.fail("rcpt", POLICY)
        run()
        let_a_day_pass()
        done = run()
        assert done.code == 1
        assert "This run was left out: the one before it was still at work." in done.err
        assert due.attempts.count() == 2

    def test_a_run_whose_recipients_cannot_be_planned(self, server, owner, monkeypatch):
        monkeypatch.setattr(runs, "FIRST_STEP", 2)
        monkeypatch.setattr(runs.Opening, "plan_next", failing)
        due = make_due(owner, 5)
        done = run()
        assert done.code == 1
        assert done.err == (
            f"Mailing {due.pk}, Weekly news: "
            "Its recipients could not be put together; that is tried again.\n"
        )
        assert len(server.letters) == 2

    def test_a_mailing_that_is_still_being_saved(self, server, owner):
        """A row is saved a moment before its recipients are: nothing went wrong."""
        due = make_mailing(owner, starts_at=timezone.now() - timedelta(minutes=1))
        assert (run().code, due.attempts.count()) == (0, 0)
        due.clients.add(make_client(owner))
        assert run().code == 0
        assert only_run(due).status == "success"


class TestLeft:
    @pytest.mark.parametrize("limit", ["company", "service"])
    def test_for_a_limit(self, server, due, settings, named, limit):
        if limit == "company":
            due.owner.letters_per_minute = 6
            due.owner.save()
        else:
            settings.MAILING_RATE_LIMIT = 0.1
        done = run()
        sent = only_run(due).accepted
        assert 0 < sent < 5
        assert done.code == 1
        words = f"{named}. Letters left, which wait for a limit: {5 - sent}.\n"
        assert done.err == words

    def test_for_trouble_of_the_mail_server(self, server, due, named):
        server.fail("connect", GOODBYE)
        done = run()
        assert done.code == 1
        assert "The mail server takes no letters: 421 4.3.2 Closing" in done.err
        assert f"{named}. Letters left: 5." in done.err

    def test_for_an_error_of_ours(self, server, due, monkeypatch, named):
        monkeypatch.setattr(ledger, "claim", failing)
        done = run()
        assert done.code == 1
        assert done.err == f"{named}. Letters left: 5.\n"

    def test_when_the_mailing_ended(self, server, owner):
        due = make_due(owner, 5, ends_at=timezone.now() + timedelta(hours=1))
        server.fail("connect", GOODBYE)
        run()
        Mailing.objects.update(ends_at=timezone.now())
        done = run()
        assert done.code == 1
        words = f"Mailing {due.pk}, Weekly news. Letters given up, as it ended or ran anew: 5.\n"
        assert done.err == words

    def test_when_the_next_run_is_due(self, server, owner):
        due = make_due(owner, 2, periodicity="daily")
        server.fail("rcpt", LATER, to="c0@example.com")
        run()
        server.recover()
        let_a_day_pass()
        done = run()
        assert done.code == 1
        words = f"Mailing {due.pk}, Weekly news. Letters given up, as it ended or ran anew: 1.\n"
        assert done.err == words
        assert due.attempts.filter(status="success").count() == 1

    def test_not_those_that_wait_for_a_further_try(self, server, due, settings):
        """They were told of by the pass that tried them."""
        settings.MAILING_RATE_LIMIT = 1000
        server.fail("rcpt", LATER, to="c1@example.com")
        first = run()
        assert (first.code, first.err) == (1, "")
        assert "to be tried again: 1" in first.out
        assert (run().code, run().err) == (0, "")
        server.recover()
        let_time_pass(due)
        assert (run().code, only_run(due).status) == (0, "success")

    def test_not_those_that_another_worker_has_in_hand(self, server, due):
        now = timezone.now()
        runs.open_due(now)
        ledger.take_chunk(only_run(due), "other", now)
        assert (run().code, run().err) == (0, "")

    def test_not_those_of_a_mailing_that_was_switched_off(self, server, due):
        runs.open_due(timezone.now())
        due.switch_off(by=due.owner)
        assert (run().code, run().err) == (0, "")

    def test_of_many_mailings_the_first_are_told(self, server, owner, monkeypatch):
        monkeypatch.setattr(command, "MOST_LINES", 2)
        for number in range(5):
            make_due(owner, 1, domain=f"d{number}.test")
        server.fail("connect", GOODBYE)
        told = run().err.splitlines()
        assert len(told) == 4
        assert told[-1] == "… and 3 more"


class TestStopped:
    """A pass that is ended by a signal."""

    @pytest.fixture
    def stop(self, server) -> None:
        """Let the first letter that is on its way bring the signal."""

        def before(stage: str, _recipient: str) -> None:
            if stage == "body":
                os.kill(os.getpid(), signal.SIGTERM)

        server.before = before

    @pytest.mark.usefixtures("stop")
    @pytest.mark.parametrize(("args", "code"), [((), 1), (("--watch",), 0)])
    def test_what_is_left_is_a_failure_of_one_pass_only(self, server, owner, settings, args, code):
        settings.SMTP_CONNECTIONS = 1
        make_due(owner, 300)
        done = run(*args)
        assert done.code == code
        left = Chunk.objects.get().attempt
        assert f"Letters left: {300 - left.accepted}." in done.err
        assert 0 < left.accepted < 300
