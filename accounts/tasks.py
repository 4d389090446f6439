"""Letters about accounts that the mail server did not take at once, tried again by django-q2."""

from __future__ import annotations

import logging
from datetime import timedelta
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.utils import timezone
from django_q.tasks import schedule

logger = logging.getLogger("vestnik.accounts")

DELAYS = [
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=6),
]


def send_or_postpone(letter: EmailMultiAlternatives) -> bool:
    """Send a letter; where that fails for now, plan further tries and return False."""
    return attempt(letter, tries=0)


def send_letter(packed: dict[str, Any], tries: int) -> None:
    """Try a postponed letter again; called by django-q2."""
    attempt(unpack(packed), tries)


def attempt(letter: EmailMultiAlternatives, tries: int) -> bool:
    try:
        letter.send()
    except (SMTPException, OSError) as error:
        if is_final(error):
            logger.warning("Letter %r was refused for good: %s", letter.subject, error)
        else:
            postpone(letter, tries, error)
        return False
    return True


def is_final(error: Exception) -> bool:
    """Return whether the mail server said that this mailbox will never take a letter."""
    if not isinstance(error, SMTPRecipientsRefused):
        return False
    return all(code >= 500 for code, _reply in error.recipients.values())


def postpone(letter: EmailMultiAlternatives, tries: int, error: Exception) -> None:
    if tries >= len(DELAYS):
        logger.error("Letter %r is given up after %d tries: %s", letter.subject, tries + 1, error)
        return
    logger.warning("Letter %r waits %s: %s", letter.subject, DELAYS[tries], error)
    schedule(
        "accounts.tasks.send_letter",
        pack(letter),
        tries + 1,
        next_run=timezone.now() + DELAYS[tries],
        # The letter holds a key to an account: nothing of it is kept after it was sent.
        q_options={"save": False, "task_name": "account letter"},
    )


def pack(letter: EmailMultiAlternatives) -> dict[str, Any]:
    """Return a letter as plain values, which is what a schedule can hold."""
    return {
        "subject": str(letter.subject),
        "body": letter.body,
        "from_email": letter.from_email,
        "to": list(letter.to),
        "headers": dict(letter.extra_headers),
        "html": next((html for html, kind in letter.alternatives if kind == "text/html"), ""),
    }


def unpack(packed: dict[str, Any]) -> EmailMultiAlternatives:
    html = packed.pop("html")
    letter = EmailMultiAlternatives(**packed)
    if html:
        letter.attach_alternative(html, "text/html")
    return letter
