"""Runs that the engine paused: what their owner reads, and the button that lets them go on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from wagtail.models import ModelLogEntry

from conftest import make_client, make_mailing, make_user
from mailings import reasons, reports
from mailings.models import Attempt, Mailing

WORDS = "550 5.1.1 <petr@example.com>: user unknown"


@pytest.fixture
def attempt(owner) -> Attempt:
    """A run at work that was paused, because too many letters were refused."""
    mailing = make_mailing(owner, name="Spring sale", clients=[make_client(owner)])
    Mailing.objects.filter(pk=mailing.pk).update(status="started")
    attempt = Attempt.objects.create(
        mailing=mailing, slot=timezone.now(), planned=300, accepted=188, rejected=12
    )
    attempt.pause(reasons.TOO_MANY_REFUSED, WORDS, timezone.now())
    return attempt


def go_on(browser, user, attempt, method="post", **options):
    address = reverse("mailing:go_on", args=[attempt.pk])
    return getattr(browser(user), method)(address, **options)


def is_paused(attempt) -> bool:
    return Attempt.objects.get(pk=attempt.pk).paused_at is not None


def pages(attempt: Attempt) -> list[str]:
    """Return the addresses of all pages, and of parts of pages, with the notice and the button."""
    return [
        reverse("wagtailadmin_home"),
        reverse("mailing:running"),
        reverse("mailing:inspect", args=[attempt.mailing_id]),
        reverse("mailing:state", args=[attempt.mailing_id]),
        reverse("mailing:attempt", args=[attempt.pk]),
        reverse("mailing:attempt_progress", args=[attempt.pk]),
    ]


class TestNotice:
    def test_it_says_why_in_the_servers_words_and_has_one_button(self, browser, owner, attempt):
        """S5: the owner reads what happened and decides."""
        button = f'action="{reverse("mailing:go_on", args=[attempt.pk])}"'
        for url in pages(attempt):
            text = browser(owner).get(url).content.decode()
            assert "Paused: More than one letter in twenty was refused" in text
            assert "550 5.1.1 &lt;petr@example.com&gt;: user unknown" in text
            assert text.count(button) == 1

    def test_it_leads_to_the_refusals(self, browser, owner, attempt):
        address = reverse("mailing:attempt", args=[attempt.pk])
        for url in pages(attempt):
            assert f'href="{address}?status=rejected#' in browser(owner).get(url).content.decode()

    def test_it_goes_with_the_pause(self, browser, owner, attempt):
        attempt.go_on(by=owner)
        for url in pages(attempt):
            text = browser(owner).get(url).content.decode()
            assert "Paused:" not in text
            assert reverse("mailing:go_on", args=[attempt.pk]) not in text

    def test_a_run_that_is_over_is_not_paused(self, browser, owner, attempt):
        Attempt.objects.update(status="partial", skipped=100)
        for url in pages(attempt):
            assert "Paused:" not in browser(owner).get(url).content.decode()

    def test_a_manager_reads_no_address(self, browser, manager, attempt):
        """P3: and has the button, like the other switch of a mailing."""
        for url in pages(attempt):
            text = browser(manager).get(url).content.decode()
            assert "&lt;•••&gt;: user unknown" in text
            assert "petr@example.com" not in text
            assert reverse("mailing:go_on", args=[attempt.pk]) in text

    @pytest.mark.parametrize("reason", [
        reasons.TOO_MANY_REFUSED, reasons.LOGIN_REFUSED,
        reasons.QUOTA_REFUSED, reasons.POLICY_REFUSED,
    ])  # fmt: skip
    def test_the_reason_is_translated(self, browser, owner, attempt, monkeypatch, reason):
        monkeypatch.setattr("mailings.reports.gettext", lambda words: words.upper())
        Attempt.objects.update(paused_for=reason)
        page = reports.describe(Attempt.objects.get(), owner)
        assert page.pause_reason == reason.upper()


class TestLists:
    def test_the_attempts_of_a_mailing(self, browser, owner, attempt):
        fragment = browser(owner).get(reverse("mailing:runs", args=[attempt.mailing_id]))
        text = fragment.content.decode()
        assert "Paused: More than one letter in twenty was refused" in text
        assert "user unknown" in text
        assert "paused" in text
        assert "at work" not in text

    def test_mailings(self, browser, owner, stranger, attempt):
        reader = browser(owner)
        assert "paused" in reader.get(reverse("mailing:index")).content.decode()
        Attempt.objects.get().go_on(by=owner)
        assert "paused" not in reader.get(reverse("mailing:index")).content.decode()

    def test_the_dashboard_shows_paused_runs_first(self, owner, attempt):
        now = timezone.now()
        Attempt.objects.bulk_create(
            Attempt(mailing=attempt.mailing, slot=now + timedelta(days=n + 1), started_at=now)
            for n in range(12)
        )
        rows = reports.running(Attempt.objects.all(), owner)
        assert len(rows) == 10
        assert rows[0] == attempt


class TestButton:
    def test_the_owner_lets_it_go_on(self, browser, owner, attempt):
        response = go_on(browser, owner, attempt, follow=True)
        assert response.redirect_chain[-1][0] == reverse(
            "mailing:inspect", args=[attempt.mailing_id]
        )
        assert "The mailing goes on." in response.content.decode()
        attempt.refresh_from_db()
        assert (attempt.paused_at, attempt.paused_for) == (None, "")
        assert attempt.brake_released

    def test_letters_wait_no_longer(
        self, browser, owner, attempt, monkeypatch, django_capture_on_commit_callbacks
    ):
        rings = []
        monkeypatch.setattr("mailings.tasks.ring", lambda: rings.append(1))
        later = timezone.now() + timedelta(hours=1)
        chunk = attempt.chunks.create(first_id=1, last_id=2, due_at=later)
        with django_capture_on_commit_callbacks(execute=True):
            go_on(browser, owner, attempt)
        chunk.refresh_from_db()
        assert chunk.due_at <= timezone.now()
        assert rings == [1]

    def test_a_manager_does_so_and_leaves_a_trace(self, browser, manager, attempt):
        """P3: managers have the switches of any mailing."""
        go_on(browser, manager, attempt)
        assert not is_paused(attempt)
        assert ModelLogEntry.objects.get(action="mailings.go_on").user == manager

    def test_twice_is_once(self, browser, owner, attempt):
        go_on(browser, owner, attempt)
        response = go_on(browser, owner, attempt, follow=True)
        assert "The mailing goes on." in response.content.decode()
        assert ModelLogEntry.objects.filter(action="mailings.go_on").count() == 1

    def test_a_run_that_never_stood_is_left_alone(self, browser, owner, attempt):
        Attempt.objects.update(paused_at=None, paused_for="")
        go_on(browser, owner, attempt)
        assert not Attempt.objects.get().brake_released

    def test_nothing_goes_on_that_is_over(self, browser, owner, attempt):
        Attempt.objects.update(status="partial", skipped=100)
        response = go_on(browser, owner, attempt, follow=True)
        assert response.status_code == 200
        assert "goes on" not in response.content.decode()

    def test_a_mere_link_does_nothing(self, browser, owner, attempt):
        assert go_on(browser, owner, attempt, "get").status_code == 405
        assert is_paused(attempt)

    @pytest.mark.parametrize("page", range(6))
    def test_it_carries_a_csrf_token(self, browser, owner, attempt, page):
        reader = browser(owner, enforce_csrf_checks=True)
        address = reverse("mailing:go_on", args=[attempt.pk])
        assert reader.post(address).status_code == 403
        assert is_paused(attempt)
        text = reader.get(pages(attempt)[page]).content.decode()
        form = text.partition(f'action="{address}"')[2].partition("</form>")[0]
        token = form.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        assert reader.post(address, {"csrfmiddlewaretoken": token}).status_code == 302
        assert not is_paused(attempt)


class TestOthers:
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_strangers_and_editors_find_nothing(self, browser, stranger, editor, attempt, method):
        """P6: somebody else's row answers 404."""
        for user in (stranger, editor):
            assert go_on(browser, user, attempt, method).status_code == 404
        assert is_paused(attempt)

    def test_nor_who_may_only_look(self, browser, attempt):
        auditor = make_user("auditor@example.com", None)
        codes = ("access_admin", "view_mailing")
        auditor.user_permissions.set(Permission.objects.filter(codename__in=codes))
        text = browser(auditor).get(pages(attempt)[4]).content.decode()
        assert "Paused:" in text
        assert "/go-on/" not in text
        assert go_on(browser, auditor, attempt).status_code == 404
        assert is_paused(attempt)

    def test_anonymous_readers_are_led_to_the_login(self, browser, attempt):
        assert "/accounts/login/" in go_on(browser, None, attempt).url
        assert is_paused(attempt)
