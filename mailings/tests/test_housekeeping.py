"""What every night deletes, and that it reports every run that does not add up."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from config import env
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule

from conftest import make_client, make_mailing
from mailings import housekeeping, tasks
from mailings.housekeeping import BATCH, Deadline
from mailings.models import Attempt, Chunk, Client, Counter, Delivery, Mailing

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(days=400)
YESTERDAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Make every run a run of many steps."""
    for name in ("BATCH", "SLICE", "CHUNKS"):
        monkeypatch.setattr(housekeeping, name, 2)


@pytest.fixture
def mailing(owner) -> Mailing:
    clients = [make_client(owner, f"c{number}@example.com") for number in range(5)]
    return make_mailing(owner, clients=clients)


def make_run(mailing: Mailing, ago: timedelta, states: str = "aaars", **fields) -> Attempt:
    """Make a run with a row for each letter of `states`, the first one of the state's name."""
    moment = timezone.now() - ago
    names = {state.value[0]: state for state in Delivery.Status if state != "sending"}
    names |= {"s": Delivery.Status.SKIPPED}
    chosen = [names[letter] for letter in states]
    fields = {"planned": len(states), "status": "partial", "finished_at": moment} | fields
    for name in ("accepted", "rejected", "skipped", "unknown"):
        fields.setdefault(name, chosen.count(name))
    fields |= {"slot": moment, "started_at": moment, "last_attempt_at": moment}
    run = Attempt.objects.create(mailing=mailing, subject="News", html="<p>", text="x", **fields)
    rows = [
        Delivery(attempt=run, client=client, email=client.email, status=state)
        for client, state in zip(mailing.clients.order_by("pk"), chosen, strict=True)
    ]
    Delivery.objects.bulk_create(rows)
    return run


def make_chunk(run: Attempt, first: int = 0, last: int = 4, **fields) -> Chunk:
    """Make a chunk over some of the run's rows, due since the run began."""
    keys = list(run.deliveries.order_by("pk").values_list("pk", flat=True))
    fields = {"due_at": run.started_at} | fields
    return Chunk.objects.create(attempt=run, first_id=keys[first], last_id=keys[last], **fields)


def make_running(mailing: Mailing, states: str = "aappd", **fields) -> Attempt:
    """Make a run at work in which nothing has happened since yesterday."""
    return make_run(mailing, YESTERDAY, states, status="running", finished_at=None, **fields)


def prune() -> int:
    return housekeeping.prune(timezone.now(), Deadline())


def sweep() -> list[str]:
    return [finding.problem for finding in housekeeping.sweep(timezone.now(), Deadline())]


def unbalance(run: Attempt, **fields) -> None:
    """Change sums as a defect would: the database still finds that they add up."""
    Attempt.objects.filter(pk=run.pk).update(**fields)


class TestPruning:
    def test_recipients_of_old_runs_go_and_the_sums_stay(self, mailing):
        old, young = make_run(mailing, LONG_AGO), make_run(mailing, YESTERDAY)
        assert prune() == 5
        assert not old.deliveries.exists()
        assert young.deliveries.count() == 5
        old.refresh_from_db()
        assert (old.planned, old.accepted, old.rejected, old.skipped) == (5, 3, 1, 1)
        assert (old.subject, old.html, old.text) == ("News", "", "")
        assert Counter.objects.get(name="deliveries_deleted").value == 5

    def test_the_page_of_the_run_says_so(self, mailing, browser):
        old = make_run(mailing, LONG_AGO)
        prune()
        page = browser(mailing.owner).get(reverse("mailing:attempt", args=[old.pk]))
        assert "was deleted because the run is long over" in page.content.decode()

    def test_rows_whose_clients_are_gone_go_too(self, mailing):
        old = make_run(mailing, LONG_AGO)
        Client.objects.exclude(email="c0@example.com").delete()
        assert prune() == 5
        assert not old.deliveries.exists()

    def test_a_run_at_work_keeps_everything(self, mailing):
        run = make_run(mailing, LONG_AGO, "aappd", status="running", finished_at=None)
        make_chunk(run)
        assert prune() == 0
        assert run.deliveries.count() == 5
        assert run.chunks.count() == 1

    def test_nothing_is_kept_longer_or_shorter_than_told(self, mailing, settings):
        run = make_run(mailing, timedelta(days=10))
        for days, left in ((None, 5), (11, 5), (9, 0)):
            settings.DELIVERY_RETENTION_DAYS = days
            prune()
            assert run.deliveries.count() == left

    def test_chunks_go_when_the_run_is_done(self, mailing):
        done, young = make_run(mailing, YESTERDAY), make_run(mailing, timedelta(minutes=1))
        for run in (done, young):
            make_chunk(run, 0, 1, due_at=None)
            make_chunk(run, 2, 2, due_at=None)
            make_chunk(run, 3, 4, due_at=None)
        prune()
        assert not done.chunks.exists()
        assert young.chunks.count() == 3

    def test_it_goes_on_where_it_stopped(self, mailing):
        old = make_run(mailing, LONG_AGO)
        answers = iter([False, False, False, True, True])
        deadline = Deadline(stopping=lambda: next(answers))
        housekeeping.prune(timezone.now(), deadline)
        assert 0 < old.deliveries.count() < 5
        prune()
        assert not old.deliveries.exists()

    def test_the_steps_are_small(self, mailing, monkeypatch):
        """No statement deletes more than a batch, and each is a transaction of its own."""
        assert BATCH <= 5000
        monkeypatch.setattr(housekeeping, "BATCH", 2)
        old = make_run(mailing, LONG_AGO)
        left = []
        deadline = Deadline(stopping=lambda: left.append(old.deliveries.count()))
        housekeeping.prune(timezone.now(), deadline)
        steps = [before - after for before, after in zip(left, left[1:], strict=False)]
        assert (left[0], left[-1], max(steps)) == (5, 0, 2)


