from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import reasons
from mailings.models import Attempt, Delivery

OUTCOMES = {
    "ivan@example.com": ("accepted", 250, "2.0.0 queued as 7F3A"),
    "petr@example.com": ("rejected", 550, "5.1.1 <petr@example.com>: user unknown"),
    "olga@example.com": ("deferred", 451, "4.7.1 greylisted"),
    "anna@example.com": ("skipped", None, reasons.UNSUBSCRIBED),
}


@pytest.fixture
def attempt(owner) -> Attempt:
    """A run with one recipient of each outcome."""
    clients = [make_client(owner, email) for email in OUTCOMES]
    attempt = Attempt.objects.create(
        mailing=make_mailing(owner, name="Spring sale", clients=clients),
        slot=timezone.now(), planned=4, accepted=1, rejected=1, skipped=1,
        server_response="550 5.1.1 <petr@example.com>: user unknown",
        subject="Hello, {{ client.full_name }}",
        html="<h1>Dear {{ client.full_name }}</h1><script>alert(1)</script>",
        text="Dear {{ client.full_name }} from {{ company }}",
    )  # fmt: skip
    for client in clients:
        status, code, response = OUTCOMES[client.email]
        attempt.deliveries.create(
            client=client, email=client.email, status=status, code=code, response=response, tries=1
        )
    return attempt


def show(browser, user, attempt, **query):
    response = browser(user).get(reverse("mailing:attempt", args=[attempt.pk]), query)
    assert response.status_code == 200
    return response


def recipients(response) -> set[str]:
    return {delivery.email for delivery in response.context["object_list"]}


class TestPage:
    """T4: date and time of the attempt, its status, the mail server's reply."""

    def test_it_shows_the_numbers_and_the_reply(self, browser, owner, attempt):
        page = show(browser, owner, attempt).content.decode()
        assert "at work" in page
        assert "3 of 4 done" in page
        assert "Accepted: 1" in page
        assert "550 5.1.1 &lt;petr@example.com&gt;: user unknown" in page

    def test_it_shows_each_recipient_with_code_reply_and_tries(self, browser, owner, attempt):
        page = show(browser, owner, attempt).content.decode()
        for email, (_status, code, response) in OUTCOMES.items():
            assert email in page
            assert str(code or "") in page
            assert response.replace("<", "&lt;").replace(">", "&gt;") in page

    def test_who_did_not_get_it_stands_out(self, browser, owner, attempt):
        page = show(browser, owner, attempt).content.decode()
        tags = re.findall(r'class="w-status ?([^"]*)">\s*(\w+)\s*</span>', page)
        assert ("vs-status--failure", "rejected") in tags
        assert ("w-status--primary", "accepted") in tags

    def test_it_says_who_waits_for_the_recipients_system(self, browser, owner, attempt):
        attempt.deliveries.filter(status="deferred").update(
            response=reasons.DOMAIN_SLOW, code=None, tries=0
        )
        page = show(browser, owner, attempt).content.decode()
        assert "Waiting for the recipient&#x27;s mail system" in page

    def test_filter_by_outcome(self, browser, owner, attempt):
        assert recipients(show(browser, owner, attempt, status="rejected")) == {"petr@example.com"}

    def test_it_offers_the_states_that_a_letter_can_come_into(self, browser, owner, attempt):
        form = show(browser, owner, attempt).context["filters"].form
        values = [value for value, _label in form.fields["status"].choices]
        assert values == ["", "planned", "deferred", "accepted", "rejected", "skipped", "unknown"]

    def test_search_by_address(self, browser, owner, attempt):
        assert recipients(show(browser, owner, attempt, q="IVAN@")) == {"ivan@example.com"}

    def test_sorting_by_address(self, browser, owner, attempt):
        rows = show(browser, owner, attempt, ordering="email").context["object_list"]
        assert [row.email for row in rows] == sorted(OUTCOMES)

    def test_paging(self, browser, owner, attempt):
        Delivery.objects.bulk_create(
            Delivery(attempt=attempt, email=f"n{n}@example.com") for n in range(60)
        )
        first, second = (recipients(show(browser, owner, attempt, p=p)) for p in (1, 2))
        assert (len(first), len(second)) == (50, 14)
        assert not first & second

    def test_csv(self, browser, owner, attempt):
        response = show(browser, owner, attempt, export="csv")
        lines = b"".join(response.streaming_content).decode().splitlines()
        assert len(lines) == 5
        assert any("petr@example.com,rejected,550," in line for line in lines)

    def test_the_results_alone_come_for_the_search_box(self, browser, owner, attempt):
        address = reverse("mailing:attempt_results", args=[attempt.pk])
        fragment = browser(owner).get(address, {"q": "anna"}).content.decode()
        assert "anna@example.com" in fragment
        assert "<html" not in fragment

    def test_a_deleted_client_leaves_a_line_behind(self, browser, owner, attempt):
        owner.clients.all().delete()
        assert recipients(show(browser, owner, attempt)) == set(OUTCOMES)


