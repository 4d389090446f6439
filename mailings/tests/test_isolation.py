"""P6: a user sees and touches only their own clients, messages, mailings and attempts.

Every address of the site is asked for, as everybody whom the rows are none of the business of.
A view that is added later is asked too, because the resolver knows it.
"""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone
from PIL import Image
from wagtail.log_actions import log
from wagtail.models import Revision
from wagtail.users.models import UserProfile

from accounts.models import User
from conftest import make_client, make_mailing, make_message, make_user
from mailings import reasons
from mailings.models import (
    Attempt,
    Chunk,
    Client,
    ClientList,
    Delivery,
    Host,
    Mailing,
    MailServer,
    Message,
    Picture,
    Suppression,
)
from mailings.tests.walk import (
    EXPORT,
    HUGE,
    HUGE_KEYS,
    KEY,
    KEYS,
    MARKER,
    SEARCH,
    SECRET,
    Address,
    Finding,
    Visitor,
    all_addresses,
    form_of,
    keys_of,
)

# What managers are there for: the switch of any mailing, and of a run that is paused.
# test_switch.py and test_pauses.py look at them closely.
MANAGERS_CHANGES = {"mailing:switch_on", "mailing:switch_off", "mailing:go_on"}
# Wagtail's page for trying out what an error looks like.
FAILS_BY_DESIGN = {"wagtailadmin_error_test"}
# Wagtail's note that somebody closed an editor; it answers 200 whatever the number.
ANSWERS_ALWAYS = {"wagtailadmin_editing_sessions:release"}
# Managers see the users and block them. accounts/tests/test_members.py looks at that.
BLOCKING = "members"


@pytest.fixture
def victim(db) -> User:
    """The owner of rows of every kind, all with the same key."""
    owner = make_user(
        f"{MARKER}@example.com",
        id=KEY,
        company=f"{MARKER} Ltd",
        first_name=MARKER,
        last_name=MARKER,
    )
    UserProfile.objects.create(id=KEY, user=owner)
    fill_workspace(owner, KEY, MARKER, SECRET)
    return owner


@pytest.fixture
def trouble(db, settings) -> None:
    """The mail server's last words are about a letter of the victim's."""
    MailServer.objects.create(
        name=f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}", trouble_since=timezone.now(),
        response=f"451 <{SECRET}@example.com>: try later",
    )  # fmt: skip


def fill_workspace(owner: User, key: int, marker: str, secret: str) -> None:
    """Make one row of every kind, with the key, and with marks in all texts."""
    now = timezone.now()
    vip = ClientList.objects.create(id=key, owner=owner, name=f"{secret} list")
    client = Client.objects.create(
        id=key, owner=owner, email=f"{secret}@example.com", full_name=secret, comment=secret,
        undeliverable_at=now, undeliverable_reply=f"550 5.1.1 <{secret}@example.com>: unknown",
    )  # fmt: skip
    client.lists.add(vip)
    Suppression.objects.create(id=key, owner=owner, address_hash=str(key), created_at=now)
    Picture.objects.create(id=key, owner=owner, title=secret, file=make_image(f"{secret}.png"))
    message = Message(id=key, owner=owner, subject=marker, body=[("text", f"<p>{marker}</p>")])
    message.save()
    revision = message.save_revision(user=owner)
    Revision.objects.filter(pk=revision.pk).update(id=key)
    Message.objects.filter(pk=key).update(latest_revision_id=key)
    mailing = Mailing.objects.create(
        id=key, owner=owner, message=message, name=marker, starts_at=now, periodicity="daily"
    )
    mailing.clients.add(client)
    mailing.lists.add(vip)
    attempt = Attempt.objects.create(
        id=key, mailing=mailing, message=message, slot=now, planned=2, rejected=1,
        server_response=f"550 {marker} <{secret}@example.com>",
        paused_at=now, paused_for=reasons.TOO_MANY_REFUSED,
        subject=marker, html=f"<p>{marker}</p>", text=marker,
    )  # fmt: skip
    Delivery.objects.create(
        id=key, attempt=attempt, client=client, email=client.email, status="rejected", code=550,
        response=f"{marker} <{secret}@example.com>",
    )  # fmt: skip
    Chunk.objects.create(id=key, attempt=attempt, first_id=key, last_id=key)
    Host.objects.create(id=key, name="here", workers=1, seen_at=now + timedelta(hours=1))
    for row in (client, vip, message, mailing):
        log(row, "wagtail.edit", user=owner)


