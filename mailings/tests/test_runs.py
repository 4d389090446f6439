"""When runs open and close, whom they plan, and what stops them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from conftest import make_client, make_mailing, make_message
from mailings import reasons, runs
from mailings.delivery import dispatch, ledger
from mailings.models import Attempt, Client, Delivery, Mailing, MailServer, Pace
from mailings.tests.conftest import ledger_of, let_time_pass, make_due, only_run
from mailings.tests.servers import CLOSE, LATER


class TestOpening:
    def test_due_mailing_is_sent_to_all_its_clients(self, server, due):
        """S1: now lies between start and end: all clients are selected and sending begins."""
        summary = dispatch.run_pass()
        assert (summary.opened, summary.accepted, summary.all_went_out) == (1, 5, True)
        assert sorted(server.recipients()) == [f"c{n}@example.com" for n in range(5)]

    def test_future_mailing_waits(self, server, owner):
        """S2: a start in the future is not opened before its time."""
        mailing = make_due(owner, 3, starts_at=timezone.now() + timedelta(hours=1))
        assert dispatch.run_pass().opened == 0
        assert mailing.status == "created"
        runs.open_due(mailing.starts_at)
        assert only_run(mailing).slot == mailing.starts_at

    def test_one_attempt_for_a_run_whoever_opens_it(self, server, due):
        """T4: one attempt per run of a mailing, not one per client."""
        now = timezone.now()
        assert runs.open_run(due.pk, now)
        assert runs.open_run(due.pk, now) is None
        assert Attempt.objects.count() == 1
        with pytest.raises(IntegrityError), transaction.atomic():
            Attempt.objects.create(mailing=due, slot=only_run(due).slot)

    def test_once_is_finished_after_its_run(self, server, due):
        dispatch.run_pass()
        due.refresh_from_db()
        assert (due.status, due.next_run_at) == ("finished", None)

    def test_daily_waits_for_its_next_time(self, server, owner):
        """S3: between runs a mailing waits for its next time."""
        mailing = make_due(owner, 2, periodicity="daily")
        dispatch.run_pass()
        mailing.refresh_from_db()
        assert mailing.status == "started"
        assert mailing.next_run_at == mailing.starts_at + timedelta(days=1)
        assert dispatch.run_pass().opened == 0

    def test_missed_slots_run_once(self, server, owner):
        start = timezone.now() - timedelta(days=10, hours=1)
        mailing = make_due(owner, 2, periodicity="daily", starts_at=start)
        dispatch.run_pass()
        assert only_run(mailing).slot == start + timedelta(days=10)
        mailing.refresh_from_db()
        assert mailing.next_run_at == start + timedelta(days=11)

    def test_slot_during_a_run_is_left_out_and_logged(self, server, owner):
        mailing = make_due(owner, 2, periodicity="daily")
        runs.open_due(timezone.now())
        runs.open_due(timezone.now() + timedelta(days=1))
        second = mailing.attempts.order_by("slot").last()
        assert (second.status, second.server_response) == ("failure", reasons.STILL_RUNNING)
        assert second.planned == 0

    def test_retries_end_when_the_next_run_is_due(self, server, owner):
        """A mailbox that is full for days costs nobody else a day's letter."""
        mailing = make_due(owner, 3, periodicity="daily")
        server.fail("rcpt", LATER, to="c1@example.com")
        dispatch.run_pass()
        first = only_run(mailing)
        assert (first.status, first.accepted) == ("running", 2)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        first.refresh_from_db()
        assert (first.status, first.skipped) == ("partial", 1)
        assert first.deliveries.get(status="skipped").response == reasons.NEXT_RUN
        second = mailing.attempts.get(status="running")
        assert second.planned == 3

    def test_they_end_in_doubt_where_there_was_a_doubt(self, server, owner):
        mailing = make_due(owner, 3, periodicity="daily")
        server.fail("body", CLOSE, to="c1@example.com")
        dispatch.run_pass()
        first = only_run(mailing)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        first.refresh_from_db()
        assert (first.status, first.accepted, first.unknown) == ("partial", 2, 1)

    def test_they_do_not_while_a_worker_has_one_in_hand(self, server, owner):
        mailing = make_due(owner, 3, periodicity="daily")
        server.fail("rcpt", LATER, to="c1@example.com")
        dispatch.run_pass()
        let_time_pass(mailing)
        run, tomorrow = only_run(mailing), mailing.starts_at + timedelta(days=1)
        chunk = ledger.take_chunk(run, "busy", timezone.now())
        chunk.leased_until = tomorrow + timedelta(seconds=20)
        chunk.save()
        assert runs.open_due(tomorrow) == 0
        assert only_run(mailing).status == "running"
        ledger.release_chunk(chunk, tomorrow)
        assert runs.open_due(tomorrow) == 0  # It is asked again in some seconds.
        runs._not_before.clear()
        assert runs.open_due(tomorrow) == 1

    def test_what_a_worker_left_that_died_is_settled_first(self, owner):
        """Its journal says which letters may have arrived; without it all that it had claimed."""
        mailing = make_due(owner, 3, periodicity="daily")
        now = timezone.now()
        runs.open_due(now)
        run = only_run(mailing)
        waits = {"status": "deferred", "tries": 1, "next_try_at": now, "updated_at": now}
        run.deliveries.update(**waits)
        chunk = ledger.take_chunk(run, "dead", now)
        ledger.claim(chunk, 2, now)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        run.refresh_from_db()
        assert (run.status, run.skipped, run.unknown) == ("failure", 1, 2)
        assert not run.chunks.exclude(worker="").exists()

    def test_letters_that_wait_for_a_slow_domain_are_not_given_up(self, owner):
        """They were never tried."""
        mailing = make_due(owner, 3, periodicity="daily")
        now = timezone.now()
        runs.open_due(now)
        run = only_run(mailing)
        run.deliveries.update(status="deferred", response=reasons.DOMAIN_SLOW, next_try_at=now)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        run.refresh_from_db()
        assert run.status == "running"

    def test_nothing_is_ended_where_the_next_run_cannot_begin(self, server, owner, monkeypatch):
        mailing = make_due(owner, 3, periodicity="daily")
        server.fail("rcpt", LATER)
        dispatch.run_pass()

        def fail(message):
            raise ValueError("a defect of ours")

        monkeypatch.setattr(runs.letter, "compose", fail)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        assert only_run(mailing).status == "running"

    @pytest.mark.parametrize("paused", [True, False])
    def test_a_run_with_letters_to_be_sent_for_the_first_time_goes_on(self, owner, paused):
        mailing = make_due(owner, 3, periodicity="daily")
        now = timezone.now()
        runs.open_due(now)
        run = only_run(mailing)
        rows = run.deliveries.all() if paused else run.deliveries.all()[:2]
        tried = {"status": "deferred", "tries": 1, "next_try_at": now}
        Delivery.objects.filter(pk__in=rows.values("pk")).update(**tried)
        Attempt.objects.update(paused_at=now if paused else None)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        run.refresh_from_db()
        assert run.status == "running"
        assert mailing.attempts.get(status="failure").server_response == reasons.STILL_RUNNING

    def test_window_that_passed_without_a_run_ends_the_mailing(self, server, owner):
        mailing = make_due(
            owner,
            2,
            starts_at=timezone.now() - timedelta(days=2),
            ends_at=timezone.now() + timedelta(hours=1),
            is_active=False,
        )
        Mailing.objects.filter(pk=mailing.pk).update(ends_at=timezone.now())
        runs.open_due(timezone.now())
        mailing.refresh_from_db()
        assert mailing.status == "finished"
        assert not mailing.attempts.exists()

    def test_nobody_to_send_to(self, server, owner):
        mailing = make_mailing(owner, starts_at=timezone.now() - timedelta(minutes=5))
        Mailing.objects.update(created_at=timezone.now() - timedelta(minutes=5))
        dispatch.run_pass()
        run = only_run(mailing)
        assert (run.status, run.server_response) == ("failure", reasons.NO_RECIPIENTS)

    def test_recipients_saved_a_moment_later_are_waited_for(self, server, owner):
        mailing = make_mailing(owner, starts_at=timezone.now())
        assert dispatch.run_pass().opened == 0
        mailing.clients.add(make_client(owner))
        assert dispatch.run_pass().accepted == 1

    def test_one_broken_mailing_does_not_stop_the_others(self, server, owner, due, monkeypatch):
        broken = make_due(owner, 1, domain="other.test", message=make_message(owner, "broken"))
        compose = runs.letter.compose

        def fail_for_broken(message):
            if message.subject == "broken":
                raise ValueError("no picture")
            return compose(message)

        monkeypatch.setattr(runs.letter, "compose", fail_for_broken)
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert only_run(broken).server_response == reasons.NOT_COMPOSED

    def test_message_is_sent_as_it_was_when_the_run_opened(self, server, due):
        runs.open_due(timezone.now())
        due.message.subject = "Edited"
        due.message.save()
        dispatch.run_pass()
        assert all(b"Subject: News" in letter for _to, letter in server.letters)


