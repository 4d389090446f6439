"""Letters as bytes, read back by the standard library's parser as an independent judge."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailings.delivery import letter
from mailings.delivery.letter import Content, Recipient, Sender, Skeleton

URL = "https://mail.example.com/u/AAAABBBBCCCC-_dddd/"
SENDER = Sender("ООО «Ромашка»", "news@vestnik.test", "owner@example.com")


def build(content: Content, *, sender: Sender = SENDER, **recipient) -> bytes:
    values = {"delivery_id": 7, "email": "ivan@example.com", "full_name": "Иван", **recipient}
    skeleton = Skeleton(content, run="3.68a", sender=sender)
    return skeleton.build(Recipient(unsubscribe_url=URL, **values))


def unstuff(wire: bytes) -> bytes:
    """Undo what SMTP adds: the final dot and the doubled ones (RFC 5321 4.5.2)."""
    assert wire.endswith(b"\r\n.\r\n")
    return b"".join(
        line[1:] if line.startswith(b"..") else line for line in wire[:-3].splitlines(keepends=True)
    )


def parse(wire: bytes) -> EmailMessage:
    return email.message_from_bytes(unstuff(wire), policy=email.policy.default)


def bodies(wire: bytes) -> tuple[str, str]:
    message = parse(wire)
    text = message.get_body(("plain",)).get_content()
    page = message.get_body(("html",)).get_content()
    return text, page


CONTENT = Content(
    "Новости для {{ client.full_name }}",
    "<p>Hi {{client.full_name}}</p>",
    "Hi {{ client.full_name }}!",
)


class TestHeaders:
    def test_all_that_bulk_mail_should_have(self):
        message = parse(build(CONTENT))
        assert message["From"] == "ООО «Ромашка» <news@vestnik.test>"
        assert message["To"] == "Иван <ivan@example.com>"
        assert message["Reply-To"] == "ООО «Ромашка» <owner@example.com>"
        assert message["Subject"] == "Новости для Иван"
        assert message["List-Unsubscribe"] == f"<{URL}>"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Precedence"] == "bulk"
        assert message["Message-ID"] == "<3.68a.7@vestnik.test>"
        assert message["Date"].datetime.tzinfo is not None
        assert message.get_content_type() == "multipart/alternative"
        assert message.defects == []

    def test_message_id_is_the_same_on_every_try(self):
        assert parse(build(CONTENT))["Message-ID"] == parse(build(CONTENT))["Message-ID"]

    @pytest.mark.parametrize(
        "evil", ["a\r\nBcc: all@example.com", "a\nX: y", "a\r\n\r\n<b>", "\u2028x"]
    )
    def test_owner_set_text_never_starts_a_header_line(self, evil):
        content = Content(evil + " {{ client.full_name }}", "<p>x</p>", "x")
        message = parse(build(content, sender=Sender(evil, "a@b.test", "o@b.test"), full_name=evil))
        assert set(message.keys()) == set(parse(build(CONTENT)).keys())
        assert message.get_body(("plain",)).get_content().strip() == "x"

    def test_lines_stay_short(self):
        wire = build(
            Content("Очень " * 40, "<p>x</p>", "x"),
            sender=Sender("Компания " * 15, "a@b.test", "o@b.test"),
            full_name="Имя " * 50,
        )
        assert max(map(len, wire.split(b"\r\n"))) <= 78
        assert parse(wire)["Subject"] == ("Очень " * 40).strip()

    def test_plain_names_stay_readable(self):
        wire = build(CONTENT, full_name='John "Jack" \\ Doe')
        assert rb'To: "John \"Jack\" \\ Doe" <ivan@example.com>' in wire
        assert parse(wire)["To"].addresses[0].display_name == 'John "Jack" \\ Doe'


class TestBodies:
    def test_values_are_escaped_in_html_only(self):
        text, page = bodies(build(CONTENT, full_name="<b>&co</b>"))
        assert text.strip() == "Hi <b>&co</b>!"
        assert page.strip() == "<p>Hi &lt;b&gt;&amp;co&lt;/b&gt;</p>"

    def test_every_field(self):
        source = "{{ client.full_name }}|{{client.email}}|{{ company }}|{{ unsubscribe_url }}"
        text, _page = bodies(build(Content("s", "", source)))
        assert text.strip() == f"Иван|ivan@example.com|ООО «Ромашка»|{URL}"

    def test_percent_signs_and_dots(self):
        text, _page = bodies(build(Content("100% %s", "x", "100% %s %%\n.\n..\n.x\n")))
        assert text.splitlines() == ["100% %s %%", ".", "..", ".x"]

    @pytest.mark.parametrize("name", [".", "..", ".x", "=", "=3D", " ", "a " * 60, "щ" * 200])
    def test_awkward_values(self, name):
        text, _page = bodies(build(Content("s", "x", "{{ client.full_name }}"), full_name=name))
        assert text.strip("\r\n") == name

    def test_only_crlf(self):
        wire = build(Content("s", "a\nb\rc\r\nd", "a\nb"))
        assert wire.count(b"\n") == wire.count(b"\r\n") == wire.count(b"\r")


printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)


@given(before=printable, name=printable, after=printable)
def test_any_text_comes_back_as_it_was(before, name, after):
    source = before.replace("{", "(") + "{{ client.full_name }}" + after.replace("}", ")")
    wire = build(Content("s", "x", source), full_name=name)
    assert max(map(len, wire.split(b"\r\n"))) <= 78
    assert b"\r\n.\r\n" not in wire[:-5]
    text, _page = bodies(wire)
    expected = letter.fill(source, {"client.full_name": name})
    assert text.removesuffix("\n").replace("\r", "") == expected


@given(subject=printable, name=printable)
def test_any_subject_comes_back_as_it_was(subject, name):
    subject = subject.replace("{", "(").replace("}", ")")
    message = parse(build(Content(subject + "{{ client.full_name }}", "x", "x"), full_name=name))
    words = lambda text: " ".join(text.split())  # noqa: E731
    assert words(message["Subject"]) == words(subject + name)


class TestAddresses:
    def test_international_domain(self):
        assert letter.envelope_address("info@пример.рф") == ("info@xn--e1afmkfd.xn--p1ai", False)

    def test_international_mailbox_needs_smtputf8(self):
        assert letter.envelope_address("иван@example.com") == ("иван@example.com", True)
