from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from wagtail.models import ModelLogEntry

from accounts.members import MemberViewSet
from accounts.models import MANAGERS, User
from conftest import PASSWORD, make_mailing, make_user
from mailings.models import Mailing

URL = "/admin/members/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(browser, manager):
    return browser(manager)


def names(response) -> list[str]:
    return [user.email.split("@")[0] for user in response.context["object_list"]]


class TestListing:
    def test_a_manager_sees_every_user_with_status_and_role(self, desk, owner, editor):
        """P3: a manager sees the list of users."""
        response = desk.get(URL)
        assert set(names(response)) == {"manager", "owner", "editor"}
        page = response.content.decode()
        for word in ("owner@example.com", "Romashka", "Olga", "Active", "editor"):
            assert word in page

    @pytest.mark.parametrize(
        "address", [URL, f"{URL}results/", f"{URL}1/block/", f"{URL}1/unblock/"]
    )
    def test_others_do_not(self, browser, owner, editor, address):
        for person in (owner, editor):
            response = browser(person).get(address)
            assert response.status_code == 302
            assert "owner@example.com" not in response.content.decode()
        assert browser().get(address).url.startswith("/accounts/login/")

    @pytest.mark.parametrize("query", ["ИВАН", "иванова ольга", "romash", "OWNER@"])
    def test_search_knows_names_company_and_e_mail_in_any_case(self, desk, owner, stranger, query):
        User.objects.filter(pk=owner.pk).update(first_name="Ольга", last_name="Иванова")
        assert names(desk.get(URL, {"q": query})) == ["owner"]

    @pytest.mark.parametrize("address", [URL, "/admin/users/"])
    def test_equal_rows_have_an_order(self, browser, administrator, address):
        """Pages would otherwise show a user twice or never."""
        people = [make_user(f"p{number}@example.com", company="Same") for number in range(3)]
        response = browser(administrator).get(address, {"ordering": "company"})
        found = [user.pk for user in response.context["object_list"] if user.company]
        assert found == sorted((user.pk for user in people), reverse=True)

    @pytest.mark.parametrize("query", ["(", "[a-", "%", "\\"])
    def test_search_takes_any_text(self, desk, owner, query):
        assert names(desk.get(URL, {"q": query})) == []

    def test_filter_by_status(self, desk, owner):
        make_user("blocked@example.com", is_active=False)
        User.objects.create_user("fresh@example.com")
        assert names(desk.get(URL, {"activation": "blocked"})) == ["blocked"]
        assert names(desk.get(URL, {"activation": "unconfirmed"})) == ["fresh"]

    @pytest.mark.parametrize(
        "ordering", ["email", "-email", "name", "company", "activation_status", "-date_joined"]
    )
    def test_sorting(self, desk, owner, stranger, ordering):
        response = desk.get(URL, {"ordering": ordering})
        assert set(names(response)) == {"manager", "owner", "stranger"}
        if ordering == "-email":
            assert names(response) == ["stranger", "owner", "manager"]

    def test_paging(self, desk):
        User.objects.bulk_create(User(email=f"u{n}@example.com") for n in range(60))
        assert len(names(desk.get(URL))) == 50
        assert len(names(desk.get(URL, {"p": 2}))) == 11

    def test_the_number_of_queries_does_not_grow_with_the_users(
        self, desk, django_assert_max_num_queries
    ):
        for n in range(20):
            make_user(f"u{n}@example.com")
        with django_assert_max_num_queries(30):
            desk.get(f"{URL}results/")


class TestBlocking:
    def test_a_blocked_user_is_logged_out_at_once_and_their_mailings_stop(
        self, desk, browser, owner, manager
    ):
        """P3: a manager blocks users."""
        person = browser(owner)
        mailing = make_mailing(owner)
        assert person.get("/accounts/profile/").status_code == 200

        response = desk.post(f"{URL}{owner.pk}/block/", {"reason": "Spam"})
        assert response.url == URL
        assert person.get("/accounts/profile/").status_code == 302
        assert person.get("/admin/").url == "/accounts/login/?next=/admin/"
        assert person.post("/accounts/profile/", {"company": "Changed"}).status_code == 302
        owner.refresh_from_db()
        assert (owner.activation, owner.company) == ("blocked", "Romashka")
        assert mailing not in Mailing.objects.allowed()

    def test_it_is_written_down_who_did_it_and_why(self, desk, owner, manager):
        desk.post(f"{URL}{owner.pk}/block/", {"reason": "Spam"})
        entry = ModelLogEntry.objects.get(action="accounts.block")
        assert (entry.user, entry.object_id, entry.data) == (
            manager,
            str(owner.pk),
            {"reason": "Spam"},
        )
        page = desk.get(f"{URL}{owner.pk}/unblock/").content.decode()
        assert "Blocked by Maria" in page
        assert "Reason: Spam" in page

    def test_a_get_only_asks(self, desk, owner):
        assert desk.get(f"{URL}{owner.pk}/block/").status_code == 200
        assert desk.head(f"{URL}{owner.pk}/block/").status_code == 200
        owner.refresh_from_db()
        assert owner.is_active

    def test_a_form_from_another_site_is_refused(self, browser, manager, owner):
        response = browser(manager, enforce_csrf_checks=True).post(f"{URL}{owner.pk}/block/")
        assert response.status_code == 403
        owner.refresh_from_db()
        assert owner.is_active

    def test_a_reason_is_one_line(self, desk, owner):
        response = desk.post(f"{URL}{owner.pk}/block/", {"reason": "two\nlines"})
        assert list(response.context["form"].errors) == ["reason"]
        owner.refresh_from_db()
        assert owner.is_active