class TestAudience:
    def test_clients_lists_and_everybody_count_once_each(self, server, owner, stranger):
        make_client(stranger, "foreign@example.com")
        single, listed = make_client(owner, "a@x.test"), make_client(owner, "b@x.test")
        make_client(owner, "c@x.test")
        group = owner.clientlists.create(name="Customers")
        group.clients.set([single, listed])
        some = make_mailing(owner, clients=[single])
        some.lists.add(group)
        assert set(some.audience()) == {single, listed}
        everybody = make_mailing(owner, all_clients=True, message=some.message)
        assert everybody.audience().count() == 3

    def test_unsubscribed_are_planned_and_skipped(self, server, due):
        Client.objects.get(email="c1@example.com").unsubscribe()
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.planned, run.accepted, run.skipped) == ("success", 5, 4, 1)
        assert run.deliveries.get(status="skipped").response == reasons.UNSUBSCRIBED

    def test_a_client_has_one_row_a_run(self, server, due):
        runs.open_due(timezone.now())
        row = Delivery.objects.first()
        with pytest.raises(IntegrityError), transaction.atomic():
            Delivery.objects.create(attempt=row.attempt, client=row.client, email=row.email)

    def test_run_of_many_chunks(self, server, owner, monkeypatch):
        monkeypatch.setattr(runs, "CHUNK_SIZE", 7)
        due = make_due(owner, 30)
        dispatch.run_pass()
        run = only_run(due)
        assert run.chunks.count() == 5
        assert (run.status, run.accepted) == ("success", 30)
        assert len(set(server.recipients())) == len(server.letters) == 30

    def test_the_last_tenth_comes_in_smaller_chunks(self, server, owner, monkeypatch):
        monkeypatch.setattr(runs, "CHUNK_SIZE", 8)
        monkeypatch.setattr(runs, "LAST_CHUNK_SIZE", 2)
        due = make_due(owner, 23)
        runs.open_due(timezone.now())
        run = only_run(due)
        keys = list(run.deliveries.order_by("pk").values_list("pk", flat=True))
        ranges = run.chunks.order_by("first_id").values_list("first_id", "last_id")
        chunks = [[key for key in keys if first <= key <= last] for first, last in ranges]
        assert [len(chunk) for chunk in chunks] == [8, 8, 2, 2, 2, 1]
        assert sum(chunks, []) == keys


