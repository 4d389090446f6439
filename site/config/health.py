"""`/healthz`: whether the database, the cache and a worker are alive."""

from __future__ import annotations

import logging
import secrets

from django.core.cache import caches
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from mailings.models import Host

logger = logging.getLogger("vestnik.web")

OK = "ok"


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when every part is alive, else 503 with the words that say which is not.

    A missing worker counts: the pages work without one, but no letter goes out. The answer is
    for machines, in English, and holds no error text, which could tell names of hosts.
    """
    parts = {"database": check_database(), "cache": check_cache(), "worker": check_worker()}
    alive = all(state == OK for state in parts.values())
    status = OK if alive else "unavailable"
    return JsonResponse({"status": status, **parts}, status=200 if alive else 503)


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:
        logger.warning("The health page could not reach the database.", exc_info=True)
        return "does not answer"
    return OK


def check_cache() -> str:
    # A key of its own, so that checks at the same moment do not answer for one another.
    key, cache = f"healthz:{secrets.token_hex(8)}", caches["strict"]
    try:
        cache.set(key, OK, timeout=10)
        state = cache.get(key) or "loses what it is given"
        cache.delete(key)
    except Exception:
        logger.warning("The health page could not reach the cache.", exc_info=True)
        return "does not answer"
    return state


def check_worker() -> str:
    try:
        hosts = list(Host.objects.alive(timezone.now()).values_list("workers", flat=True))
    except Exception:
        logger.warning("The health page could not ask for workers.", exc_info=True)
        return "unknown"
    if not hosts:
        return "no host has been seen for 30 seconds"
    return OK if any(hosts) else "none is alive"
