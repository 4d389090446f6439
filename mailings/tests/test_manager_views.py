from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings.models import Attempt, Client, ClientList, Mailing, Message


@pytest.fixture
def mailing(owner) -> Mailing:
    client = make_client(owner, "petr@example.com", full_name="Petr Tajny")
    vip = ClientList.objects.create(owner=owner, name="Secret list")
    client.lists.add(vip)
    mailing = make_mailing(owner, name="Spring sale", clients=[client])
    mailing.lists.add(vip)
    return mailing


class TestReading:
    """P3, I3: a manager sees any mailing and any message."""

    def test_all_mailings_with_their_owners(self, browser, manager, stranger, mailing):
        make_mailing(stranger, name="Winter sale")
        page = browser(manager).get(reverse("mailing:index")).content.decode()
        for words in ("Spring sale", "Winter sale", "Olga", "Semyon"):
            assert words in page

    def test_the_listing_can_be_exported(self, browser, manager, mailing):
        response = browser(manager).get(reverse("mailing:index"), {"export": "csv"})
        assert "Spring sale" in b"".join(response.streaming_content).decode()

    def test_the_detail_page(self, browser, manager, mailing):
        Attempt.objects.create(
            mailing=mailing, slot=timezone.now(), status="failure",
            server_response="550 <petr@example.com>: user unknown",
        )  # fmt: skip
        address = reverse("mailing:inspect", args=[mailing.pk])
        page = browser(manager).get(address).content.decode()
        for words in ("Spring sale", "Olga", "1 client", "user unknown"):
            assert words in page

    def test_but_no_clients_on_it(self, browser, manager, mailing):
        Attempt.objects.create(
            mailing=mailing, slot=timezone.now(), status="failure",
            server_response="550 <petr@example.com>: user unknown",
        )  # fmt: skip
        address = reverse("mailing:inspect", args=[mailing.pk])
        page = browser(manager).get(address).content.decode()
        for words in ("petr@", "Tajny", "Secret list"):
            assert words not in page

    def test_messages(self, browser, manager, mailing):
        page = browser(manager).get(reverse("message:list")).content.decode()
        assert "News" in page
        address = reverse("message:inspect", args=[mailing.message_id])
        assert browser(manager).get(address).status_code == 200

    def test_messages_without_boxes_to_tick(self, browser, manager, owner, mailing):
        """There is nothing a manager may do with several at once."""
        pages = [browser(user).get(reverse("message:list")).text for user in (owner, manager)]
        for words in ("data-bulk-action-checkbox", "data-bulk-action-button"):
            assert [words in page for page in pages] == [True, False]

    def test_finished_mailings(self, browser, manager, mailing):
        Mailing.objects.update(status="finished")
        page = browser(manager).get(reverse("mailing:finished")).content.decode()
        assert "Spring sale" in page
        assert "Olga" in page

    def test_the_dashboard(self, browser, manager, mailing):
        page = browser(manager).get(reverse("wagtailadmin_home")).content.decode()
        assert "Spring sale" in page
        assert "Three steps" not in page

    @pytest.mark.parametrize("name", ["mailing:index", "message:list"])
    def test_nothing_offers_to_add_or_edit(self, browser, manager, mailing, name):
        page = browser(manager).get(reverse(name)).content.decode()
        kind = name.partition(":")[0]
        for action in ("new", "add", "edit", "delete"):
            assert f"/admin/{kind}/{action}/" not in page


class TestChangingNothing:
    """P3: a manager cannot edit, create or delete mailings, nor change messages."""

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize("view", ["add", "edit", "delete"])
    @pytest.mark.parametrize("kind", ["mailing", "message", "client", "client_list", "picture"])
    def test_by_address(self, browser, manager, mailing, kind, view, method):
        row = {"mailing": mailing, "message": mailing.message}.get(kind, mailing.clients.get())
        args = [] if view == "add" else [row.pk]
        response = getattr(browser(manager), method)(
            reverse(f"{kind}:{view}", args=args),
            {"name": "Taken over", "subject": "Taken over", "is_active": "on"},
        )
        assert response.status_code in {302, 403, 404}
        assert response.get("Location", "/admin/") == "/admin/"
        assert Mailing.objects.get().name == "Spring sale"
        assert Message.objects.get().subject == "News"
        assert Client.objects.count() == 1

    def test_clients_are_not_even_listed(self, browser, manager, mailing):
        for name in ("client:index", "client_list:index", "picture:index"):
            assert browser(manager).get(reverse(name)).status_code in {302, 403}
        found = browser(manager).get(reverse("mailing:clients")).json()
        assert found["clients"] == []

    def test_a_manager_is_no_user_by_the_way(self, browser, manager, mailing):
        """What a manager may see is no right to a mailing of one's own."""
        when = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%d %H:%M")
        browser(manager).post(reverse("mailing:add"), {"name": "Mine", "starts_at": when})
        assert not Mailing.objects.filter(owner=manager).exists()
