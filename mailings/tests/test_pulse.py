"""The line of the log that tells how sending goes."""

from __future__ import annotations

import json
import logging

import pytest
from pythonjsonlogger.json import JsonFormatter

from mailings.management.commands import qcluster
from mailings.metrics import Tally
from mailings.models import Host, MailServer
from mailings.pulse import Pulse
from mailings.tests.test_metrics import ago

pytestmark = pytest.mark.django_db


def count(**outcomes: int) -> None:
    """Count letters as a worker does, each accepted one answered after 20 ms."""
    tally = Tally()
    for name, number in outcomes.items():
        tally.add(f"letters:{name}", number)
    for _letter in range(outcomes.get("accepted", 0)):
        tally.took("body", 0.02)
    tally.save()


@pytest.fixture
def lines(caplog):
    """Return a function that gives the lines since its last call."""
    caplog.set_level(logging.INFO, "vestnik.pulse")

    def take() -> list[logging.LogRecord]:
        records = [record for record in caplog.records if record.name == "vestnik.pulse"]
        caplog.clear()
        return records

    return take


@pytest.fixture
def pulse() -> Pulse:
    """A pulse that has looked at a service at rest, at the moment 0."""
    count(accepted=1000)
    pulse = Pulse()
    pulse.beat(0.0)
    return pulse


class TestLine:
    def test_it_says_what_came_of_letters_and_how_fast(self, pulse, lines):
        for moment in range(5, 65, 5):
            count(accepted=100, rejected=2, deferred=1, in_doubt=1)
            pulse.beat(moment)
        [record] = lines()
        assert record.getMessage() == (
            "60 s: accepted 1200, rejected 24, deferred 12, in doubt 12; 20.0 letters/s; "
            "letters answered after 20.0 ms"
        )

    def test_as_json_its_values_are_fields(self, pulse, lines, settings):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "bad.test", 25
        MailServer.objects.create(name="bad.test:25", trouble_since=ago(5))
        MailServer.objects.create(name="former.test:25", trouble_since=ago(9))
        count(accepted=10, deferred=1)
        pulse.beat(5.0)
        pulse.beat(10.0)
        [record] = lines()
        found = json.loads(JsonFormatter("%(message)s").format(record))
        assert "out of order: ['bad.test:25']" in found.pop("message")
        assert found == {
            "seconds": 5.0, "accepted": 10, "rejected": 0, "deferred": 1, "in_doubt": 0,
            "per_second": 2.0, "body_ms": 20.0, "breakers": ["bad.test:25"],
        }  # fmt: skip

    def test_where_no_letter_was_answered(self, pulse, lines):
        count(rejected=1)
        pulse.beat(5.0)
        pulse.beat(10.0)
        [record] = lines()
        assert record.body_ms is None
        assert record.getMessage().endswith("0.0 letters/s")


class TestMoments:
    def test_none_while_nothing_is_sent(self, pulse, lines):
        for moment in range(5, 300, 5):
            pulse.beat(moment)
        assert lines() == []

    def test_one_a_minute_while_letters_go_out(self, pulse, lines):
        for moment in range(5, 605, 5):
            count(accepted=10)
            pulse.beat(moment)
        assert [record.accepted for record in lines()] == [120] * 10

    def test_a_short_run_has_its_line_when_it_is_over(self, pulse, lines):
        """Its rate is that of the time in which letters went out."""
        pulse.beat(100.0)
        for moment in (105, 110):
            count(accepted=50)
            pulse.beat(moment)
        assert lines() == []
        pulse.beat(115.0)
        [record] = lines()
        assert (record.accepted, record.seconds, record.per_second) == (100, 10.0, 10.0)

    def test_many_short_runs_share_a_line(self, pulse, lines):
        for moment in range(5, 125, 5):
            if moment % 20 == 5:
                count(accepted=10)
            pulse.beat(moment)
        found = lines()
        assert len(found) == 2
        assert sum(record.accepted for record in found) <= 60

    def test_no_letter_is_told_twice_and_none_left_out(self, pulse, lines):
        for moment in range(5, 600, 5):
            if moment % 35 < 20:
                count(accepted=moment)
            pulse.beat(moment)
        for moment in range(600, 700, 5):
            pulse.beat(moment)
        sent = sum(moment for moment in range(5, 600, 5) if moment % 35 < 20)
        assert sum(record.accepted for record in lines()) == sent


class TestHosts:
    def run(self, clock: qcluster.Clock) -> None:
        """Let three signs of life pass, and letters go out before the second."""
        for number in range(3):
            if number == 1:
                count(accepted=7)
            clock.heartbeat = float("-inf")
            clock.tick()

    def test_the_clock_tells(self, clock, lines):
        self.run(clock)
        assert [record.accepted for record in lines()] == [7]

    def test_of_several_hosts_only_the_first_tells(self, clock, lines):
        first = Host.objects.create(name="first", seen_at=ago(-60))
        self.run(clock)
        assert lines() == []
        first.seen_at = ago(31)
        first.save()
        self.run(clock)
        assert [record.accepted for record in lines()] == [7]
