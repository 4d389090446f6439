"""What must happen before any view, whatever the view."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, UnreadablePostError

from config import errors

# Django limits the fields of a form but not its files, and parses both for any address.
LARGEST_POST = 50 * 1024 * 1024

GetResponse = Callable[[HttpRequest], HttpResponse]


class OutageMiddleware:
    """Answer 503 with a page of ours while the database or Redis cannot be reached.

    That holds for views, also in DEBUG. What fails in a middleware never gets here: Django
    hands it to `errors.server_error`, which answers the same.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return errors.outage(request, error) if isinstance(error, errors.OUTAGES) else None


class PlainInputMiddleware:
    """Refuse what is too large (413) or of no known length, NUL and forms not in UTF-8 (400).

    PostgreSQL cannot store NUL in text, and Django reads undecodable bytes as replacement
    characters, which would be stored in place of what was typed.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if has_broken_length(request):
            return errors.bad_request(request)
        refuse_too_large(request)
        if has_broken_address(request) or has_broken_form(request):
            return errors.bad_request(request)
        return self.get_response(request)


def has_broken_length(request: HttpRequest) -> bool:
    # Longer numbers are no size of anything, and Python refuses to read the longest.
    return not re.fullmatch(r"[0-9]{0,18}", request.META.get("CONTENT_LENGTH") or "")


def refuse_too_large(request: HttpRequest) -> None:
    if int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_POST:
        raise RequestDataTooBig("The request is larger than the site accepts.")


def has_broken_address(request: HttpRequest) -> bool:
    return "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", "")


def has_broken_form(request: HttpRequest) -> bool:
    """Return whether the fields of a posted form are no text; what is too large raises."""
    if request.method != "POST":
        return False
    try:
        if request.content_type == "application/x-www-form-urlencoded":
            return not is_text(unquote_to_bytes(request.body.replace(b"+", b" ")))
        if request.content_type == "multipart/form-data":
            return any(is_damaged(value) for value in fields_of(request))
    except UnreadablePostError:
        return True
    return False


def is_text(content: bytes) -> bool:
    try:
        return "\x00" not in content.decode()
    except UnicodeDecodeError:
        return False


def fields_of(request: HttpRequest) -> list[str]:
    return [text for name, values in request.POST.lists() for text in (name, *values)]


def is_damaged(value: str) -> bool:
    # Django has decoded the parts already and put U+FFFD where it could not.
    return "\x00" in value or "\ufffd" in value
