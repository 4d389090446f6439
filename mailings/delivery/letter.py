"""Compose a letter once, fill it in per recipient."""

from __future__ import annotations

import hashlib
import html
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from itertools import zip_longest
from operator import itemgetter
from textwrap import shorten
from typing import TYPE_CHECKING

import css_inline
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from wagtail.rich_text import get_text_for_indexing

from mailings.mime import (
    encode_both,
    encode_header,
    encode_html,
    encode_mailbox,
    encode_text,
    encode_words,
    escape_percent,
    needs_utf8,
    to_ascii,
    to_ascii_domain,
)
from mailings.plaintext import html_to_text

if TYPE_CHECKING:
    from accounts.models import User
    from mailings.models import Attempt, Message

# What may stand between double braces in a subject or a body.
URL = "unsubscribe_url"
FIELDS = ("client.full_name", "client.email", "company", URL)
FIELD = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
PREHEADER_LENGTH = 120


@dataclass(frozen=True)
class Content:
    """A letter with its fields still open: subject, HTML part and text part."""

    subject: str
    html: str
    text: str


def unknown_fields(source: str) -> list[str]:
    """Return what stands in double braces in `source` and is no field, in order, once each.

    A brace pair that is never closed, or that holds markup, is returned as it stands.
    """
    names = [m[1] for m in FIELD.finditer(source) if m[1] not in FIELDS]
    names += re.findall(r"\{\{|\}\}", FIELD.sub("", source))
    return list(dict.fromkeys(names))


def compose(message: Message) -> Content:
    """Render a message to mail HTML and text, with absolute addresses and open fields.

    The words around it are in the language of the message's owner.
    """
    fields = {name.replace(".", "_"): f"{{{{ {name} }}}}" for name in FIELDS}
    with translation.override(language_of(message.owner)):
        context = {"message": message, "preheader": preheader(message), **fields}
        page = render_to_string("mailings/letter/letter.html", context)
    # Spaces within braces would become entities below, and no field be found again.
    page = css_inline.inline(
        tidy_fields(page), keep_at_rules=True, minify_css=True, load_remote_stylesheets=False
    )
    return Content(tidy_fields(message.subject), page, tidy_fields(html_to_text(page)))


def language_of(owner: User) -> str:
    profile = getattr(owner, "wagtail_userprofile", None)
    return (profile and profile.preferred_language) or settings.LANGUAGE_CODE


def preheader(message: Message) -> str:
    """Return the first words of the letter, which mail programs show beside the subject."""
    texts = (block.value.source for block in message.body if block.block_type == "text")
    words = get_text_for_indexing(next(texts, ""))
    # A field that the end cuts in two would be none.
    return re.sub(r"\{\{[^}]*$", "", shorten(words, PREHEADER_LENGTH, placeholder="")).strip()


def tidy_fields(source: str) -> str:
    """Write each field as `{{ name }}`, and take the braces off what is no field."""
    return FIELD.sub(lambda m: f"{{{{ {m[1]} }}}}" if m[1] in FIELDS else m[1], source)


def fill(source: str, values: Mapping[str, str], *, escape: bool = False) -> str:
    """Put values in the place of fields; with `escape`, for HTML."""

    def value(match: re.Match[str]) -> str:
        text = values[match[1]]
        return html.escape(text) if escape else text

    return FIELD.sub(value, source)


def sample_values(*, company: str) -> dict[str, str]:
    """Return the recipient of previews: somebody who does not exist."""
    return {
        "client.full_name": _("Anna Ivanova"),
        "client.email": "anna@example.com",
        "company": company,
        "unsubscribe_url": f"{settings.SITE_URL}/u/preview/",
    }


# --- To bytes -------------------------------------------------------------------------------

# Body and headers end in one write, with the final dot (RFC 5321 4.1.1.4).
END = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Recipient:
    """What differs from one letter of a run to the next."""

    delivery_id: int
    email: str
    full_name: str
    unsubscribe_url: str


