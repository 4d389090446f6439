"""What must happen before any view, whatever the view."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

logger = logging.getLogger("vestnik.web")

OUTAGES = (OperationalError, InterfaceError, RedisConnectionError, RedisTimeoutError)

GetResponse = Callable[[HttpRequest], HttpResponse]


class OutageMiddleware:
    """Answer 503 with a page of ours while the database or Redis cannot be reached."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        except OUTAGES as error:
            return self.process_exception(request, error)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, OUTAGES):
            return None
        logger.error("%s %s answered 503: %s", request.method, request.path, error)
        response = render(None, "503.html", status=503)
        response["Retry-After"] = "30"
        response["Cache-Control"] = "no-store"
        return response


class PlainInputMiddleware:
    """Answer 400 to addresses and forms that hold NUL or are not UTF-8.

    PostgreSQL cannot store NUL in text, and Django reads undecodable bytes as replacement
    letters, which would be stored in place of what was typed.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if self.is_broken(request):
            return HttpResponseBadRequest("The request is not valid UTF-8 text.")
        return self.get_response(request)

    @staticmethod
    def is_broken(request: HttpRequest) -> bool:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return True
        if request.content_type != "application/x-www-form-urlencoded" or request.method != "POST":
            return False
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        from django.conf import settings

        if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return False  # Django refuses it by itself, without reading it.
        from urllib.parse import unquote_to_bytes

        body = unquote_to_bytes(request.body.replace(b"+", b" "))
        if b"\x00" in body:
            return True
        try:
            body.decode()
        except UnicodeDecodeError:
            return True
        return False
