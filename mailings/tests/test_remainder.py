"""Sending a run's letter to those who did not get it: to exactly them, and when it may be done."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from wagtail.models import ModelLogEntry

from conftest import make_client, make_mailing, make_message, make_user
from mailings import housekeeping, reasons, remainder, reports, runs
from mailings.delivery import dispatch, ledger
from mailings.models import Attempt, Chunk, Client, Mailing, MailServer
from mailings.tests.conftest import make_due
from mailings.tests.processes import site, template
from mailings.tests.servers import CLOSE, LATER

__all__ = ["site", "template"]

# Not that the address does not exist: that may be remembered of a client.
NEVER = b"550 5.2.1 Mailbox disabled\r\n"
BUTTON = "Send to those who did not get it"


def address(number: int) -> str:
    return f"c{number}@example.com"


def make_failed(server, owner, count: int = 10, failed: int = 3, **fields) -> Mailing:
    """Make a mailing whose run was refused for the first `failed` of its clients."""
    mailing = make_due(owner, count, **fields)
    for number in range(failed):
        server.fail("rcpt", NEVER, to=address(number))
    dispatch.run_pass()
    server.recover()
    server.letters.clear()
    return mailing


def root_of(mailing: Mailing) -> Attempt:
    return mailing.attempts.of_timetable().get()


def newest(mailing: Mailing) -> Attempt:
    return mailing.attempts.order_by("-pk").first()


def page_of(run: Attempt) -> str:
    return reverse("mailing:send_remainder", args=[run.pk])


def complete(mailing: Mailing, *, newcomers: bool = False) -> Attempt:
    return runs.open_remainder(root_of(mailing).pk, by=mailing.owner, with_newcomers=newcomers)


def refusal(mailing: Mailing, **options) -> str:
    """Return why the mailing's run is not completed; nothing must have come of the wish."""
    before = list(Attempt.objects.values())
    with pytest.raises(remainder.Refused) as refused:
        complete(mailing, **options)
    assert list(Attempt.objects.values()) == before
    return refused.value.args[0]


def send(server) -> list[str]:
    """Send what is due; return who got a letter."""
    server.letters.clear()
    dispatch.run_pass()
    return sorted(server.recipients())


