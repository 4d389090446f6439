"""The site's cache while Redis is away: Django's own raises, and every page would be a 503."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

from config.redis_link import Link, open_link

LONGEST = 60  # seconds that a process relies on what it remembers by itself


class SturdyRedisCache(RedisCache):
    """Redis, and while it does not answer a store of this process that forgets within a minute.

    What others change meanwhile is seen a minute later at most; limits on log-in attempts hold
    for each process by itself.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self.link: Link = open_link(server)
        self.stand_in = LocMemCache("while-redis-is-away", {})

    def try_both(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if not self.link.is_away:
            try:
                return getattr(super(), name)(*args, **kwargs)
            except RedisError as error:
                self.link.lose(error)
                self.stand_in.clear()
        if "timeout" in kwargs:
            kwargs["timeout"] = shorten(kwargs["timeout"])
        return getattr(self.stand_in, name)(*args, **kwargs)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        return self.try_both("add", key, value, timeout=timeout, version=version)

    def get(self, key: str, default: Any = None, version: Any = None) -> Any:
        return self.try_both("get", key, default, version=version)

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        return self.try_both("set", key, value, timeout=timeout, version=version)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        return self.try_both("touch", key, timeout=timeout, version=version)

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> Any:
        return self.try_both("set_many", data, timeout=timeout, version=version)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self.try_both("delete", *args, **kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self.try_both("get_many", *args, **kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        return self.try_both("delete_many", *args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        return self.try_both("has_key", *args, **kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        return self.try_both("incr", *args, **kwargs)

    def clear(self) -> Any:
        return self.try_both("clear")


def shorten(timeout: Any) -> float:
    """Return a timeout that is no longer than a process may rely on its own memory."""
    return LONGEST if timeout in {None, DEFAULT_TIMEOUT} else min(timeout, LONGEST)
