"""`manage.py seed`."""

from __future__ import annotations

from io import StringIO

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.utils import timezone

from accounts.models import EDITORS, MANAGERS, USERS, User
from blog.models import BlogPage
from home.examples.people import PASSWORD
from mailings.delivery import letter
from mailings.models import Attempt, Client, Mailing, Message

pytestmark = pytest.mark.django_db


def seed() -> str:
    output = StringIO()
    call_command("seed", stdout=output)
    return output.getvalue()


def count_all_rows() -> dict[str, int]:
    """Count the rows of every table but the queue's, in which jobs come and go."""
    models = [model for model in apps.get_models() if model._meta.app_label != "django_q"]
    return {model._meta.label: model._default_manager.count() for model in models}


def test_twice_adds_nothing():
    """I7: a command fills the database with example data, and only once."""
    assert "Added 5 users, 40 clients" in seed()
    before = count_all_rows()
    assert "Added 0 users, 0 clients, 0 messages, 0 mailings, 0 blog posts." in seed()
    assert count_all_rows() == before


def test_users_of_every_role():
    seed()
    assert User.objects.in_role(USERS).count() == 2
    assert User.objects.in_role(MANAGERS).get().email == "manager@example.com"
    assert User.objects.in_role(EDITORS).get().email == "editor@example.com"
    assert User.objects.get(is_superuser=True).email == "admin@example.com"
    assert EmailAddress.objects.filter(verified=True, primary=True).count() == 5


def test_what_it_finds_stays():
    seed()
    Client.objects.filter(email="lev.pavlov@example.org").update(full_name="Leo")
    Mailing.objects.get(name="Чай дня").delete()
    assert "1 mailings" in seed()
    assert Client.objects.get(email="lev.pavlov@example.org").full_name == "Leo"


def test_runs_are_younger_than_what_they_sent_and_to_whom():
    seed()
    for run in Attempt.objects.select_related("message"):
        assert run.message.updated_at < run.started_at
        assert all(row.client.created_at < run.started_at for row in run.deliveries.all())


def test_one_mailing_is_due_and_others_wait():
    seed()
    due = Mailing.objects.due(timezone.now()).get()
    assert due.audience().subscribed().count() == 12
    waiting = Mailing.objects.filter(next_run_at__gt=timezone.now())
    assert set(waiting.values_list("periodicity", flat=True)) == {"daily", "weekly", "monthly"}


def test_finished_mailings_have_a_run_that_adds_up():
    seed()
    assert Mailing.objects.finished().count() == 2
    for attempt in Attempt.objects.all():
        assert attempt.done == attempt.planned
        assert attempt.deliveries.count() == attempt.planned > 0
        assert attempt.deliveries.filter(status="accepted").count() == attempt.accepted


def test_letters_are_in_one_language():
    seed()
    for message in Message.objects.all():
        assert "Отписаться от этих писем" in letter.compose(message).text


def test_posts_have_pictures_and_text(browser):
    seed()
    assert BlogPage.objects.live().count() >= 10
    for post in BlogPage.objects.all():
        assert post.image
        html = browser().get(post.url).text
        assert len(html.split('class="prose')[1]) > 1000


class TestPasswords:
    def test_in_debug_they_are_printed_and_work(self, settings):
        settings.DEBUG = True
        assert PASSWORD in seed()
        assert authenticate(email="admin@example.com", password=PASSWORD)

    def test_on_a_real_site_nobody_gets_in(self):
        assert PASSWORD not in seed()
        assert authenticate(email="admin@example.com", password=PASSWORD) is None
