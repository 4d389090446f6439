"""Go on with other work while PostgreSQL does its own.

psycopg2 lets a program wait for the server's answers itself (psycopg2.extensions.set_wait_callback,
made for coroutines). Each batch that a worker writes or reads keeps it waiting for some
milliseconds, a good part of them for the disk: meanwhile it serves its connections. SQLite works
within the process, and there is nothing to wait for.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from threading import get_ident
from typing import Any

from django.db import OperationalError, connection

# Works until a file is ready, by its descriptor and an event mask (select.epoll); returns whether
# it is.
GoOn = Callable[[int, int], bool]


def share_waits(go_on: GoOn | None) -> None:
    """Call `go_on` while this thread's database connection is waited for; None: no longer."""
    if connection.vendor != "postgresql":
        return
    from psycopg2.extensions import set_wait_callback

    set_wait_callback(go_on and _Waits(go_on))


class _Waits:
    """What psycopg2 calls, for every connection of the process."""

    def __init__(self, go_on: GoOn) -> None:
        from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

        self.go_on, self.thread = go_on, get_ident()
        self.done = POLL_OK
        self.masks = {POLL_READ: select.EPOLLIN, POLL_WRITE: select.EPOLLOUT}

    def __call__(self, conn: Any) -> None:
        while (state := conn.poll()) != self.done:
            if state not in self.masks:
                raise OperationalError(f"the connection is in state {state}")
            mask = self.masks[state]
            is_ours = get_ident() == self.thread
            if not (is_ours and self.go_on(conn.fileno(), mask)):
                _wait_plainly(conn.fileno(), mask)


def _wait_plainly(fd: int, mask: int) -> None:
    poll = select.poll()
    poll.register(fd, mask)
    poll.poll()
