"""Lists of clients in the workspace."""

from __future__ import annotations

import pytest
from django.urls import reverse

from conftest import make_client, make_mailing
from mailings.models import Client, ClientList


@pytest.fixture
def buyers(owner) -> ClientList:
    buyers = ClientList.objects.create(owner=owner, name="Buyers")
    buyers.clients.add(make_client(owner, full_name="Ivan Petrov"))
    return buyers


class TestOwner:
    """P6: a user sorts clients into lists of their own."""

    def test_it_adds_and_renames_a_list(self, browser, owner):
        client = browser(owner)
        client.post(reverse("client_list:add"), {"name": "Buyers"})
        buyers = ClientList.objects.get(owner=owner)
        client.post(reverse("client_list:edit", args=[buyers.pk]), {"name": "Покупатели"})
        buyers.refresh_from_db()
        assert buyers.name == "Покупатели"

    def test_the_listing_counts_clients(self, browser, owner, buyers):
        gone = make_client(owner, "gone@example.com")
        gone.unsubscribe()
        buyers.clients.add(gone)
        [row] = browser(owner).get(reverse("client_list:index")).context["object_list"]
        assert (row.size, row.subscribed) == (2, 1)

    def test_it_sorts_by_size(self, browser, owner, buyers):
        ClientList.objects.create(owner=owner, name="Nobody")
        page = browser(owner).get(reverse("client_list:index"), {"ordering": "size"})
        assert [row.name for row in page.context["object_list"]] == ["Nobody", "Buyers"]

    def test_the_detail_page_shows_its_clients(self, browser, owner, buyers):
        page = browser(owner).get(reverse("client_list:inspect", args=[buyers.pk])).text
        assert "Ivan Petrov" in page
        assert "1 client" in page

    def test_clients_outlive_their_list(self, browser, owner, buyers):
        browser(owner).post(reverse("client_list:delete", args=[buyers.pk]))
        assert not ClientList.objects.exists()
        assert Client.objects.count() == 1

    def test_deleting_names_the_mailings_that_go_to_it(self, browser, owner, buyers):
        make_mailing(owner).lists.add(buyers)
        page = browser(owner).get(reverse("client_list:delete", args=[buyers.pk])).text
        assert "1 mailing goes to this list" in page

    @pytest.mark.parametrize("name", ["Buyers", "buyers", "BUYERS"])
    def test_a_second_list_of_the_name_is_refused(self, browser, owner, buyers, name):
        response = browser(owner).post(reverse("client_list:add"), {"name": name})
        errors = response.context["form"].errors
        assert errors == {"name": ["You already have a list with this name."]}

    def test_a_name_is_one_line(self, browser, owner):
        response = browser(owner).post(reverse("client_list:add"), {"name": "A\u2028B"})
        assert "name" in response.context["form"].errors

    def test_it_exports_own_lists(self, browser, owner, buyers, stranger):
        ClientList.objects.create(owner=stranger, name="Secret")
        response = browser(owner).get(reverse("client_list:index"), {"export": "csv"})
        lines = response.getvalue().decode().splitlines()
        assert lines[0] == "Name,Clients,Of them subscribed,Created"
        assert lines[1].startswith("Buyers,1,1,")
        assert len(lines) == 2

    def test_it_finds_a_list_in_any_case(self, browser, owner):
        ClientList.objects.create(owner=owner, name="Покупатели")
        page = browser(owner).get(reverse("client_list:index"), {"q": "ПОКУП"})
        assert len(page.context["object_list"]) == 1


KEYED = ["edit", "delete", "inspect", "history", "history_results", "usage"]


class TestOthers:
    """P6"""

    @pytest.mark.parametrize("view", KEYED)
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_stranger_finds_nothing(self, browser, stranger, buyers, view, method):
        url = reverse(f"client_list:{view}", args=[buyers.pk])
        response = getattr(browser(stranger), method)(url, {"name": "Mine now"})
        assert response.status_code in {404, 405}
        buyers.refresh_from_db()
        assert buyers.name == "Buyers"

    @pytest.mark.parametrize("role", ["manager", "editor"])
    @pytest.mark.parametrize("view", [*KEYED, "index", "add"])
    def test_managers_and_editors_see_no_lists(self, request, browser, buyers, role, view):
        user = request.getfixturevalue(role)
        args = [buyers.pk] if view in KEYED else []
        response = browser(user).get(reverse(f"client_list:{view}", args=args))
        assert response.status_code in {302, 403, 404}
        assert "Buyers" not in response.content.decode()

    @pytest.mark.parametrize("view", [*KEYED, "index", "add"])
    def test_anonymous_visitors_are_asked_to_log_in(self, browser, buyers, view):
        args = [buyers.pk] if view in KEYED else []
        response = browser().get(reverse(f"client_list:{view}", args=args))
        assert response.url.startswith("/accounts/login/")
