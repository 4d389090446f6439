"""Addresses that do not exist: who is taken for one, what follows, and how it is undone."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import reasons, runs
from mailings.delivery import dispatch
from mailings.models import Attempt, Client
from mailings.tests.conftest import let_time_pass, make_due, only_run
from mailings.tests.processes import site, template
from mailings.tests.servers import NEVER

__all__ = ["site", "template"]

DEAD = "c1@example.com"


def gone_addresses() -> list[str]:
    return list(Client.objects.undeliverable().order_by("email").values_list("email", flat=True))


def make_gone(owner, email: str = "gone@example.com", **fields) -> Client:
    fields = {"undeliverable_reply": f"550 5.1.1 <{email}>: no such user", **fields}
    return make_client(owner, email, undeliverable_at=timezone.now(), **fields)


def send_again(owner) -> Attempt:
    """Send a further mailing to all clients of the owner; return its run."""
    mailing = make_mailing(owner, all_clients=True, starts_at=timezone.now())
    dispatch.run_pass()
    return only_run(mailing)


class TestWhoIsMarked:
    def test_date_and_words_are_kept(self, server, due):
        server.fail("rcpt", NEVER, to=DEAD)
        before = timezone.now()
        dispatch.run_pass()
        client = Client.objects.get(email=DEAD)
        assert before <= client.undeliverable_at <= timezone.now()
        assert client.undeliverable_reply == "550 5.1.1 No such user"
        assert gone_addresses() == [DEAD]

    @pytest.mark.parametrize("stage", ["rcpt", "body"])
    @pytest.mark.parametrize(
        "reply",
        [
            "550 5.1.1 No such user",
            "550 5.1.1",
            "550-5.1.1 The email account that you tried to reach does not exist.\r\n550 5.1.1 Bye",
            "553 5.1.2 No such domain",
            "501 5.1.3 Bad recipient address syntax",
            "551 5.1.6 Moved, left no address",
            "556 5.1.10 Recipient address has null MX",
            "550 5.1.1: no such user",
        ],
    )
    def test_codes_that_say_so(self, server, due, stage, reply):
        """RFC 3463 3.2, RFC 7505 4.2."""
        server.fail(stage, f"{reply}\r\n".encode(), to=DEAD)
        dispatch.run_pass()
        assert gone_addresses() == [DEAD]

    @pytest.mark.parametrize(
        "reply",
        [
            "550 5.7.1 Rejected as spam",
            "550 5.7.26 Unauthenticated",
            "552 5.2.2 Mailbox full for ever",
            "550 5.2.1 Mailbox disabled",
            "550 5.4.1 Recipient address rejected: access denied",
            "550 5.1.0 Address rejected",
            "550 5.1.8 Bad sender",
            "550 5.1.100 No such code",
            "550 5.1.11 No such code",
            "550 No such user",
            "550 No such user 5.1.1",
            "450 4.1.1 Not now",
            "450 5.1.1 Not now",
            "552 5.3.4 Message too big for system",
            "503 5.5.1 Bad sequence of commands",
            "421 4.7.0 Try again later",
        ],
    )
    def test_codes_that_do_not(self, server, due, settings, reply):
        """Policy and the server's own trouble blame nobody."""
        settings.MAILING_RETRY_DELAYS = []
        server.fail("rcpt", f"{reply}\r\n".encode(), to=DEAD)
        for _time in range(4):
            dispatch.run_pass()
            let_time_pass(due)
        assert len(server.letters) == 4
        assert gone_addresses() == []

    def test_a_quota_that_is_used_up(self, server, due):
        """It pauses the run, and says nothing of whom it met."""
        server.fail("rcpt", b"550 5.4.5 Daily sending quota exceeded\r\n", to=DEAD)
        dispatch.run_pass()
        run = only_run(due)
        assert run.paused_at
        server.recover()
        run.go_on(by=due.owner)
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert gone_addresses() == []

    def test_a_temporary_refusal_that_lasts(self, server, due, settings):
        settings.MAILING_RETRY_DELAYS = []
        server.fail("rcpt", b"450 4.1.1 Unverified address\r\n", to=DEAD)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected) == ("partial", 1)
        assert gone_addresses() == []

    def test_nobody_where_everybody_is_refused(self, server, due):
        server.fail("rcpt", NEVER)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected, run.accepted) == ("failure", 5, 0)
        assert gone_addresses() == []

    def test_not_who_was_accepted_by_a_later_try(self, server, due):
        server.fail("rcpt", b"450 4.1.1 Not now\r\n", to=DEAD, times=1)
        dispatch.run_pass()
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert gone_addresses() == []

    @pytest.mark.parametrize(
        ("email", "gone"), [("new@example.com", []), ("C1@Example.com", ["C1@Example.com"])]
    )
    def test_not_who_has_another_address_by_now(self, server, due, email, gone):
        """In whatever case it is written, it is the same address."""
        client = Client.objects.get(email=DEAD)
        server.fail("rcpt", NEVER, to=DEAD)
        server.fail("rcpt", b"450 4.2.0 Not now\r\n", to="c2@example.com", times=1)
        dispatch.run_pass()
        assert only_run(due).status == "running"  # One letter waits for its next try.
        client.email = email
        client.save()
        let_time_pass(due)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected) == ("partial", 1)
        assert gone_addresses() == gone

    def test_not_the_same_address_at_another_company(self, server, due, stranger):
        """P6"""
        foreign = make_client(stranger, DEAD)
        server.fail("rcpt", NEVER, to=DEAD)
        dispatch.run_pass()
        assert list(Client.objects.undeliverable().values_list("owner", flat=True)) == [
            due.owner_id
        ]
        foreign.refresh_from_db()
        assert foreign.gets_letters

    def test_a_client_who_was_deleted_meanwhile(self, server, due):
        server.fail("rcpt", NEVER, to=DEAD)
        server.fail("rcpt", b"450 4.2.0 Not now\r\n", to="c2@example.com", times=1)
        dispatch.run_pass()
        Client.objects.get(email=DEAD).delete()
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == "partial"
        assert gone_addresses() == []

    def test_what_is_known_already_stays_as_it_was(self, server, due):
        server.fail("rcpt", NEVER, to=DEAD)
        dispatch.run_pass()
        run, client = only_run(due), Client.objects.get(email=DEAD)
        assert runs.give_up_addresses(run.pk) == 0
        since = client.undeliverable_at
        client.refresh_from_db()
        assert client.undeliverable_at == since

    def test_not_where_a_third_is_refused(self, server, owner):
        """It may be the server that is wrong, of one domain or of all."""
        due = make_due(owner, 6)
        for number in (1, 2, 3):
            server.fail("rcpt", NEVER, to=f"c{number}@example.com")
        dispatch.run_pass()
        assert (only_run(due).accepted, only_run(due).rejected) == (3, 3)
        assert gone_addresses() == []

    @pytest.mark.parametrize("since", ["accepted", "tried again"])
    def test_a_reply_that_is_no_longer_true(self, server, owner, due, since):
        """The run ends long after it, for the sake of a letter that waits for its next try."""
        server.fail("rcpt", NEVER, to=DEAD)
        server.fail("rcpt", b"450 4.2.0 Not now\r\n", to="c2@example.com", times=1)
        dispatch.run_pass()
        server.recover()
        client = Client.objects.get(email=DEAD)
        if since == "accepted":
            other = make_mailing(owner, clients=[client], starts_at=timezone.now())
            dispatch.run_pass()
            assert only_run(other).status == "success"
        else:
            Client.objects.update(undeliverable_at=timezone.now())
            Client.objects.try_again()
        let_time_pass(due)
        dispatch.run_pass()
        assert (only_run(due).status, only_run(due).rejected) == ("partial", 1)
        assert gone_addresses() == []


