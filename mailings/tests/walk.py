"""Every address that Django's resolver knows, and what a request to it shows and changes.

All rows of the owner have the same key in every table, so that one number in an address, a
query or a form stands for whatever row the view behind it may look for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import Q
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from wagtail.test.utils.form_data import nested_form_data, rich_text, streamfield

from accounts.models import User

KEY = 777
# More than any database can hold.
HUGE = int("9" * 25)
# Stands in everything that the owner wrote.
MARKER = "zq-marker-7"
# Stands in everything about the owner's clients, which managers do not see either.
SECRET = "zq-secret-7"

APPS = ("mailings", "accounts")
KINDS = ("client", "clientlist", "picture", "message", "mailing", "attempt", "user")
# What may stand in an address beside keys.
WORDS = {
    "app_label": APPS,
    "app_name": APPS,
    "content_type_app_name": APPS,
    "model_name": KINDS,
    "content_type_model_name": KINDS,
    "action": ("delete", "try_again", "assign_role", "set_active_state"),
    "action_name": ("delete", "publish", "approve"),
    "revision_id_a": (KEY, "earliest"),
    "revision_id_b": (KEY, "latest"),
}


def query_of(number: int) -> str:
    names = ("id", "pk", "owner", "user", "object_id", "lists", "mailing", "p")
    return "?" + "&".join([f"{name}={number}" for name in names] + ["multiple=1", "next=/admin/"])


KEYS, HUGE_KEYS = query_of(KEY), query_of(HUGE)
EXPORT, SEARCH = "?export=csv", "?q=zq"


# --- Addresses --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    name: str
    route: str

    def fill(self) -> Iterator[str]:
        """Give the address with every combination of keys and words in its places."""
        places = re.findall(r"%\((\w+)\)s", self.route)
        values = [WORDS.get(place, (KEY,)) for place in places]
        for combination in itertools.product(*values):
            if fit_together(combination):
                yield "/" + self.route % dict(zip(places, combination, strict=True))


def fit_together(words: tuple[str | int, ...]) -> bool:
    """Return whether these do not name a model of one app within the other."""
    return "accounts" not in words or not set(KINDS[:-1]) & set(words)


def all_addresses() -> list[Address]:
    return list(dict.fromkeys(walk(get_resolver().url_patterns)))


def walk(
    patterns: list[URLPattern | URLResolver], prefix: str = "", space: str = ""
) -> Iterator[Address]:
    for pattern in patterns:
        expression = str(pattern.pattern.regex.pattern).removeprefix("^")
        for route, _places in normalize(expression):
            if isinstance(pattern, URLPattern):
                name = space + pattern.name if pattern.name else f"/{prefix}{route}"
                yield Address(name, prefix + route)
            else:
                inner = f"{space}{pattern.namespace}:" if pattern.namespace else space
                yield from walk(pattern.url_patterns, prefix + route, inner)


# --- Requests ---------------------------------------------------------------------------------


@dataclass
class Finding:
    """What one request did that is worth a look."""

    method: str
    path: str
    name: str
    status: int
    # Whether the address itself, not only the query or the form, held the key and answered.
    opened: bool = False
    shown: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        marks = f"shows {self.shown}" if self.shown else ""
        changes = f"changes {self.changed}" if self.changed else ""
        return f"{self.method} {self.path} ({self.name}) {self.status} {marks} {changes}"


class Visitor:
    """Sends requests as one user, takes back what they change, and keeps what they showed."""

    def __init__(self, user: User | None) -> None:
        self.user = user
        self.session = None
        if user:
            browser = Browser()
            browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            self.session = browser.cookies[settings.SESSION_COOKIE_NAME].value
        self.before = owners_rows()

    def open_browser(self) -> Browser:
        """Return a browser that no request before has touched."""
        browser = Browser(raise_request_exception=False)
        if self.session:
            browser.cookies[settings.SESSION_COOKIE_NAME] = self.session
        return browser

    def send(self, address: Address, method: str, path: str, data: Any = None) -> Finding:
        writes = Writes()
        with transaction.atomic():
            with connection.execute_wrapper(writes):
                response = getattr(self.open_browser(), method)(path, data)
                shown = [mark for mark in (MARKER, SECRET) if mark in text_of(response)]
            changed = differences(self.before, owners_rows()) if writes.seen else []
            transaction.set_rollback(True)
        status = response.status_code
        opened = status == 200 and f"/{KEY}" in path.partition("?")[0]
        return Finding(method, path, address.name, status, opened, shown, changed)


def text_of(response: HttpResponse) -> str:
    """Return all that a response tells: page, headers, and the note for the next page."""
    content = b"".join(response) if response.streaming else response.content
    request = getattr(response, "wsgi_request", None)
    notes = getattr(getattr(request, "_messages", None), "_queued_messages", [])
    told = [str(response.headers), *(str(note) for note in notes)]
    return content.decode(errors="replace") + "".join(told)


class Writes:
    """Notes whether any statement changed a row; sessions do not count."""

    IGNORED = ("django_session",)

    def __init__(self) -> None:
        self.seen = False

    def __call__(self, execute, sql, params, many, context):
        if re.match(r"\s*(INSERT|UPDATE|DELETE)\b", sql, re.IGNORECASE):
            self.seen |= not any(table in sql[:80] for table in self.IGNORED)
        return execute(sql, params, many, context)


# --- Forms ------------------------------------------------------------------------------------


def form_of(keys: dict[str, Any]) -> dict[str, Any]:
    """Return what fills in every form of the workspace at once, with these related rows."""
    blocks = [("text", rich_text("<p>Taken over</p>"))]
    if "picture" in keys:
        blocks.append(("image", {"picture": keys["picture"], "alt": "Taken over", "link": ""}))
    return {
        "email": "taken@example.com",
        "full_name": "Taken over",
        "first_name": "Taken over",
        "company": "Taken over",
        "comment": "Taken over",
        "name": "Taken over",
        "title": "Taken over",
        "subject": "Taken over",
        "reason": "Taken over",
        "starts_at": "2030-01-01 10:00",
        "periodicity": "daily",
        "in_doubt": "resend",
        "external-link-chooser-url": "https://example.com/",
        "external-link-chooser-link_text": "Taken over",
        "action": "delete",
        "next": "/admin/",
        "id": KEY,
        "pk": KEY,
        **nested_form_data({"body": streamfield(blocks)}),
        **keys,
    }


def keys_of(number: int) -> dict[str, Any]:
    return dict.fromkeys(("message", "clients", "lists", "picture", "owner"), number)


# --- Rows -------------------------------------------------------------------------------------

IGNORED_MODELS = {"sessions.session", "accounts.user_user_permissions"}
IGNORED_FIELDS = {"last_login"}


def owners_rows() -> dict[str, list[dict[str, Any]]]:
    """Return every row that has the owner's key or points to a row that has it, and all rights."""
    rows = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.label_lower in IGNORED_MODELS or model._meta.proxy:
            continue
        names = [f.attname for f in model._meta.concrete_fields if is_key(f)]
        if names:
            touching = Q.create([(name, KEY) for name in names], connector=Q.OR)
            rows[model._meta.label] = list(model._base_manager.filter(touching).values())
    rights = User.objects.order_by("pk", "groups")
    rows["rights"] = list(rights.values("pk", "is_superuser", "is_active", "groups"))
    for found in rows.values():
        for row in found:
            for name in IGNORED_FIELDS & row.keys():
                del row[name]
    return rows


def is_key(each: models.Field) -> bool:
    target = each.target_field if each.is_relation else each
    return (each.primary_key or each.is_relation) and isinstance(target, models.IntegerField)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [label for label in before if before[label] != after[label]]
