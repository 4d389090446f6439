"""Letters that may have arrived twice: where their owner, and a manager, read of them."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings.models import Attempt, Delivery, Mailing

SENTENCE = "letters may have arrived twice."
MARK = "accepted, may have arrived twice"
# Status and tries in doubt: only what was accepted after a doubt may have arrived twice.
RECIPIENTS = {
    "twice@example.com": ("accepted", 1),
    "thrice@example.com": ("accepted", 2),
    "once@example.com": ("accepted", 0),
    "unsure@example.com": ("unknown", 1),
    "waiting@example.com": ("deferred", 1),
}
DOUBTFUL = {"twice@example.com", "thrice@example.com"}


def make_attempt(owner, doubts: bool, **fields) -> Attempt:
    mailing = make_mailing(owner, name="Spring sale")
    fields = {"slot": timezone.now(), "planned": 5, "accepted": 3, "unknown": 1, **fields}
    attempt = Attempt.objects.create(mailing=mailing, doubtful=2 * doubts, **fields)
    for email, (status, count) in RECIPIENTS.items():
        client = owner.clients.filter(email=email).first() or make_client(owner, email)
        attempt.deliveries.create(
            client=client, email=email, status=status, tries=3, doubts=count * doubts
        )
    return attempt


@pytest.fixture
def attempt(owner) -> Attempt:
    """A run at work, two of whose accepted letters may have arrived twice."""
    return make_attempt(owner, doubts=True)


@pytest.fixture
def certain(owner) -> Attempt:
    """A run at work whose accepted letters arrived once."""
    return make_attempt(owner, doubts=False)


def page(attempt: Attempt, view: str = "attempt") -> str:
    return reverse(f"mailing:{view}", args=[attempt.pk])


def read(browser, user, url: str, **query) -> str:
    response = browser(user).get(url, query)
    assert response.status_code == 200
    return response.content.decode()


def finish(attempt: Attempt) -> None:
    Attempt.objects.filter(pk=attempt.pk).update(status="partial", skipped=1)
    Mailing.objects.filter(pk=attempt.mailing_id).update(status="finished")


class TestAttempt:
    @pytest.mark.parametrize("view", ["attempt", "attempt_progress"])
    def test_the_owner_and_a_manager_read_how_many(self, browser, owner, manager, attempt, view):
        for user in (owner, manager):
            text = read(browser, user, page(attempt, view))
            assert f"2 {SENTENCE}" in text
            assert "answer to an earlier try was lost" in text
            assert f'href="{page(attempt)}?doubtful=yes#recipients"' in text

    def test_of_a_single_letter(self, browser, owner, attempt):
        Attempt.objects.update(doubtful=1)
        assert "1 letter may have arrived twice." in read(browser, owner, page(attempt))

    def test_in_russian(self, browser, owner, attempt):
        for count, words in ((1, "1 письмо могло"), (2, "2 письма могли"), (5, "5 писем могли")):
            Attempt.objects.update(doubtful=count)
            response = browser(owner).get(page(attempt), headers={"Accept-Language": "ru"})
            assert f"{words} прийти дважды" in response.content.decode()

    def test_most_runs_do_not_speak_of_it(self, browser, owner, certain):
        assert "arrived twice" not in read(browser, owner, page(certain))


class TestRecipients:
    def listed(self, browser, user, attempt, **query) -> set[str]:
        rows = browser(user).get(page(attempt), query).context["object_list"]
        return {row.email for row in rows}

    def test_their_rows_are_marked(self, browser, owner, attempt):
        assert read(browser, owner, page(attempt)).count(MARK) == 2

    def test_filter(self, browser, owner, attempt):
        assert self.listed(browser, owner, attempt, doubtful="yes") == DOUBTFUL
        assert self.listed(browser, owner, attempt) == set(RECIPIENTS)

    def test_a_manager_finds_them_without_addresses(self, browser, manager, attempt):
        assert self.listed(browser, manager, attempt, doubtful="yes") == DOUBTFUL
        text = read(browser, manager, page(attempt), doubtful="yes")
        assert "t•••@example.com" in text
        assert not [email for email in RECIPIENTS if email in text]

    def test_no_choice_that_never_matches(self, browser, owner, certain):
        assert 'name="doubtful"' not in read(browser, owner, page(certain))
        assert self.listed(browser, owner, certain, doubtful="yes") == set(RECIPIENTS)

    def test_export_says_how_many_tries_were_in_doubt(self, browser, owner, attempt):
        response = browser(owner).get(page(attempt), {"export": "csv"})
        head, *lines = b"".join(response.streaming_content).decode().splitlines()
        column = head.split(",").index("Tries in doubt")
        found = {line.split(",")[0]: int(line.split(",")[column]) for line in lines}
        assert found == {email: count for email, (_status, count) in RECIPIENTS.items()}


class TestSums:
    def test_on_the_page_of_the_mailing(self, browser, owner, manager, attempt):
        """In the statistics, and in the row of the run."""
        for user in (owner, manager):
            text = read(browser, user, reverse("mailing:inspect", args=[attempt.mailing_id]))
            assert text.count(f"2 {SENTENCE}") == 2

    def test_on_the_page_of_the_message(self, browser, owner, attempt):
        Attempt.objects.update(message=attempt.mailing.message)
        url = reverse("message:inspect", args=[attempt.mailing.message_id])
        assert f"2 {SENTENCE}" in read(browser, owner, url)

    def test_in_the_report_of_finished_mailings(self, browser, owner, attempt, certain):
        url = reverse("mailing:finished")
        finish(certain)
        assert "May have arrived twice" not in read(browser, owner, url)
        finish(attempt)
        assert "May have arrived twice" in read(browser, owner, url)

    def test_doubts_of_others_show_no_column(self, browser, stranger, attempt):
        finish(attempt)
        finish(make_attempt(stranger, doubts=False))
        assert "May have arrived twice" not in read(browser, stranger, reverse("mailing:finished"))

    def test_in_the_export_of_finished_mailings(self, browser, owner, attempt):
        finish(attempt)
        response = browser(owner).get(reverse("mailing:finished"), {"export": "csv"})
        head, line = b"".join(response.streaming_content).decode().splitlines()
        assert head.endswith("Unknown,May have arrived twice")
        assert line.endswith(",1,2")

    def test_nothing_is_said_where_nothing_is_in_doubt(self, browser, owner, certain):
        finish(certain)
        mailing = certain.mailing
        for url in (
            reverse("mailing:inspect", args=[mailing.pk]),
            reverse("message:inspect", args=[mailing.message_id]),
            reverse("mailing:finished"),
        ):
            assert "arrived twice" not in read(browser, owner, url)


def test_on_the_page_of_the_client(browser, owner, attempt, certain):
    marks = {
        client.email: read(
            browser, owner, reverse("client:inspect", args=[client.pk])
        ).count(MARK)
        for client in owner.clients.all()
    }  # fmt: skip
    assert marks == {email: int(email in DOUBTFUL) for email in RECIPIENTS}


def test_only_accepted_letters_count():
    found = {
        email
        for email, (status, doubts) in RECIPIENTS.items()
        if Delivery(status=status, doubts=doubts).is_doubtful
    }
    assert found == DOUBTFUL