class TestNextRun:
    def test_it_is_not_written_to_again(self, server, owner, due):
        server.fail("rcpt", NEVER, to=DEAD)
        dispatch.run_pass()
        server.recover()
        run = send_again(owner)
        assert (run.status, run.planned, run.accepted, run.skipped) == ("success", 5, 4, 1)
        assert run.deliveries.get(status="skipped").response == reasons.UNDELIVERABLE
        assert run.deliveries.get(status="skipped").email == DEAD
        assert DEAD not in server.recipients()
        assert sum(DEAD in command for command in server.commands) == 1

    def test_unsubscribed_wins(self, server, owner):
        make_client(owner)
        make_gone(owner).unsubscribe()
        run = send_again(owner)
        assert run.deliveries.get(status="skipped").response == reasons.UNSUBSCRIBED
        assert run.status == "success"

    def test_it_is_told_in_words_at_the_run(self, server, owner, browser):
        make_client(owner)
        make_gone(owner)
        run = send_again(owner)
        page = browser(owner).get(reverse("mailing:attempt", args=[run.pk])).text
        assert "The address does not exist, the mail server said earlier." in page
        assert "earlier" not in browser(owner).get("/admin/").text  # It is no failure.

    def test_in_all_steps_of_a_large_run(self, server, owner, monkeypatch):
        monkeypatch.setattr(runs, "FIRST_STEP", 2)
        due = make_due(owner, 6)
        Client.objects.filter(email__in=("c1@example.com", "c4@example.com")).update(
            undeliverable_at=timezone.now()
        )
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.planned, run.accepted, run.skipped) == ("success", 6, 4, 2)

    def test_once_it_is_mended(self, server, owner, due):
        server.fail("rcpt", NEVER, to=DEAD)
        dispatch.run_pass()
        Client.objects.filter(email=DEAD).try_again()
        server.recover()
        run = send_again(owner)
        assert (run.status, run.accepted) == ("success", 5)
        assert DEAD in server.recipients()