class TestComplement:
    def test_after_failures_the_button_mails_exactly_who_did_not_get_it(
        self, server, browser, owner
    ):
        mailing = make_failed(server, owner, count=10, failed=3)
        root = root_of(mailing)
        assert (root.status, root.accepted, root.rejected) == ("partial", 7, 3)
        server.fail("rcpt", NEVER, to=address(1))
        browser(owner).post(page_of(root))
        assert send(server) == [address(0), address(2)]
        second = newest(mailing)
        assert (second.remainder_of, second.planned, second.accepted) == (root, 3, 2)

        server.recover()
        browser(owner).post(page_of(root))
        assert send(server) == [address(1)]
        response = browser(owner).post(page_of(root), follow=True)
        assert "Nobody is left" in response.content.decode()
        assert send(server) == []
        assert mailing.attempts.count() == 3

    def test_who_was_put_off_until_the_end(self, server, owner, settings):
        settings.MAILING_RETRY_DELAYS = []
        mailing = make_due(owner, 4)
        server.fail("rcpt", LATER, to=address(2))
        dispatch.run_pass()
        server.recover()
        complete(mailing)
        assert send(server) == [address(2)]

    def test_the_message_is_sent_as_it_is_now(self, server, owner):
        mailing = make_failed(server, owner)
        mailing.message.subject = "Corrected"
        mailing.message.save()
        complete(mailing)
        dispatch.run_pass()
        assert len(server.letters) == 3
        assert all(b"Subject: Corrected" in letter for _to, letter in server.letters)

    def test_nobody_who_unsubscribed(self, server, owner):
        mailing = make_failed(server, owner)
        Client.objects.get(email=address(1)).unsubscribe()
        run = complete(mailing)
        assert send(server) == [address(0), address(2)]
        assert run.deliveries.count() == 2

    def test_nobody_whose_address_does_not_exist(self, server, owner):
        mailing = make_failed(server, owner)
        Client.objects.filter(email=address(1)).update(undeliverable_at=timezone.now())
        run = complete(mailing)
        assert send(server) == [address(0), address(2)]
        assert run.deliveries.count() == 2

    def test_nobody_who_left_the_audience(self, server, owner):
        mailing = make_failed(server, owner)
        mailing.clients.remove(Client.objects.get(email=address(1)))
        complete(mailing)
        assert send(server) == [address(0), address(2)]

    def test_the_new_address_of_who_was_left_out_for_it(self, server, owner):
        mailing = make_due(owner, 3)
        runs.open_due(timezone.now())
        Client.objects.filter(email=address(0)).update(email="new@example.com")
        dispatch.run_pass()
        assert root_of(mailing).deliveries.get(status="skipped").response == (
            reasons.ADDRESS_CHANGED
        )
        complete(mailing)
        assert send(server) == ["new@example.com"]

    def test_no_new_address_of_who_has_it(self, server, owner):
        mailing = make_failed(server, owner)
        Client.objects.filter(email=address(9)).update(email="new@example.com")
        complete(mailing, newcomers=True)
        assert send(server) == [address(n) for n in range(3)]

    @pytest.mark.parametrize(("in_doubt", "gets_it"), [("leave", False), ("resend", True)])
    def test_who_may_have_it_gets_it_where_the_mailing_says_so(
        self, server, owner, in_doubt, gets_it
    ):
        mailing = make_due(owner, 5, in_doubt="leave")
        server.fail("body", CLOSE, to=address(1))
        server.fail("rcpt", NEVER, to=address(2))
        dispatch.run_pass()
        assert root_of(mailing).unknown == 1
        server.recover()
        Mailing.objects.update(in_doubt=in_doubt)
        complete(mailing)
        assert send(server) == [address(1), address(2)][not gets_it :]

    @pytest.mark.parametrize("end", ["accepted", "rejected"])
    def test_a_doubt_stays_whatever_comes_later(self, server, owner, settings, end):
        """What may have come the first time comes twice now, or may be there all the same."""
        settings.MAILING_RETRY_DELAYS = []
        mailing = make_due(owner, 4)
        server.fail("body", CLOSE, to=address(2))
        dispatch.run_pass()
        server.recover()
        if end == "rejected":
            server.fail("rcpt", NEVER, to=address(2))
        second = complete(mailing)
        assert send(server) == ([address(2)] if end == "accepted" else [])
        second.refresh_from_db()
        found = (second.accepted, second.doubtful, second.rejected, second.unknown)
        assert found == ((1, 1, 0, 0) if end == "accepted" else (0, 0, 0, 1))

    def test_nobody_at_an_address_that_has_the_letter(self, server, owner):
        """It was that of another client then."""
        mailing = make_failed(server, owner, all_clients=True)
        Client.objects.filter(email=address(5)).update(email="elsewhere@example.com")
        Client.objects.filter(email=address(1)).update(email=address(5))
        complete(mailing)
        assert send(server) == [address(0), address(2)]

    def test_many_that_are_refused_again_do_not_pause_it(self, server, owner, monkeypatch):
        mailing = make_failed(server, owner, count=30, failed=12)
        for number in range(12):
            server.fail("rcpt", NEVER, to=address(number))
        monkeypatch.setattr("mailings.delivery.hold.FIRST_LETTERS", 10)
        second = complete(mailing)
        send(server)
        second.refresh_from_db()
        assert (second.status, second.rejected) == ("failure", 12)

    def test_trouble_of_the_server_uses_up_nobodys_tries(self, server, owner, settings):
        settings.MAILING_RETRY_DELAYS = []
        mailing = make_failed(server, owner, count=20, failed=12)
        second = complete(mailing)
        server.fail("data", CLOSE)
        assert dispatch.run_pass().trouble
        server.recover()
        MailServer.objects.update(next_try_at=timezone.now())
        dispatch.run_pass()
        second.refresh_from_db()
        assert (second.status, second.accepted) == ("success", 12)

    def test_where_all_others_may_have_it_nobody_is_left(self, server, browser, owner):
        mailing = make_due(owner, 5, in_doubt="leave")
        server.fail("body", CLOSE, to=address(1))
        dispatch.run_pass()
        assert refusal(mailing) == remainder.NOBODY_LEFT
        page = browser(owner).get(reverse("mailing:inspect", args=[mailing.pk]))
        assert BUTTON not in page.content.decode()


