"""Two at the same rows in the same moment: a worker and a person, or a worker and another one."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mailings import runs
from mailings.delivery import dispatch, ledger
from mailings.models import Mailing
from mailings.tests.conftest import make_due, only_run
from mailings.tests.processes import site, template

__all__ = ["site", "template"]

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite lets one write at a time"
)


@on_postgresql
class TestPersonAndWorker:
    def test_timetable_edited_while_the_run_is_closed(self, site):
        """The new timetable counts, and not what the worker had read before."""
        site.make_due(1)
        status, is_closed, wait = site.python("""
            from django.db import transaction
            from mailings import runs
            from mailings.tests.beside import Beside
            runs.open_due(timezone.now())
            run = Attempt.objects.get()
            run.deliveries.update(status="skipped")
            run.chunks.update(due_at=None)
            with transaction.atomic():
                mailing = Mailing.objects.select_for_update(of=("self",)).get()
                worker = Beside(lambda: runs.close_run(run.pk, timezone.now()))
                worker.wait_until_blocked()
                mailing.periodicity = Mailing.Periodicity.DAILY
                mailing.save()
            worker.end()
            mailing.refresh_from_db()
            run.refresh_from_db()
            wait = mailing.next_run_at - mailing.starts_at
            result = [mailing.status, run.finished_at is not None, wait.total_seconds()]
        """)
        assert (status, is_closed, wait) == ("started", True, 24 * 3600)

    def test_deleted_while_results_are_written(self, site):
        """Neither waits for the other crosswise: PostgreSQL would end one of them."""
        site.make_due(3)
        left = site.python("""
            from django.db import transaction
            from mailings import runs
            from mailings.tests.beside import Beside
            runs.open_due(timezone.now())
            run = Attempt.objects.get()
            run.opening_until = timezone.now() + timedelta(seconds=20)
            run.save()
            with transaction.atomic():  # As `ledger.record` does: recipients first, then the run.
                run.deliveries.update(status="accepted")
                person = Beside(lambda: Mailing.objects.get().delete())
                person.wait_until_blocked()
                Attempt.objects.filter(pk=run.pk).update(accepted=3)
            person.end()
            result = Mailing.objects.count() + Attempt.objects.count() + Delivery.objects.count()
        """)
        assert left == 0

    def test_deleted_while_it_is_opened(self, site):
        """The step that is being planned is waited for, and there is no other."""
        site.make_due(6)
        left, goes_on = site.python("""
            from django.db import transaction
            from mailings import runs
            from mailings.tests.beside import Beside
            runs.FIRST_STEP = 2
            runs.open_run(Mailing.objects.get().pk, timezone.now())
            run = Attempt.objects.get()
            opening = runs.Opening(run.pk, run.opening_until, size=2)
            with transaction.atomic():
                assert opening.plan_next()
                person = Beside(lambda: Mailing.objects.get().delete())
                person.wait_until_blocked()
            person.end()
            left = Mailing.objects.count() + Delivery.objects.count() + Chunk.objects.count()
            result = [left, opening.plan_next()]
        """)
        assert (left, goes_on) == (0, False)


class TestTwoWorkers:
    def test_one_that_lost_its_chunk_skips_nothing_in_it(self, due):
        """The letter is on its way from the other one's hands."""
        now = timezone.now()
        runs.open_due(now)
        late = ledger.take_chunk(only_run(due), "late", now)
        ledger.claim(late, 10, now)
        type(late).objects.update(leased_until=now - timedelta(seconds=1))
        other = ledger.take_chunk(late.attempt, "other", now)
        type(late).objects.update(leased_until=now + timedelta(seconds=20))
        other.attempt.deliveries.update(status="planned", next_try_at=None)
        rows = ledger.claim(other, 10, now)
        other.attempt.deliveries.get(pk=rows[0].id).client.unsubscribe()
        ledger.release_chunk(late, timezone.now())
        assert set(other.attempt.deliveries.values_list("status", flat=True)) == {"planned"}
        other.refresh_from_db()
        assert other.worker == "other"


class TestMailingThatCannotBeOpened:
    @pytest.fixture
    def bad(self, due, monkeypatch) -> Mailing:
        open_run = runs.open_run

        def fail(mailing_id, now):
            if mailing_id == due.pk:
                raise RuntimeError("a defect of ours")
            return open_run(mailing_id, now)

        monkeypatch.setattr(runs, "open_run", fail)
        return due

    def test_it_is_left_alone_for_a_while(self, server, bad, stranger, monkeypatch):
        """Or every worker would put down its letters once a second, and fail again."""
        good = make_due(stranger, 2, domain="other.test")
        dispatch.run_pass()
        assert only_run(good).status == "success"
        assert not bad.attempts.exists()
        assert not runs.is_opening_due(timezone.now())
        monkeypatch.undo()
        assert not runs.is_opening_due(timezone.now())

    def test_it_is_tried_again(self, bad, monkeypatch):
        runs.open_due(timezone.now())
        monkeypatch.undo()
        assert runs.open_due(timezone.now()) == 0
        runs._not_before[bad.pk] = time.monotonic()
        assert runs.open_due(timezone.now()) == 1
