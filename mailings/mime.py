"""Text to the bytes of a mail: headers, quoted-printable bodies, addresses. It knows no mailing.

RFC 5322 (mail), RFC 2047 (words in headers), RFC 2045 (quoted-printable), RFC 5321 (dots).
"""

from __future__ import annotations

import binascii
import html
import re

import idna

# 39 bytes are 52 characters of base64: with the header's name the line stays under 78.
WORD_BYTES = 39
# What is the same in every encoding: nearly every name, address and link.
PLAIN = re.compile(r"(?!\.)[!#$%(-;?-~](?:[ !#$%(-;?-~]{0,70}[!#$%(-;?-~])?")
# Whatever some reader might take for a line break (C0, C1, and Unicode's separators).
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def encode_text(text: str) -> bytes:
    """Return quoted-printable text with CRLF, dot-stuffed (RFC 2045 6.7, RFC 5321 4.5.2)."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(unix.encode(), istext=True).replace(b"\n", b"\r\n")
    if encoded.startswith(b"."):
        encoded = b"." + encoded
    return encoded.replace(b"\r\n.", b"\r\n..")


def encode_html(text: str) -> bytes:
    """Return text escaped for HTML, as quoted-printable."""
    return encode_text(html.escape(text))


def encode_both(text: str) -> tuple[bytes, bytes]:
    """Return text as it stands in a text part and in an HTML part."""
    if PLAIN.fullmatch(text):
        return (same := text.encode()), same
    return encode_text(text), encode_html(text)


def escape_percent(source: bytes) -> bytes:
    """Return bytes that may stand in a pattern for the operator `%`."""
    return source.replace(b"%", b"%%")


def one_line(text: str) -> str:
    """Return the text without line breaks: whatever it holds, it starts no header line."""
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(CONTROL.sub(" ", text).split())


def encode_header(text: str) -> bytes:
    """Return a header's text: as it is where it is short and plain, else as encoded words."""
    text = one_line(text)
    if len(text) <= 60 and text.isascii() and text.isprintable() and "=?" not in text:
        return text.encode()
    return encode_words(text)


def encode_words(text: str) -> bytes:
    """Return RFC 2047 encoded words, each on a line of its own."""
    if not text.isprintable():
        text = CONTROL.sub(" ", text)
    whole = text.encode()
    if len(whole) <= WORD_BYTES:
        return _encode_word(whole)
    words, word = [], b""
    for char in text:
        piece = char.encode()
        if len(word) + len(piece) > WORD_BYTES:
            words.append(word)
            word = b""
        word += piece
    words.append(word)
    return b"\r\n ".join(map(_encode_word, words))


def _encode_word(word: bytes) -> bytes:
    return b"=?utf-8?b?" + binascii.b2a_base64(word, newline=False) + b"?="


def encode_mailbox(name: str, address: str) -> bytes:
    """Return `"Name" <address>` for a header (RFC 5322 3.4).

    It is ASCII but for a local part that is none: such a letter goes by SMTPUTF8 (RFC 6532).
    """
    name, spec = one_line(name), f"<{to_ascii(address)}>".encode()
    if not name:
        return spec
    if name.isascii() and name.isprintable() and "=?" not in name and len(name) <= 200:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" '.encode() + spec
    return encode_words(name) + b"\r\n " + spec


def to_ascii(address: str) -> str:
    """Return an address with its domain as every server takes it."""
    if address.isascii():
        return address
    local, _at, domain = address.rpartition("@")
    return f"{local}@{to_ascii_domain(domain)}"


def needs_utf8(address: str) -> bool:
    """Return whether a letter with this address in it needs SMTPUTF8 (RFC 6531)."""
    return not (address.isascii() or address.rpartition("@")[0].isascii())


def to_ascii_domain(domain: str) -> str:
    """Return a domain as every server takes it (RFC 5891)."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