class TestNewcomers:
    @pytest.fixture
    def mailing(self, server, owner) -> Mailing:
        """Its run was refused for three; two have come into the audience since."""
        mailing = make_failed(server, owner)
        mailing.clients.add(*(make_client(owner, f"new{n}@example.com") for n in range(2)))
        return mailing

    def test_with_them(self, server, browser, owner, mailing):
        browser(owner).post(page_of(root_of(mailing)), {"with_newcomers": "on"})
        assert send(server) == [address(n) for n in range(3)] + [
            f"new{n}@example.com" for n in (0, 1)
        ]
        assert refusal(mailing, newcomers=True) == remainder.NOBODY_LEFT

    def test_without_them(self, server, browser, owner, mailing):
        browser(owner).post(page_of(root_of(mailing)))
        assert send(server) == [address(n) for n in range(3)]
        assert refusal(mailing) == remainder.NOBODY_LEFT
        complete(mailing, newcomers=True)
        assert send(server) == [f"new{n}@example.com" for n in (0, 1)]

    def test_the_page_shows_both_numbers(self, browser, owner, mailing):
        text = " ".join(browser(owner).get(page_of(root_of(mailing))).content.decode().split())
        assert "3 recipients of this run do not have its letter." in text
        assert "Send it also to 2 clients who came into the audience since" in text
        assert re.search('<input[^>]*name="with_newcomers"[^>]* checked', text)

    def test_nothing_is_asked_where_there_are_none(self, server, browser, owner, mailing):
        Client.objects.filter(email__startswith="new").delete()
        text = browser(owner).get(page_of(root_of(mailing))).content.decode()
        assert "with_newcomers" not in text

    def test_they_alone(self, server, browser, owner):
        mailing = make_due(owner, 3)
        dispatch.run_pass()
        mailing.clients.add(make_client(owner, "new@example.com"))
        run = root_of(mailing)
        shown = browser(owner).get(reverse("mailing:attempt", args=[run.pk])).content.decode()
        assert "Send to those who came since" in shown
        assert BUTTON not in shown
        text = browser(owner).get(page_of(run)).content.decode()
        assert "1 client has come into the audience since" in text
        assert '<input type="hidden" name="with_newcomers" value="on">' in text
        browser(owner).post(page_of(run), {"with_newcomers": "on"})
        assert send(server) == ["new@example.com"]

    def test_who_was_deleted_and_is_added_anew_has_the_letter(self, server, owner):
        """A list that is deleted and imported again holds the same people."""
        mailing = make_failed(server, owner)
        owner.clients.all().delete()
        mailing.clients.set(make_client(owner, f"C{n}@example.com") for n in range(10))
        complete(mailing, newcomers=True)
        assert send(server) == [f"C{n}@example.com" for n in range(3)]


class TestSteps:
    """A large remainder is opened in steps: the first in the request, the others by workers."""

    @pytest.fixture(autouse=True)
    def small_steps(self, monkeypatch):
        for name, size in {
            "FIRST_STEP": 4,
            "LARGEST_STEP": 8,
            "LEAST_STEP": 2,
            "CHUNK_SIZE": 3,
        }.items():
            monkeypatch.setattr(runs, name, size)

    @pytest.mark.parametrize("newcomers", [False, True])
    def test_a_worker_plans_the_rest_at_once(self, server, owner, newcomers):
        mailing = make_failed(server, owner, count=40, failed=13)
        mailing.clients.add(*(make_client(owner, f"new{n}@example.com") for n in range(7)))
        run = complete(mailing, newcomers=newcomers)
        run.refresh_from_db()
        assert (run.planned, run.opening_until <= timezone.now()) == (4, True)
        assert runs.is_opening_due(timezone.now())
        expected = [address(n) for n in range(13)]
        expected += [f"new{n}@example.com" for n in range(7)] if newcomers else []
        assert send(server) == sorted(expected)
        run.refresh_from_db()
        assert (run.status, run.planned, run.audience_to) == ("success", len(expected), None)

    def test_nothing_is_completed_while_it_is_opened(self, server, owner):
        mailing = make_failed(server, owner, count=20, failed=9)
        complete(mailing)
        assert refusal(mailing) == remainder.AT_WORK