def make_image(name: str) -> ContentFile:
    content = BytesIO()
    Image.new("RGB", (2, 2)).save(content, "PNG")
    return ContentFile(content.getvalue(), name)


@pytest.fixture
def neighbour(stranger) -> dict[str, int]:
    """Rows of the stranger's own, with which a form could be filled in rightly."""
    client = make_client(stranger)
    message = make_message(stranger)
    mailing = make_mailing(stranger, message=message, clients=[client])
    # At work, so that the mail server's trouble is shown to the stranger too.
    Attempt.objects.create(mailing=mailing, slot=timezone.now(), planned=1)
    vip = ClientList.objects.create(owner=stranger, name="Own list")
    return {"message": message.pk, "clients": client.pk, "lists": vip.pk}


def visit(
    user: User | None, *, queries: tuple[str, ...], forms: list[dict], head: bool = False
) -> list[Finding]:
    """Ask for every address, in every way, and return what each request did."""
    visitor, findings = Visitor(user), []
    for address in all_addresses():
        for path in address.fill():
            for query in queries:
                findings.append(visitor.send(address, "get", path + query))
            if head:
                findings.append(visitor.send(address, "head", path))
            for form in forms:
                findings.append(visitor.send(address, "post", path + KEYS, form))
    return findings


def report(bad: list[Finding], all_of_them: list[Finding]) -> str:
    names = sorted({finding.name for finding in all_of_them})
    return "\n".join([f"{len(bad)} requests:", *map(str, bad), "Walked:", *names])


def check(
    findings: list[Finding],
    *,
    marks: set[str],
    may_change: set[str] = frozenset(),
    may_open: set[str] | None = frozenset(),
) -> None:
    """Fail where a request did what it may not; `may_open=None` lets it open any address."""
    bad = [
        finding
        for finding in findings
        if (finding.status >= 500 and finding.name not in FAILS_BY_DESIGN)
        or (may_open is not None and finding.opened and finding.name not in may_open)
        or marks & set(finding.shown)
        or (finding.changed and finding.name not in may_change)
    ]
    assert not bad, report(bad, findings)


