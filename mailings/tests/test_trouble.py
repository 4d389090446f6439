"""The notice that the mail server is out of order: who sees it, where, and in what words."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone, translation
from wagtail.users.models import UserProfile

from conftest import make_client, make_mailing
from mailings import reasons, reports
from mailings.models import Attempt, Mailing, MailServer

NOTICE = "Mail server unavailable since"
NOON = datetime.fromisoformat("2030-05-06T12:10:00+03:00")


@pytest.fixture
def attempt(owner) -> Attempt:
    """A run at work, with letters still to send."""
    mailing = make_mailing(owner, clients=[make_client(owner)])
    return Attempt.objects.create(mailing=mailing, slot=timezone.now(), planned=2, accepted=1)


@pytest.fixture
def broken(db, settings) -> MailServer:
    """The mail server that the settings name takes no letters."""
    now = timezone.now()
    return MailServer.objects.create(
        name=f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}",
        trouble_since=now, next_try_at=now + timedelta(minutes=5), failures=3,
        response="421 4.3.2 <anna@other.example>: shutting down",
    )  # fmt: skip


def pages(attempt: Attempt) -> list[str]:
    """Return the addresses of all pages, and of parts of pages, that show the notice."""
    return [
        reverse("wagtailadmin_home"),
        reverse("mailing:trouble"),
        reverse("mailing:inspect", args=[attempt.mailing_id]),
        reverse("mailing:state", args=[attempt.mailing_id]),
        reverse("mailing:attempt", args=[attempt.pk]),
        reverse("mailing:attempt_progress", args=[attempt.pk]),
    ]


def noticed(browser, user, attempt: Attempt) -> list[int]:
    """Return how often the notice stands on each page."""
    reader = browser(user)
    return [reader.get(url).content.decode().count(NOTICE) for url in pages(attempt)]


EVERYWHERE, NOWHERE = [1] * 6, [0] * 6


class TestWhoSeesIt:
    """S5: people are told of the mail server's trouble where it concerns them."""

    def test_nobody_while_all_is_well(self, browser, owner, administrator, attempt, broken):
        broken.report_success()
        assert noticed(browser, owner, attempt) == NOWHERE
        assert noticed(browser, administrator, attempt) == NOWHERE

    def test_the_owner_of_a_mailing_at_work(self, browser, owner, attempt, broken):
        assert noticed(browser, owner, attempt) == EVERYWHERE

    def test_the_owner_of_a_mailing_that_is_due(self, browser, owner, broken):
        mailing = make_mailing(owner, starts_at=timezone.now() - timedelta(minutes=1))
        for name, args in (("wagtailadmin_home", []), ("mailing:inspect", [mailing.pk])):
            assert NOTICE in browser(owner).get(reverse(name, args=args)).content.decode()

    def test_managers_and_administrators(self, browser, manager, administrator, attempt, broken):
        """P3, I3: they look after the service."""
        assert noticed(browser, manager, attempt) == EVERYWHERE
        assert noticed(browser, administrator, attempt) == EVERYWHERE

    def test_managers_also_when_nothing_waits_for_it(self, browser, manager, attempt, broken):
        Attempt.objects.update(status="partial", unknown=1)
        assert noticed(browser, manager, attempt) == [1, 1, 0, 0, 0, 0]

    @pytest.mark.parametrize(
        "change",
        [
            {"status": "partial", "unknown": 1},
            {"paused_at": NOON, "paused_for": reasons.QUOTA_REFUSED},
        ],
        ids=["over", "paused"],
    )
    def test_no_owner_whose_run_does_not_wait_for_it(self, browser, owner, attempt, broken, change):
        Attempt.objects.update(**change)
        assert noticed(browser, owner, attempt) == NOWHERE

    def test_no_owner_whose_mailing_is_switched_off(self, browser, owner, attempt, broken):
        Mailing.objects.update(is_active=False)
        assert noticed(browser, owner, attempt) == NOWHERE

    def test_no_stranger_and_no_editor(self, browser, stranger, editor, attempt, broken):
        """P6: a mailing at work is its owner's business."""
        for user in (stranger, editor):
            for url in (reverse("wagtailadmin_home"), reverse("mailing:trouble")):
                assert NOTICE not in browser(user).get(url).content.decode()

    def test_nobody_once_letters_go_to_another_server(
        self, browser, owner, manager, attempt, broken, settings
    ):
        settings.EMAIL_HOST = "new.example"
        assert noticed(browser, owner, attempt) == NOWHERE
        assert noticed(browser, manager, attempt) == NOWHERE


