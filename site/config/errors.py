"""Pages for what went wrong. Those outside 403 and 404 need no database, session or login."""

from __future__ import annotations

import logging
import sys

from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from config.addresses import first_part
from config.health import healthz
from config.language import find_language, is_prefix, language_of_reader

logger = logging.getLogger("vestnik.web")

OUTAGES = (OperationalError, InterfaceError, RedisConnectionError, RedisTimeoutError)
TOO_MUCH = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)


def bare_page(request: HttpRequest, status: int) -> HttpResponse:
    """Render the page of a status with no context, in the language of the address or the reader."""
    with translation.override(find_language(request)):
        # Not even the request: context processors would ask for the user.
        return render(None, f"{status}.html", status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return bare_page(request, 413 if isinstance(exception, TOO_MUCH) else 400)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Say that there is nothing; an address without a page has no language but the reader's."""
    if not is_prefix(first_part(request.path_info)) and not request.user.is_authenticated:
        translation.activate(language_of_reader(request))
    return render(request, "404.html", status=404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403_csrf.html", status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 where a service is away, 500 for a mistake of ours."""
    error = sys.exception()
    if isinstance(error, OUTAGES):
        return outage(request, error)
    return bare_page(request, 500)


def outage(request: HttpRequest, error: BaseException) -> HttpResponse:
    if request.path == "/healthz":
        # The reader's session needs the database, the health page does not.
        return healthz(request)
    logger.error("%s %s answered 503: %s", request.method, request.path, error)
    response = bare_page(request, 503)
    response["Retry-After"] = "30"
    response["Cache-Control"] = "no-store"
    return response
