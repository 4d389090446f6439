"""Who holds a chunk, and what the ledger believes of whom."""

from __future__ import annotations

import mmap
from datetime import timedelta

import pytest
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import housekeeping, journal, reasons, runs
from mailings.delivery import dispatch, ledger
from mailings.delivery.transport import Outcome, Result
from mailings.housekeeping import Deadline
from mailings.metrics import Totals
from mailings.models import Attempt, Mailing
from mailings.tests.conftest import ledger_of, make_due, only_run


@pytest.fixture
def chunk(due):
    """The chunk of a run of five, held by a worker that has claimed all of it."""
    now = timezone.now()
    runs.open_due(now)
    chunk = ledger.take_chunk(only_run(due), "first", now)
    chunk.rows = ledger.claim(chunk, 10, now)
    return chunk


def take_over(chunk, worker: str = "second"):
    """Let the lease end and another worker take the chunk."""
    now = timezone.now()
    type(chunk).objects.filter(pk=chunk.pk).update(leased_until=now - timedelta(seconds=1))
    return ledger.take_chunk(chunk.attempt, worker, now)


def statuses(due: Mailing) -> list[str]:
    return [status for _email, status in sorted(ledger_of(due).items())]


class TestLostLease:
    def test_nothing_more_begins(self, due, chunk):
        ids = [row.id for row in chunk.rows]
        assert ledger.still_allowed(chunk, ids, timezone.now())
        take_over(chunk)
        assert ledger.still_allowed(chunk, ids, timezone.now()) == set()
        chunk.claimed_to = 0
        assert ledger.claim(chunk, 10, timezone.now()) == []
        assert not ledger.renew_lease(chunk, timezone.now())

    def test_what_was_accepted_stays_accepted(self, due, chunk):
        take_over(chunk)
        ledger.record(chunk, [(chunk.rows[0], Result(Outcome.ACCEPTED, 250, "Ok"))], timezone.now())
        assert statuses(due)[0] == "accepted"
        assert only_run(due).accepted == 1

    @pytest.mark.parametrize("outcome", [Outcome.RETURNED, Outcome.NEVER, Outcome.DOUBT])
    def test_everything_else_is_the_new_holders(self, due, chunk, outcome):
        second = take_over(chunk)
        ledger.claim(second, 10, timezone.now())
        before = statuses(due)
        ledger.record(chunk, [(chunk.rows[0], Result(outcome, 550, "No"))], timezone.now())
        assert statuses(due) == before

    def test_rows_that_nobody_holds_are_settled_by_the_next(self, due, chunk):
        type(chunk).objects.filter(pk=chunk.pk).update(worker="", leased_until=None)
        take_over(chunk)
        assert set(statuses(due)) == {"deferred"}