class TestTimetable:
    def test_of_a_daily_mailing_it_stays_as_it_is(self, server, owner):
        """More than half a day after the slot: as a slot it would have taken the next one."""
        start = timezone.now() - timedelta(hours=13)
        mailing = make_failed(server, owner, periodicity="daily", starts_at=start)
        complete(mailing)
        assert send(server) == [address(n) for n in range(3)]
        mailing.refresh_from_db()
        tomorrow = start + timedelta(days=1)
        assert (mailing.next_run_at, mailing.status) == (tomorrow, "started")
        runs.open_due(tomorrow)
        assert mailing.attempts.of_timetable().filter(slot=tomorrow).get().planned == 10

    def test_a_finished_mailing_is_at_work_and_finished_again(self, server, owner):
        mailing = make_failed(server, owner)
        complete(mailing)
        mailing.refresh_from_db()
        assert (mailing.status, mailing.next_run_at) == ("started", None)
        dispatch.run_pass()
        mailing.refresh_from_db()
        assert (mailing.status, mailing.next_run_at) == ("finished", None)

    def test_a_later_start_arms_it_anew_also_where_the_remainder_was_later(self, server, owner):
        start = timezone.now() - timedelta(hours=2)
        mailing = make_failed(server, owner, starts_at=start)
        complete(mailing)
        dispatch.run_pass()
        mailing.refresh_from_db()
        mailing.starts_at = start + timedelta(hours=1)
        mailing.save()
        assert mailing.next_run_at == mailing.starts_at

    def test_a_slot_that_is_due_and_not_opened_is_not_lost(self, server, owner):
        start = timezone.now() - timedelta(days=1, minutes=1)
        mailing = make_failed(server, owner, periodicity="daily", starts_at=start)
        Attempt.objects.update(slot=start)
        Mailing.objects.get().save()
        assert refusal(mailing) == reasons.MAKES_WAY
        assert len(send(server)) == 10
        assert mailing.attempts.filter(slot=start + timedelta(days=1)).exists()


class TestNextRunComes:
    """A remainder costs the timetable no slot: the next run reaches these people as well."""

    @pytest.fixture
    def mailing(self, server, owner) -> Mailing:
        return make_failed(server, owner, periodicity="daily")

    @pytest.fixture
    def tomorrow(self, mailing):
        return mailing.starts_at + timedelta(days=1)

    @pytest.mark.parametrize("paused", [False, True])
    def test_what_is_left_of_it_ends(self, server, mailing, tomorrow, paused):
        run = complete(mailing)
        if paused:
            run.pause(reasons.TOO_MANY_REFUSED, "550 no", timezone.now())
        assert runs.open_due(tomorrow) == 1
        run.refresh_from_db()
        assert (run.status, run.skipped) == ("failure", 3)
        assert set(run.deliveries.values_list("response", flat=True)) == {reasons.NEXT_RUN}
        assert newest(mailing).planned == 10

    def test_letters_in_hand_are_waited_for(self, server, mailing, tomorrow):
        run = complete(mailing)
        chunk = ledger.take_chunk(run, "busy", timezone.now())
        claimed = ledger.claim(chunk, 2, timezone.now())
        chunk.leased_until = tomorrow + timedelta(seconds=20)
        chunk.save()
        assert runs.open_due(tomorrow) == 0
        # Its worker finds that none of them may go out any more.
        assert ledger.still_allowed(chunk, [row.id for row in claimed], timezone.now()) == set()
        ledger.release_chunk(chunk, tomorrow)
        runs._not_before.clear()
        assert runs.open_due(tomorrow) == 1

    def test_one_that_is_still_being_opened_is_opened_no_further(
        self, server, mailing, tomorrow, monkeypatch
    ):
        monkeypatch.setattr(runs, "FIRST_STEP", 2)
        run = complete(mailing)
        lease = tomorrow + timedelta(seconds=20)
        Attempt.objects.filter(pk=run.pk).update(opening_until=lease)
        opener = runs.Opening(run.pk, lease)
        assert runs.open_due(tomorrow) == 1
        assert not opener.plan_next()
        run.refresh_from_db()
        assert (run.planned, run.skipped, run.status) == (2, 2, "failure")
        assert newest(mailing).slot == tomorrow

    def test_one_that_was_opened_in_this_very_moment(self, server, mailing, tomorrow):
        """Between the look at what is at work and the lock: the slot is not left out."""
        complete(mailing)
        assert runs.open_run(mailing.pk, tomorrow) is None
        assert runs.open_due(tomorrow) == 1
        assert newest(mailing).planned == 10


