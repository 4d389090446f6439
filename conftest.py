"""The cast of all tests, and how to make what they need."""

from __future__ import annotations

from datetime import timedelta

import pytest
from config.page_cache import store
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client as Browser
from django.utils import timezone, translation

from accounts.models import EDITORS, MANAGERS, USERS, User
from mailings.models import Client, Mailing, Message

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def plain_settings(settings, tmp_path):
    """Keep uploads in the test's folder, and neither cache nor language of the test before."""
    settings.MEDIA_ROOT = tmp_path / "media"
    cache.clear()
    store.clear()
    translation.activate(settings.LANGUAGE_CODE)


def make_user(email: str, role: str | None = USERS, **fields) -> User:
    user = User.objects.create_user(email, PASSWORD, **fields)
    if role:
        user.groups.add(Group.objects.get(name=role))
    user.emailaddress_set.create(email=user.email, verified=True, primary=True)
    return user


def make_client(owner: User, email: str = "ivan@example.com", **fields) -> Client:
    fields.setdefault("full_name", "Ivan Petrov")
    return Client.objects.create(owner=owner, email=email, **fields)


def make_message(owner: User, subject: str = "News", text: str = "<p>Hello!</p>") -> Message:
    return Message.objects.create(owner=owner, subject=subject, body=[("text", text)])


def make_mailing(owner: User, *, clients: list[Client] | None = None, **fields) -> Mailing:
    """Make a mailing that starts in an hour, unless told otherwise."""
    fields.setdefault("name", "Weekly news")
    fields.setdefault("starts_at", timezone.now() + timedelta(hours=1))
    if "message" not in fields:
        fields["message"] = make_message(owner)
    mailing = Mailing.objects.create(owner=owner, **fields)
    mailing.clients.set(clients or [])
    return mailing


@pytest.fixture
def owner(db) -> User:
    return make_user("owner@example.com", company="Romashka", first_name="Olga")


@pytest.fixture
def stranger(db) -> User:
    return make_user("stranger@example.com", company="Vasilyok", first_name="Semyon")


@pytest.fixture
def manager(db) -> User:
    return make_user("manager@example.com", MANAGERS, first_name="Maria")


@pytest.fixture
def editor(db) -> User:
    return make_user("editor@example.com", EDITORS, first_name="Egor")


@pytest.fixture
def administrator(db) -> User:
    return make_user("admin@example.com", None, is_superuser=True, is_staff=True)


@pytest.fixture
def browser():
    """Return a function that gives a test client, logged in as the user if there is one."""

    def open_browser(user: User | None = None, **options) -> Browser:
        client = Browser(**options)
        if user:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return open_browser


# Files with tests that start whole stacks or walk every address.
LONG = (
    "test_processes.py",
    "test_isolation.py",
    "test_run.py",
    "test_fifty_readers.py",
    "test_journey.py",
    "test_editors_journey.py",
    "test_accessibility.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long tests first: the processes then end together, sharing out the short ones."""
    items.sort(key=lambda item: item.path.name not in LONG)