class TestJournal:
    def test_only_letters_without_an_answer_are_in_doubt(self, due, chunk):
        notes = journal.Journal("first")
        refused, wired = chunk.rows[0], chunk.rows[1]
        slot = notes.handed_over(refused.id)
        notes.answered(slot, refused.id, Result(Outcome.NEVER, 550, "No such user"))
        notes.handed_over(wired.id)
        assert not journal.is_abandoned("first")
        notes.abandon()
        assert journal.is_abandoned("first")
        take_over(chunk)
        assert statuses(due) == ["rejected", "deferred", "planned", "planned", "planned"]
        run = only_run(due)
        assert run.deliveries.get(status="deferred").response == reasons.WORKER_DIED
        refused = run.deliveries.get(status="rejected")
        assert (refused.code, refused.response) == (550, "No such user")
        assert not journal.path_of("first").exists()

    def test_what_is_recorded_is_forgotten(self, due, chunk):
        notes = journal.Journal("first")
        notes.recorded(notes.handed_over(chunk.rows[0].id))
        assert journal.read_traces("first").handed_over == set()

    @pytest.mark.parametrize("damage", ["cut", "another boot"])
    def test_a_damaged_one_leaves_what_it_does_not_name_in_doubt(self, due, chunk, damage):
        notes = journal.Journal("first")
        slot = notes.handed_over(chunk.rows[0].id)
        notes.answered(slot, chunk.rows[0].id, Result(Outcome.NEVER, 550, "No such user"))
        notes.abandon()
        with journal.path_of("first").open("r+b") as file:
            file.truncate(100_000) if damage == "cut" else file.write(b"0" * 36)
        take_over(chunk)
        assert statuses(due) == ["rejected", *["deferred"] * 4]

    def test_a_synced_one_is_believed_after_a_loss_of_power(
        self, due, chunk, settings, monkeypatch
    ):
        settings.JOURNAL_SYNC = True
        notes = journal.Journal("first")
        notes.handed_over(chunk.rows[0].id)
        notes.abandon()
        monkeypatch.setattr(journal, "boot", lambda: b"another boot")
        take_over(chunk)
        assert statuses(due) == ["deferred", *["planned"] * 4]

    def test_a_synced_one_has_each_letter_before_it_goes_out(
        self, server, due, settings, monkeypatch
    ):
        settings.JOURNAL_SYNC = True
        on_disk: list[int] = []

        class Map(mmap.mmap):
            def flush(self, *args: int) -> None:
                super().flush(*args)
                for worker in journal.names():
                    on_disk.extend(journal.read_traces(worker).handed_over)

        monkeypatch.setattr(journal.mmap, "mmap", Map)
        seen: list[tuple[str, str, list[int]]] = []
        server.before = lambda stage, recipient: seen.append((stage, recipient, list(on_disk)))
        dispatch.run_pass()
        keys = dict(only_run(due).deliveries.values_list("email", "pk"))
        bodies = [(to, known) for stage, to, known in seen if stage == "body"]
        assert len(bodies) == 5
        assert all(keys[to] in known for to, known in bodies)

    def test_without_one_everything_that_was_claimed_is_in_doubt(self, due, chunk):
        take_over(chunk)
        assert set(statuses(due)) == {"deferred"}
        assert {row.doubts for row in only_run(due).deliveries.all()} == {1}

    @pytest.mark.parametrize("outcome", [Outcome.SLOW, Outcome.LATER])
    def test_what_the_dead_worker_wrote_itself_is_in_no_doubt(self, due, chunk, outcome, settings):
        """Also where its next try came due while its lease ran out."""
        settings.MAILING_RETRY_DELAYS = [0]
        result = Result(outcome, 450, "Later", 0.0)
        ledger.record(chunk, [(chunk.rows[0], result)], timezone.now())
        ledger.renew_lease(chunk, timezone.now())
        take_over(chunk)
        doubts = only_run(due).deliveries.order_by("pk").values_list("doubts", flat=True)
        assert list(doubts) == [0, 1, 1, 1, 1]

    def test_who_takes_over_in_the_same_moment_is_believed_too(self, due, chunk):
        """What it settles has the time at which it took the chunk; then it claims it itself."""
        second = take_over(chunk)
        assert len(ledger.claim(second, 10, timezone.now())) == 5
        notes = journal.Journal("second")
        for row in ledger._select(ledger.NEXT, second, timezone.now(), first=0, last=10**9):
            notes.answered(notes.handed_over(row.id), row.id, Result(Outcome.ACCEPTED, 250, "Ok"))
        notes.abandon()
        ledger.take_chunk(second.attempt, "third", timezone.now() + timedelta(seconds=21))
        assert set(statuses(due)) == {"accepted"}

    def test_what_came_due_after_its_last_claim_is_in_no_doubt(self, due, chunk):
        """A row that waits for its next try was in nobody's hand."""
        second = take_over(chunk)
        waiting = only_run(due).deliveries.order_by("pk").first()
        type(waiting).objects.filter(pk=waiting.pk).update(next_try_at=timezone.now())
        assert waiting.doubts == 1
        ledger.claim(second, 10, timezone.now() - timedelta(seconds=5))
        take_over(second, "third")
        waiting.refresh_from_db()
        assert waiting.doubts == 1