class TestOpeningInSteps:
    """A large run is sent while it is still being opened."""

    @pytest.fixture(autouse=True)
    def small_steps(self, monkeypatch):
        monkeypatch.setattr(runs, "FIRST_STEP", 4)
        monkeypatch.setattr(runs, "LARGEST_STEP", 8)
        monkeypatch.setattr(runs, "LEAST_STEP", 2)
        monkeypatch.setattr(runs, "CHUNK_SIZE", 3)

    def opened_in_part(self, owner, count: int = 30) -> Mailing:
        """A mailing whose run's first step is done, by a worker that died after it."""
        due = make_due(owner, count)
        run = runs.open_run(due.pk, timezone.now())
        assert (run.planned, run.opening_until is None) == (4, False)
        return due

    def opening(self, due: Mailing) -> runs.Opening:
        """What the worker that opened the first step has in hand."""
        run = only_run(due)
        return runs.Opening(run.pk, run.opening_until)

    def test_everybody_is_planned_once(self, server, owner):
        due = make_due(owner, 30)
        runs.open_due(timezone.now())
        run = only_run(due)
        assert (run.planned, run.audience_to, run.opening_until) == (30, None, None)
        clients = list(run.deliveries.order_by("pk").values_list("client_id", flat=True))
        assert clients == list(Client.objects.order_by("pk").values_list("pk", flat=True))
        ranges = run.chunks.order_by("first_id").values_list("first_id", "last_id")
        covered = [key for first, last in ranges for key in range(first, last + 1)]
        assert covered == list(run.deliveries.order_by("pk").values_list("pk", flat=True))

    @pytest.mark.parametrize("count", [3, 4, 5, 8, 9])
    def test_sizes_around_a_step(self, server, owner, count):
        due = make_due(owner, count)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.planned, run.accepted) == ("success", count, count)
        assert len(set(server.recipients())) == len(server.letters) == count

    def test_the_first_letters_go_out_before_the_last_are_planned(self, server, owner):
        due = self.opened_in_part(owner)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.accepted, run.planned, run.status) == (4, 4, "running")

    def test_other_workers_leave_it_to_the_one_that_opens_it(self, server, owner):
        due = self.opened_in_part(owner)
        assert not runs.is_opening_due(timezone.now())
        runs.open_due(timezone.now())
        assert only_run(due).planned == 4

    def test_another_worker_goes_on_when_the_first_one_died(self, server, owner):
        due = self.opened_in_part(owner)
        dispatch.run_pass()
        Attempt.objects.update(opening_until=timezone.now())
        assert runs.is_work_waiting(timezone.now())
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.planned, run.accepted) == ("success", 30, 30)
        assert len(set(server.recipients())) == len(server.letters) == 30

    def test_who_was_taken_for_dead_writes_nothing(self, server, owner, monkeypatch):
        due = self.opened_in_part(owner)
        plan_step, opening = runs._plan_step, self.opening(due)

        def lose_the_lease(attempt, *args):
            later = timezone.now() + timedelta(hours=1)
            Attempt.objects.filter(pk=attempt.pk).update(opening_until=later)
            return plan_step(attempt, *args)

        monkeypatch.setattr(runs, "_plan_step", lose_the_lease)
        assert not opening.plan_next()
        run = only_run(due)
        assert (run.planned, run.deliveries.count()) == (4, 4)
        assert not opening.plan_next()

    def test_steps_keep_far_below_a_lease(self, server, owner, monkeypatch):
        due = self.opened_in_part(owner)
        opening = self.opening(due)
        assert opening.plan_next()
        assert opening.size == 8
        monkeypatch.setattr(runs, "LONG_STEP", 0.0)
        monkeypatch.setattr(runs, "SHORT_STEP", 0.0)
        sizes = []
        while opening.plan_next():
            sizes.append(opening.size)
        assert sizes == [4, 2, 2, 2, 2, 2, 2]

    def test_what_comes_due_meanwhile_is_opened_between_two_steps(self, server, owner, stranger):
        make_due(owner, 30)
        later: list[Mailing] = []
        order: list[tuple[int, int]] = []  # of each run: the mailing, planned so far

        def note(run: Attempt) -> None:
            first = Attempt.objects.order_by("pk").first()
            order.append((run.mailing_id, first.planned))
            if not later:
                later.append(make_due(stranger, 2, domain="other.test"))

        runs.open_due(timezone.now(), opened=note)
        assert order[1] == (later[0].pk, 8)
        assert set(Attempt.objects.values_list("planned", flat=True)) == {30, 2}

    def test_large_runs_have_their_steps_in_turn(self, server, owner, stranger, monkeypatch):
        for user, domain in ((owner, "example.com"), (stranger, "other.test")):
            make_due(user, 20, domain=domain)
        planned: list[tuple[int, int]] = []
        plan_next = runs.Opening.plan_next

        def note(opening: runs.Opening) -> bool:
            left = plan_next(opening)
            planned.append(tuple(Attempt.objects.order_by("pk").values_list("planned", flat=True)))
            return left

        monkeypatch.setattr(runs.Opening, "plan_next", note)
        runs.open_due(timezone.now())
        assert planned[:3] == [(8, 4), (8, 8), (16, 8)]
        assert planned[-1] == (20, 20)

    @pytest.mark.parametrize("what", ["the mailing", "its owner", "all owners"])
    def test_deleted_meanwhile(self, server, owner, what):
        due = self.opened_in_part(owner)
        opening = self.opening(due)
        if what == "the mailing":
            due.delete()
        elif what == "its owner":
            owner.delete()
        else:
            type(owner).objects.filter(pk=owner.pk).delete()
        assert not opening.plan_next()
        assert not Delivery.objects.exists()

    @pytest.mark.parametrize("stop", ["switched off", "paused", "its window is over"])
    def test_stopped_meanwhile(self, server, owner, stop):
        due = self.opened_in_part(owner)
        dispatch.run_pass()
        if stop == "switched off":
            due.switch_off(by=owner)
        elif stop == "paused":
            only_run(due).pause(reasons.TOO_MANY_REFUSED, "", timezone.now())
        else:
            Mailing.objects.update(ends_at=timezone.now())
        Attempt.objects.update(opening_until=timezone.now())
        dispatch.run_pass()
        dispatch.run_pass()  # Whose time is over was looked at before the rest was planned.
        run = only_run(due)
        assert (run.planned, run.opening_until) == (30, None)
        if stop == "its window is over":
            assert (run.status, run.accepted, run.skipped) == ("partial", 4, 26)
        else:
            assert (run.status, run.accepted) == ("running", 4)
            assert len(server.letters) == 4

    def test_a_worker_that_is_told_to_stop_leaves_the_rest_to_others(self, server, owner):
        due = make_due(owner, 30)
        runs.open_due(timezone.now(), stopping=lambda: due.attempts.exists())
        assert only_run(due).planned == 8
        assert runs.is_opening_due(timezone.now())
        dispatch.run_pass()
        assert (only_run(due).status, len(server.letters)) == ("success", 30)

    def test_sums_count_what_was_sent_and_skipped_meanwhile(self, server, owner):
        due = make_due(owner, 30)
        Client.objects.filter(email__in=("c1@example.com", "c20@example.com")).update(
            unsubscribed_at=timezone.now()
        )
        run = runs.open_run(due.pk, timezone.now())
        assert (run.planned, run.skipped) == (4, 1)
        dispatch.run_pass()
        opening = self.opening(due)
        while opening.plan_next():
            pass
        run.refresh_from_db()
        assert (run.planned, run.skipped, run.accepted) == (30, 2, 3)
        dispatch.run_pass()
        run.refresh_from_db()
        assert (run.status, run.skipped, run.accepted) == ("success", 2, 28)

    def test_clients_who_come_meanwhile_are_not_in_it(self, server, owner):
        due = make_due(owner, 30, all_clients=True)
        run = runs.open_run(due.pk, timezone.now())
        make_client(owner, "late@example.com")
        opening = self.opening(due)
        while opening.plan_next():
            pass
        assert not run.deliveries.filter(email="late@example.com").exists()
        assert only_run(due).planned == 30

    def test_an_error_in_a_step_is_tried_again(self, server, owner, monkeypatch, caplog):
        due = make_due(owner, 30)
        plan_next = runs.Opening.plan_next
        monkeypatch.setattr(runs.Opening, "plan_next", lambda opening: 1 / 0)
        runs.open_due(timezone.now())
        assert "could not be planned" in caplog.text
        assert only_run(due).server_response == reasons.NOT_PLANNED
        monkeypatch.setattr(runs.Opening, "plan_next", plan_next)
        Attempt.objects.update(opening_until=timezone.now())
        dispatch.run_pass()
        assert (only_run(due).status, len(server.letters)) == ("success", 30)

    def test_others_are_called_when_the_first_letters_may_go_out(self, server, owner):
        make_due(owner, 30)
        seen = []
        dispatch.run_pass(opened=lambda run: seen.append(run.planned))
        assert seen == [4]

    def test_lists_that_overlap_and_single_clients(self, owner, stranger):
        """Each once, whatever the steps cut through."""
        make_client(stranger, "foreign@example.com")
        clients = [make_client(owner, f"c{n}@example.com") for n in range(40)]
        mailing = make_mailing(owner, starts_at=timezone.now())
        for name, members in (("evens", clients[:30:2]), ("all of the first", clients[:12])):
            mailing.lists.add(owner.clientlists.create(name=name))
            owner.clientlists.get(name=name).clients.set(members)
        # Between those of the lists, and behind them all.
        mailing.clients.set([clients[5], clients[13], clients[37], clients[39]])
        runs.open_due(timezone.now())
        run = only_run(mailing)
        assert run.opening_until is None
        wanted = {c.pk for c in (*clients[:30:2], *clients[:12], clients[13], clients[37])}
        wanted.add(clients[39].pk)
        planned = list(run.deliveries.values_list("client", flat=True))
        assert sorted(planned) == sorted(wanted)
        assert run.planned == len(wanted)

    def test_a_part_of_a_list_that_is_nobodys_any_more(self, owner, stranger):
        """Its rows lead to clients who are not the owner's: the others have their turn."""
        foreign = [make_client(stranger, f"f{n}@example.com") for n in range(9)]
        own = make_client(owner)
        mailing = make_mailing(owner, starts_at=timezone.now())
        mailing.lists.add(owner.clientlists.create(name="mixed"))
        owner.clientlists.get().clients.set([*foreign, own])
        runs.open_due(timezone.now())
        assert list(only_run(mailing).deliveries.values_list("client", flat=True)) == [own.pk]