class TestSweep:
    def test_what_adds_up_is_not_reported(self, mailing):
        make_run(mailing, YESTERDAY)
        make_chunk(make_running(mailing), 1, 4)
        assert sweep() == []

    def test_closed_with_other_sums_than_the_ledger(self, mailing, caplog):
        run = make_run(mailing, YESTERDAY)
        unbalance(run, accepted=4, rejected=0)
        assert sweep() == ["accepted 4, in the ledger 3", "rejected 0, in the ledger 1"]
        record = caplog.records[0]
        assert (record.name, record.levelname) == ("vestnik.delivery", "ERROR")
        assert (record.run, record.mailing) == (run.pk, mailing.pk)
        assert record.problem == "accepted 4, in the ledger 3"
        assert Counter.objects.get(name="sweep_findings").value == 2

    def test_closed_with_letters_open(self, mailing):
        make_run(mailing, YESTERDAY, "aaapd", planned=3)
        assert sweep() == ["it is closed with 2 letters open"]

    def test_rows_whose_clients_are_gone_count(self, mailing):
        make_run(mailing, YESTERDAY)
        Client.objects.exclude(email="c0@example.com").delete()
        assert sweep() == []

    def test_a_closed_run_is_looked_at_once(self, mailing):
        unbalance(make_run(mailing, YESTERDAY), accepted=4, rejected=0)
        assert sweep()
        newer = make_run(mailing, timedelta(minutes=30))
        unbalance(newer, accepted=2, rejected=2)
        found = housekeeping.sweep(timezone.now() + YESTERDAY, Deadline())
        assert {finding.run for finding in found} == {newer.pk}

    def test_a_run_whose_recipients_were_deleted_is_not_reported(self, mailing):
        make_run(mailing, LONG_AGO)
        prune()
        assert sweep() == []

    def test_letters_left_and_nothing_to_do(self, mailing):
        make_chunk(make_running(mailing), due_at=None)
        assert sweep() == ["3 letters left, and no chunk with anything to do"]

    def test_recipients_that_nobody_plans(self, mailing):
        run = make_running(mailing)
        make_chunk(run, due_at=None)
        Attempt.objects.filter(pk=run.pk).update(opening_until=run.started_at)
        assert sweep() == ["not all recipients are planned, and nobody is at it: 3 letters left"]

    def test_letters_outside_any_chunk(self, mailing):
        run = make_running(mailing)
        make_chunk(run, 0, 1, due_at=None)
        make_chunk(run, 3, 4)
        assert sweep() == ["3 letters left, and only 2 of them in chunks to be done"]

    def test_more_letters_to_be_done_than_the_sums_leave(self, mailing):
        make_chunk(make_running(mailing, accepted=3), 0, 4)
        assert sweep() == ["3 letters to be done, and 2 left by its sums"]

    def test_chunks_due_with_nothing_to_do(self, mailing):
        run = make_running(mailing)
        make_chunk(run, 0, 1)
        make_chunk(run, 2, 4)
        assert sweep() == ["1 chunks due for an hour have nothing to do"]

    @pytest.mark.parametrize("change", ["held", "switched off", "blocked", "young"])
    def test_runs_that_may_stand_still_are_left_alone(self, mailing, change):
        run, now = make_running(mailing), timezone.now()
        if change == "held":
            run.pause("a reason", "550 no", now)
        elif change == "switched off":
            Mailing.objects.update(is_active=False)
        elif change == "blocked":
            type(mailing.owner).objects.update(is_active=False)
        else:
            Attempt.objects.update(last_attempt_at=now - timedelta(minutes=50))
        assert sweep() == []

    def test_a_sweep_that_was_stopped_goes_on(self, mailing):
        for hours in (30, 20, 10):
            run = make_run(mailing, timedelta(hours=hours))
            unbalance(run, accepted=4, rejected=0)
        found = housekeeping.sweep(timezone.now(), Deadline(seconds=0))
        assert found == []
        assert len(sweep()) == 6


