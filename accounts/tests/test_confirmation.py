from __future__ import annotations

import ast
from datetime import timedelta

import pytest
from django.core import mail, signing
from django.utils import timezone
from django_q.models import Schedule

from accounts import tasks
from accounts.models import User
from accounts.tests.letters import link_in, only_letter
from accounts.tests.test_signup import FORM, URL

pytestmark = pytest.mark.django_db


@pytest.fixture
def newcomer(browser):
    person = browser()
    person.post(URL, FORM)
    return person


class TestConfirming:
    def test_the_button_confirms_logs_in_and_leads_to_the_workspace(self, newcomer):
        """P1: the mailbox is confirmed by the link in the letter."""
        response = newcomer.post(link_in(only_letter()))
        assert response.url == "/dashboard/"
        user = User.objects.get()
        assert user.activation == User.Activation.ACTIVE
        assert newcomer.session["_auth_user_id"] == str(user.pk)

    @pytest.mark.parametrize("method", ["get", "head"])
    def test_opening_the_link_changes_nothing(self, newcomer, method):
        response = getattr(newcomer, method)(link_in(only_letter()))
        assert response.status_code == 200
        assert User.objects.get().activation == User.Activation.UNCONFIRMED

    def test_in_another_browser_it_confirms_without_logging_in(self, newcomer, browser):
        other = browser()
        response = other.post(link_in(only_letter()))
        assert response.url == "/accounts/login/"
        assert User.objects.get().activation == User.Activation.ACTIVE
        assert "_auth_user_id" not in other.session

    def test_opening_it_does_not_log_out_somebody_else(self, newcomer, browser, stranger):
        other = browser(stranger)
        other.get(link_in(only_letter()))
        assert other.session["_auth_user_id"] == str(stranger.pk)


class TestBadLinks:
    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize("key", ["nonsense", "MTI:abc:def", "MTI"])
    def test_a_wrong_link_is_a_clear_page(self, browser, method, key):
        response = getattr(browser(), method)(f"/accounts/confirm-email/{key}/")
        assert response.status_code == 404
        assert "This link does not work" in response.content.decode()

    def test_a_used_link(self, newcomer):
        link = link_in(only_letter())
        newcomer.post(link)
        assert newcomer.post(link).status_code == 404

    def test_an_expired_link(self, newcomer, monkeypatch):
        link = link_in(only_letter())
        later = timezone.now() + timedelta(days=3, minutes=1)
        monkeypatch.setattr(signing.time, "time", later.timestamp)
        assert newcomer.get(link).status_code == 404
        assert newcomer.post(link).status_code == 404
        assert User.objects.get().activation == User.Activation.UNCONFIRMED


class TestMailServerDown:
    @pytest.fixture(autouse=True)
    def down(self, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9

    def test_signing_up_works_and_says_that_the_letter_may_take_a_while(self, browser):
        """S5: a mail server that refuses connections does not hurt the site."""
        response = browser().post(URL, FORM, follow=True)
        assert response.status_code == 200
        assert "may take a while" in response.content.decode()
        assert User.objects.exists()

    def test_the_letter_goes_out_later(self, browser, settings):
        browser().post(URL, FORM)
        plan = Schedule.objects.get(func="accounts.tasks.send_letter")
        assert timedelta(0) < plan.next_run - timezone.now() <= tasks.DELAYS[0]

        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        run(plan)
        assert only_letter().to == ["new@example.com"]
        assert browser().post(link_in(mail.outbox[0])).url == "/accounts/login/"

    def test_it_is_tried_again_with_longer_pauses_and_given_up_at_last(self, browser):
        browser().post(URL, FORM)
        for delay in tasks.DELAYS:
            plan = Schedule.objects.get(func="accounts.tasks.send_letter")
            left = plan.next_run - timezone.now()
            assert delay - timedelta(minutes=1) < left <= delay
            plan.delete()
            run(plan)
        assert not Schedule.objects.filter(func="accounts.tasks.send_letter").exists()


def run(plan):
    """Do what django-q2's scheduler and worker do with a schedule."""
    assert plan.func == "accounts.tasks.send_letter"
    tasks.send_letter(*ast.literal_eval(plan.args))
