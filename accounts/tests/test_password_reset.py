from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import mail
from django_q.models import Schedule
from wagtail.users.models import UserProfile

from accounts.models import User
from accounts.tests.letters import link_in, only_letter
from conftest import PASSWORD

URL = "/accounts/password/reset/"
NEW = {"password1": "another horse battery", "password2": "another horse battery"}

pytestmark = pytest.mark.django_db


def ask(browser, email):
    return browser().post(URL, {"email": email}, follow=True)


def open_link(person) -> str:
    """Open the link of the only letter; return the address of the form behind it."""
    return person.get(link_in(only_letter())).url


class TestReset:
    def test_a_lost_password_is_recovered_by_a_letter(self, browser, owner):
        """P1: a user recovers a lost password. I2: password recovery."""
        ask(browser, owner.email)
        person = browser()
        response = person.post(open_link(person), NEW)
        assert response.url == "/accounts/password/reset/key/done/"
        owner.refresh_from_db()
        assert owner.check_password(NEW["password1"])

    def test_the_key_does_not_stay_in_the_address(self, browser, owner):
        ask(browser, owner.email)
        assert open_link(browser()).endswith("-set-password/")

    def test_the_owner_is_told_afterwards(self, browser, owner):
        ask(browser, owner.email)
        person = browser()
        address = open_link(person)
        mail.outbox.clear()
        person.post(address, NEW)
        assert only_letter().subject == "Your password is changed"
        assert link_in(only_letter()) == URL

    def test_a_letter_speaks_the_language_of_its_reader(self, browser, owner):
        UserProfile.objects.create(user=owner, preferred_language="ru")
        ask(browser, owner.email)
        assert '<html lang="ru">' in only_letter().alternatives[0][0]

    def test_other_sessions_end(self, browser, owner):
        elsewhere = browser(owner)
        ask(browser, owner.email)
        person = browser()
        person.post(open_link(person), NEW)
        assert elsewhere.get("/accounts/profile/").status_code == 302

    def test_an_account_without_a_password_gets_one(self, browser, owner):
        owner.set_unusable_password()
        owner.save()
        person = browser(owner)
        assert "At least 8 characters" in person.get("/accounts/password/set/").text
        person.post("/accounts/password/set/", NEW)
        owner.refresh_from_db()
        assert owner.check_password(NEW["password1"])


class TestUnknownAddress:
    def test_the_answer_is_the_same_and_a_letter_goes_out_too(self, browser, owner):
        known, unknown = ask(browser, owner.email), ask(browser, "nobody@example.com")
        assert known.redirect_chain == unknown.redirect_chain
        assert known.content == unknown.content
        assert [letter.to[0] for letter in mail.outbox] == [owner.email, "nobody@example.com"]

    def test_a_mail_server_that_is_down_gives_nothing_away_either(self, browser, owner, settings):
        """S5: a mail server that refuses connections does not hurt the site."""
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        known, unknown = ask(browser, owner.email), ask(browser, "nobody@example.com")
        assert known.status_code == 200
        assert "may take a while" in known.content.decode()
        assert known.content == unknown.content
        assert Schedule.objects.filter(func="accounts.tasks.send_letter").count() == 2

    def test_too_many_letters_to_one_mailbox_are_refused(self, browser, owner):
        for _ in range(5):
            ask(browser, owner.email)
        assert ask(browser, owner.email).status_code == 429
        assert len(mail.outbox) == 5


class TestBadLinks:
    @pytest.mark.parametrize(
        "key", ["1-nonsense", "zzzzzzzzzzzzzzz-abc-def", "1-set-password", "0-a"]
    )
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_wrong_link_is_a_clear_page(self, browser, owner, method, key):
        response = getattr(browser(), method)(f"/accounts/password/reset/key/{key}/", NEW)
        assert response.status_code == 404
        assert "This link does not work" in response.content.decode()

    def test_a_used_link(self, browser, owner):
        ask(browser, owner.email)
        link = link_in(only_letter())
        person = browser()
        person.post(open_link(person), NEW)
        assert browser().get(link).status_code == 404

    def test_an_expired_link(self, browser, owner, monkeypatch):
        ask(browser, owner.email)
        later = datetime.now() + timedelta(days=3, minutes=1)
        monkeypatch.setattr(PasswordResetTokenGenerator, "_now", lambda self: later)
        assert browser().get(link_in(only_letter())).status_code == 404

    def test_a_weak_password_is_refused_beside_the_field(self, browser, owner):
        ask(browser, owner.email)
        person = browser()
        response = person.post(open_link(person), {"password1": "123", "password2": "123"})
        assert list(response.context["form"].errors) == ["password1"]
        owner.refresh_from_db()
        assert owner.check_password(PASSWORD)


class TestBlocked:
    def test_a_blocked_user_cannot_reset_into_a_session(self, browser, owner):
        """P3: a blocked user is kept out, also by an older link."""
        ask(browser, owner.email)
        User.objects.filter(pk=owner.pk).update(is_active=False)
        person = browser()
        person.post(open_link(person), NEW)
        assert person.get("/accounts/profile/").status_code == 302
        assert "_auth_user_id" not in person.session

    def test_a_blocked_user_gets_no_link(self, browser, owner):
        User.objects.filter(pk=owner.pk).update(is_active=False)
        ask(browser, owner.email)
        assert "/password/reset/key/" not in only_letter().body