class TestRefusals:
    @pytest.fixture
    def mailing(self, server, owner) -> Mailing:
        return make_failed(server, owner, periodicity="daily")

    def check(self, browser, mailing, words: str, user=None) -> None:
        """Nothing is offered, the page says why, and so does the answer to a POST."""
        assert refusal(mailing) == words
        reader, root = browser(user or mailing.owner), root_of(mailing)
        page = reader.get(page_of(root))
        assert page.context["refusal"] == words
        assert "<form method" not in page.content.decode().partition("<main")[2]
        answer = reader.post(page_of(root), follow=True)
        assert [str(note).strip() for note in answer.context["messages"]] == [words]
        for name, key in (("inspect", mailing.pk), ("runs", mailing.pk), ("attempt", root.pk)):
            text = reader.get(reverse(f"mailing:{name}", args=[key])).content.decode()
            assert page_of(root) not in text

    def test_it_is_offered_otherwise(self, browser, owner, mailing):
        root = root_of(mailing)
        for name, key in (("inspect", mailing.pk), ("runs", mailing.pk), ("attempt", root.pk)):
            text = browser(owner).get(reverse(f"mailing:{name}", args=[key])).content.decode()
            assert f'href="{page_of(root)}"' in text
            assert BUTTON in text

    def test_switched_off(self, browser, mailing):
        mailing.switch_off(by=mailing.owner)
        self.check(browser, mailing, remainder.SWITCHED_OFF)

    def test_owner_blocked(self, browser, owner, administrator, mailing):
        owner.is_active = False
        owner.save()
        self.check(browser, mailing, remainder.OWNER_BLOCKED, administrator)

    def test_the_end_has_passed(self, browser, mailing):
        Mailing.objects.update(ends_at=timezone.now())
        self.check(browser, mailing, remainder.ENDED)

    def test_a_run_at_work(self, browser, mailing):
        Attempt.objects.create(mailing=mailing, slot=timezone.now() - timedelta(days=3))
        Attempt.objects.filter(status="running").update(remainder_of=newest_root(mailing))
        assert refusal(mailing) == remainder.AT_WORK

    def test_the_next_run_is_due(self, browser, mailing):
        moved = mailing.starts_at - timedelta(days=1)
        Mailing.objects.update(starts_at=moved, next_run_at=timezone.now())
        Attempt.objects.update(slot=moved)
        self.check(browser, mailing, reasons.MAKES_WAY)

    def test_a_later_run(self, server, browser, mailing):
        root = root_of(mailing)
        runs.open_due(mailing.starts_at + timedelta(days=1))
        Chunk.objects.update(due_at=timezone.now())
        dispatch.run_pass()
        with pytest.raises(remainder.Refused) as refused:
            runs.open_remainder(root.pk, by=mailing.owner, with_newcomers=True)
        assert refused.value.args[0] == remainder.NOT_LAST
        page = browser(mailing.owner).get(reverse("mailing:attempt", args=[root.pk]))
        assert page_of(root) not in page.content.decode()

    def test_a_later_run_that_was_left_out_is_none(self, server, mailing):
        Attempt.objects.create(
            mailing=mailing, slot=timezone.now(), status="failure",
            server_response=reasons.STILL_RUNNING, finished_at=timezone.now(),
        )  # fmt: skip
        run = runs.open_remainder(newest_root(mailing).pk, by=mailing.owner, with_newcomers=False)
        assert run.planned == 3

    def test_a_run_that_was_sent_to_nobody(self, server, browser, owner, monkeypatch):
        mailing = make_due(owner, 2)
        monkeypatch.setattr(runs.letter, "compose", lambda message: 1 / 0)
        dispatch.run_pass()
        self.check(browser, mailing, remainder.NEVER_BEGAN)

    def test_a_letter_that_cannot_be_composed(self, mailing, monkeypatch):
        monkeypatch.setattr(runs.letter, "compose", lambda message: 1 / 0)
        assert refusal(mailing) == reasons.NOT_COMPOSED

    def test_recipients_that_were_deleted(self, browser, mailing):
        long_ago = timezone.now() - timedelta(days=400)
        Attempt.objects.update(finished_at=long_ago)
        housekeeping.prune(timezone.now(), housekeeping.Deadline())
        self.check(browser, mailing, remainder.RECIPIENTS_DELETED)

    def test_recipients_that_are_about_to_be(self, browser, mailing):
        Attempt.objects.update(finished_at=timezone.now() - timedelta(days=364, hours=1))
        self.check(browser, mailing, remainder.RECIPIENTS_DELETED)

    def test_recipients_that_were_deleted_by_a_shorter_time(self, mailing):
        root_of(mailing).deliveries.filter(email=address(5)).delete()
        assert refusal(mailing) == remainder.RECIPIENTS_DELETED

    def test_recipients_that_are_kept_for_ever(self, mailing, settings):
        settings.DELIVERY_RETENTION_DAYS = None
        Attempt.objects.update(finished_at=timezone.now() - timedelta(days=4000))
        assert complete(mailing).planned == 3

    def test_in_russian(self, browser, owner, mailing):
        mailing.switch_off(by=owner)
        page = browser(owner).get(page_of(root_of(mailing)), headers={"Accept-Language": "ru"})
        assert "Рассылка отключена. Сначала включите её." in page.content.decode()