class TestProgress:
    def test_a_run_at_work_refreshes_itself(self, browser, owner, attempt):
        address = reverse("mailing:attempt_progress", args=[attempt.pk])
        assert f'data-refresh="{address}"' in show(browser, owner, attempt).content.decode()

    def test_the_fragment_ends_with_the_run(self, browser, owner, attempt):
        Attempt.objects.filter(pk=attempt.pk).update(status="partial", unknown=1)
        address = reverse("mailing:attempt_progress", args=[attempt.pk])
        fragment = browser(owner).get(address).content.decode()
        assert "4 of 4 done" in fragment
        assert "data-refresh" not in fragment


class TestLetter:
    def test_it_is_shown_with_an_invented_recipient(self, browser, owner, attempt):
        response = browser(owner).get(reverse("mailing:attempt_letter", args=[attempt.pk]))
        assert "Dear Anna Ivanova" in response.content.decode()

    def test_nothing_in_it_may_act(self, browser, owner, attempt):
        response = browser(owner).get(reverse("mailing:attempt_letter", args=[attempt.pk]))
        policy = response["Content-Security-Policy"]
        assert "sandbox allow-popups;" in policy
        assert "default-src 'none'" in policy
        assert 'sandbox="allow-popups"' in show(browser, owner, attempt).content.decode()

    def test_subject_and_text_part_stand_on_the_page(self, browser, owner, attempt):
        page = show(browser, owner, attempt).content.decode()
        assert "Hello, Anna Ivanova" in page
        assert "Dear Anna Ivanova from Romashka" in page


VIEWS = ["attempt", "attempt_results", "attempt_progress", "attempt_letter"]


@pytest.mark.parametrize("view", VIEWS)
def test_runs_of_others_do_not_exist(browser, stranger, editor, attempt, view):
    """P6: somebody else's row answers 404."""
    address = reverse(f"mailing:{view}", args=[attempt.pk])
    assert browser(stranger).get(address).status_code == 404
    assert browser(editor).get(address).status_code == 404
    assert "/accounts/login/" in browser().get(address).url


class TestManager:
    """P3: a manager sees any attempt; the clients' addresses are none of a manager's business."""

    @pytest.mark.parametrize("view", VIEWS)
    def test_sees_it(self, browser, manager, attempt, view):
        address = reverse(f"mailing:{view}", args=[attempt.pk])
        assert browser(manager).get(address).status_code == 200

    def test_sees_no_address(self, browser, manager, attempt):
        page = show(browser, manager, attempt).content.decode()
        assert "p•••@example.com" in page
        assert "user unknown" in page
        for email in OUTCOMES:
            assert email not in page

    def test_exports_no_address(self, browser, manager, attempt):
        response = show(browser, manager, attempt, export="csv")
        text = b"".join(response.streaming_content).decode()
        assert "user unknown" in text
        for email in OUTCOMES:
            assert email not in text

    def test_cannot_guess_addresses_by_searching(self, browser, manager, attempt):
        assert len(recipients(show(browser, manager, attempt, q="petr"))) == 4
