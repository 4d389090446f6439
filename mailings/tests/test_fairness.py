"""Whose letters go out next: companies share the workers, mailings share their company's part."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from mailings import runs
from mailings.delivery import dispatch, ledger
from mailings.models import Attempt, Chunk
from mailings.tests.conftest import make_due, only_run
from mailings.tests.test_pauses_engine import make_big
from mailings.tests.test_session import server

__all__ = ["server"]

MINUTE = timedelta(minutes=1)


def order(now: datetime) -> list[Attempt]:
    return list(Attempt.objects.may_go(now).with_free_chunk(now))


def served(run: Attempt, at: datetime | None) -> None:
    Attempt.objects.filter(pk=run.pk).update(last_attempt_at=at)


class TestOrder:
    def opened(self, *mailings) -> list[Attempt]:
        runs.open_due(timezone.now())
        return [only_run(mailing) for mailing in mailings]

    def test_a_company_with_letters_in_hand_comes_after_one_without(
        self, owner, stranger, monkeypatch
    ):
        monkeypatch.setattr(runs, "CHUNK_SIZE", 2)
        first, second = make_due(owner, 6), make_due(stranger, 2, domain="other.test")
        busy, idle = self.opened(first, second)
        now = timezone.now()
        served(busy, now - 5 * MINUTE)
        served(idle, now - MINUTE)
        assert order(now) == [busy, idle]
        ledger.take_chunk(busy, "worker", now)
        assert order(now) == [idle, busy]

    def test_letters_in_hand_count_over_all_runs_of_a_company(self, owner, stranger):
        mailings = make_due(owner, 1), make_due(owner, 1, domain="b.test"), make_due(stranger, 1)
        busy, sibling, idle = self.opened(*mailings)
        now = timezone.now()
        for run, minutes in ((busy, 9), (sibling, 8), (idle, 1)):
            served(run, now - minutes * MINUTE)
        ledger.take_chunk(busy, "worker", now)
        assert order(now) == [idle, sibling]

    def test_who_waits_longest_comes_first(self, owner, stranger, manager):
        found = self.opened(make_due(owner, 1), make_due(stranger, 1), make_due(manager, 1))
        now = timezone.now()
        for run, minutes in zip(found, (1, 3, 2), strict=True):
            served(run, now - minutes * MINUTE)
        assert order(now) == [found[1], found[2], found[0]]
        served(found[0], None)  # It had no letter yet.
        assert order(now)[0] == found[0]

    def test_many_mailings_do_not_make_a_company_come_more_often(self, owner, stranger):
        many = [make_due(owner, 1, domain=f"d{n}.test") for n in range(4)]
        *own, other = self.opened(*many, make_due(stranger, 1))
        now = timezone.now()
        served(other, now - 2 * MINUTE)
        served(own[0], now - MINUTE)
        for run in own[1:]:
            served(run, now - 9 * MINUTE)
        assert order(now)[0] == other
        served(other, now)
        assert order(now)[0] in own[1:]
        assert order(now)[-1] == other

    def test_the_leases_of_dead_workers_do_not_count(self, owner, stranger):
        dead, idle = self.opened(make_due(owner, 1), make_due(stranger, 1))
        now = timezone.now()
        served(dead, now - 5 * MINUTE)
        served(idle, now - MINUTE)
        ledger.take_chunk(dead, "worker", now)
        Chunk.objects.filter(attempt=dead).update(leased_until=now - MINUTE)
        assert order(now) == [dead, idle]


class TestOneWorker:
    def both(self, server) -> list[str]:
        """Return whose letters arrived, in their order."""
        return ["small" if "other" in to else "big" for to in server.recipients()]

    def test_two_big_runs_are_sent_side_by_side(self, server, owner, stranger, monkeypatch):
        monkeypatch.setattr(runs, "CHUNK_SIZE", 50)
        first = make_big(owner, 300)
        second = make_big(stranger, 300, domain="other.test")
        dispatch.run_pass()
        assert only_run(first).status == only_run(second).status == "success"
        arrived = self.both(server)
        for name in ("big", "small"):
            done_by_the_middle = arrived[:300].count(name)
            assert 50 <= done_by_the_middle <= 250

    def test_a_small_run_does_not_wait_for_the_end_of_a_big_one(
        self, server, owner, stranger, monkeypatch
    ):
        monkeypatch.setattr(runs, "CHUNK_SIZE", 50)
        monkeypatch.setattr(dispatch, "LOOK_SECONDS", 0.05)
        big = make_big(owner, 1500)
        small = make_due(stranger, 5, domain="other.test", starts_at=timezone.now() + 60 * MINUTE)

        def start_small(_attempt: Attempt) -> None:
            if small.starts_at > timezone.now():
                small.starts_at = timezone.now()
                small.plan(timezone.now())
                small.save()

        dispatch.run_pass(progress=start_small)
        assert only_run(big).status == only_run(small).status == "success"
        arrived = self.both(server)
        last = len(arrived) - arrived[::-1].index("small")
        assert arrived[last:].count("big") >= 50