def newest_root(mailing: Mailing) -> Attempt:
    return mailing.attempts.of_timetable().order_by("pk").first()


class TestButton:
    @pytest.fixture
    def mailing(self, server, owner) -> Mailing:
        return make_failed(server, owner)

    def test_twice_is_once(self, server, browser, owner, mailing):
        reader, root = browser(owner), root_of(mailing)
        for _click in range(2):
            answer = reader.post(page_of(root), follow=True)
            assert "The letters are on their way." in answer.content.decode()
        assert mailing.attempts.count() == 2
        assert send(server) == [address(n) for n in range(3)]

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite: one write at a time")
    def test_two_at_once_are_one(self, site):
        site.make_due(4)
        count, words = site.python("""
            from django.db import transaction
            from mailings import remainder, runs
            from mailings.tests.beside import Beside
            runs.open_due(timezone.now())
            root = Attempt.objects.get()
            root.deliveries.update(status="rejected")
            root.chunks.update(due_at=None)
            runs.close_run(root.pk, timezone.now())
            owner, said = root.mailing.owner, []

            def click():
                try:
                    runs.open_remainder(root.pk, by=owner, with_newcomers=False)
                except remainder.Refused as refusal:
                    said.append(refusal.args[0])

            with transaction.atomic():
                click()
                other = Beside(click)
                other.wait_until_blocked()
            other.end()
            result = [root.remainders.count(), said]
        """)
        assert (count, words) == (1, [remainder.AT_WORK])

    def test_a_mere_look_does_nothing(self, browser, owner, mailing):
        assert browser(owner).get(page_of(root_of(mailing))).status_code == 200
        assert mailing.attempts.count() == 1

    def test_it_asks_for_a_csrf_token(self, browser, owner, mailing):
        reader = browser(owner, enforce_csrf_checks=True)
        assert reader.post(page_of(root_of(mailing))).status_code == 403
        text = reader.get(page_of(root_of(mailing))).content.decode().partition("<main")[2]
        token = text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        reader.post(page_of(root_of(mailing)), {"csrfmiddlewaretoken": token})
        assert mailing.attempts.count() == 2

    def test_workers_are_called_and_a_trace_is_left(
        self, browser, owner, mailing, monkeypatch, django_capture_on_commit_callbacks
    ):
        rings = []
        monkeypatch.setattr("mailings.tasks.ring", lambda: rings.append(1))
        with django_capture_on_commit_callbacks(execute=True):
            browser(owner).post(page_of(root_of(mailing)))
        assert rings == [1]
        entry = ModelLogEntry.objects.get(action="mailings.send_remainder")
        assert (entry.user, entry.object_id) == (owner, str(mailing.pk))
        history = browser(owner).get(reverse("mailing:history", args=[mailing.pk]))
        assert "Sent to those who did not get it" in history.content.decode()

    def test_it_leads_to_the_new_run_which_says_what_it_completes(self, browser, owner, mailing):
        answer = browser(owner).post(page_of(root_of(mailing)))
        run = newest(mailing)
        assert answer.url == reverse("mailing:attempt", args=[run.pk])
        page = browser(owner).get(answer.url).content.decode()
        assert f'href="{reverse("mailing:attempt", args=[root_of(mailing).pk])}"' in page
        assert "Completes" in page
        first = browser(owner).get(reverse("mailing:attempt", args=[root_of(mailing).pk]))
        assert "Completed by" in first.content.decode()

    def test_lists_say_so_too(self, browser, owner, mailing):
        complete(mailing)
        for running in (True, False):
            for url in (
                reverse("mailing:inspect", args=[mailing.pk]),
                reverse("mailing:runs", args=[mailing.pk]),
                reverse("wagtailadmin_home"),
            ):
                assert "completes the run of" in browser(owner).get(url).content.decode(), running
            dispatch.run_pass()

    def test_by_the_address_of_a_run_that_completes_another(self, server, browser, owner, mailing):
        server.fail("rcpt", NEVER, to=address(0))
        run = complete(mailing)
        dispatch.run_pass()
        server.recover()
        page = browser(owner).get(reverse("mailing:attempt", args=[run.pk])).content.decode()
        assert page_of(root_of(mailing)) in page
        browser(owner).post(page_of(run))
        assert send(server) == [address(0)]
        assert newest(mailing).remainder_of == root_of(mailing)

    def test_it_is_not_offered_where_all_have_the_letter(self, server, browser, owner, mailing):
        complete(mailing)
        dispatch.run_pass()
        page = browser(owner).get(reverse("mailing:inspect", args=[mailing.pk]))
        assert BUTTON not in page.content.decode()

    def test_the_message_may_have_changed(self, browser, owner, mailing):
        words, url = "It was changed after that run.", page_of(root_of(mailing))
        assert words not in browser(owner).get(url).content.decode()
        mailing.message.save()
        assert words in browser(owner).get(url).content.decode()

    def test_statistics_count_it_as_a_run(self, server, mailing):
        complete(mailing)
        dispatch.run_pass()
        numbers = reports.mailing_statistics(mailing)
        assert (numbers["runs"], numbers["planned"], numbers["accepted"]) == (2, 13, 10)

    def test_nor_where_nobody_wants_it(self, browser, owner, mailing):
        """Two have unsubscribed since, the address of the third does not exist."""
        lacking = Client.objects.filter(email__in=[address(n) for n in range(3)])
        lacking.filter(email=address(0)).update(undeliverable_at=timezone.now())
        urls = [
            reverse("mailing:inspect", args=[mailing.pk]),
            reverse("mailing:attempt", args=[root_of(mailing).pk]),
        ]
        for url in urls:
            assert BUTTON in browser(owner).get(url).content.decode()
        lacking.filter(undeliverable_at=None).update(unsubscribed_at=timezone.now())
        for url in urls:
            assert BUTTON not in browser(owner).get(url).content.decode()
        # Newcomers can be sent it all the same.
        assert "Send to those who came since" in browser(owner).get(urls[1]).content.decode()

    def test_no_poll_of_a_long_run_looks_at_recipients(self, browser, owner, mailing, monkeypatch):
        monkeypatch.setattr(remainder, "FEW", 5)
        reader = browser(owner)
        for name in ("runs", "state"):
            url = reverse(f"mailing:{name}", args=[mailing.pk])
            reader.get(url)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                reader.get(url)
            assert not [q for q in queries if "mailings_delivery" in q["sql"]]
            assert len(queries) < 25

    def test_deleting_the_mailing_deletes_both(self, owner, mailing):
        complete(mailing)
        mailing.delete()
        assert not Attempt.objects.exists()

    def test_deleting_its_owner_does_too(self, owner, mailing):
        complete(mailing)
        owner.delete()
        assert not Attempt.objects.exists()