class TestMending:
    def test_by_another_address(self, browser, owner):
        client = make_gone(owner)
        form = {"full_name": "Anna", "email": "anna@example.com", "comment": ""}
        browser(owner).post(reverse("client:edit", args=[client.pk]), form)
        client.refresh_from_db()
        assert (client.email, client.undeliverable_at, client.undeliverable_reply) == (
            "anna@example.com",
            None,
            "",
        )

    @pytest.mark.parametrize("email", ["gone@example.com", "Gone@EXAMPLE.com"])
    def test_not_by_the_same(self, browser, owner, email):
        client = make_gone(owner)
        form = {"full_name": "Anna", "email": email, "comment": ""}
        browser(owner).post(reverse("client:edit", args=[client.pk]), form)
        client.refresh_from_db()
        assert client.full_name == "Anna"
        assert client.undeliverable_at

    def test_where_only_the_address_is_saved(self, owner):
        client = make_gone(owner)
        client.email = "anna@example.com"
        client.save(update_fields=["email"])
        client.refresh_from_db()
        assert client.gets_letters

    def test_by_the_button(self, browser, owner):
        client = make_gone(owner)
        url = reverse("client:try_again", args=[client.pk])
        response = browser(owner).post(url, follow=True)
        assert "tries this address again" in response.text
        client.refresh_from_db()
        assert (client.gets_letters, client.undeliverable_reply) == (True, "")
        history = browser(owner).get(reverse("client:history", args=[client.pk])).text
        assert "Let the address be tried again" in history

    def test_the_button_wants_post(self, browser, owner):
        client = make_gone(owner)
        assert browser(owner).get(reverse("client:try_again", args=[client.pk])).status_code == 405
        client.refresh_from_db()
        assert client.undeliverable_at

    def test_pressing_it_twice_changes_and_records_nothing_more(self, browser, owner):
        client = make_gone(owner)
        url = reverse("client:try_again", args=[client.pk])
        desk = browser(owner)
        assert [desk.post(url).status_code for _time in range(2)] == [302, 302]
        history = desk.get(reverse("client:history", args=[client.pk])).text
        assert history.count("Let the address be tried again") == 1

    @pytest.mark.parametrize(
        ("role", "answers"),
        [("stranger", {404}), ("manager", {302, 403, 404}), ("editor", {302, 403, 404})],
    )
    def test_others_cannot(self, request, browser, owner, role, answers):
        """P6"""
        client = make_gone(owner)
        before = Client.objects.values().get(pk=client.pk)
        desk = browser(request.getfixturevalue(role))
        assert desk.post(reverse("client:try_again", args=[client.pk])).status_code in answers
        assert Client.objects.values().get(pk=client.pk) == before


