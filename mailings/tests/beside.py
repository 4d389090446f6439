"""Something at work at the same time, for code that runs in a process of a site."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import connection


class Beside:
    """A function at work in a thread of its own, on a connection of its own."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, args=(work,))
        self.thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 told to the test
            self.error = error
        finally:
            connection.close()

    def wait_until_blocked(self) -> None:
        """Wait until it waits for a lock that this thread holds."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_stat_clear_snapshot()")
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
                if cursor.fetchone()[0]:
                    return
            assert self.thread.is_alive(), self.error or "it did not wait"
            time.sleep(0.01)
        raise AssertionError("it never waited")

    def end(self) -> None:
        self.thread.join(30)
        assert not self.thread.is_alive()
        if self.error:
            raise self.error