class TestUnblocking:
    @pytest.fixture
    def blocked(self, owner):
        make_mailing(owner, starts_at=timezone.now() - timedelta(minutes=1))
        User.objects.filter(pk=owner.pk).update(is_active=False)
        owner.refresh_from_db()
        return owner

    def test_the_user_may_log_in_and_due_mailings_start_at_once(
        self, desk, browser, blocked, monkeypatch, django_capture_on_commit_callbacks
    ):
        rings = []
        monkeypatch.setattr("mailings.tasks.ring", lambda: rings.append(1))
        with django_capture_on_commit_callbacks(execute=True):
            desk.post(f"{URL}{blocked.pk}/unblock/")
        assert rings == [1]
        person = browser()
        person.post("/accounts/login/", {"login": blocked.email, "password": PASSWORD})
        assert person.get("/accounts/profile/").status_code == 200
        assert Mailing.objects.allowed().exists()

    def test_a_get_only_asks(self, desk, blocked):
        assert desk.get(f"{URL}{blocked.pk}/unblock/").status_code == 200
        blocked.refresh_from_db()
        assert not blocked.is_active


class TestWhoCannotBeBlocked:
    @pytest.mark.parametrize("who", ["manager", "colleague", "editor", "administrator"])
    @pytest.mark.parametrize("action", ["block", "unblock"])
    def test_managers_editors_administrators_and_oneself(self, desk, request, who, action):
        """P3: managers block users, and nobody else."""
        if who == "colleague":
            person = make_user("colleague@example.com", MANAGERS)
        else:
            person = request.getfixturevalue(who)
        for call in (desk.get, desk.post):
            assert call(f"{URL}{person.pk}/{action}/").status_code == 404
        person.refresh_from_db()
        assert person.is_active

    def test_a_user_who_became_a_manager_too(self, desk, owner):
        owner.groups.add(*make_user("m@example.com", MANAGERS).groups.all())
        assert desk.post(f"{URL}{owner.pk}/block/").status_code == 404

    def test_somebody_who_does_not_exist(self, desk):
        assert desk.post(f"{URL}99999/block/").status_code == 404

    def test_the_rule_holds_on_the_model_too(self, owner, stranger, administrator):
        assert not stranger.block(by=owner)
        assert not administrator.block(by=owner)
        assert not owner.block(by=owner)
        stranger.refresh_from_db()
        assert stranger.is_active


class TestWagtailsUserAdmin:
    @pytest.mark.parametrize("rest", ["", "new/", "edit/{pk}/", "delete/{pk}/", "history/{pk}/"])
    def test_a_manager_has_no_business_there(self, desk, owner, rest):
        """P3: blocking never goes through the form that could make an administrator."""
        address = "/admin/users/" + rest.format(pk=owner.pk)
        for call in (desk.get, desk.post):
            response = call(address, {"is_superuser": "on", "is_active": ""})
            assert response.status_code in (302, 403, 404)
        owner.refresh_from_db()
        assert owner.is_active
        assert not owner.is_superuser

    @pytest.mark.parametrize("action", ["delete", "set_active_state", "assign_role"])
    def test_nor_with_its_bulk_actions(self, desk, owner, action):
        response = desk.post(f"/admin/bulk/accounts/user/{action}/?id={owner.pk}", {"role": 1})
        assert response.status_code in (200, 302, 403, 404)
        owner.refresh_from_db()
        assert owner.is_active
        assert owner.groups.count() == 1


class TestMenu:
    def test_the_menu_item_is_the_managers_only(self, rf, manager, owner, editor):
        item = MemberViewSet().get_menu_item()
        for person, shown in ((manager, True), (owner, False), (editor, False)):
            request = rf.get("/admin/")
            request.user = person
            assert item.is_shown(request) is shown