class TestSeveralAtOnce:
    URL = "/admin/bulk/mailings/client/try_again/"

    def test_the_ticked_ones(self, browser, owner):
        ticked, other = make_gone(owner), make_gone(owner, "other@example.com")
        well = make_client(owner, "well@example.com", full_name="Well")
        query = f"?id={ticked.pk}&id={well.pk}"
        page = browser(owner).get(self.URL + query).text
        assert "gone@example.com" in page
        assert "well@example.com" not in page
        browser(owner).post(self.URL + query)
        assert gone_addresses() == [other.email]

    def test_all_of_the_listing_as_it_is_filtered(self, browser, owner):
        make_gone(owner, "a@example.com")
        make_gone(owner, "b@example.org")
        page = browser(owner).post(f"{self.URL}?id=all&address=gone&q=example.com", follow=True)
        assert "1 address is tried again" in page.text
        assert gone_addresses() == ["b@example.org"]

    def test_where_there_is_nothing_to_try(self, browser, owner):
        well = make_client(owner)
        for query in (f"?id={well.pk}", "?id=all"):
            page = browser(owner).get(self.URL + query)
            assert page.status_code == 200
            assert "None of the selected addresses" in page.text

    def test_it_spares_and_hides_those_of_others(self, browser, owner, stranger):
        """P6"""
        own, foreign = make_gone(stranger), make_gone(owner, "zq-secret@example.com")
        for query in (f"?id={own.pk}&id={foreign.pk}", "?id=all"):
            assert "zq-secret" not in browser(stranger).get(self.URL + query).text
        browser(stranger).post(f"{self.URL}?id=all")
        assert gone_addresses() == ["zq-secret@example.com"]
        assert browser(stranger).post(f"{self.URL}?id={foreign.pk}").status_code == 404

    @pytest.mark.parametrize("role", ["manager", "editor"])
    def test_it_is_for_owners(self, request, browser, owner, role):
        client = make_gone(owner, "zq-secret@example.com")
        user = request.getfixturevalue(role)
        for method in ("get", "post"):
            for query in (f"?id={client.pk}", "?id=all"):
                response = getattr(browser(user), method)(self.URL + query)
                assert "zq-secret" not in response.content.decode()
        assert gone_addresses() == ["zq-secret@example.com"]


