from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from conftest import make_client, make_mailing, make_message
from mailings import reasons, reports
from mailings.models import Attempt, Delivery, Mailing


def make_attempt(mailing: Mailing, days: int = 0, **fields) -> Attempt:
    fields.setdefault("status", "success")
    moment = timezone.now() - timedelta(days=days)
    return Attempt.objects.create(
        mailing=mailing, message=mailing.message, slot=moment, started_at=moment, **fields
    )


def make_finished(owner, name: str, **fields) -> Mailing:
    mailing = make_mailing(owner, name=name, **fields)
    Mailing.objects.filter(pk=mailing.pk).update(status="finished")
    return mailing


class TestStatistics:
    """S4: statistics are collected per mailing and per message."""

    def test_of_a_mailing(self, owner):
        mailing = make_mailing(owner)
        make_attempt(mailing, 1, planned=10, accepted=9, rejected=1)
        make_attempt(mailing, 0, planned=10, accepted=6, skipped=3, unknown=1, status="partial")
        make_attempt(make_mailing(owner), planned=5, accepted=5)
        numbers = reports.mailing_statistics(mailing)
        assert numbers["runs"] == 2
        assert {name: numbers[name] for name in Attempt.SUMS} == {
            "planned": 20, "accepted": 15, "rejected": 1, "skipped": 3, "unknown": 1,
        }  # fmt: skip
        assert numbers["percent"] == 75

    def test_of_a_message_over_all_its_mailings(self, owner):
        message = make_message(owner)
        for _ in range(2):
            make_attempt(make_mailing(owner, message=message), planned=4, accepted=4)
        make_attempt(make_mailing(owner), planned=5, accepted=5)
        numbers = reports.message_statistics(message)
        assert (numbers["runs"], numbers["accepted"]) == (2, 8)

    def test_they_stand_on_the_page_of_the_message(self, browser, owner):
        mailing = make_mailing(owner)
        make_attempt(mailing, planned=40, accepted=37, rejected=3)
        address = reverse("message:inspect", args=[mailing.message_id])
        assert "Accepted: 37" in browser(owner).get(address).content.decode()

    def test_of_nothing(self, owner):
        numbers = reports.mailing_statistics(make_mailing(owner))
        assert (numbers["runs"], numbers["planned"], numbers["percent"]) == (0, 0, None)

    @pytest.mark.parametrize("sums", [(3, 1, 1, 1, 0), (7, 2, 2, 2, 1), (1000, 1, 0, 998, 0)])
    def test_the_bar_never_runs_over(self, sums):
        bar = reports.shares(dict(zip(Attempt.SUMS, sums, strict=True)))["bar"]
        assert all(part["width"] >= 0 for part in bar)
        assert bar[-1]["start"] + bar[-1]["width"] <= 1000

    def test_large_numbers_are_grouped(self, browser, owner):
        mailing = make_mailing(owner)
        make_attempt(mailing, planned=1250000, accepted=1249000, rejected=1000)
        pages = reverse("mailing:inspect", args=[mailing.pk]), reverse("wagtailadmin_home")
        for page in (browser(owner).get(address).text for address in pages):
            assert "1,249,000 of 1,250,000 accepted" in page
            assert "1250000" not in page
        assert "Rejected: 1,000" in browser(owner).get(pages[0]).text


class TestReasons:
    @pytest.fixture
    def attempt(self, owner) -> Attempt:
        return make_attempt(make_mailing(owner), planned=9, rejected=9, status="failure")

    def record(self, attempt, count, status="rejected", code=550, words="user unknown"):
        Delivery.objects.bulk_create(
            Delivery(
                attempt=attempt, email=f"n{n}@example.com", status=status, code=code,
                response=words.format(n=n),
            )
            for n in range(count)
        )  # fmt: skip

    def test_they_are_grouped_whoever_they_name(self, attempt):
        self.record(attempt, 3, words="5.1.1 <n{n}@example.com>: user unknown")
        self.record(attempt, 1, words="5.2.2 mailbox full")
        found = reports.failure_reasons(Attempt.objects.all())
        assert [(each.words, each.code, each.count) for each in found] == [
            ("5.1.1 <•••>: user unknown", 550, 3),
            ("5.2.2 mailbox full", 550, 1),
        ]

    def test_only_the_five_most_frequent_are_told(self, attempt):
        for number in range(7):
            self.record(attempt, number + 1, words=f"reason {number}")
        found = reports.failure_reasons(Attempt.objects.all())
        assert [each.count for each in found] == [7, 6, 5, 4, 3]

    def test_what_the_client_wanted_is_no_failure(self, attempt):
        self.record(attempt, 2, "skipped", None, reasons.UNSUBSCRIBED)
        self.record(attempt, 1, "skipped", None, reasons.WINDOW_CLOSED)
        found = reports.failure_reasons(Attempt.objects.all())
        assert [each.words for each in found] == [reasons.WINDOW_CLOSED]

    def test_a_letter_that_waits_for_the_recipients_system_was_not_tried(self, attempt):
        self.record(attempt, 2, "deferred", None, reasons.DOMAIN_SLOW)
        self.record(attempt, 1, "deferred", 451, "4.7.1 greylisted")
        found = reports.failure_reasons(Attempt.objects.all())
        assert [each.words for each in found] == ["4.7.1 greylisted"]

    def test_accepted_letters_have_none(self, attempt):
        self.record(attempt, 2, "accepted", 250, "queued")
        assert reports.failure_reasons(Attempt.objects.all()) == []

    def test_old_runs_are_left_alone(self, attempt):
        self.record(attempt, 1)
        Attempt.objects.update(started_at=timezone.now() - timedelta(days=31))
        assert reports.failure_reasons(Attempt.objects.all()) == []


