"""The numbers of the home page: exact, and no dearer when there is more to count."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string
from django_q.models import Schedule

from conftest import make_client, make_mailing
from home import counting, tasks
from home.models import Address, Change, Total
from home.triggers import are_installed, drop_triggers
from mailings import tasks as queue
from mailings.models import Client, Mailing

pytestmark = pytest.mark.django_db


def numbers() -> tuple[int, int, int]:
    counting.sum_up()
    totals = counting.read_totals()
    return totals["mailings"], totals["active"], totals["clients"]


def add_clients(owner, number: int) -> None:
    Client.objects.bulk_create(
        Client(owner=owner, email=f"c{n}@example.com", full_name="C") for n in range(number)
    )


class TestClients:
    def test_an_address_counts_once(self, owner, stranger):
        """I1: the number of unique clients."""
        make_client(owner, "ivan@example.com")
        make_client(stranger, "Ivan@Example.com")
        make_client(owner, "anna@example.com")
        assert numbers()[2] == 2

    def test_it_counts_until_its_last_client_goes(self, owner, stranger):
        first = make_client(owner, "ivan@example.com")
        second = make_client(stranger, "ivan@example.com")
        first.delete()
        assert numbers()[2] == 1
        second.delete()
        assert numbers()[2] == 0
        assert not Address.objects.exists()

    def test_change_of_address(self, owner):
        client = make_client(owner, "ivan@example.com")
        make_client(owner, "anna@example.com")
        client.email = "petr@example.com"
        client.save()
        assert numbers()[2] == 2
        Client.objects.update(full_name="Other")
        assert not Change.objects.exists()

    def test_many_at_once_and_a_user_with_all_of_theirs(self, owner, stranger):
        add_clients(owner, 700)
        add_clients(stranger, 500)
        assert numbers()[2] == 700
        type(owner).objects.filter(pk=owner.pk).delete()
        assert numbers()[2] == 500

    def test_letters_of_any_alphabet(self, owner, stranger):
        make_client(owner, "иван@пример.рф")
        make_client(stranger, "ИВАН@пример.рф")
        assert numbers()[2] == 1


class TestMailings:
    def test_switch_end_and_block(self, owner, manager):
        """I1: the number of mailings in all and of active ones."""
        first, second = make_mailing(owner), make_mailing(owner)
        assert numbers()[:2] == (2, 2)
        first.switch_off(by=owner)
        assert numbers()[:2] == (2, 1)
        Mailing.objects.filter(pk=second.pk).update(status="finished")
        assert numbers()[:2] == (2, 0)
        Mailing.objects.update(status="created", is_active=True)
        assert numbers()[:2] == (2, 2)
        type(owner).objects.filter(pk=owner.pk).update(is_active=False)
        assert numbers()[:2] == (2, 0)
        type(owner).objects.filter(pk=owner.pk).update(is_active=True)
        first.delete()
        assert numbers()[:2] == (1, 1)

    def test_they_are_what_counting_says(self, owner, stranger):
        for user in (owner, stranger):
            for active in (True, False):
                make_mailing(user, is_active=active)
        stranger.is_active = False
        stranger.save()
        assert numbers()[:2] == (Mailing.objects.count(), Mailing.objects.active().count())


class TestCost:
    def test_it_does_not_follow_the_tables(self, owner):
        """No statement reads clients or mailings, however many there are."""
        add_clients(owner, 300)
        counting.sum_up()
        with CaptureQueriesContext(connection) as queries:
            counting.read_totals()
        assert len(queries) == 2
        assert "mailings_" not in str(queries.captured_queries)

    def test_changes_that_wait_are_read_and_not_written(self, owner):
        """A reader's page writes nothing, and shows them nevertheless."""
        make_mailing(owner)
        add_clients(owner, 300)
        with CaptureQueriesContext(connection) as queries:
            totals = counting.read_totals()
        assert totals == {"mailings": 1, "active": 1, "clients": 300}
        assert len(queries) == 3
        assert all(query["sql"].startswith("SELECT") for query in queries.captured_queries)

    def test_a_page_reads_few_changes_and_a_worker_the_rest(self, owner, monkeypatch):
        monkeypatch.setattr(counting, "FEW", 10)
        monkeypatch.setattr(counting, "STEP", 10)
        add_clients(owner, 35)
        assert counting.read_totals()["clients"] == 10
        counting.sum_up()
        assert counting.read_totals()["clients"] == 35

    def test_what_is_summed_up_while_a_page_reads_counts_once(self, owner, monkeypatch):
        add_clients(owner, 5)
        sort_out = counting.sort_out

        def sum_up_first(changes):
            monkeypatch.undo()
            counting.sum_up()
            return sort_out(changes)

        monkeypatch.setattr(counting, "sort_out", sum_up_first)
        assert counting.read_totals()["clients"] == 0
        assert counting.read_totals()["clients"] == 5


