"""The numbers of the service: added up by workers, read by the metrics page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from conftest import make_mailing
from mailings.metrics import BOUNDS, Latency, State, Tally, Totals
from mailings.models import Attempt, Chunk, Counter, Host, MailServer, Pace

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-the-tests"


def counters() -> dict[str, float]:
    return dict(Counter.objects.values_list("name", "value"))


def ago(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


def make_run(owner, **fields) -> Attempt:
    """Make a run of 100 letters at work."""
    mailing_fields = {name: fields.pop(name) for name in ("is_active", "ends_at") if name in fields}
    mailing = make_mailing(owner, starts_at=ago(7200), **mailing_fields)
    mailing.next_run_at = None
    mailing.save(update_fields=["next_run_at"])
    fields = {"slot": mailing.starts_at, "planned": 100, **fields}
    return Attempt.objects.create(mailing=mailing, **fields)


def make_chunk(run: Attempt, due: float, **fields) -> Chunk:
    """Make a chunk that has been due for `due` seconds."""
    return Chunk.objects.create(attempt=run, first_id=1, last_id=100, due_at=ago(due), **fields)


class TestTally:
    def test_several_workers_add_up(self):
        one, other = Tally(), Tally()
        one.add("letters:accepted", 200)
        one.add("breaker_opened")
        other.add("letters:accepted")
        one.save()
        other.save()
        assert counters() == {"letters:accepted": 201, "breaker_opened": 1}

    def test_nothing_is_saved_twice(self):
        tally = Tally()
        tally.add("letters:accepted")
        tally.took("rcpt", 0.01)
        tally.save()
        with CaptureQueriesContext(connection) as queries:
            tally.save()
        assert len(queries) == 0
        assert counters()["letters:accepted"] == 1
        assert counters()["stage:rcpt:sum"] == 0.01

    def test_everything_in_one_statement(self):
        tally = Tally()
        for stage in ("connect", "body"):
            for seconds in (0, 0.01, 99):
                tally.took(stage, seconds)
        tally.add("letters:accepted")
        with CaptureQueriesContext(connection) as queries:
            tally.save()
        assert len(queries) == 1

    def test_an_error_of_the_database_loses_nothing(self, monkeypatch):
        tally = Tally()
        tally.add("letters:accepted", 3)
        tally.took("rcpt", 0.01)
        with monkeypatch.context() as broken:
            broken.setattr("mailings.metrics.ADD", "INSERT INTO no_such_table VALUES {values}")
            with pytest.raises(DatabaseError), transaction.atomic():
                tally.save()
        assert counters() == {}
        tally.add("letters:accepted")
        tally.save()
        assert counters()["letters:accepted"] == 4
        assert Totals.read().latencies["rcpt"].replies == 1

    def test_a_bound_counts_what_took_just_as_long(self):
        tally = Tally()
        for seconds in (0, 0.005, 0.0051, 1, 31):
            tally.took("data", seconds)
        tally.save()
        found = Totals.read().latencies["data"]
        assert found.counts == (2, 1, 0, 0, 1, 0, 0, 1)
        assert found.seconds == pytest.approx(32.0101)
        assert [count for _bound, count in found.cumulative] == [2, 3, 3, 3, 4, 4, 4, 5]
        assert found.cumulative[-1][0] == "+Inf"
        assert [float(bound) for bound, _count in found.cumulative[:-1]] == list(BOUNDS)


class TestTotals:
    def test_usual_outcomes_are_there_before_the_first_letter(self):
        totals = Totals.read()
        assert totals.letters == {"accepted": 0, "rejected": 0, "deferred": 0, "in_doubt": 0}
        assert totals.latencies == {}
        assert totals.doubtful == 0

    def test_stages_come_in_the_order_of_a_session(self):
        tally = Tally()
        for stage in ("body", "connect", "rcpt", "of_tomorrow"):
            tally.took(stage, 0.1)
        tally.save()
        assert list(Totals.read().latencies) == ["connect", "rcpt", "body", "of_tomorrow"]

    def test_what_came_between_two_readings(self):
        tally = Tally()
        tally.add("letters:accepted", 2)
        tally.save()
        first = Totals.read()
        for name in ("letters:accepted", "letters:of_tomorrow", "doubtful", "sweep_findings"):
            tally.add(name)
        tally.took("body", 0.02)
        tally.save()
        change = Totals.read().since(first)
        assert change.letters == {
            "accepted": 1, "rejected": 0, "deferred": 0, "in_doubt": 0, "of_tomorrow": 1,
        }  # fmt: skip
        assert change.latencies["body"].replies == 1
        assert (change.doubtful, change.events) == (1, {"sweep_findings": 1})

    def test_latency_between_two_readings(self):
        first = Latency((1, 0, 0, 0, 0, 0, 0, 0), 0.004)
        last = Latency((1, 2, 0, 0, 0, 0, 0, 0), 0.044)
        assert last.since(first).replies == 2
        assert last.since(first).mean == pytest.approx(0.02)
        assert Latency().mean == 0


class TestState:
    def test_of_a_service_at_rest(self):
        state = State.read(timezone.now())
        assert (state.hosts, state.workers) == (0, 0)
        assert (state.runs, state.paused, state.letters_left) == (0, 0, 0)
        assert (state.queue_age, state.oldest_due) == (0, 0)
        assert state.breakers == []
        assert state.slow_domains == {}

    def test_runs_at_work(self, owner):
        make_run(owner, accepted=10, rejected=1, skipped=2, unknown=3)
        make_run(owner, paused_at=timezone.now())
        make_run(owner, status=Attempt.Status.SUCCESS, accepted=100)
        state = State.read(timezone.now())
        assert (state.runs, state.paused, state.letters_left) == (1, 1, 184)

    def test_the_longest_waiting_chunk(self, owner):
        run = make_run(owner)
        make_chunk(run, 30)
        make_chunk(run, 60)
        make_chunk(run, 90, leased_until=timezone.now() + timedelta(seconds=20))
        make_chunk(run, -90)
        assert State.read(timezone.now()).queue_age == pytest.approx(60, abs=5)

    def test_a_lease_that_ran_out_is_none(self, owner):
        make_chunk(make_run(owner), 60, leased_until=ago(1))
        assert State.read(timezone.now()).queue_age == pytest.approx(60, abs=5)

    @pytest.mark.parametrize("obstacle", ["held", "off", "over", "blocked", "finished"])
    def test_what_may_not_be_sent_does_not_wait(self, owner, obstacle):
        fields = {
            "held": {"paused_at": ago(1)},
            "off": {"is_active": False},
            "over": {"ends_at": ago(1)},
            "finished": {"status": Attempt.Status.SUCCESS, "accepted": 100},
        }
        if obstacle == "blocked":
            owner.is_active = False
            owner.save()
        make_chunk(make_run(owner, **fields.get(obstacle, {})), 60)
        assert State.read(timezone.now()).queue_age == 0

    def test_a_mailing_that_is_due_and_has_no_run(self, owner):
        for seconds, is_active in ((60, True), (30, True), (90, False), (-90, True)):
            mailing = make_mailing(owner, is_active=is_active)
            mailing.next_run_at = ago(seconds)
            mailing.save(update_fields=["next_run_at"])
        assert State.read(timezone.now()).oldest_due == pytest.approx(60, abs=5)

    def test_hosts_and_their_workers(self):
        Host.objects.create(name="one", workers=4)
        Host.objects.create(name="other", workers=2)
        Host.objects.create(name="silent", workers=8, seen_at=ago(31))
        state = State.read(timezone.now())
        assert (state.hosts, state.workers) == (2, 6)

    def test_servers_and_domains(self, settings):
        settings.EMAIL_HOST, settings.EMAIL_PORT = "bad", 25
        bad = MailServer.objects.create(name="bad:25", trouble_since=ago(5))
        MailServer.objects.create(name="former:25", trouble_since=ago(9))
        Pace.objects.create(name="domain:slow.example", rate=4)
        Pace.objects.create(name="service")
        state = State.read(timezone.now())
        assert state.breakers == [bad]
        assert state.slow_domains == {"slow.example": 4}

    def test_no_question_counts_letters(self, owner):
        make_chunk(make_run(owner), 60)
        with CaptureQueriesContext(connection) as queries:
            State.read(timezone.now())
        assert len(queries) <= 8
        assert not [query for query in queries if "mailings_delivery" in query["sql"]]


class TestPage:
    @pytest.fixture(autouse=True)
    def token(self, settings):
        settings.METRICS_TOKEN = TOKEN

    @pytest.fixture
    def scrape(self, browser):
        def get(value: str = f"Bearer {TOKEN}"):
            return browser().get("/metrics", headers={"Authorization": value})

        return get

    def read(self, response) -> dict[str, float]:
        """Return the samples of the page by name and labels (those in the order of their names)."""
        assert response.status_code == 200
        return {
            " ".join([sample.name, *dict(sorted(sample.labels.items())).values()]): sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
        }

    def test_it_parses_and_tells_all(self, settings, scrape, owner):
        tally = Tally()
        tally.add("letters:accepted", 7)
        tally.add("doubtful", 3)
        tally.add("breaker_opened", 2)
        tally.took("rcpt", 0.01)
        tally.took("rcpt", 40)
        tally.save()
        make_chunk(make_run(owner, accepted=10), 60)
        Host.objects.create(name="one", workers=4)
        Host.objects.create(name="other", workers=2)
        settings.EMAIL_HOST, settings.EMAIL_PORT = 'odd "name"\n', 25
        MailServer.objects.create(name='odd "name"\n:25', trouble_since=ago(5))
        MailServer.objects.create(name="former:25", trouble_since=ago(9))
        Pace.objects.create(name="domain:slow.example", rate=4)
        found = self.read(scrape())
        assert found["vestnik_letters_total accepted"] == 7
        assert found["vestnik_letters_total in_doubt"] == 0
        assert found["vestnik_letters_doubtful_total"] == 3
        assert found["vestnik_events_total breaker_opened"] == 2
        assert "vestnik_events_total doubtful" not in found
        assert found["vestnik_smtp_reply_seconds_bucket 0.005 rcpt"] == 0
        assert found["vestnik_smtp_reply_seconds_bucket 0.025 rcpt"] == 1
        assert found["vestnik_smtp_reply_seconds_bucket +Inf rcpt"] == 2
        assert found["vestnik_smtp_reply_seconds_count rcpt"] == 2
        assert found["vestnik_smtp_reply_seconds_sum rcpt"] == 40.01
        assert found["vestnik_hosts_alive"] == 2
        assert found["vestnik_workers_alive"] == 6
        assert found["vestnik_runs at_work"] == 1
        assert found["vestnik_runs paused"] == 0
        assert found["vestnik_letters_left"] == 90
        assert found["vestnik_queue_age_seconds"] == pytest.approx(60, abs=5)
        assert found["vestnik_oldest_due_mailing_seconds"] == 0
        assert found['vestnik_breaker_open odd "name"\n:25'] == 1
        assert "vestnik_breaker_open former:25" not in found
        assert found["vestnik_slow_domain_letters_per_second slow.example"] == 4

    def test_its_head(self, scrape):
        response = scrape()
        assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "no-store" in response["Cache-Control"]
        assert not response.cookies

    def test_it_opens_no_session(self, scrape):
        with CaptureQueriesContext(connection) as queries:
            scrape()
        assert not [query for query in queries if "session" in query["sql"]]

    @pytest.mark.parametrize(
        "value",
        ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x",
         "Bearer \u043a\u043b\u044e\u0447"],
    )  # fmt: skip
    def test_wrong_token(self, scrape, value):
        response = scrape(value)
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"
        assert response.content == b""

    def test_a_cookie_opens_nothing(self, browser, administrator):
        assert browser(administrator).get("/metrics").status_code == 401

    def test_without_a_token_it_is_not_there(self, scrape, settings):
        settings.METRICS_TOKEN = ""
        for value in ("Bearer ", "Bearer", f"Bearer {TOKEN}"):
            assert scrape(value).status_code == 404

    def test_it_only_reads(self, browser):
        response = browser().post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status_code == 405