class TestOthers:
    @pytest.fixture
    def root(self, server, owner) -> Attempt:
        return root_of(make_failed(server, owner))

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_only_who_may_change_the_mailing(
        self, browser, stranger, editor, manager, root, method
    ):
        """P3, P6: somebody else's row answers 404; a manager changes no mailing."""
        auditor = make_user("auditor@example.com", None)
        codes = ("access_admin", "view_mailing")
        auditor.user_permissions.set(Permission.objects.filter(codename__in=codes))
        make_mailing(stranger, message=make_message(stranger))
        for user in (stranger, editor, manager, auditor):
            assert getattr(browser(user), method)(page_of(root)).status_code == 404
        assert "/accounts/login/" in getattr(browser(), method)(page_of(root)).url
        assert Attempt.objects.count() == 1

    def test_a_manager_sees_no_button(self, browser, manager, root):
        for name, key in (
            ("inspect", root.mailing_id),
            ("runs", root.mailing_id),
            ("attempt", root.pk),
        ):
            text = browser(manager).get(reverse(f"mailing:{name}", args=[key])).content.decode()
            assert page_of(root) not in text

    def test_an_administrator_may(self, server, browser, administrator, root):
        browser(administrator).post(page_of(root))
        assert send(server) == [address(n) for n in range(3)]
