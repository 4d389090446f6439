"""`/inbox/`: the mailboxes of the local SMTP server of `make run`. Only in DEBUG.

That server (aiosmtpd) keeps every letter as a file of a Maildir and writes the recipients of the
envelope into it, in the header X-RcptTo. Letters may be broken in any way.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import mark_safe

# A run of the load test leaves far more than anybody reads.
NEWEST = 1000
HEADERS = ("From", "To", "Reply-To", "Subject", "Date", "List-Unsubscribe", "Message-ID")
# The letter is a stranger's page: no scripts, no forms, an origin of its own. Its links open in
# the whole window.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
POLICY = f"sandbox {SANDBOX}; default-src 'none'; img-src * data:; style-src 'unsafe-inline'"


# --- Pages ----------------------------------------------------------------------------------


def mailboxes(request: HttpRequest) -> HttpResponse:
    counts = Counter(box for letter in newest_letters() for box in letter.recipients)
    return render(request, "inbox/mailboxes.html", {"boxes": counts.items()})


def mailbox(request: HttpRequest, address: str) -> HttpResponse:
    letters = [letter for letter in newest_letters() if address in letter.recipients]
    if not letters:
        raise Http404("Nothing has come for this address.")
    return render(request, "inbox/mailbox.html", {"address": address, "letters": letters})


def letter(request: HttpRequest, key: str) -> HttpResponse:
    found = find_letter(key)
    context = {"letter": found, "text": found.part("text/plain"), "sandbox": SANDBOX}
    return render(request, "inbox/letter.html", context)


def letter_html(request: HttpRequest, key: str) -> HttpResponse:
    """Answer with the HTML part alone, for the frame on the letter's page."""
    html = find_letter(key).part("text/html")
    if html is None:
        raise Http404("This letter has no HTML part.")
    page = format_html('<base target="_top">{}', mark_safe(html))
    return HttpResponse(page, headers={"Content-Security-Policy": POLICY})


def letter_source(request: HttpRequest, key: str) -> HttpResponse:
    content = find_letter(key).path.read_bytes()
    return HttpResponse(content, content_type="text/plain; charset=utf-8")


# --- The Maildir ----------------------------------------------------------------------------


class Letter:
    """A file of the Maildir, read as far as it is asked for."""

    def __init__(self, file: Path) -> None:
        self.path = file
        self.key = file.name
        self.came_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        with file.open("rb") as stream:
            self.head: Message = BytesHeaderParser(policy=policy.compat32).parse(stream)

    @property
    def recipients(self) -> list[str]:
        """Return the addresses of the envelope, or of the header where there was none."""
        listed = self.header("X-RcptTo") or self.header("To") or "?"
        return sorted({address.strip() for address in listed.split(",") if address.strip()})

    @property
    def subject(self) -> str:
        return self.header("Subject")

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name, self.header(name)) for name in HEADERS if self.header(name)]

    def header(self, name: str) -> str:
        """Return a header decoded, or as it stands where it cannot be."""
        raw = self.head.get(name, "")
        try:
            return " ".join(str(make_header(decode_header(raw))).split())
        except (LookupError, UnicodeError, ValueError, MessageError):
            return str(raw).encode(errors="replace").decode()

    @property
    def has_html(self) -> bool:
        return self.part("text/html") is not None

    def part(self, content_type: str) -> str | None:
        """Return the first part of a type, decoded as well as it can be."""
        for part in message_from_bytes(self.path.read_bytes(), policy=policy.compat32).walk():
            if part.get_content_type() == content_type:
                return decode_part(part)
        return None


def decode_part(part: Message) -> str:
    content = part.get_payload(decode=True) or b""
    try:
        return content.decode(part.get_content_charset("utf-8"), errors="replace")
    except LookupError:  # A charset that nobody knows.
        return content.decode(errors="replace")


def newest_letters() -> list[Letter]:
    files = sorted(letter_files(), key=lambda entry: entry.stat().st_mtime, reverse=True)
    return [Letter(Path(entry.path)) for entry in files[:NEWEST]]


def letter_files() -> list[os.DirEntry[str]]:
    found = []
    for folder in ("new", "cur"):
        place = settings.VAR_DIR / "mail" / folder
        if place.is_dir():
            found += [entry for entry in os.scandir(place) if entry.is_file()]
    return found


def find_letter(key: str) -> Letter:
    """Return the letter of a file name; names are compared, never made into paths."""
    for entry in letter_files():
        if entry.name == key:
            return Letter(Path(entry.path))
    raise Http404("There is no such letter.")


urlpatterns = [
    path("", mailboxes, name="inbox"),
    path("to/<path:address>/", mailbox, name="inbox_mailbox"),
    path("letter/<str:key>/", letter, name="inbox_letter"),
    path("letter/<str:key>/html/", letter_html, name="inbox_letter_html"),
    path("letter/<str:key>/source/", letter_source, name="inbox_letter_source"),
]