class TestShown:
    @pytest.fixture
    def rows(self, owner) -> Client:
        make_client(owner, "well@example.com", full_name="A")
        make_gone(owner, "both@example.com", full_name="B").unsubscribe()
        return make_gone(owner, full_name="C")

    def test_in_the_list(self, browser, owner, rows):
        page = browser(owner).get(reverse("client:index")).text
        for words in ("subscribed", "unsubscribed, address does not exist", "address does not"):
            assert words in page
        assert "data-bulk-action-checkbox" in page
        assert "Try the addresses of the selected clients again" in page

    def test_the_list_can_be_limited_to_them(self, browser, owner, rows):
        page = browser(owner).get(reverse("client:index"), {"address": "gone"})
        assert [row.full_name for row in page.context["object_list"]] == ["B", "C"]
        found = {"address": "gone", "subscription": "yes"}
        page = browser(owner).get(reverse("client:index"), found)
        assert [row.full_name for row in page.context["object_list"]] == ["C"]

    def test_on_the_page_of_the_client(self, browser, owner, rows):
        page = browser(owner).get(reverse("client:inspect", args=[rows.pk])).text
        for words in ("that this address does not exist", "no such user", "Try this address again"):
            assert words in page

    def test_not_where_all_is_well(self, browser, owner):
        client = make_client(owner)
        page = browser(owner).get(reverse("client:inspect", args=[client.pk])).text
        assert "not exist" not in page
        assert "Try this address again" not in page

    def test_in_the_export(self, browser, owner, rows):
        response = browser(owner).get(reverse("client:index"), {"export": "csv"})
        heading, *lines = csv.reader(StringIO(response.getvalue().decode()))
        where = heading.index("Mail server's reply")
        assert [line[where] for line in lines] == [
            "",
            "550 5.1.1 <both@example.com>: no such user",
            "550 5.1.1 <gone@example.com>: no such user",
        ]
        assert [bool(line[where - 1]) for line in lines] == [False, True, True]

    def test_in_the_audience_of_a_mailing(self, browser, owner, manager, rows):
        mailing = make_mailing(owner, all_clients=True)
        for user in (owner, manager):
            page = browser(user).get(reverse("mailing:inspect", args=[mailing.pk])).text
            assert "3 clients" in page
            assert "1 of them has unsubscribed and gets nothing." in page
            assert "1 of them has an address that does not exist and gets nothing." in page
            assert ("gone@example.com" in page) is False


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite lets one write at a time")
class TestInTheSameMoment:
    """What a person saves while a run ends."""

    SCRIPT = """
        from django.db import transaction
        from mailings import runs
        from mailings.tests.beside import Beside
        runs.open_due(timezone.now())
        run = Attempt.objects.get()
        first, *others = run.deliveries.order_by("pk")
        run.deliveries.update(status="accepted")
        refused = run.deliveries.filter(pk__in=[row.pk for row in others[:2]])
        refused.update(status="rejected", response="550 5.1.1 No such user")
        run.chunks.update(due_at=None)
        with transaction.atomic():
            client = Client.objects.select_for_update().get(pk=others[0].client_id)
            worker = Beside(lambda: runs.close_run(run.pk, timezone.now()))
            worker.wait_until_blocked()
            client.{field} = "new@example.com"
            client.save()
        worker.end()
        run.refresh_from_db()
        gone = Client.objects.undeliverable()
        result = [run.status, gone.count(), gone.filter(pk=client.pk).exists()]
    """

    @pytest.mark.parametrize(("field", "gone"), [("email", 1), ("full_name", 2)])
    def test_a_new_address_is_not_given_up(self, site, field, gone):
        site.make_due(6)
        result = site.python(self.SCRIPT.format(field=field))
        assert result == ["partial", gone, field != "email"]

    def test_two_runs_do_not_wait_for_each_other_crosswise(self, site):
        """Both refused the same people, and have them in another order."""
        site.make_due(300)
        counts = site.python("""
            from concurrent.futures import ThreadPoolExecutor
            from datetime import timedelta
            from django.db import connection
            from mailings import runs
            mailing, clients = Mailing.objects.get(), list(Client.objects.order_by("pk"))
            attempts = []
            for number, order in enumerate((clients, clients[::-1])):
                slot = timezone.now() + timedelta(days=number)
                attempts.append(Attempt.objects.create(mailing=mailing, slot=slot))
                reply = {"status": "rejected", "response": "550 5.1.1 No such user"}
                Delivery.objects.bulk_create(
                    Delivery(attempt=attempts[-1], client=client, email=client.email, **reply)
                    for client in order
                )

            def give_up(attempt):
                try:
                    return runs.give_up_addresses(attempt.pk)
                finally:
                    connection.close()

            result = []
            for _time in range(20):
                Client.objects.update(undeliverable_at=None)
                with ThreadPoolExecutor(2) as pool:
                    result.append(sum(pool.map(give_up, attempts)))
        """)
        assert counts == [300] * 20