class TestNight:
    def test_django_q_calls_it_every_night(self):
        schedule = Schedule.objects.get(func="mailings.tasks.housekeep")
        at = schedule.next_run.astimezone(ZoneInfo("Europe/Moscow"))
        assert (at.hour, at.minute, schedule.schedule_type) == (3, 17, Schedule.DAILY)
        # From when the tables were made; the tests may have passed that hour since.
        assert abs(at - timezone.now()) <= timedelta(days=1)
        assert callable(tasks.housekeep)

    def test_it_sweeps_and_deletes(self, mailing, caplog):
        old, wrong = make_run(mailing, LONG_AGO), make_run(mailing, YESTERDAY)
        unbalance(wrong, accepted=4, rejected=0)
        assert housekeeping.run(Deadline()) is False
        assert not old.deliveries.exists()
        assert len(caplog.records) >= 2
        # A second call in the same night has nothing to tell.
        caplog.clear()
        assert housekeeping.run(Deadline()) is False
        assert not caplog.records

    def test_two_at_once_do_it_once(self, mailing):
        old = make_run(mailing, LONG_AGO)
        second: list[bool] = []

        def stopping() -> bool:
            if not second:
                second.append(housekeeping.run(Deadline()))
                assert old.deliveries.exists()
            return False

        assert housekeeping.run(Deadline(stopping=stopping)) is False
        assert second == [False]
        assert not old.deliveries.exists()

    def test_one_that_died_is_not_waited_for(self, mailing):
        old, now = make_run(mailing, LONG_AGO), timezone.now()
        dead_since = now - timedelta(seconds=1)
        Counter.objects.create(name=housekeeping.HELD_UNTIL, value=dead_since.timestamp())
        housekeeping.run(Deadline())
        assert not old.deliveries.exists()

    def test_the_task_calls_for_another_turn_while_something_is_left(self, mailing, monkeypatch):
        calls: list[str] = []
        monkeypatch.setattr(tasks, "async_task", lambda name, **_options: calls.append(name))
        make_run(mailing, LONG_AGO)
        monkeypatch.setattr(tasks, "TURN_SECONDS", 0)
        tasks.housekeep()
        assert calls == ["mailings.tasks.housekeep"]
        monkeypatch.setattr(tasks, "TURN_SECONDS", 60)
        tasks.housekeep()
        assert calls == ["mailings.tasks.housekeep"]


class TestRetentionSetting:
    @pytest.mark.parametrize(("value", "days"), [(None, 365), ("", None), (" ", None), ("30", 30)])
    def test_empty_means_for_ever(self, monkeypatch, value, days):
        monkeypatch.delenv("DELIVERY_RETENTION_DAYS", raising=False)
        if value is not None:
            monkeypatch.setenv("DELIVERY_RETENTION_DAYS", value)
        assert env.number_or_none("DELIVERY_RETENTION_DAYS", 365, low=1, high=36500) == days

    def test_nothing_less_than_a_day(self, monkeypatch):
        monkeypatch.setenv("DELIVERY_RETENTION_DAYS", "0")
        with pytest.raises(SystemExit, match="use a number from 1 to"):
            env.number_or_none("DELIVERY_RETENTION_DAYS", 365, low=1, high=36500)