class TestStop:
    """Consent is read again in the very statement that claims a recipient."""

    def chunk(self, due: Mailing):
        now = timezone.now()
        runs.open_due(now)
        return ledger.take_chunk(only_run(due), "me", now)

    @pytest.mark.parametrize(
        "stop",
        [
            lambda due: due.switch_off(by=due.owner),
            lambda due: type(due.owner).objects.update(is_active=False),
            lambda due: Mailing.objects.update(ends_at=timezone.now()),
            lambda due: [client.unsubscribe() for client in Client.objects.all()],
            lambda due: Client.objects.all().delete(),
        ],
        ids=["switched off", "owner blocked", "window over", "unsubscribed", "clients deleted"],
    )
    def test_nothing_is_claimed_and_what_is_claimed_is_withdrawn(self, due, stop):
        chunk = self.chunk(due)
        claimed = ledger.claim(chunk, 2, timezone.now())
        ids = [row.id for row in claimed]
        assert ledger.still_allowed(chunk, ids, timezone.now()) == set(ids) != set()
        stop(due)
        assert ledger.still_allowed(chunk, ids, timezone.now()) == set()
        assert ledger.claim(chunk, 5, timezone.now()) == []

    def test_an_address_that_was_changed_gets_nothing(self, server, owner):
        """Whoever has the old address may have refused the letters since."""
        due = make_due(owner, 3)
        chunk = self.chunk(due)
        first, second, _third = Client.objects.order_by("pk")
        first.email, second.email = "new@example.com", "C1@Example.com"
        first.save()
        second.save()
        assert [row.email for row in ledger.claim(chunk, 5, timezone.now())] == [
            "c1@example.com", "c2@example.com"
        ]  # fmt: skip
        ledger.release_chunk(chunk, timezone.now())
        dispatch.run_pass()
        run = only_run(due)
        assert sorted(server.recipients()) == ["c1@example.com", "c2@example.com"]
        skipped = run.deliveries.get(status="skipped")
        assert (skipped.email, skipped.response) == ("c0@example.com", reasons.ADDRESS_CHANGED)
        assert (run.status, run.skipped) == ("success", 1)

    def test_switched_off_in_the_middle_goes_on_where_it_stopped(self, server, owner):
        due = make_due(owner, 50)
        runs.open_due(timezone.now())
        due.switch_off(by=owner)
        dispatch.run_pass()
        assert server.letters == []
        assert only_run(due).status == "running"
        due.switch_on(by=owner)
        dispatch.run_pass()
        assert only_run(due).accepted == 50

    def test_blocked_owner(self, server, owner, due):
        """P3: a blocked user's mailings stop."""
        owner.is_active = False
        owner.save()
        assert dispatch.run_pass().opened == 0
        assert server.letters == []

    def test_client_deleted_in_the_moment_of_opening(self, server, due):
        """The opening saw the client, the deletion did not see the row: it stays behind."""
        runs.open_due(timezone.now())
        gone = Client.objects.get(email="c1@example.com")
        Mailing.clients.through.objects.filter(client=gone).delete()
        Client.objects.filter(pk=gone.pk)._raw_delete("default")
        dispatch.run_pass()
        run = only_run(due)
        row = run.deliveries.get(email="c1@example.com")
        assert (row.status, row.response) == ("skipped", reasons.CLIENT_DELETED)
        assert (run.status, run.accepted, run.skipped) == ("success", 4, 1)

    def test_client_deleted_during_a_run(self, server, due):
        runs.open_due(timezone.now())
        Client.objects.get(email="c1@example.com").delete()
        dispatch.run_pass()
        run = only_run(due)
        assert (run.planned, run.accepted, run.skipped) == (5, 4, 1)
        gone = run.deliveries.get(client=None)
        assert (gone.email, gone.response) == ("c1@example.com", reasons.CLIENT_DELETED)

    def test_end_stops_a_run_at_work(self, server, owner):
        due = make_due(owner, 5, ends_at=timezone.now() + timedelta(hours=1))
        runs.open_due(timezone.now())
        Mailing.objects.update(ends_at=timezone.now())
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.skipped) == ("failure", 5)
        assert set(run.deliveries.values_list("response", flat=True)) == {reasons.WINDOW_CLOSED}

    def test_suppressed_address_stays_suppressed_when_the_client_is_added_anew(self, owner):
        client = make_client(owner, "Anna@example.com")
        client.unsubscribe()
        client.delete()
        assert make_client(owner, "anna@EXAMPLE.com").unsubscribed_at

    def test_other_owners_client_of_the_same_address_is_not_touched(self, owner, stranger):
        make_client(owner, "anna@example.com").unsubscribe()
        assert make_client(stranger, "anna@example.com").unsubscribed_at is None


