"""Compose a letter once, fill it in per recipient."""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from itertools import zip_longest
from textwrap import shorten
from typing import TYPE_CHECKING

import css_inline
import idna
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from wagtail.rich_text import get_text_for_indexing

from mailings.delivery.plaintext import html_to_text

if TYPE_CHECKING:
    from accounts.models import User
    from mailings.models import Message

# What may stand between double braces in a subject or a body.
FIELDS = ("client.full_name", "client.email", "company", "unsubscribe_url")
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
    page = css_inline.inline(tidy_fields(page), keep_at_rules=True, load_remote_stylesheets=False)
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
# 39 bytes are 52 letters of base64: with the header's name the line stays under 78 letters.
WORD_BYTES = 39
# Whatever some reader might take for a line break (C0, C1, and Unicode's separators).
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
    so no line grows over the 76 letters of RFC 2045 6.7 and nothing before it need be re-encoded.

    `run` names the run in Message-ID, which is the same on every try of the same delivery.
    """

    def __init__(self, content: Content, *, run: str, sender: Sender) -> None:
        self.gaps: list[tuple[str, Callable[[str], bytes]]] = []
        self.company = sender.name
        domain = sender.address.rpartition("@")[2]
        boundary = f"=_vestnik_{hashlib.sha256(content.html.encode()).hexdigest()[:16]}"
        parts = [
            b"From: " + escape_percent(encode_mailbox(sender.name, sender.address)) + b"\r\n",
            b"To: ", self._gap("to", encode_raw),
            b"\r\nReply-To: " + escape_percent(encode_mailbox(sender.name, sender.reply_to)),
            b"\r\nSubject: ", *self._subject(content.subject),
            b"\r\nDate: ", self._gap("date", str.encode),
            f"\r\nMessage-ID: <{run}.".encode(), self._gap("delivery_id", str.encode),
            f"@{to_ascii_domain(domain)}>\r\nList-Unsubscribe: <".encode(),
            self._gap("unsubscribe_url", str.encode),
            b">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
            b"Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\nMIME-Version: 1.0\r\n",
            f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'.encode(),
            *self._part(boundary, "plain", content.text, encode_text),
            *self._part(boundary, "html", content.html, encode_html),
            f"--{boundary}--".encode() + END,
        ]  # fmt: skip
        self.pattern = b"".join(parts)

    def build(self, recipient: Recipient) -> bytes:
        """Return the whole letter for one recipient: dot-stuffed, with the final dot."""
        values = {
            "to": encode_mailbox(recipient.full_name, recipient.email).decode(),
            "date": now_as_header(),
            "delivery_id": f"{recipient.delivery_id:x}",
            "client.full_name": recipient.full_name,
            "client.email": recipient.email,
            "company": self.company,
            "unsubscribe_url": recipient.unsubscribe_url,
        }
        return self.pattern % tuple(encode(values[name]) for name, encode in self.gaps)

    def _gap(self, name: str, encoder: Callable[[str], bytes]) -> bytes:
        self.gaps.append((name, encoder))
        return b"%b"

    def _subject(self, subject: str) -> list[bytes]:
        pieces = FIELD.split(subject)
        if len(pieces) == 1:
            return [escape_percent(encode_header(subject))]
        # Words next to a gap are encoded apart from it: RFC 2047 6.2 joins encoded words.
        out: list[bytes] = []
        for text, name in zip_longest(pieces[::2], pieces[1::2]):
            if text:
                out += [escape_percent(encode_words(text)), b"\r\n "]
            if name:
                out += [self._gap(name, encode_words), b"\r\n "]
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
            if name:
                out += [b"=\r\n", self._gap(name, encoder), b"=\r\n"]
        return [*out, b"\r\n"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a run's letters come from: the company's name, the service's address, the owner."""

    name: str
    address: str
    reply_to: str


def encode_text(text: str) -> bytes:
    """Return quoted-printable text with CRLF, dot-stuffed (RFC 2045 6.7, RFC 5321 4.5.2)."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(unix.encode(), istext=True).replace(b"\n", b"\r\n")
    if encoded.startswith(b"."):
        encoded = b"." + encoded
    return encoded.replace(b"\r\n.", b"\r\n..")


def encode_html(text: str) -> bytes:
    return encode_text(html.escape(text))


def encode_raw(text: str) -> bytes:
    return text.encode()


def escape_percent(source: bytes) -> bytes:
    return source.replace(b"%", b"%%")


def one_line(text: str) -> str:
    """Return the text without line breaks: whatever it holds, it starts no header line."""
    return " ".join(CONTROL.sub(" ", text).split())


def encode_header(text: str) -> bytes:
    """Return a header's text: as it is where it is short and plain, else as encoded words."""
    text = one_line(text)
    if len(text) <= 60 and text.isascii() and text.isprintable() and "=?" not in text:
        return text.encode()
    return encode_words(text)


def encode_words(text: str) -> bytes:
    """Return RFC 2047 encoded words, each on a line of its own."""
    words, word = [], b""
    for char in CONTROL.sub(" ", text):
        piece = char.encode()
        if len(word) + len(piece) > WORD_BYTES:
            words.append(word)
            word = b""
        word += piece
    words.append(word)
    return b"\r\n ".join(b"=?utf-8?b?" + base64.b64encode(word) + b"?=" for word in words)


def encode_mailbox(name: str, address: str) -> bytes:
    """Return `"Name" <address>` for a header (RFC 5322 3.4, RFC 6532 for the address)."""
    name, spec = one_line(name), f"<{address}>".encode()
    if not name:
        return spec
    if name.isascii() and name.isprintable() and "=?" not in name and len(name) <= 200:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" '.encode() + spec
    return encode_words(name) + b"\r\n " + spec


def to_ascii_domain(domain: str) -> str:
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()


def envelope_address(email: str) -> tuple[str, bool]:
    """Return the address as SMTP wants it, and whether it needs SMTPUTF8 (RFC 6531)."""
    local, _at, domain = email.rpartition("@")
    return f"{local}@{to_ascii_domain(domain)}", not local.isascii()


@lru_cache(maxsize=1)
def _date_header(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def now_as_header() -> str:
    return _date_header(int(time.time()))
