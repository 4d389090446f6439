"""The state of the service at a terminal: `manage.py mailing --status`."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.utils import timezone

from mailings import reasons, status
from mailings.metrics import STAGES, Latency, Totals
from mailings.models import Attempt, Counter, Host, Mailing, MailServer, Pace
from mailings.tests.test_metrics import ago, make_chunk, make_run


def totals(accepted: int, **latencies: Latency) -> Totals:
    return Totals({"accepted": accepted}, latencies, {})


def show() -> str:
    """Return what the command prints where its output is no terminal."""
    out = io.StringIO()
    call_command("mailing", "--status", stdout=out)
    return out.getvalue()


class TestReadings:
    def test_one_is_not_enough_for_a_rate(self):
        readings = status.Readings()
        readings.add(totals(100), 50.0)
        assert readings.rate() is None

    def test_rate_is_that_of_the_last_seconds(self):
        readings = status.Readings()
        for second in range(30):
            readings.add(totals(1000 if second < 20 else 1000 + 50 * (second - 19)), second)
        assert readings.rate() == pytest.approx(50, rel=0.01)

    def test_two_far_apart_are_enough(self):
        readings = status.Readings()
        readings.add(totals(0), 0.0)
        readings.add(totals(100), 50.0)
        assert readings.rate() == 2

    def test_latency_is_of_new_replies_if_there_are_any(self):
        slow = Latency((0, 0, 0, 0, 0, 1, 0, 0), 4.0)
        readings = status.Readings()
        readings.add(totals(0, rcpt=slow, body=slow), 0.0)
        assert readings.latencies()["rcpt"].mean == 4
        readings.add(totals(0, rcpt=Latency((0, 1, 0, 0, 0, 1, 0, 0), 4.02), body=slow), 1.0)
        assert readings.latencies()["rcpt"].mean == pytest.approx(0.02)
        assert readings.latencies()["body"].mean == 4


@pytest.mark.django_db
class TestOnce:
    """The output is no terminal: the state is printed once."""

    def test_service_at_rest(self):
        out = show()
        assert "Accepted: 0, rejected: 0, to be tried again: 0, in doubt: 0" in out
        assert "arrived twice" not in out
        assert "Letters a second: 0.0" in out
        assert "No worker is alive" in out
        assert "Letters wait for a worker: —" in out
        assert "Runs at work: 0, paused: 0, letters left: 0" in out
        assert "\x1b" not in out
        assert "█" not in out

    def test_everything_that_can_be_told(self, owner, monkeypatch, settings):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "mail.test", 25
        monkeypatch.setattr("mailings.management.commands.mailing.SAMPLE", 0)
        Counter.objects.create(name="letters:accepted", value=1234567)
        Counter.objects.create(name="doubtful", value=1012)
        Counter.objects.create(name="stage:rcpt:0.025", value=2)
        Counter.objects.create(name="stage:rcpt:sum", value=0.02)
        Host.objects.create(name="host", workers=4)
        next_try = timezone.now() + timedelta(seconds=40)
        MailServer.objects.create(
            name="mail.test:25", trouble_since=ago(60), next_try_at=next_try, response="421 busy"
        )
        Pace.objects.create(name="domain:slow.example", rate=4)
        make_chunk(make_run(owner, planned=4, accepted=2), 3700)
        make_run(owner, paused_at=timezone.now(), paused_for=reasons.NO_RECIPIENTS)
        make_run(owner, is_active=False)
        out = show()
        assert "Accepted: 1,234,567" in out
        assert "May have arrived twice: 1,012" in out
        assert "The mail server replied on average after (ms): recipient 10.0" in out
        assert "Hosts: 1, workers: 4" in out
        assert "Letters wait for a worker: 1:01:4" in out
        assert "Mail server mail.test:25 unavailable since " in out
        assert f"next try {status.clock(next_try)}: 421 busy" in out
        assert "1 (letters a second): slow.example 4.00" in out
        assert "Runs at work: 2, paused: 1, letters left: 202" in out
        assert "█" * 10 + "░" * 10 + " Weekly news: 2 of 4 (Olga)" in out
        assert "Weekly news: 0 of 100 (Olga). Paused: There was nobody" in out
        assert "Weekly news: 0 of 100 (Olga). The mailing is switched off." in out

    def test_more_runs_than_fit(self, owner, monkeypatch):
        monkeypatch.setattr(status, "MOST_RUNS", 2)
        monkeypatch.setattr("mailings.management.commands.mailing.SAMPLE", 0)
        for _number in range(3):
            make_run(owner)
        assert "… and 1 more" in show()

    def test_words_of_a_mail_server_move_no_terminal(self, settings):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "mail.test", 25
        MailServer.objects.create(
            name="mail.test:25", trouble_since=ago(60), response="421 \x1b[2J\r\nbusy"
        )
        assert "421  [2J  busy" in show()

    @pytest.mark.parametrize("other", [["--watch"], ["--mailing", "1"]])
    def test_it_goes_with_no_other_option(self, other):
        with pytest.raises(CommandError, match="--status goes with neither"):
            call_command("mailing", "--status", *other)


def test_a_bar_is_never_longer_than_its_place():
    for done, planned, filled in ((0, 0, 0), (1, 2, 10), (9, 3, 20)):
        bar = status.bar(Attempt(accepted=done, planned=planned))
        assert (len(bar), bar.count("█")) == (20, filled)


def test_a_run_fills_a_row_of_a_terminal_at_most():
    mailing = Mailing(name="A sale of teas, and of whatever is drunk with them")
    words = status.progress_words(Attempt(mailing=mailing, accepted=123456, planned=1000000))
    assert words == "A sale of teas, and of…: 123,456 of 1,000,000"


def test_the_date_is_shown_where_it_is_not_today():
    moment = timezone.now()
    local = timezone.localtime(moment)
    assert status.clock(moment) == f"{local:%H:%M:%S}"
    assert status.clock(moment - timedelta(days=1)) != f"{local:%H:%M:%S}"
    assert status.clock(moment - timedelta(days=1)).endswith(f" {local:%H:%M:%S}")


def test_every_stage_has_words():
    assert set(status.STAGES) == set(STAGES)


class TestScreen:
    def test_a_picture_covers_the_one_before(self):
        stream = io.StringIO()
        with status.Screen(OutputWrapper(stream)) as screen:
            screen.show(["one", "two", "three"])
            stream.truncate(0)
            screen.show(["four"])
            assert stream.getvalue().lstrip("\0") == "\x1b[3A\r\x1b[Kfour\n\x1b[J"
        assert stream.getvalue().endswith("\x1b[?7h\x1b[?25h")

    def test_it_is_no_larger_than_the_terminal(self, monkeypatch):
        monkeypatch.setenv("LINES", "4")
        monkeypatch.setenv("COLUMNS", "3")
        stream = io.StringIO()
        status.Screen(OutputWrapper(stream)).show(["a", "b cd", "e"])
        assert stream.getvalue() == "\r\x1b[Ka\n\x1b[Kb\n\x1b[Kcd\n\x1b[J"

    def test_a_row_as_wide_as_the_terminal_keeps_its_last_letter(self, monkeypatch):
        """What clears a row would take the letter under the cursor, so it goes first."""
        monkeypatch.setenv("COLUMNS", "10")
        stream = io.StringIO()
        status.Screen(OutputWrapper(stream)).show(["0123456789 next"])
        assert stream.getvalue() == "\r\x1b[K0123456789\n\x1b[K  next\n\x1b[J"
