from __future__ import annotations

import pytest
from django.core import mail

from accounts.models import User
from accounts.tests.letters import link_in
from conftest import PASSWORD

URL = "/accounts/email/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(browser, owner):
    """A browser in which the owner has just typed the password."""
    client = browser(owner)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def ask_for(person, email):
    return person.post(URL, {"action_add": "", "email": email})


class TestChange:
    def test_the_new_mailbox_is_confirmed_before_it_counts(self, person, owner):
        """P1: a change of e-mail is confirmed again."""
        ask_for(person, "Fresh@Example.com")
        owner.refresh_from_db()
        assert owner.email == "owner@example.com"
        assert mail.outbox[0].to == ["fresh@example.com"]

        person.post(link_in(mail.outbox[0]))
        owner.refresh_from_db()
        assert owner.email == "fresh@example.com"
        assert [row.email for row in owner.emailaddress_set.all()] == ["fresh@example.com"]
        assert owner.activation == User.Activation.ACTIVE

    def test_the_field_asks_for_the_new_address(self, person):
        assert "New e-mail" in person.get(URL).text

    def test_the_old_mailbox_is_told(self, person, owner):
        ask_for(person, "fresh@example.com")
        person.post(link_in(mail.outbox.pop()))
        assert mail.outbox[0].to == ["owner@example.com"]
        assert "fresh@example.com" in mail.outbox[0].body

    def test_it_can_be_taken_back(self, person, owner):
        ask_for(person, "fresh@example.com")
        person.post(URL, {"action_remove": "", "email": "fresh@example.com"})
        assert person.get(link_in(mail.outbox[0])).status_code == 404
        owner.refresh_from_db()
        assert owner.email == "owner@example.com"

    def test_it_asks_for_the_password_first(self, browser, owner):
        client = browser(owner)
        response = ask_for(client, "fresh@example.com")
        assert response.url.startswith("/accounts/reauthenticate/")
        assert not mail.outbox
        assert client.get(response.url).status_code == 200

        client.post(response.url, {"password": PASSWORD, "next": URL})
        assert mail.outbox[0].to == ["fresh@example.com"]


class TestTakenAddress:
    def test_the_page_does_not_tell_and_the_link_does_nothing(self, person, owner, stranger):
        response = ask_for(person, stranger.email)
        assert response.status_code == 302
        link = link_in(mail.outbox[0])
        assert person.get(link).status_code == 200
        person.post(link)
        owner.refresh_from_db()
        assert owner.email == "owner@example.com"

    def test_an_address_of_somebody_who_has_not_confirmed_is_no_error(self, person, owner):
        ask_for(person, "fresh@example.com")
        User.objects.create_user("fresh@example.com", PASSWORD)
        assert person.post(link_in(mail.outbox[0])).status_code == 302
        assert "another account uses it" in person.get("/accounts/profile/").content.decode()
        owner.refresh_from_db()
        assert owner.email == "owner@example.com"


@pytest.mark.parametrize("email", ["nonsense", "a" * 250 + "@example.com", "owner@example.com"])
def test_a_bad_address_is_refused_beside_the_field(person, email):
    response = ask_for(person, email)
    assert list(response.context["form"].errors) == ["email"]
    assert not mail.outbox


class TestPasswordChange:
    def test_it_needs_the_old_one(self, person, owner):
        form = {"oldpassword": "wrong", "password1": "another horse", "password2": "another horse"}
        response = person.post("/accounts/password/change/", form)
        assert list(response.context["form"].errors) == ["oldpassword"]

    def test_it_changes_and_the_user_stays_logged_in(self, person, owner):
        form = {"oldpassword": PASSWORD, "password1": "another horse", "password2": "another horse"}
        person.post("/accounts/password/change/", form)
        owner.refresh_from_db()
        assert owner.check_password("another horse")
        assert person.get("/accounts/profile/").status_code == 200
        assert mail.outbox[0].subject == "Your password is changed"