class TestDoubtStays:
    """Of one who may have the letter, nothing that comes later says that they do not."""

    @pytest.fixture
    def doubtful(self, due, chunk):
        row = chunk.rows[0]
        doubt = Result(Outcome.DOUBT, None, reasons.ANSWER_LOST)
        ledger.record(chunk, [(row, doubt)], timezone.now())
        only_run(due).deliveries.filter(pk=row.id).update(next_try_at=timezone.now())
        chunk.claimed_to = 0
        [chunk.row] = ledger.claim(chunk, 1, timezone.now())
        return only_run(due).deliveries.get(pk=row.id)

    def test_refused_then(self, due, chunk, doubtful):
        refusal = Result(Outcome.NEVER, 550, "5.1.1 No such user")
        ledger.record(chunk, [(chunk.row, refusal)], timezone.now())
        doubtful.refresh_from_db()
        assert (doubtful.status, doubtful.response) == ("unknown", "5.1.1 No such user")
        assert (only_run(due).unknown, only_run(due).rejected) == (1, 0)

    def test_tries_used_up_then(self, due, chunk, doubtful, settings):
        settings.MAILING_RETRY_DELAYS = [60]
        ledger.record(chunk, [(chunk.row, Result(Outcome.LATER, 450, "Later"))], timezone.now())
        doubtful.refresh_from_db()
        assert doubtful.status == "unknown"

    @pytest.mark.parametrize("event", ["unsubscribed", "deleted", "moved", "over"])
    def test_skipped_then(self, due, chunk, doubtful, event):
        later = Result(Outcome.LATER, 450, "4.2.0 Later")
        ledger.record(chunk, [(chunk.row, later)], timezone.now())
        client = doubtful.client
        if event == "unsubscribed":
            client.unsubscribe()
        elif event == "deleted":
            client.delete()
        elif event == "moved":
            type(client).objects.filter(pk=client.pk).update(email="new@example.com")
        else:
            Mailing.objects.update(ends_at=timezone.now())
        runs.skip_unwanted(chunk.attempt_id, runs.rows_in(chunk), timezone.now())
        doubtful.refresh_from_db()
        assert (doubtful.status, doubtful.response) == ("unknown", reasons.ANSWER_LOST)
        assert doubtful.code is None
        assert only_run(due).unknown == 1

    def test_without_one_what_was_not_claimed_is_not(self, due):
        now = timezone.now()
        runs.open_due(now)
        chunk = ledger.take_chunk(only_run(due), "first", now)
        ledger.claim(chunk, 2, now)
        take_over(chunk)
        assert statuses(due) == ["deferred", "deferred", "planned", "planned", "planned"]

    def test_a_full_one_takes_no_more(self):
        notes = journal.Journal("first")
        slots = [notes.handed_over(n) for n in range(journal.SLOTS)]
        with pytest.raises(journal.Full):
            notes.handed_over(1)
        notes.recorded(slots[0])
        notes.handed_over(1)

    def test_long_and_odd_words_survive(self):
        notes = journal.Journal("first")
        words = "550 5.1.1 " + "Ящик не найден " * 100
        notes.answered(notes.handed_over(1), 1, Result(Outcome.NEVER, 550, words))
        notes.abandon()
        told = journal.read_traces("first").answered[1]
        assert words.startswith(told.text)
        assert len(told.text) > 100


