"""What django-q2 calls. A task only wakes a worker: the work itself is in the database."""

from __future__ import annotations

import logging

from django_q.tasks import async_task

logger = logging.getLogger("vestnik.delivery")


def ring() -> None:
    """Wake a worker. Where the queue cannot be reached, the clock does it a little later."""
    try:
        async_task("mailings.tasks.run_pass", task_name="mailing pass")
    except Exception:
        logger.warning(
            "The queue could not be reached; the clock will start the work.", exc_info=True
        )
