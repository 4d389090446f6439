"""What a pass over the due mailings could not send, as the database says when it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from django.db.models import Count, Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from mailings import limits, reasons, runs
from mailings.models import Attempt, AttemptQuerySet, Chunk, Delivery, Mailing, MailingQuerySet
from mailings.status import grouped, plain

# Chunks of a run that are looked through for letters that were due and put off. Those that wait
# for a limit come first; behind them are those that wait for a further try.
NEAREST = 100
GIVEN_UP = (reasons.WINDOW_CLOSED, reasons.NEXT_RUN)
NEVER_BEGUN = (reasons.NOT_COMPOSED, reasons.STILL_RUNNING)


def describe(began: datetime, mailing_id: int | None = None) -> list[str]:
    """Return a line for each mailing of which a pass since `began` left something unsent.

    Not told are letters that were tried: what became of each is in the sums of the pass.
    """
    now = timezone.now()
    attempts = Attempt.objects.select_related("mailing__owner").defer("html", "text")
    mailings = Mailing.objects.all()
    if mailing_id is not None:
        attempts, mailings = attempts.filter(mailing=mailing_id), mailings.filter(pk=mailing_id)
    # Who asks for one mailing is told also that it was paused before.
    paused_since = began if mailing_id is None else None
    lines = chain(
        not_opened(mailings.due(began), now),
        never_begun(attempts.filter(finished_at__gte=began)),
        half_opened(attempts, now),
        paused(attempts, paused_since),
        given_up(attempts.filter(finished_at__gte=began)),
        left(attempts, now),
    )
    return [plain(line) for line in lines]


def not_opened(due: MailingQuerySet, now: datetime) -> Iterator[str]:
    for mailing in due.exclude(attempts__status=Attempt.Status.RUNNING):
        is_young = (now - mailing.created_at).total_seconds() < runs.AUDIENCE_GRACE
        if not is_young or mailing.audience().exists():
            yield _("%s could not be opened; the log says why.") % title(mailing)


def never_begun(ended: AttemptQuerySet) -> Iterator[str]:
    failed = ended.filter(status=Attempt.Status.FAILURE, server_response__in=NEVER_BEGUN)
    for run in failed.order_by("pk"):
        yield f"{title(run.mailing)}: {_(run.server_response)}"


def half_opened(attempts: AttemptQuerySet, now: datetime) -> Iterator[str]:
    """Tell of runs whose recipients could not all be planned."""
    is_left = Q(opening_until__lte=now) | Q(server_response=reasons.NOT_PLANNED)
    for run in attempts.opening().filter(is_left).order_by("pk"):
        yield f"{title(run.mailing)}: {_(reasons.NOT_PLANNED)}"


def paused(attempts: AttemptQuerySet, since: datetime | None) -> Iterator[str]:
    held = attempts.running().filter(paused_at__isnull=False)
    if since:
        held = held.filter(paused_at__gte=since)
    for run in held.order_by("pk"):
        yield _("%(mailing)s. Its run is paused: %(reason)s %(words)s") % {
            "mailing": title(run.mailing),
            "reason": _(run.paused_for),
            "words": run.server_response,
        }


def given_up(ended: AttemptQuerySet) -> Iterator[str]:
    """Tell of runs that were closed because their mailing ended, or its next run was due."""
    late = Q(deliveries__response__in=GIVEN_UP)
    for run in ended.filter(skipped__gt=0).annotate(late=Count("deliveries", filter=late)):
        if run.late:
            words = _("%(mailing)s. Letters given up, as it ended or ran anew: %(count)s.")
            yield words % {"mailing": title(run.mailing), "count": grouped(run.late)}


def left(attempts: AttemptQuerySet, now: datetime) -> Iterator[str]:
    """Tell of runs with letters that might go out, and that no other worker has in hand."""
    in_hand = Chunk.objects.filter(attempt=OuterRef("pk"), leased_until__gte=now)
    for run in attempts.may_go(now).exclude(Exists(in_hand)).order_by("pk"):
        if is_left(run, now):
            words = _("%(mailing)s. Letters left: %(count)s.")
            if limits.limits_of(run.mailing.owner):
                words = _("%(mailing)s. Letters left, which wait for a limit: %(count)s.")
            count = grouped(run.planned - run.done)
            yield words % {"mailing": title(run.mailing), "count": count}


def is_left(run: Attempt, now: datetime) -> bool:
    """Return whether letters of the run are due, also where a limit put their chunk off."""
    if Chunk.objects.free(now).filter(attempt=run).exists():
        return True
    chunks = Chunk.objects.filter(attempt=run, due_at__gt=now)
    nearest = list(chunks.order_by("due_at", "pk").values_list("pk", flat=True)[:NEAREST])
    keys = (OuterRef("first_id"), OuterRef("last_id"))
    # By ranges of keys, as in runs.rows_in.
    rows = Delivery.objects.alias(run=F("attempt_id") + 0).filter(run=run.pk, pk__range=keys)
    due = Q(status=Delivery.Status.PLANNED)
    due |= Q(status=Delivery.Status.DEFERRED, next_try_at__lte=now)
    return Chunk.objects.filter(pk__in=nearest).filter(Exists(rows.filter(due))).exists()


def title(mailing: Mailing) -> str:
    return _("Mailing %(id)d, %(name)s") % {"id": mailing.pk, "name": mailing.name}