class TestClock:
    """I1: numbers are at most a minute old, whether anybody looks at them or not."""

    @pytest.fixture(autouse=True)
    def time(self, monkeypatch, settings, tmp_path):
        settings.VAR_DIR = tmp_path
        for name in ("_summed_up_at", "_called_at"):
            monkeypatch.setattr(counting, name, float("-inf"))
        self.now = 1000.0
        monkeypatch.setattr(counting, "time", self)
        self.calls = 0
        monkeypatch.setattr(counting, "async_task", self.note_call)

    def monotonic(self) -> float:
        return self.now

    def note_call(self, function: str, **options: str) -> None:
        assert import_string(function) is tasks.settle_numbers
        self.calls += 1

    def test_it_sums_up_every_ten_seconds(self, owner):
        for seconds, waits in ((0, False), (9, True), (2, False)):
            self.now += seconds
            make_client(owner, f"c{self.now}@example.com")
            counting.by_the_clock()
            assert Change.objects.exists() == waits

    def test_many_changes_hold_it_up_for_a_moment_only(self, owner, stranger, monkeypatch):
        """It has mailings to look for, and goes on the next second."""
        monkeypatch.setattr(counting, "STEP", 10)
        step = counting.sum_up_step

        def slow_step(**options: bool) -> bool:
            self.now += counting.MOMENT
            return step(**options)

        monkeypatch.setattr(counting, "sum_up_step", slow_step)
        add_clients(owner, 35)
        for left in (25, 15):
            counting.by_the_clock()
            assert Change.objects.count() == left
            self.now += 1
        # One call for a worker waits in the queue, and no more while it does.
        assert self.calls == 1
        self.now += counting.CALL_AGAIN
        add_clients(stranger, 35)
        counting.by_the_clock()
        assert self.calls == 2

    def test_few_changes_need_no_worker(self, owner):
        make_client(owner)
        counting.by_the_clock()
        assert not Change.objects.exists()
        assert self.calls == 0

    def test_it_leaves_all_of_it_to_a_worker_that_is_there(self, owner):
        make_client(owner)
        with counting.alone():
            counting.by_the_clock()
        assert Change.objects.exists()
        assert self.calls == 0

    def test_trouble_is_told_and_waits_for_the_next_time(self, owner, monkeypatch, caplog):
        make_client(owner)
        with monkeypatch.context() as patch:
            patch.setattr(counting, "lock_totals", lambda **options: 1 / 0)
            counting.by_the_clock()
        assert "could not be summed up" in caplog.text
        self.now += counting.SECONDS
        counting.by_the_clock()
        assert not Change.objects.exists()


