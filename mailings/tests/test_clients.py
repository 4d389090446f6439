"""Clients in the workspace."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO

import pytest
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook

from conftest import make_client, make_mailing
from mailings.forms import ClientForm
from mailings.models import Attempt, Client, ClientList, Delivery


def fields(**changes) -> dict:
    return {"full_name": "Anna Smirnova", "email": "anna@example.com", "comment": "", **changes}


def table(response) -> list[list[str]]:
    return list(csv.reader(StringIO(response.getvalue().decode())))


class TestOwner:
    """P2, T1: a user keeps clients: e-mail, full name, comment."""

    def test_it_lists_clients(self, browser, owner):
        make_client(owner)
        response = browser(owner).get(reverse("client:index"))
        assert response.status_code == 200
        assert "ivan@example.com" in response.text

    def test_it_adds_a_client(self, browser, owner):
        response = browser(owner).post(reverse("client:add"), fields(comment="Likes tea"))
        assert response.status_code == 302
        client = Client.objects.get()
        assert (client.owner, client.email, client.comment) == (
            owner,
            "anna@example.com",
            "Likes tea",
        )

    def test_a_client_cannot_log_in(self, browser, owner):
        """P2: clients are not users."""
        browser(owner).post(reverse("client:add"), fields())
        assert not browser().login(email="anna@example.com", password="")
        assert not type(owner).objects.filter(email="anna@example.com").exists()

    def test_it_edits_a_client(self, browser, owner):
        client = make_client(owner)
        url = reverse("client:edit", args=[client.pk])
        assert browser(owner).get(url).status_code == 200
        assert browser(owner).post(url, fields()).status_code == 302
        client.refresh_from_db()
        assert client.full_name == "Anna Smirnova"

    def test_it_deletes_a_client(self, browser, owner):
        client = make_client(owner)
        url = reverse("client:delete", args=[client.pk])
        assert "What was sent stays" in browser(owner).get(url).text
        assert browser(owner).post(url).status_code == 302
        assert not Client.objects.exists()

    def test_it_shows_a_client(self, browser, owner):
        client = make_client(owner, comment="Likes tea")
        client.lists.add(ClientList.objects.create(owner=owner, name="Buyers"))
        page = browser(owner).get(reverse("client:inspect", args=[client.pk])).text
        for words in ("ivan@example.com", "Likes tea", "Buyers", "No mailing has reached"):
            assert words in page

    def test_it_shows_the_letters_of_a_client(self, browser, owner):
        client = make_client(owner)
        mailing = make_mailing(owner, clients=[client], name="Spring news")
        attempt = Attempt.objects.create(mailing=mailing, slot=timezone.now())
        Delivery.objects.create(
            attempt=attempt, client=client, email=client.email, status="accepted", response="250 OK"
        )
        page = browser(owner).get(reverse("client:inspect", args=[client.pk])).text
        assert "Spring news" in page
        assert "250 OK" in page

    def test_the_history_says_who_changed_it(self, browser, owner):
        client = make_client(owner)
        browser(owner).post(reverse("client:edit", args=[client.pk]), fields())
        page = browser(owner).get(reverse("client:history", args=[client.pk])).text
        assert "Olga" in page


class TestForm:
    @pytest.mark.parametrize(
        ("name", "value", "complaint"),
        [
            ("email", "not an address", "Enter a valid e-mail address."),
            ("email", "a" * 250 + "@example.com", "Ensure this value has at most 254"),
            ("email", "ivan\n@example.com", "Enter a valid e-mail address."),
            ("full_name", "", "This field is required."),
            ("full_name", "Ivan\r\nBcc: x@example.com", "Line breaks and control characters"),
            ("full_name", "Ivan\x07", "Line breaks and control characters"),
            ("comment", "Ivan\x07", "Line breaks and control characters"),
        ],
    )
    def test_it_complains_beside_the_field(self, browser, owner, name, value, complaint):
        response = browser(owner).post(reverse("client:add"), fields(**{name: value}))
        assert response.status_code == 200
        [message] = response.context["form"].errors[name]
        assert message.startswith(complaint)
        assert not Client.objects.exists()

    def test_comments_may_have_lines(self, browser, owner):
        browser(owner).post(reverse("client:add"), fields(comment="One\r\n\tTwo"))
        assert Client.objects.get().comment == "One\r\n\tTwo"

    def test_an_address_is_kept_in_its_normal_form(self, browser, owner):
        browser(owner).post(reverse("client:add"), fields(email=" Anna@EXAMPLE.com "))
        assert Client.objects.get().email == "Anna@example.com"

    def test_an_international_address_is_accepted(self, browser, owner):
        browser(owner).post(reverse("client:add"), fields(email="иван@почта.рф"))
        assert Client.objects.get().email == "иван@почта.рф"

    @pytest.mark.parametrize("email", ["ivan@example.com", "IVAN@example.com", "ivan@EXAMPLE.COM"])
    def test_a_duplicate_is_named_beside_the_field(self, browser, owner, email):
        make_client(owner, "Ivan@example.com")
        response = browser(owner).post(reverse("client:add"), fields(email=email))
        errors = response.context["form"].errors
        assert errors == {"email": ["You already have a client with this e-mail."]}

    def test_a_duplicate_that_comes_at_the_same_moment(self, browser, owner, monkeypatch):
        checked = ClientForm.is_valid

        def check_and_be_late(form) -> bool:
            valid = checked(form)
            if not Client.objects.exists():
                make_client(owner, "anna@example.com")
            return valid

        monkeypatch.setattr(ClientForm, "is_valid", check_and_be_late)
        response = browser(owner).post(reverse("client:add"), fields())
        assert response.status_code == 200
        assert "email" in response.context["form"].errors
        assert Client.objects.count() == 1

    def test_two_users_may_have_the_same_client(self, browser, owner, stranger):
        """P6: nobody learns whose clients others have."""
        make_client(stranger, "anna@example.com")
        assert browser(owner).post(reverse("client:add"), fields()).status_code == 302

    def test_only_own_lists_are_offered_and_accepted(self, browser, owner, stranger):
        foreign = ClientList.objects.create(owner=stranger, name="Secret buyers")
        assert "Secret buyers" not in browser(owner).get(reverse("client:add")).text
        response = browser(owner).post(reverse("client:add"), fields(lists=[foreign.pk]))
        assert "lists" in response.context["form"].errors
        assert "Secret buyers" not in response.text


class TestSubscription:
    def test_an_address_that_refused_letters_stays_unsubscribed(self, browser, owner):
        client = make_client(owner, "anna@example.com")
        client.unsubscribe()
        client.delete()
        response = browser(owner).post(reverse("client:add"), fields(), follow=True)
        assert Client.objects.get().unsubscribed_at
        assert "this address refused your letters" in response.text

    def test_subscribing_again_asks_first(self, browser, owner):
        client = make_client(owner)
        client.unsubscribe()
        url = reverse("client:resubscribe", args=[client.pk])
        assert "only if they asked you" in browser(owner).get(url).text
        client.refresh_from_db()
        assert client.unsubscribed_at

    def test_subscribing_again(self, browser, owner):
        client = make_client(owner)
        client.unsubscribe()
        browser(owner).post(reverse("client:resubscribe", args=[client.pk]))
        client.refresh_from_db()
        assert client.unsubscribed_at is None

    def test_unsubscribing_by_hand(self, browser, owner):
        client = make_client(owner)
        browser(owner).post(reverse("client:unsubscribe", args=[client.pk]))
        client.refresh_from_db()
        assert client.unsubscribed_at

    @pytest.mark.parametrize("name", ["client:resubscribe", "client:unsubscribe"])
    def test_others_cannot(self, browser, owner, stranger, name):
        """P6"""
        client = make_client(owner)
        if name == "client:resubscribe":
            client.unsubscribe()
        before = Client.objects.values().get()
        assert browser(stranger).post(reverse(name, args=[client.pk])).status_code == 404
        assert Client.objects.values().get() == before


class TestListing:
    @pytest.mark.parametrize("query", ["петр", "ПЕТРОВ", "иван петров", "petrov@", "EXAMPLE.com"])
    def test_it_finds_parts_of_names_and_addresses_in_any_case(self, browser, owner, query):
        make_client(owner, "petrov@example.com", full_name="Иван Петров")
        make_client(owner, "else@example.org", full_name="Кто-то Другой")
        page = browser(owner).get(reverse("client:index"), {"q": query})
        assert [row.full_name for row in page.context["object_list"]] == ["Иван Петров"]

    @pytest.mark.parametrize("query", ["(", "[a", "\\", "*", "%", "_"])
    def test_signs_have_no_meaning_in_a_search(self, browser, owner, query):
        make_client(owner)
        page = browser(owner).get(reverse("client:index"), {"q": query})
        assert list(page.context["object_list"]) == []

    def test_it_filters_by_list(self, browser, owner, stranger):
        buyers = ClientList.objects.create(owner=owner, name="Buyers")
        ClientList.objects.create(owner=stranger, name="Secret buyers")
        chosen = make_client(owner)
        chosen.lists.add(buyers)
        make_client(owner, "else@example.com")
        page = browser(owner).get(reverse("client:index"), {"lists": buyers.pk})
        assert list(page.context["object_list"]) == [chosen]
        assert "Secret buyers" not in page.text

    @pytest.mark.parametrize(
        ("value", "email"), [("yes", "b@example.com"), ("no", "a@example.com")]
    )
    def test_it_filters_by_subscription(self, browser, owner, value, email):
        make_client(owner, "a@example.com").unsubscribe()
        make_client(owner, "b@example.com")
        page = browser(owner).get(reverse("client:index"), {"subscription": value})
        assert [row.email for row in page.context["object_list"]] == [email]

    @pytest.mark.parametrize("ordering", ["email", "-email", "created_at", "unsubscribed_at"])
    def test_it_sorts(self, browser, owner, ordering):
        make_client(owner, "b@example.com").unsubscribe()
        make_client(owner, "a@example.com")
        page = browser(owner).get(reverse("client:index"), {"ordering": ordering})
        expected = list(Client.objects.order_by(ordering, "-pk"))
        assert list(page.context["object_list"]) == expected

    def test_it_pages(self, browser, owner):
        Client.objects.bulk_create(
            Client(owner=owner, email=f"c{n}@example.com", full_name=f"C {n:03}") for n in range(51)
        )
        page = browser(owner).get(reverse("client:index"), {"p": 2})
        assert [row.full_name for row in page.context["object_list"]] == ["C 050"]

    def test_the_number_of_queries_does_not_grow(
        self, browser, owner, django_assert_max_num_queries
    ):
        for n in range(5):
            client = make_client(owner, f"c{n}@example.com")
            client.lists.add(ClientList.objects.create(owner=owner, name=f"List {n}"))
        client = browser(owner)
        with django_assert_max_num_queries(20):
            client.get(reverse("client:index"))


class TestExport:
    @pytest.fixture
    def rows(self, owner, stranger):
        make_client(owner, full_name="=1+1", comment="@SUM(A1)\n2")
        make_client(stranger, "secret@example.com", full_name="Secret")

    def test_csv_holds_own_rows_and_no_formula(self, browser, owner, rows):
        response = browser(owner).get(reverse("client:index"), {"export": "csv"})
        heading, row = table(response)
        assert heading[:4] == ["Full name", "E-mail", "Lists", "Comment"]
        assert row[:4] == ["'=1+1", "ivan@example.com", "", "'@SUM(A1)\n2"]

    def test_xlsx_holds_own_rows_and_no_formula(self, browser, owner, rows):
        response = browser(owner).get(reverse("client:index"), {"export": "xlsx"})
        sheet = load_workbook(BytesIO(response.getvalue())).active
        _heading, row = list(sheet.iter_rows(values_only=True))
        assert row[:2] == ("'=1+1", "ivan@example.com")

    def test_it_exports_what_is_found(self, browser, owner):
        make_client(owner, "a@example.com")
        make_client(owner, "b@example.com")
        found = browser(owner).get(reverse("client:index"), {"export": "csv", "q": "b@"})
        assert [row[1] for row in table(found)[1:]] == ["b@example.com"]

    def test_control_characters_do_not_stop_it(self, browser, owner):
        make_client(owner, comment="bell \x07")
        response = browser(owner).get(reverse("client:index"), {"export": "xlsx"})
        sheet = load_workbook(BytesIO(response.getvalue())).active
        assert sheet["D2"].value == "bell "


KEYED = ["edit", "delete", "inspect", "history", "history_results", "usage"]


class TestOthers:
    """P6: a user sees and touches only their own clients."""

    @pytest.mark.parametrize("view", KEYED)
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_stranger_finds_nothing(self, browser, owner, stranger, view, method):
        client = make_client(owner)
        before = Client.objects.values().get()
        response = getattr(browser(stranger), method)(
            reverse(f"client:{view}", args=[client.pk]), fields()
        )
        assert response.status_code in {404, 405}
        assert Client.objects.values().get() == before

    @pytest.mark.parametrize("role", ["manager", "editor"])
    @pytest.mark.parametrize("view", [*KEYED, "index", "index_results", "add"])
    def test_managers_and_editors_see_no_clients(self, request, browser, owner, role, view):
        client = make_client(owner)
        user = request.getfixturevalue(role)
        args = [client.pk] if view in KEYED else []
        for method in ("get", "post"):
            response = getattr(browser(user), method)(
                reverse(f"client:{view}", args=args), fields()
            )
            assert response.status_code in {302, 403, 404, 405}
            assert client.email not in response.content.decode()
        assert Client.objects.count() == 1

    @pytest.mark.parametrize("view", [*KEYED, "index", "index_results", "add"])
    def test_anonymous_visitors_are_asked_to_log_in(self, browser, owner, view):
        client = make_client(owner)
        args = [client.pk] if view in KEYED else []
        response = browser().get(reverse(f"client:{view}", args=args))
        assert response.status_code == 302
        assert response.url.startswith("/accounts/login/")

    def test_listings_and_searches_hold_own_rows(self, browser, owner, stranger):
        make_client(owner, full_name="Secret Person")
        for url in (reverse("client:index"), reverse("client:index_results")):
            for query in ({}, {"q": "secret"}, {"ordering": "email"}):
                assert "Secret Person" not in browser(stranger).get(url, query).text