class TestClosing:
    def test_a_run_that_does_not_add_up_cannot_be_closed(self, due):
        runs.open_due(timezone.now())
        run = only_run(due)
        assert not runs.close_run(run.pk, timezone.now())
        with pytest.raises(IntegrityError), transaction.atomic():
            Attempt.objects.filter(pk=run.pk).update(status="success")

    def test_statistics_are_collected_per_mailing_and_message(self, server, due):
        """S4: statistics are collected per mailing and per message."""
        server.fail("rcpt", b"550 5.1.1 No such user\r\n", to="c2@example.com")
        dispatch.run_pass()
        sums = {"planned": 5, "accepted": 4, "rejected": 1, "skipped": 0, "unknown": 0}
        assert due.attempts.all().sums() == sums
        assert due.message.attempts.all().sums() == sums

    def test_attempt_keeps_time_status_and_reply(self, server, due):
        """T4: date and time of the last attempt, status, the mail server's reply."""
        dispatch.run_pass()
        run = only_run(due)
        assert run.last_attempt_at <= run.finished_at <= timezone.now()
        assert (run.status, run.server_response) == ("success", "250 2.0.0 Ok: queued")


class TestRateLimit:
    def test_letters_are_given_out_at_the_rate(self, server, due):
        now = timezone.now()
        second = timedelta(seconds=1)
        asked = [now, now, now + second, now + 2 * second, now + 2.5 * second, now + 4 * second]
        waits = [(Pace.reserve({"x": 5.0}, 10, at) - at).total_seconds() for at in asked]
        # Ten letters at once, then ten every two seconds; asking in vain takes nothing.
        assert waits == [0, 2, 1, 0, 1.5, 0]

    def test_a_clock_that_was_wrong_does_not_stop_sending(self, server, due):
        now = timezone.now()
        Pace.objects.create(name="x", paced_until=now + timedelta(days=1))
        assert Pace.reserve({"x": 5.0}, 10, now) <= now
        tomorrow = now + timedelta(days=1)
        state = MailServer.objects.create(name="x", trouble_since=tomorrow, next_try_at=tomorrow)
        assert state.take_probe("a", now)

    def test_everything_goes_out_all_the_same(self, server, due, settings):
        settings.MAILING_RATE_LIMIT = 100.0
        dispatch.run_pass()
        assert ledger_of(due) == {f"c{n}@example.com": "accepted" for n in range(5)}


class TestRearming:
    def test_later_start_of_a_finished_mailing_runs_again(self, server, due):
        dispatch.run_pass()
        due.refresh_from_db()
        due.starts_at = timezone.now()
        due.save()
        assert due.status == "started"
        dispatch.run_pass()
        assert due.attempts.count() == 2

    def test_saving_a_finished_mailing_does_not(self, server, due):
        dispatch.run_pass()
        due.refresh_from_db()
        due.name = "Renamed"
        due.save()
        assert due.status == "finished"
        assert dispatch.run_pass().opened == 0