class TestWorker:
    """What the clock cannot do in a moment."""

    @pytest.fixture(autouse=True)
    def calls(self, monkeypatch, settings, tmp_path) -> list[str]:
        settings.VAR_DIR = tmp_path
        monkeypatch.setattr(counting, "STEP", 10)
        calls: list[str] = []
        monkeypatch.setattr(counting, "async_task", lambda name, **options: calls.append(name))
        return calls

    def test_it_goes_on_until_nothing_waits(self, owner, calls):
        add_clients(owner, 35)
        tasks.settle_numbers()
        assert not Change.objects.exists()
        assert calls == []

    def test_what_is_more_than_a_turn_is_called_for_at_once(self, owner, calls, monkeypatch):
        """Other tasks of the queue come between."""
        monkeypatch.setattr(tasks, "TURN", 0.0)
        add_clients(owner, 35)
        for left in (25, 15, 5, 0):
            tasks.settle_numbers()
            assert Change.objects.count() == left
        tasks.settle_numbers()
        assert calls == ["home.tasks.settle_numbers"] * 4

    def test_told_to_stop_it_ends_after_its_step(self, owner, calls, monkeypatch):
        """What is left is found by the clock of the next start."""
        asked = []
        monkeypatch.setattr(queue, "is_stopping", lambda: asked.append(1) or len(asked) > 1)
        add_clients(owner, 35)
        tasks.settle_numbers()
        assert Change.objects.count() == 25
        assert calls == []

    def test_one_worker_of_a_host_is_enough(self, owner, calls, monkeypatch):
        monkeypatch.setattr(counting, "PATIENCE", 0.1)
        add_clients(owner, 35)
        with counting.alone():
            tasks.settle_numbers()
        assert Change.objects.count() == 35
        assert calls == []

    def test_where_it_is_the_only_one_its_turns_are_short(self, owner, settings, monkeypatch):
        turns = []
        monkeypatch.setattr(
            tasks, "sum_up_for_a_turn", lambda seconds, stops: turns.append(seconds)
        )
        for workers in (1, 2):
            settings.Q_CLUSTER = {**settings.Q_CLUSTER, "workers": workers}
            tasks.settle_numbers()
        assert turns == [tasks.SHORT_TURN, tasks.TURN]


class TestNight:
    def test_what_went_wrong_is_counted_anew(self, owner, stranger, caplog):
        """I1: a number that drifted is right again by the morning."""
        make_mailing(owner)
        make_mailing(stranger, is_active=False)
        make_client(owner)
        assert numbers() == (2, 1, 1)
        Total.objects.filter(name="active").update(value=7)
        Total.objects.filter(name="mailings").update(value=-1)
        assert counting.recount() == {"active": 6, "mailings": -3}
        assert numbers() == (2, 1, 1)
        assert "wrong by" in caplog.text

    def test_what_nobody_has_summed_up_counts_once(self, owner):
        make_mailing(owner)
        counting.sum_up()
        make_mailing(owner)
        assert Change.objects.exists()
        assert counting.recount() == {}
        assert numbers()[:2] == (2, 2)

    def test_workers_are_told_to(self):
        schedule = Schedule.objects.get(func="home.tasks.recount_numbers")
        assert schedule.schedule_type == Schedule.DAILY
        import_string(schedule.func)()


class TestInstalling:
    def test_what_was_there_before_is_counted_once(self, owner, stranger):
        drop_triggers()
        for model in (Change, Address, Total):
            model.objects.all().delete()
        make_client(owner, "ivan@example.com")
        make_client(stranger, "IVAN@example.com")
        make_mailing(owner)
        assert not are_installed()
        for _ in range(2):
            counting.install_triggers()
            assert numbers() == (1, 1, 1)
        make_client(owner, "anna@example.com")
        assert numbers() == (1, 1, 2)

    def test_migrations_of_sqlite_go_without_triggers(self):
        """SQLite cannot rebuild a table that triggers of others name."""
        counting.remove_triggers(plan=[])
        assert are_installed()
        counting.remove_triggers(plan=["something"])
        assert are_installed() == (connection.vendor != "sqlite")