class TestErrorsOfOurs:
    def test_rows_that_vanish_from_the_ledger_are_missed(self, server, due):
        runs.open_due(timezone.now())
        run = only_run(due)
        run.deliveries.filter(email__in=["c1@example.com", "c3@example.com"]).delete()
        dispatch.run_pass()
        run.refresh_from_db()
        assert (run.status, run.planned, run.accepted, run.unknown) == ("partial", 5, 3, 2)
        Attempt.objects.update(finished_at=timezone.now() - timedelta(days=1))
        [finding] = housekeeping.sweep(timezone.now(), Deadline())
        assert finding.problem == "unknown 2, in the ledger 0"

    @pytest.mark.parametrize("name", ["Sale 50% off", "%s %(x)s %", "100 %"])
    def test_percent_signs_in_names(self, server, owner, name):
        owner.company = name
        owner.save()
        due = make_due(owner, 2)
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert b"From: " + f'"{name}" <'.encode() in server.letters[0][1]

    def test_a_journal_that_cannot_be_written_hangs_nothing(self, server, due, monkeypatch):
        def fail(*_args: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(journal.os, "posix_fallocate", fail)
        dispatch.run_pass()
        assert server.letters == []
        assert set(ledger_of(due).values()) == {"planned"}
        assert "No space left" in only_run(due).server_response

    def test_a_host_without_room_for_a_journal_leaves_the_run_to_others(
        self, server, due, monkeypatch
    ):
        def fail(*_args: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as full_disk:
            full_disk.setattr(journal.os, "posix_fallocate", fail)
            dispatch.run_pass()
        dispatch.run_pass()
        assert only_run(due).status == "success"

    def test_a_host_that_cannot_be_one_is_trouble(self, server, due, settings):
        settings.EMAIL_HOST = "mail..example.com"
        assert dispatch.run_pass().trouble
        assert set(ledger_of(due).values()) == {"planned"}

    def test_one_chunk_with_an_error_does_not_stop_the_others(
        self, server, owner, stranger, monkeypatch
    ):
        bad, good = make_due(owner, 3), make_due(stranger, 3, domain="other.test")
        plain = ledger.claim

        def fail_for_bad(chunk, *args):
            if chunk.attempt.mailing_id == bad.pk:
                raise ValueError("a defect")
            return plain(chunk, *args)

        monkeypatch.setattr(ledger, "claim", fail_for_bad)
        dispatch.run_pass()
        assert only_run(good).status == "success"
        monkeypatch.setattr(ledger, "claim", plain)
        only_run(bad).chunks.update(due_at=timezone.now())
        dispatch.run_pass()
        assert only_run(bad).status == "success"

    def test_mailing_deleted_during_its_run(self, server, owner, stranger):
        bad, good = make_due(owner, 3), make_due(stranger, 3, domain="other.test")
        now = timezone.now()
        runs.open_due(now)
        chunk = ledger.take_chunk(only_run(bad), "me", now)
        rows = ledger.claim(chunk, 10, now)
        bad.delete()
        ledger.record(chunk, [(row, Result(Outcome.ACCEPTED, 250, "Ok")) for row in rows], now)
        runs.skip_unwanted(chunk.attempt_id, runs.rows_in(chunk), now)
        ledger.release_chunk(chunk, now)
        dispatch.run_pass()
        assert only_run(good).status == "success"


def test_owner_deleted_with_everything(server, owner):
    make_mailing(owner, clients=[make_client(owner)], starts_at=timezone.now())
    runs.open_due(timezone.now())
    owner.delete()
    assert dispatch.run_pass().accepted == 0
    assert server.letters == []


class TestNumbers:
    """What /metrics says of letters that a worker's own tally does not know."""

    def test_what_a_dead_worker_left_is_counted(self, due, chunk):
        notes = journal.Journal("first")
        refused, wired = chunk.rows[0], chunk.rows[1]
        slot = notes.handed_over(refused.id)
        notes.answered(slot, refused.id, Result(Outcome.NEVER, 550, "No such user"))
        notes.handed_over(wired.id)
        notes.abandon()
        take_over(chunk)
        assert Totals.read().letters == {"accepted": 0, "rejected": 1, "deferred": 0, "in_doubt": 1}

    def test_letters_that_may_have_arrived_twice(self, due, chunk):
        doubt, taken = Result(Outcome.DOUBT), Result(Outcome.ACCEPTED, 250, "Ok")
        one, other = chunk.rows[:2]
        ledger.record(chunk, [(one, doubt), (other, taken)], timezone.now())
        assert Totals.read().doubtful == 0
        ledger.record(chunk, [(one, taken)], timezone.now())
        assert Totals.read().doubtful == only_run(due).doubtful == 1