class TestWalk:
    """What the walk must be able to see, or it proves nothing."""

    @pytest.fixture
    def names(self) -> set[str]:
        return {address.name for address in all_addresses()}

    def test_it_finds_the_pages_of_everything_a_user_owns(self, names):
        kinds = ("client", "client_list", "picture", "message", "mailing")
        views = ("edit", "delete", "inspect", "history", "usage")
        assert {f"{kind}:{view}" for kind in kinds for view in views} <= names
        assert names >= {
            "mailing:attempt", "mailing:attempt_letter", "mailing:switch_on", "mailing:clients",
            "mailing:go_on", "mailing:send_remainder", "mailing:state", "message:revisions_view", "message:revisions_revert", "message:revisions_compare",
            "message:preview_on_edit", "wagtail_bulk_action", "unsubscribe", "account_login",
            "wagtailadmin_api:pages:detail", "wagtailadmin_reports:site_history",
        }  # fmt: skip

    def test_what_managers_may_change_exists(self, names):
        assert names >= MANAGERS_CHANGES

    def test_every_place_in_an_address_is_filled(self):
        paths = set(Address("x", "admin/%(app_label)s/%(model_name)s/%(pk)s/").fill())
        assert paths >= {"/admin/mailings/client/777/", "/admin/accounts/user/777/"}

    def test_it_sees_what_the_owner_sees_and_does(self, victim):
        """The same requests show and change plenty when they are the owner's own."""
        own = [a for a in all_addresses() if a.name.partition(":")[0] in
               {"client", "client_list", "picture", "message", "mailing"}]  # fmt: skip
        visitor, shown, changed = Visitor(victim), set(), set()
        for address in own:
            for path in address.fill():
                if visitor.send(address, "get", path).shown:
                    shown.add(address.name)
                if visitor.send(address, "post", path, form_of(keys_of(KEY))).changed:
                    changed.add(address.name)
        kinds = ("client", "client_list", "picture", "message", "mailing")
        assert shown >= {f"{kind}:{view}" for kind in kinds for view in ("edit", "inspect")}
        assert shown >= {"client:index", "message:list", "mailing:index", "mailing:attempt"}
        assert shown >= {"mailing:attempt_letter", "mailing:attempt_progress", "mailing:clients"}
        assert changed >= {f"{kind}:edit" for kind in kinds if kind != "picture"}
        assert changed >= {"client:delete", "client_list:delete", "mailing:delete"}
        assert changed >= {"mailing:switch_off", "mailing:go_on", "client:unsubscribe"}
        assert changed >= {"client:try_again"}


class TestRowsOfAnotherUser:
    def test_a_stranger_sees_and_changes_none(self, victim, stranger, neighbour, trouble):
        """P6: user against user."""
        forms = [form_of(keys_of(KEY)), form_of(neighbour)]
        queries = ("", KEYS, SEARCH, EXPORT)
        findings = visit(stranger, queries=queries, forms=forms, head=True)
        check(findings, marks={MARKER, SECRET})

    def test_an_editor_sees_and_changes_none(self, victim, editor, trouble):
        """P4, P6: editors write the blog; mailings are none of their business."""
        findings = visit(editor, queries=("", KEYS), forms=[form_of(keys_of(KEY))])
        check(findings, marks={MARKER, SECRET}, may_open=ANSWERS_ALWAYS)

    def test_a_manager_sees_no_clients_and_changes_nothing(self, victim, manager, trouble):
        """P3: a manager reads mailings, messages and attempts, and has their switches."""
        findings = visit(manager, queries=("", KEYS, EXPORT), forms=[form_of(keys_of(KEY))])
        blocking = {f.name for f in findings if BLOCKING in f.name or BLOCKING in f.path}
        check(findings, marks={SECRET}, may_change=MANAGERS_CHANGES | blocking, may_open=None)

    def test_an_anonymous_reader_sees_and_changes_none(self, victim):
        """P6: the door is closed."""
        findings = visit(None, queries=("", KEYS), forms=[form_of(keys_of(KEY))], head=True)
        check(findings, marks={MARKER, SECRET})


class TestKeysTooLargeForTheDatabase:
    """No number is large enough to make a page of the workspace fail."""

    def test_in_a_query_or_a_form(self, victim):
        visitor, findings = Visitor(victim), []
        form = form_of(keys_of(HUGE))
        for address in all_addresses():
            for path in address.fill():
                findings.append(visitor.send(address, "get", path + HUGE_KEYS))
                findings.append(visitor.send(address, "post", path + HUGE_KEYS, form))
        bad = [f for f in findings if f.status >= 500 and f.name not in FAILS_BY_DESIGN]
        assert not bad, report(bad, findings)

    def test_in_an_address(self, victim):
        visitor = Visitor(victim)
        findings = [
            visitor.send(address, method, path.replace(f"/{KEY}", f"/{HUGE}"))
            for address in all_addresses()
            for path in address.fill()
            for method in ("get", "post")
            if f"/{KEY}" in path
        ]
        bad = [f for f in findings if f.status == 200 or f.status >= 500]
        assert findings
        assert not bad, report(bad, findings)
