from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from accounts.models import USERS
from conftest import make_client, make_mailing, make_message
from mailings import reports
from mailings.models import Attempt, Mailing


@pytest.fixture
def workspace(owner):
    """A workspace with something of everything."""
    clients = [make_client(owner, f"c{n}@example.com") for n in range(7)]
    clients[0].unsubscribe()
    going = make_mailing(owner, name="Going on", clients=clients, periodicity="daily")
    over = make_mailing(owner, name="Over")
    Mailing.objects.filter(pk=over.pk).update(status="finished", next_run_at=None)
    now = timezone.now()
    Attempt.objects.create(mailing=going, slot=now, planned=7, accepted=3)
    failed = Attempt.objects.create(
        mailing=over, slot=now, status="failure", planned=1, rejected=1, finished_at=now
    )
    failed.deliveries.create(
        client=clients[1], email=clients[1].email, status="rejected", code=550,
        response=f"<{clients[1].email}>: no such user",
    )  # fmt: skip
    return owner


def home(browser, user):
    response = browser(user).get(reverse("wagtailadmin_home"))
    assert response.status_code == 200
    return response


def page(browser, user) -> str:
    return home(browser, user).content.decode()


class TestWay:
    def test_dashboard_leads_a_user_to_the_workspace(self, browser, owner):
        assert browser(owner).get("/dashboard/").url == reverse("wagtailadmin_home")

    def test_and_an_anonymous_reader_to_the_login(self, browser, db):
        response = browser().get("/dashboard/", follow=True)
        assert response.redirect_chain[-1][0].startswith("/accounts/login/")


class TestNewcomer:
    def test_sees_three_steps(self, browser, owner):
        """I2: the interface leads a newcomer to the first mailing."""
        text = page(browser, owner)
        for words in ("Three steps", "Add a client", "Write a message", "Schedule a mailing"):
            assert words in text
        for name in ("client:add", "message:add", "mailing:add"):
            assert reverse(name) in text

    def test_sees_which_are_done(self, browser, owner):
        make_client(owner)
        make_message(owner)
        assert page(browser, owner).count('class="vs-done"') == 2

    def test_sees_no_steps_once_there_is_a_mailing(self, browser, workspace):
        assert "Three steps" not in page(browser, workspace)


class TestNumbers:
    def test_clients_messages_and_mailings(self, browser, workspace):
        assert reports.numbers(workspace) == {
            "clients": 7, "unsubscribed": 1, "messages": 2,
            "mailings": 2, "active": 1, "finished": 1,
        }  # fmt: skip
        assert '<span class="vs-number__value">7</span>' in page(browser, workspace)

    def test_runs_at_work_with_their_progress(self, browser, workspace):
        text = page(browser, workspace)
        assert "3 of 7 done" in text
        assert f'data-refresh="{reverse("mailing:running")}"' in text
        assert '/mailings/refresh.js" defer' in text

    def test_the_fragment_with_runs_at_work(self, browser, workspace):
        reader = browser(workspace)
        assert "3 of 7 done" in reader.get(reverse("mailing:running")).content.decode()
        Attempt.objects.filter(mailing__name="Going on").update(accepted=7, status="success")
        fragment = reader.get(reverse("mailing:running")).content.decode()
        assert "data-refresh" not in fragment

    def test_next_runs(self, workspace):
        upcoming = [
            make_mailing(workspace, name=f"M{n}", starts_at=timezone.now() + timedelta(days=n + 1))
            for n in range(6)
        ]
        upcoming[0].switch_off(by=workspace)
        names = [each.name for each in reports.dashboard(workspace)["upcoming"]]
        assert names == ["Going on", "M1", "M2", "M3", "M4"]

    def test_last_attempts(self, browser, workspace):
        text = page(browser, workspace)
        assert "0 of 1 accepted" in text
        assert "failure" in text

    def test_what_failed_and_why(self, browser, workspace):
        text = page(browser, workspace)
        assert "550 · rejected" in text
        assert "&lt;•••&gt;: no such user" in text
        assert "1 letter" in text


class TestWhoseRows:
    def test_a_stranger_sees_nothing_of_it(self, browser, workspace, stranger):
        """P6: own rows only."""
        text = page(browser, stranger)
        for words in ("Going on", "Over", "no such user", ">7<"):
            assert words not in text
        fragment = browser(stranger).get(reverse("mailing:running")).content.decode()
        assert "Going on" not in fragment

    def test_a_manager_sees_the_mailings_of_all(self, browser, workspace, manager):
        """P3, I3: without the addresses of clients."""
        text = page(browser, manager)
        assert "Going on" in text
        assert "no such user" in text
        assert "@example.com" not in text.replace("manager@example.com", "")

    def test_who_is_a_user_too_sees_the_addresses_of_own_clients_only(
        self, browser, workspace, manager
    ):
        """P6: asked of each row, by whose it is."""
        manager.groups.add(Group.objects.get(name=USERS))
        own = make_mailing(manager, name="My own")
        Attempt.objects.create(
            mailing=own, slot=timezone.now(), server_response="<mine@example.com>: busy"
        )
        Attempt.objects.filter(mailing__owner=workspace).update(
            server_response="<secret@example.com>: busy"
        )
        fragment = browser(manager).get(reverse("mailing:running")).content.decode()
        for text in (page(browser, manager), fragment):
            assert "Going on" in text
            assert "mine@example.com" in text
            assert "secret@example.com" not in text

    def test_an_editor_sees_nothing_of_it(self, browser, workspace, editor):
        text = page(browser, editor)
        assert "Going on" not in text
        assert "vs-number" not in text
        fragment = browser(editor).get(reverse("mailing:running")).content.decode()
        assert "Going on" not in fragment

    def test_an_administrator_sees_the_whole_service_beside_wagtails_own(
        self, browser, workspace, administrator
    ):
        text = page(browser, administrator)
        assert "Going on" in text
        assert 'role="search"' in text


def test_a_user_is_offered_no_search_of_pages(browser, owner):
    text = page(browser, owner)
    assert 'role="search"' not in text
    assert "editor guide" not in text


def test_it_takes_few_queries(browser, workspace, django_assert_max_num_queries):
    for number in range(5):
        mailing = make_mailing(workspace, name=f"More {number}")
        Attempt.objects.create(mailing=mailing, slot=timezone.now(), status="success")
        Attempt.objects.create(mailing=mailing, slot=timezone.now() + timedelta(1))
    reader = browser(workspace)
    reader.get(reverse("wagtailadmin_home"))
    with django_assert_max_num_queries(30):
        reader.get(reverse("wagtailadmin_home"))


def test_what_it_computes_itself_takes_a_dozen(workspace, django_assert_max_num_queries):
    workspace.has_perm("mailings.add_mailing")
    with django_assert_max_num_queries(14):
        numbers = reports.dashboard(workspace)
        list(numbers["upcoming"])
