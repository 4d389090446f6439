from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.urls import reverse

from accounts.forms import SignupForm
from accounts.models import User
from accounts.tests.letters import link_in, only_letter

URL = "/accounts/signup/"
SENT = "/accounts/confirm-email/"
FORM = {
    "email": "New@Example.com",
    "company": "Romashka",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
}

pytestmark = pytest.mark.django_db


class TestSignup:
    def test_a_newcomer_becomes_an_unconfirmed_user(self, browser):
        """P1: a newcomer registers by e-mail, without a user name."""
        response = browser().post(URL, FORM)
        assert response.url == SENT
        user = User.objects.get()
        assert (user.email, user.company) == ("new@example.com", "Romashka")
        assert [group.name for group in user.groups.all()] == ["Users"]
        assert user.activation == User.Activation.UNCONFIRMED

    def test_the_form_asks_for_no_user_name(self, browser):
        """P1: registration asks for e-mail, company and password only."""
        form = browser().get(URL).context["form"]
        assert list(form.fields) == ["email", "company", "password1", "password2"]

    def test_nothing_opens_before_the_confirmation(self, browser):
        """P1: the mailbox is confirmed before anything else."""
        newcomer = browser()
        newcomer.post(URL, FORM)
        assert newcomer.get("/admin/").url.startswith("/accounts/login/")
        assert newcomer.get("/accounts/profile/").url.startswith("/accounts/login/")
        response = newcomer.post(
            "/accounts/login/", {"login": FORM["email"], "password": FORM["password1"]}
        )
        assert response.url == SENT
        assert "_auth_user_id" not in newcomer.session

    def test_a_letter_with_a_link_goes_out_as_text_and_html(self, browser):
        browser().post(URL, FORM)
        letter = only_letter()
        assert letter.to == ["new@example.com"]
        assert letter.subject == "Confirm your e-mail"
        assert link_in(letter).startswith("/accounts/confirm-email/")
        assert "Romashka" not in letter.body, "a stranger's words would travel in our letter"

    def test_the_newcomer_keeps_the_language_of_the_page(self, browser):
        browser(headers={"accept-language": "ru"}).post(URL, FORM)
        assert User.objects.get().language == "ru"


class TestKnownAddress:
    def answer(self, browser, email):
        response = browser().post(URL, {**FORM, "email": email}, follow=True)
        return response.redirect_chain, response.status_code, response.content

    def test_the_answer_is_the_same_and_a_letter_goes_out_too(self, browser, owner):
        new = self.answer(browser, "new@example.com")
        assert self.answer(browser, "OWNER@example.com") == new
        assert [letter.to for letter in mail.outbox] == [["new@example.com"], ["owner@example.com"]]
        assert mail.outbox[1].subject == "You already have an account"
        assert User.objects.count() == 2

    def test_an_address_taken_in_the_same_moment_is_no_error(self, browser, owner, monkeypatch):
        monkeypatch.setattr(SignupForm, "validate_unique_email", lambda self, value: value)
        response = browser().post(URL, {**FORM, "email": owner.email})
        assert response.url == SENT
        assert User.objects.count() == 1


class TestBadInput:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", "no-address"),
            ("email", "a@b"),
            ("email", "a" * 250 + "@example.com"),
            ("email", "line\nbreak@example.com"),
            ("company", "Romashka\nBcc: everybody@example.com"),
            ("company", "bell\x07"),
            ("company", "x" * 151),
            ("company", "  "),
            ("password1", "12345678"),
        ],
    )
    def test_the_error_stands_beside_the_field_and_nothing_is_saved(self, browser, field, value):
        form = {**FORM, field: value}
        if field == "password1":
            form["password2"] = value
        response = browser().post(URL, form)
        assert response.status_code == 200
        assert list(response.context["form"].errors) == [field]
        assert not User.objects.exists()
        assert not mail.outbox

    def test_an_over_large_post_is_refused(self, browser):
        response = browser().post(URL, {**FORM, "company": "x" * 6_000_000})
        assert response.status_code in (400, 413)
        assert not User.objects.exists()

    def test_signing_up_saves_all_rows_or_none(self, browser):
        Group.objects.filter(name="Users").delete()
        with pytest.raises(Group.DoesNotExist):
            browser().post(URL, FORM)
        assert not User.objects.exists()

    def test_too_many_sign_ups_from_one_place_are_refused(self, browser, settings):
        settings.ACCOUNT_RATE_LIMITS = {"signup": "1/m/ip"}
        browser().post(URL, FORM)
        response = browser().post(URL, {**FORM, "email": "second@example.com"})
        assert response.status_code == 429
        assert "Too many attempts" in response.content.decode()


def test_the_page_leads_to_the_log_in(browser):
    assert reverse("account_login") in browser().get(URL).content.decode()