class TestFinishedMailings:
    """I2: finished mailings have a report of their own."""

    def show(self, browser, user, **query):
        response = browser(user).get(reverse("mailing:finished"), query)
        assert response.status_code == 200
        return response

    def names(self, browser, user, **query) -> list[str]:
        return [each.name for each in self.show(browser, user, **query).context["object_list"]]

    def test_it_lists_own_finished_mailings(self, browser, owner, stranger):
        """P6: and nobody else's."""
        make_finished(owner, "Over")
        make_mailing(owner, name="Still going")
        make_finished(stranger, "Foreign")
        assert self.names(browser, owner) == ["Over"]

    def test_it_says_that_there_are_none_yet(self, browser, owner):
        assert "No mailing has finished yet." in self.show(browser, owner).text
        assert "No mailing has finished yet." not in self.show(browser, owner, q="May").text

    def test_it_shows_what_they_brought(self, browser, owner):
        mailing = make_finished(owner, "Over")
        make_attempt(mailing, 1, planned=70, accepted=61, rejected=9)
        make_attempt(mailing, 0, planned=70, accepted=62, skipped=8)
        row = self.show(browser, owner).context["object_list"][0]
        assert (row.runs, row.planned, row.accepted, row.rejected) == (2, 140, 123, 9)
        assert "123" in self.show(browser, owner).content.decode()

    def test_search_filter_and_sorting(self, browser, owner):
        make_attempt(make_finished(owner, "Май", periodicity="weekly"), planned=2, accepted=2)
        make_attempt(make_finished(owner, "June"), planned=9, accepted=9)
        assert self.names(browser, owner, q="мАЙ") == ["Май"]
        assert self.names(browser, owner, periodicity="weekly") == ["Май"]
        assert self.names(browser, owner, ordering="-accepted") == ["June", "Май"]
        assert self.names(browser, owner, ordering="accepted") == ["Май", "June"]

    def test_the_last_run_comes_first(self, browser, owner):
        for days in (3, 1, 2):
            make_attempt(make_finished(owner, f"{days} days ago"), days)
        assert self.names(browser, owner) == ["1 days ago", "2 days ago", "3 days ago"]

    def test_export(self, browser, owner, stranger):
        make_attempt(make_finished(owner, "Over"), planned=7, accepted=6, rejected=1)
        make_finished(stranger, "Foreign")
        response = self.show(browser, owner, export="csv")
        text = b"".join(response.streaming_content).decode()
        assert "Over,News,once,1," in text
        assert ",7,6,1,0,0" in text
        assert "Foreign" not in text

    def test_the_results_alone_come_for_the_search_box(self, browser, owner):
        make_finished(owner, "Over")
        fragment = browser(owner).get(reverse("mailing:finished_results")).content.decode()
        assert "Over" in fragment
        assert "<html" not in fragment

    def test_it_is_no_page_for_editors(self, browser, editor, owner):
        make_finished(owner, "Over")
        for name in ("mailing:finished", "mailing:finished_results"):
            response = browser(editor).get(reverse(name))
            assert response.status_code in {302, 403}

    def test_the_number_of_queries_does_not_grow(
        self, browser, owner, django_assert_max_num_queries
    ):
        for number in range(20):
            make_attempt(make_finished(owner, f"M{number}"))
        make_client(owner)
        reader = browser(owner)
        with django_assert_max_num_queries(25):
            reader.get(reverse("mailing:finished"))
