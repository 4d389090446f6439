"""Readings that are not counted yet: lines, kept where they survive the process.

With Redis a list, which any worker of any host can take. Without it, or while it does not answer,
a file in VAR_DIR that all processes of a host share. Whoever settles takes all lines in one
stroke, by renaming; what was taken stays until it is done, so that nobody's death loses it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

import redis
from config.redis_link import AwayError, Link, get_link
from django.conf import settings
from redis.exceptions import ResponseError

STEP = 1000  # lines that are settled in one transaction

Steps = Iterator[list[str]]


def add(line: str) -> None:
    """Keep a line until it is settled; when this returns, no end of a process loses it."""
    link = get_link()
    if link:
        try:
            return add_to_redis(link, line)
        except AwayError:
            pass  # It may have arrived nevertheless: to settle a line twice changes nothing.
    add_to_file(line)


def take() -> Iterator[Steps]:
    """Yield what waits, batch by batch; a batch is over when its consumer comes for the next.

    A batch whose consumer raises, or dies, stays and is yielded again.
    """
    yield from take_files()
    link = get_link()
    if link:
        with contextlib.suppress(AwayError):
            yield from take_from_redis(link)


# --- A file -----------------------------------------------------------------------------------


def folder() -> Path:
    path = Path(settings.VAR_DIR) / "readings"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file; the end of the process releases it. BlockingIOError: it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def add_to_file(line: str) -> None:
    place = folder()
    # Opened under the lock: afterwards the file of this name may be one that was taken.
    with locked(place / "lock"):
        descriptor = os.open(place / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        content = f"{line}\n".encode()
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, content) < len(content):
                # Half a line would spoil the next one.
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, "no room for a line", str(place))
        finally:
            os.close(descriptor)


def take_files() -> Iterator[Steps]:
    place = folder()
    lines = place / "lines"
    if lines.exists():
        with locked(place / "lock"), contextlib.suppress(FileNotFoundError):
            lines.rename(place / f"{uuid.uuid4().hex}.taken")
    for path in sorted(place.glob("*.taken")):
        # One that somebody else settles at this moment, or has just settled, is left to them.
        gone = contextlib.suppress(BlockingIOError, FileNotFoundError)
        with gone, locked(path, wait=False):
            yield read_file(path)
            path.unlink(missing_ok=True)


def read_file(path: Path) -> Steps:
    # What is no text is no line, and keeps nobody from the others.
    with path.open(encoding="utf-8", errors="replace") as lines:
        while step := [line.rstrip("\n") for line in islice(lines, STEP)]:
            yield step


# --- Redis ------------------------------------------------------------------------------------

WAITING, TAKEN = "vestnik:readings", "vestnik:readings:taken"


def add_to_redis(link: Link, line: str) -> None:
    link.ask(lambda client: client.rpush(WAITING, line))


def take_from_redis(link: Link) -> Iterator[Steps]:
    if link.ask(lambda client: client.exists(WAITING)):
        name = f"{TAKEN}:{uuid.uuid4().hex}"
        link.ask(lambda client: rename(client, name))
    for name in sorted(link.ask(lambda client: client.smembers(TAKEN))):
        yield read_redis(link, name)
        link.ask(lambda client, name=name: client.delete(name))
        link.ask(lambda client, name=name: client.srem(TAKEN, name))


def rename(client: redis.Redis, name: str) -> None:
    """Take all that waits, and note under which name: both at once or nothing.

    Apart, somebody else could look in between and take the name for that of an empty batch.
    """
    with client.pipeline(transaction=True) as both:
        both.sadd(TAKEN, name)
        both.rename(WAITING, name)
        _added, renamed = both.execute(raise_on_error=False)
    if isinstance(renamed, Exception) and not isinstance(renamed, ResponseError):
        raise renamed  # A ResponseError: somebody else took all.


def read_redis(link: Link, name: bytes) -> Steps:
    for start in count(0, STEP):
        end = start + STEP - 1
        step = link.ask(lambda client, start=start, end=end: client.lrange(name, start, end))
        if not step:
            return
        yield [line.decode(errors="replace") for line in step]
