"""A run is completed: who does not have its letter, and whether they can be sent it now.

What completes it is a run of its own (`Attempt.remainder_of`), which `runs.open_remainder` opens.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from mailings import reasons
from mailings.housekeeping import kept_since
from mailings.models import Attempt, AttemptQuerySet, Client, Delivery, Mailing

# Rows that are about to be deleted must not go while the next run is put together from them.
MARGIN = timedelta(days=1)
# Letters of a run whose recipients a page may look through each time it is asked for.
FEW = 5000

NOBODY_LEFT = _(
    "Nobody is left: everybody who wants this letter has it, or an address that does not exist."
)
OWNER_BLOCKED = _("The owner of this mailing is blocked: nothing is sent.")
SWITCHED_OFF = _("The mailing is switched off. Switch it on first.")
ENDED = _("The end of the mailing has passed. Move its end first.")
AT_WORK = _("A run of this mailing is still at work. Wait until it is finished.")
NOT_LAST = _("Only the last run can be completed, and this mailing has run again since.")
NEVER_BEGAN = _(
    "This run was sent to nobody, so there is nothing to complete. "
    "Give the mailing a later first sending instead."
)
RECIPIENTS_DELETED = _(
    "The list of recipients is deleted when a run is long over, or soon will be: "
    "who has the letter cannot be told any more."
)


class Refused(Exception):
    """A run cannot be completed; `words` say why, in the reader's language."""

    @property
    def words(self) -> str:
        return gettext(self.args[0])


class Left(NamedTuple):
    """How many do not have a run's letter: of those it was meant for, and newcomers."""

    missed: int
    newcomers: int


def count_left(root: Attempt) -> Left:
    """Count who lacks the letter; this goes through the whole audience."""
    chain = root.chain()
    everybody = root.left_over(chain, newcomers=True)
    missed = root.left_over(chain, newcomers=False).count()
    return Left(missed, everybody.count() - missed)


def count_unknown(root: Attempt) -> int:
    """Return how many letters of the run may have arrived, by its sums."""
    if root.mailing.in_doubt == Mailing.Doubt.LEAVE:
        return root.chain().sums()["unknown"]
    # Those of the runs before went out again.
    return root.chain().values_list("unknown", flat=True)[0]


def offered(mailing: Mailing, now: datetime) -> Attempt | None:
    """Return the run of a slot that is offered to be completed, or None.

    Nobody is counted, since pages ask again and again: see `is_anybody_left`.
    """
    root = last_root(mailing)
    is_offered = root and may_be_completed(root, now) and is_anybody_left(root)
    return root if is_offered else None


def may_be_completed(root: Attempt, now: datetime) -> bool:
    """Return whether nothing speaks against it that a page finds out at once."""
    return not any(_cheap_refusals(root, now))


def is_anybody_left(root: Attempt) -> bool:
    """Return whether somebody lacks a letter that they were to get; newcomers do not count.

    Of a long run its sums are believed: that all who lack it have unsubscribed, say, is found out
    only where a page counts them.
    """
    last = root.chain().defer("html", "text").first()
    have, number = [Delivery.Status.ACCEPTED], last.accepted
    if root.mailing.in_doubt == Mailing.Doubt.LEAVE:
        have, number = [*have, Delivery.Status.UNKNOWN], number + last.unknown
    if last.status == Attempt.Status.SUCCESS or number >= last.planned:
        return False
    if last.planned > FEW:
        return True
    lacking = last.deliveries.exclude(status__in=have)
    return lacking.filter(client__in=Client.objects.getting_letters()).exists()


def last_root(mailing: Mailing) -> Attempt | None:
    """Return the newest run of a slot, but for those that were left out for an earlier one."""
    left_out = Q(status=Attempt.Status.FAILURE, server_response=reasons.STILL_RUNNING)
    runs = mailing.attempts.of_timetable().exclude(left_out)
    return runs.defer("html", "text").first()


def check(root: Attempt, now: datetime) -> None:
    """Raise `Refused` where the run cannot be completed, whoever may be left."""
    if words := next(_cheap_refusals(root, now), ""):
        raise Refused(words)
    if any_deleted(root.chain()):
        raise Refused(RECIPIENTS_DELETED)


def _cheap_refusals(root: Attempt, now: datetime) -> Iterator[str]:
    mailing = root.mailing
    if not mailing.owner.is_active:
        yield OWNER_BLOCKED
    if not mailing.is_active:
        yield SWITCHED_OFF
    if mailing.ends_at is not None and mailing.ends_at <= now:
        yield ENDED
    if mailing.attempts.running().exists():
        yield AT_WORK
    if mailing.next_run_at is not None and mailing.next_run_at <= now:
        yield reasons.MAKES_WAY
    if last_root(mailing) != root:
        yield NOT_LAST
    if not root.planned:
        yield NEVER_BEGAN
    kept = kept_since(now + MARGIN)
    if kept is not None and root.chain().filter(finished_at__lt=kept).exists():
        yield RECIPIENTS_DELETED


def any_deleted(chain: AttemptQuerySet) -> bool:
    """Return whether rows of these runs, which are over, are missing."""
    runs = chain.order_by().annotate(rows=Count("deliveries"))
    return runs.exclude(rows=F("planned")).exists()