class TestWords:
    @pytest.fixture(autouse=True)
    def ten_past_noon(self, monkeypatch):
        """What `reports` takes for the present moment."""
        clock = SimpleNamespace(
            now=lambda: NOON,
            localtime=timezone.localtime,
            localdate=lambda: timezone.localdate(NOON),
        )
        monkeypatch.setattr("mailings.reports.timezone", clock)

    def headline(self, since: datetime, next_try: datetime | None) -> str:
        with translation.override("en"), timezone.override("Europe/Moscow"):
            return reports.Trouble(since, next_try, "").headline

    def test_since_when_and_until_when(self):
        words = self.headline(NOON - timedelta(minutes=6), NOON + timedelta(minutes=3))
        assert words == f"{NOTICE} 12:04 p.m., next try 12:13 p.m."

    def test_the_date_where_it_is_not_today(self):
        words = self.headline(NOON - timedelta(days=1), NOON + timedelta(minutes=3))
        assert words == f"{NOTICE} May 5, 2030, 12:10 p.m., next try 12:13 p.m."

    @pytest.mark.parametrize("next_try", [None, NOON - timedelta(minutes=1)])
    def test_a_try_that_is_due(self, next_try):
        words = self.headline(NOON - timedelta(minutes=6), next_try)
        assert words == f"{NOTICE} 12:04 p.m., next try with the next letter"

    def test_in_the_readers_zone(self, browser, manager, broken):
        UserProfile.objects.create(user=manager, current_time_zone="Asia/Vladivostok")
        MailServer.objects.update(trouble_since=NOON, next_try_at=NOON + timedelta(minutes=3))
        text = browser(manager).get(reverse("mailing:trouble")).content.decode()
        assert "since 7:10 p.m., next try 7:13 p.m.<" in text

    def test_the_servers_words_without_anybodys_address(
        self, browser, owner, manager, administrator, attempt, broken
    ):
        """P6: they may be about a letter of another company."""
        for user in (owner, manager, administrator):
            for url in pages(attempt):
                text = browser(user).get(url).content.decode()
                assert "421 4.3.2 &lt;•••&gt;: shutting down" in text
                assert "anna@other.example" not in text

    def test_what_servers_say_is_never_markup(self, browser, manager, broken):
        MailServer.objects.update(response="<script>")
        text = browser(manager).get(reverse("mailing:trouble")).content.decode()
        assert "&lt;script&gt;" in text


class TestRefreshing:
    def part(self, browser, user) -> str:
        return browser(user).get(reverse("mailing:trouble")).content.decode()

    def test_it_comes_and_goes_while_letters_go_out(self, browser, owner, attempt):
        assert f'data-refresh="{reverse("mailing:trouble")}"' in self.part(browser, owner)

    def test_it_rests_where_nothing_happens(self, browser, owner, stranger, attempt, broken):
        assert "data-refresh" not in self.part(browser, stranger)
        Attempt.objects.update(status="partial", unknown=1)
        assert "data-refresh" not in self.part(browser, owner)

    def test_the_head_of_a_mailing_follows_the_run(self, browser, owner, attempt):
        address = reverse("mailing:state", args=[attempt.mailing_id])
        assert f'data-refresh="{address}"' in browser(owner).get(address).content.decode()
        Attempt.objects.update(status="partial", unknown=1)
        fragment = browser(owner).get(address).content.decode()
        assert "data-refresh" not in fragment
        assert "<html" not in fragment
