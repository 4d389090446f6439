"""The site as gunicorn serves it, each answer with its cost in a header: for bench/public_site.py.

`Server-Timing: site;dur=12.3, queries;desc=9`: milliseconds from the request to the last byte of the
answer, and queries. With `X-Uncached` in the request, everything that is cached is forgotten before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from config.wsgi import application as site
from django.core.cache import cache
from django.db import connection


class Count:
    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute: Callable, *args: Any) -> Any:
        self.queries += 1
        return execute(*args)


def forget_all() -> None:
    """Forget all pages; with another generation where sites lie is asked anew, by one query."""
    from config.generations import get_generation  # It needs the application.

    cache.clear()
    get_generation().change()


def application(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    if "HTTP_X_UNCACHED" in environ:
        forget_all()
    count, head = Count(), []

    def remember(status: str, headers: list, exc_info: Any = None) -> None:
        head[:] = [status, headers, exc_info]

    began = time.perf_counter()
    with connection.execute_wrapper(count):
        answer = site(environ, remember)
        body = b"".join(answer)
    milliseconds = (time.perf_counter() - began) * 1000
    # Ends the request: connections are kept or closed as the settings say.
    getattr(answer, "close", lambda: None)()
    status, headers, exc_info = head
    cost = f"site;dur={milliseconds:.2f}, queries;desc={count.queries}"
    start_response(status, [*headers, ("Server-Timing", cost)], exc_info)
    return [body]
