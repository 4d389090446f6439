"""The way to Redis for what is no cache: pages' generation, readings that wait to be counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import redis
from django.conf import settings
from redis.exceptions import RedisError

logger = logging.getLogger("vestnik.web")

RETRY = 5.0  # seconds before a Redis that did not answer is asked again

Answer = TypeVar("Answer")


class AwayError(Exception):
    """Redis does not answer."""


class Link:
    """A Redis that is asked nothing for a while after it did not answer."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2)
        self.away_until = float("-inf")

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self.away_until

    def ask(self, call: Callable[[redis.Redis], Answer], *, insists: bool = False) -> Answer:
        """Return what the call returns; raise AwayError where Redis gives no answer.

        `insists`: ask also while it is taken to be away.
        """
        if self.is_away and not insists:
            raise AwayError
        try:
            return call(self.client)
        except RedisError as error:
            self.lose(error)
            raise AwayError from error

    def lose(self, error: Exception) -> None:
        self.away_until = time.monotonic() + RETRY
        logger.warning("Redis does not answer, asked again in %.0f s: %s", RETRY, error)


@cache
def open_link(url: str) -> Link:
    return Link(url)


def get_link() -> Link | None:
    """Return the link of this process, or None where the site runs without Redis."""
    return open_link(settings.REDIS_URL) if settings.REDIS_URL else None
