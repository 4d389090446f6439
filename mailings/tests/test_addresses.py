"""Letters to and from addresses that are not ASCII, as the mail server gets them."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from django.utils import timezone

from accounts.models import User
from conftest import make_client, make_mailing, make_message
from mailings.delivery import dispatch
from mailings.tests.conftest import only_run
from mailings.tests.servers import ScriptedServer

COMPANY = "Ромашка %s"
PUNYCODE = "xn--e1afmkfd.xn--p1ai"  # пример.рф


def send(owner: User, *addresses: str) -> None:
    """Send a letter with every field in it to clients with these addresses."""
    message = make_message(
        owner,
        subject="Новости {{ company }} для {{ client.full_name }} ({{ client.email }})",
        text="<p>{{ client.email }} {{ client.full_name }} {{ company }}</p>",
    )
    clients = [make_client(owner, address, full_name="Иван Петров") for address in addresses]
    mailing = make_mailing(owner, clients=clients, message=message, starts_at=timezone.now())
    dispatch.run_pass()
    assert only_run(mailing).status == "success"


def heads(server: ScriptedServer) -> dict[str, bytes]:
    """Return the bytes of each letter's headers by its recipient."""
    return {to: letter.partition(b"\r\n\r\n")[0] for to, letter in server.letters}


def parse(head: bytes) -> EmailMessage:
    return email.message_from_string(head.decode() + "\n\n", policy=email.policy.SMTPUTF8)


class TestDomain:
    """A domain is told in the headers as it is in the envelope."""

    @pytest.mark.parametrize("extensions", [("PIPELINING", "SMTPUTF8"), ("PIPELINING",)])
    def test_no_byte_of_a_letter_is_above_127(self, server, owner, settings, extensions):
        server.extensions = extensions
        settings.DEFAULT_FROM_EMAIL = "Вестник <news@пример.рф>"
        settings.SITE_URL = "https://mail.example.com"
        User.objects.filter(pk=owner.pk).update(email="olga@пример.рф", company=COMPANY)
        owner.refresh_from_db()
        send(owner, "ivan@пример.рф", "anna@example.com")
        assert not any("SMTPUTF8" in command for command in server.commands)
        assert all(letter.isascii() for _to, letter in server.letters)
        head = parse(heads(server)[f"ivan@{PUNYCODE}"])
        assert head["To"].addresses[0].addr_spec == f"ivan@{PUNYCODE}"
        assert head["Reply-To"].addresses[0].addr_spec == f"olga@{PUNYCODE}"
        assert head["From"].addresses[0].addr_spec == f"news@{PUNYCODE}"
        assert head["From"].addresses[0].display_name == COMPANY
        assert head["Message-ID"].endswith(f"@{PUNYCODE}>")
        assert "(ivan@пример.рф)" in head["Subject"], "there it is text"


class TestMailbox:
    """A mailbox that is not ASCII is told only where the letter goes by SMTPUTF8."""

    def test_nobody_but_a_reader_with_such_an_address_is_told_the_owners(self, server, owner):
        User.objects.filter(pk=owner.pk).update(email="ольга@пример.рф", company=COMPANY)
        owner.refresh_from_db()
        send(owner, "ivan@пример.рф", "анна@пример.рф", "boris@example.com")
        assert [c for c in server.commands if "SMTPUTF8" in c] == [
            "MAIL FROM:<news@vestnik.test> SMTPUTF8"
        ]
        head = heads(server)
        for to in (f"ivan@{PUNYCODE}", "boris@example.com"):
            assert head[to].isascii()
            assert b"Reply-To" not in head[to]
        told = parse(head[f"анна@{PUNYCODE}"])
        assert told["Reply-To"].addresses[0].addr_spec == f"ольга@{PUNYCODE}"
        assert told["To"].addresses[0].addr_spec == f"анна@{PUNYCODE}"
        assert told["From"].addresses[0].display_name == COMPANY

    def test_all_others_are_told_an_owners_that_is_ascii(self, server, owner):
        send(owner, "анна@пример.рф", "boris@example.com")
        for head in heads(server).values():
            assert parse(head)["Reply-To"].addresses[0].addr_spec == owner.email


def test_an_owner_whose_domain_is_none_holds_no_letter_up(server, owner):
    """An administrator may have typed it; nobody could answer there."""
    User.objects.filter(pk=owner.pk).update(email="olga@☃.net")
    owner.refresh_from_db()
    send(owner, "boris@example.com")
    ((_to, letter),) = server.letters
    assert letter.isascii()
    assert b"Reply-To" not in letter