class Skeleton:
    """A letter compiled for any number of recipients: bytes with gaps.

    Building a letter anew with the standard library costs some hundred times as much as filling
    the gaps. Each gap has an encoder for its place: a header, quoted-printable text, or
    quoted-printable HTML. In bodies a gap stands on lines of its own between soft line breaks,
    so no line grows over the 76 characters of RFC 2045 6.7, and nothing before it is encoded anew.

    `run` names the run in Message-ID, which is the same on every try of the same delivery.
    """

    def __init__(self, content: Content, *, run: str, sender: Sender) -> None:
        self._gaps: list[str] = []
        self._company = sender.name
        domain = sender.address.rpartition("@")[2]
        boundary = f"=_vestnik_{hashlib.sha256(content.html.encode()).hexdigest()[:16]}"
        parts = [
            b"From: " + escape_percent(encode_mailbox(sender.name, sender.address)) + b"\r\n",
            b"To: ", self._gap("to"),
            *self._answers_to(sender),
            b"\r\nSubject: ", *self._subject(content.subject),
            b"\r\nDate: ", self._gap("date"),
            f"\r\nMessage-ID: <{run}.".encode(), self._gap("delivery_id"),
            f"@{to_ascii_domain(domain)}>\r\nList-Unsubscribe: <".encode(),
            self._gap("unsubscribe_url"),
            b">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            b"Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\n",
            f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'.encode(),
            *self._part(boundary, "plain", content.text, encode_text),
            *self._part(boundary, "html", content.html, encode_html),
            f"--{boundary}--".encode() + END,
        ]  # fmt: skip
        self._pattern = b"".join(parts)
        gaps = {gap.rpartition(" ")[0] for gap in self._gaps if gap.endswith((" plain", " html"))}
        self._in_bodies = [(field, f"{field} plain", f"{field} html") for field in sorted(gaps)]
        self._pick = itemgetter(*self._gaps)

    @classmethod
    def of_run(cls, attempt: Attempt, address: str) -> Skeleton:
        """Compile the letter of a run; `address` is what the service sends from."""
        owner = attempt.mailing.owner
        content = Content(attempt.subject, attempt.html, attempt.text)
        # With its time a run's name is unique also where a database was made anew.
        run = f"{attempt.pk:x}.{int(attempt.started_at.timestamp()):x}"
        return cls(content, run=run, sender=Sender(owner.sender_name, address, owner.email))

    def build(self, recipient: Recipient) -> bytes:
        """Return the whole letter for one recipient: dot-stuffed, with the final dot."""
        name, email, url = recipient.full_name, recipient.email, recipient.unsubscribe_url
        values = {
            "to": encode_mailbox(name, email),
            "reply_to": self._reply_to if needs_utf8(email) else b"",
            "date": now_as_header(),
            "delivery_id": b"%x" % recipient.delivery_id,
            "unsubscribe_url": url.encode(),
        }
        words = {"client.full_name": name, "client.email": email, URL: url}
        for field, plain, rich in self._in_bodies:
            values[plain], values[rich] = encode_both(words[field])
        for field in self._in_subject:
            values[field + " words"] = encode_words(words.get(field, self._company))
        return self._pattern % self._pick(values)

    def _gap(self, key: str) -> bytes:
        self._gaps.append(key)
        return b"%b"

    def _answers_to(self, sender: Sender) -> list[bytes]:
        self._reply_to = b""
        with suppress(UnicodeError):  # the domain of an account may be none
            self._reply_to = b"\r\nReply-To: " + encode_mailbox(sender.name, sender.reply_to)
        # A mailbox that is not ASCII may be told only in a letter that goes by SMTPUTF8.
        if needs_utf8(sender.reply_to):
            return [self._gap("reply_to")]
        return [escape_percent(self._reply_to)]

    def _subject(self, subject: str) -> list[bytes]:
        pieces = FIELD.split(subject)
        self._in_subject = set(pieces[1::2])
        if len(pieces) == 1:
            return [escape_percent(encode_header(subject))]
        # Words next to a gap are encoded apart from it: RFC 2047 6.2 joins encoded words.
        out: list[bytes] = []
        for text, name in zip_longest(pieces[::2], pieces[1::2]):
            if text:
                out += [escape_percent(encode_words(text)), b"\r\n "]
            if name:
                out += [self._gap(name + " words"), b"\r\n "]
        return out[:-1]

    def _part(
        self, boundary: str, subtype: str, source: str, encoder: Callable[[str], bytes]
    ) -> list[bytes]:
        head = (
            f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        )
        out = [head.encode()]
        pieces = FIELD.split(source)
        for text, name in zip_longest(pieces[::2], pieces[1::2]):
            out.append(escape_percent(encode_text(text)))
            if name == "company":
                out += [b"=\r\n", escape_percent(encoder(self._company)), b"=\r\n"]
            elif name:
                out += [b"=\r\n", self._gap(f"{name} {subtype}"), b"=\r\n"]
        return [*out, b"\r\n"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a run's letters come from: the company's name, the service's address, the owner."""

    name: str
    address: str
    reply_to: str


def envelope_address(email: str) -> tuple[str, bool]:
    """Return the address as SMTP wants it, and whether it needs SMTPUTF8 (RFC 6531)."""
    return to_ascii(email), needs_utf8(email)


@lru_cache(maxsize=1)
def _date_header(second: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(second, UTC)).encode()


def now_as_header() -> bytes:
    return _date_header(int(time.time()))
