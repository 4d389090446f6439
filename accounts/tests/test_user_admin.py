from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group

from accounts.models import MANAGERS, User
from conftest import make_client, make_mailing, make_user
from mailings.models import Client, Mailing, Message

URL = "/admin/users/"
PASSWORD = "another horse battery"

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(browser, administrator):
    return browser(administrator)


def form(**fields):
    filled = {
        "email": "new@example.com",
        "first_name": "Nina",
        "last_name": "Novikova",
        "company": "Lilia",
        "phone": "+79123456789",
        "is_active": "on",
        "groups": [Group.objects.get(name=MANAGERS).pk],
    }
    return {**filled, **fields}


class TestListing:
    def test_it_shows_company_role_and_status(self, desk, owner):
        """P5: administrators look after users; the activation status is visible to them."""
        page = desk.get(URL).content.decode()
        for word in ("owner@example.com", "Romashka", "administrator", "Active"):
            assert word in page

    @pytest.mark.parametrize("query", ["ольг", "ромашка"])
    def test_search(self, desk, owner, query):
        User.objects.filter(pk=owner.pk).update(first_name="Ольга", company="Ромашка")
        found = desk.get(URL, {"q": query}).context["object_list"]
        assert [user.pk for user in found] == [owner.pk]

    def test_filter_by_status(self, desk):
        blocked = make_user("blocked@example.com", is_active=False)
        found = desk.get(URL, {"activation": "blocked"}).context["object_list"]
        assert list(found) == [blocked]


class TestCreate:
    def test_the_new_user_counts_as_confirmed_and_may_log_in(self, desk, browser):
        """P5: administrators create users."""
        passwords = {"password1": PASSWORD, "password2": PASSWORD}
        desk.post(f"{URL}new/", form(email="New@Example.com", **passwords))
        user = User.objects.get(email="new@example.com")
        assert (user.company, user.phone.as_e164) == ("Lilia", "+79123456789")
        assert user.role_names == "manager"
        assert user.activation == User.Activation.ACTIVE
        person = browser()
        person.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
        assert person.get("/accounts/profile/").status_code == 200

    def test_the_form_proposes_the_plain_role(self, desk):
        proposed = desk.get(f"{URL}new/").context["form"]["groups"].initial
        assert [group.name for group in proposed] == ["Users"]

    def test_the_form_shows_our_fields(self, desk):
        page = desk.get(f"{URL}new/").content.decode()
        assert 'name="company"' in page
        assert 'name="phone"' in page

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "OWNER@example.com"),
            ("email", "nonsense"),
            ("email", "a" * 250 + "@example.com"),
            ("first_name", "two\nlines"),
            ("company", "bell\x07"),
            ("phone", "12"),
        ],
    )
    def test_bad_input(self, desk, owner, field, value):
        passwords = {"password1": PASSWORD, "password2": PASSWORD}
        response = desk.post(f"{URL}new/", form(**passwords, **{field: value}))
        assert response.status_code == 200
        assert response.context["form"].errors
        assert User.objects.count() == 2


class TestEdit:
    def test_a_new_e_mail_counts_as_confirmed_and_the_old_one_is_forgotten(self, desk, owner):
        """P5: administrators edit users."""
        EmailAddress.objects.create(user=owner, email="pending@example.com")
        desk.post(f"{URL}edit/{owner.pk}/", form(email="moved@example.com"))
        owner.refresh_from_db()
        assert (owner.email, owner.first_name) == ("moved@example.com", "Nina")
        rows = owner.emailaddress_set.values_list("email", "verified", "primary")
        assert list(rows) == [("moved@example.com", True, True)]

    def test_other_changes_do_not_confirm_a_mailbox(self, desk):
        fresh = User.objects.create_user("fresh@example.com")
        desk.post(f"{URL}edit/{fresh.pk}/", form(email=fresh.email))
        fresh.refresh_from_db()
        assert fresh.company == "Lilia"
        assert fresh.activation == User.Activation.UNCONFIRMED

    def test_letting_a_user_in_again_wakes_their_mailings(
        self, desk, owner, monkeypatch, django_capture_on_commit_callbacks
    ):
        rings = []
        monkeypatch.setattr("mailings.tasks.ring", lambda: rings.append(1))
        User.objects.filter(pk=owner.pk).update(is_active=False)
        with django_capture_on_commit_callbacks(execute=True):
            desk.post(f"{URL}edit/{owner.pk}/", form(email=owner.email))
        owner.refresh_from_db()
        assert owner.is_active
        assert rings == [1]


class TestLimit:
    """An administrator sets how many letters a minute a company may send."""

    @pytest.mark.parametrize(("typed", "stored"), [("600", 600), ("1", 1), ("", None)])
    def test_it_is_set_and_taken_away(self, desk, owner, typed, stored):
        User.objects.filter(pk=owner.pk).update(letters_per_minute=30)
        assert 'name="letters_per_minute"' in desk.get(f"{URL}edit/{owner.pk}/").content.decode()
        desk.post(f"{URL}edit/{owner.pk}/", form(email=owner.email, letters_per_minute=typed))
        owner.refresh_from_db()
        assert owner.letters_per_minute == stored

    @pytest.mark.parametrize("typed", ["0", "-5", "1.5", "many", "9" * 25])
    def test_nonsense_is_refused(self, desk, owner, typed):
        response = desk.post(
            f"{URL}edit/{owner.pk}/", form(email=owner.email, letters_per_minute=typed)
        )
        assert response.context["form"].errors["letters_per_minute"]
        owner.refresh_from_db()
        assert owner.letters_per_minute is None

    def test_a_new_company_can_have_one_at_once(self, desk):
        passwords = {"password1": PASSWORD, "password2": PASSWORD}
        desk.post(f"{URL}new/", form(letters_per_minute="60", **passwords))
        assert User.objects.get(email="new@example.com").letters_per_minute == 60


class TestDelete:
    def test_a_user_goes_with_all_their_data(self, desk, owner, stranger):
        """P5: administrators delete users."""
        make_mailing(owner, clients=[make_client(owner)])
        kept = make_mailing(stranger, clients=[make_client(stranger)])
        assert "all clients" in desk.get(f"{URL}delete/{owner.pk}/").content.decode()
        desk.post(f"{URL}delete/{owner.pk}/")
        assert not User.objects.filter(pk=owner.pk).exists()
        assert list(Mailing.objects.all()) == [kept]
        assert (Client.objects.count(), Message.objects.count()) == (1, 1)

    def test_several_at_once(self, desk, owner, stranger):
        make_mailing(owner, clients=[make_client(owner)])
        address = f"/admin/bulk/accounts/user/delete/?id={owner.pk}&id={stranger.pk}"
        desk.post(address)
        assert not User.objects.filter(pk__in=[owner.pk, stranger.pk]).exists()
        assert not Mailing.objects.exists()


@pytest.mark.parametrize("who", ["owner", "editor"])
@pytest.mark.parametrize("rest", ["", "new/", "edit/{pk}/", "delete/{pk}/", "history/{pk}/"])
def test_others_have_no_business_there(browser, request, stranger, who, rest):
    """P5: only administrators create, edit and delete users."""
    person = browser(request.getfixturevalue(who))
    for call in (person.get, person.post):
        response = call(URL + rest.format(pk=stranger.pk), form())
        assert response.status_code in (302, 403, 404)
    stranger.refresh_from_db()
    assert stranger.email == "stranger@example.com"
    assert not User.objects.filter(email="new@example.com").exists()
