"""Numbers and words for the dashboard, the reports and the detail pages."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from accounts.models import User
from mailings import reasons, remainder
from mailings.models import (
    Attempt,
    AttemptQuerySet,
    Client,
    Delivery,
    Mailing,
    MailingQuerySet,
    MailServer,
    Message,
)
from mailings.permissions import (
    changeable_attempts,
    may_switch,
    sees_clients_of,
    sees_many_owners,
    visible_attempts,
    visible_rows,
)

ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
# Nothing went wrong: not wanted, or not tried yet.
NO_FAILURE = (*reasons.NOT_WANTED, reasons.DOMAIN_SLOW)


# --- Words of mail servers --------------------------------------------------------------------


def show_reply(words: str, *, addresses: bool = True) -> str:
    """Return a reply for reading: ours translated, and addresses only for those who may."""
    if not words:
        return ""
    words = gettext(words)
    return words if addresses else ADDRESS.sub("•••", words)


@dataclass(frozen=True)
class Reason:
    """Why letters were not accepted, in the server's words, and how many."""

    status: str
    code: int | None
    words: str
    count: int


def failure_reasons(attempts: QuerySet[Attempt], count: int = 5) -> list[Reason]:
    """Return the most frequent reasons of failure in the last runs that had any.

    Servers name the recipient in their replies: without addresses, equal reasons are equal.
    """
    rows = (
        Delivery.objects.filter(attempt__in=troubled(attempts))
        .filter(status__in=("rejected", "deferred", "skipped", "unknown"))
        .exclude(response__in=NO_FAILURE)
    )
    groups = rows.values_list("status", "code", "response").annotate(n=Count("pk"))
    sums: Counter[tuple[str, int | None, str]] = Counter()
    for status, code, response, number in groups.order_by("-n")[:500]:
        sums[status, code, ADDRESS.sub("•••", response)] += number
    labels = dict(Delivery.Status.choices)
    return [
        Reason(labels[status], code, show_reply(words), number)
        for (status, code, words), number in sums.most_common(count)
    ]


def troubled(attempts: QuerySet[Attempt]) -> list[int]:
    """Return the ids of the last runs of a month in which not everything went well."""
    recent = attempts.filter(started_at__gt=timezone.now() - timedelta(days=30))
    bad = Q(rejected__gt=0) | Q(unknown__gt=0) | Q(skipped__gt=0) | Q(status="running")
    return list(recent.filter(bad).order_by("-started_at").values_list("pk", flat=True)[:10])


# --- Trouble of the mail server ---------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    """Since when the mail server takes no letters, when it is tried again, and what it said."""

    since: datetime
    next_try: datetime | None
    words: str

    @property
    def headline(self) -> str:
        """Say it in the reader's language and time zone."""
        if self.next_try and self.next_try > timezone.now():
            words = gettext("Mail server unavailable since %(since)s, next try %(next)s")
            return words % {"since": clock(self.since), "next": clock(self.next_try)}
        words = gettext("Mail server unavailable since %(since)s, next try with the next letter")
        return words % {"since": clock(self.since)}


def clock(moment: datetime) -> str:
    """Return the time of day in the reader's zone, with the date where it is not today."""
    local = timezone.localtime(moment)
    is_today = local.date() == timezone.localdate()
    return date_format(local, "TIME_FORMAT" if is_today else "DATETIME_FORMAT")


def server_trouble() -> Trouble | None:
    """Return what is wrong with the mail server that letters go to, or None.

    Its words may be about anybody's letter, so they are without addresses for everybody.
    """
    server = MailServer.objects.current().exclude(trouble_since=None).first()
    if server is None:
        return None
    words = show_reply(server.response, addresses=False)
    return Trouble(server.trouble_since, server.next_try_at, words)


def trouble_for(user: User) -> Trouble | None:
    """Return the mail server's trouble if the user's mailings wait for it, or all are shown."""
    trouble = server_trouble()
    if trouble is None or sees_many_owners(user):
        return trouble
    return trouble if at_work(visible_rows(Mailing, user)).exists() else None


def trouble_of(mailing: Mailing) -> Trouble | None:
    """Return the mail server's trouble if this mailing waits for it."""
    trouble = server_trouble()
    return trouble if trouble and is_at_work(mailing) else None


def is_at_work(mailing: Mailing) -> bool:
    return at_work(Mailing.objects.filter(pk=mailing.pk)).exists()


def at_work(mailings: MailingQuerySet) -> MailingQuerySet:
    """Return the mailings that have letters to send now: due, or with a run that is not paused."""
    runs = Attempt.objects.running().filter(mailing=OuterRef("pk"), paused_at=None)
    return mailings.allowed().filter(Q(next_run_at__lte=timezone.now()) | Exists(runs))


# --- Paused runs ------------------------------------------------------------------------------


def is_paused(attempt: Attempt) -> bool:
    return attempt.status == Attempt.Status.RUNNING and attempt.paused_at is not None


def with_pause(mailings: QuerySet[Mailing]) -> QuerySet[Mailing]:
    """Annotate mailings with `is_paused`: a run of theirs waits until somebody lets it go on."""
    paused = Attempt.objects.running().filter(mailing=OuterRef("pk"), paused_at__isnull=False)
    return mailings.annotate(is_paused=Exists(paused))


def paused_run(mailing: Mailing, user: User) -> Attempt | None:
    """Return the mailing's run that is paused, described for the user, or None."""
    rows = described(mailing.attempts.running().filter(paused_at__isnull=False)[:1], user)
    return rows[0] if rows else None


# --- Statistics -------------------------------------------------------------------------------


def statistics(attempts: AttemptQuerySet) -> dict[str, Any]:
    """Add up runs: how many there were, how they ended, what became of the letters."""
    numbers = attempts.aggregate(
        runs=Count("pk"),
        running=Count("pk", filter=Q(status=Attempt.Status.RUNNING)),
        successes=Count("pk", filter=Q(status=Attempt.Status.SUCCESS)),
        failures=Count("pk", filter=Q(status=Attempt.Status.FAILURE)),
        last=Max("started_at"),
        **{name: Sum(name, default=0) for name in Attempt.ALL_SUMS},
    )
    return {**numbers, **shares({name: numbers[name] for name in Attempt.SUMS})}


def shares(sums: dict[str, int]) -> dict[str, Any]:
    """Add to the sums of runs what a bar of 1000 units is made of."""
    planned = sums["planned"]
    bar, start = [], 0
    for name in Attempt.SUMS[1:]:
        width = round(1000 * sums[name] / planned) if planned else 0
        bar.append({"name": name, "start": start, "width": min(width, 1000 - start)})
        start += bar[-1]["width"]
    done = sum(sums[name] for name in Attempt.SUMS[1:])
    percent = round(100 * sums["accepted"] / planned) if planned else None
    return {**sums, "bar": bar, "done": done, "left": planned - done, "percent": percent}


def attempt_numbers(attempt: Attempt) -> dict[str, Any]:
    return shares({name: getattr(attempt, name) for name in Attempt.SUMS})


def mailing_statistics(mailing: Mailing) -> dict[str, Any]:
    return statistics(mailing.attempts.all())


def message_statistics(message: Message) -> dict[str, Any]:
    """Add up the runs that sent this message, whatever mailing they belong to."""
    return statistics(message.attempts.all())


def with_sums(mailings: QuerySet[Mailing]) -> QuerySet[Mailing]:
    """Annotate mailings with the number of their runs and what became of the letters."""
    return mailings.annotate(
        runs=Count("attempts"),
        last_run_at=Max("attempts__started_at"),
        **{name: Sum(f"attempts__{name}", default=0) for name in Attempt.ALL_SUMS},
    )


# --- The dashboard ----------------------------------------------------------------------------


def dashboard(user: User) -> dict[str, Any]:
    """Return what the first page of the workspace shows; only rows that the user may see."""
    attempts = visible_attempts(user)
    ended = attempts.exclude(status=Attempt.Status.RUNNING)
    return {
        "numbers": numbers(user),
        "trouble": trouble_for(user),
        "running": running(attempts, user),
        "upcoming": next_runs(visible_rows(Mailing, user)),
        "last": described(ended[:5], user),
        "reasons": failure_reasons(attempts),
    }


def running(attempts: AttemptQuerySet, user: User) -> list[Attempt]:
    """Return the last runs at work; before them those that wait for somebody."""
    rows = attempts.running().order_by(F("paused_at").desc(nulls_last=True), "-started_at", "-pk")
    return described(rows[:10], user)


def described(attempts: QuerySet[Attempt], user: User) -> list[Attempt]:
    """Describe each attempt, ready to be shown to the user."""
    rows = attempts.select_related("mailing__owner", "remainder_of")
    rows = rows.defer("html", "text", "remainder_of__html", "remainder_of__text")
    return [describe(attempt, user) for attempt in rows]


def describe(attempt: Attempt, user: User) -> Attempt:
    """Give the attempt its numbers, the server's words, and what there is to say of a pause."""
    addresses = sees_clients_of(user, attempt.mailing.owner)
    attempt.numbers = attempt_numbers(attempt)
    attempt.reply = show_reply(attempt.server_response, addresses=addresses)
    attempt.is_paused = is_paused(attempt)
    attempt.pause_reason = show_reply(attempt.paused_for)
    attempt.may_go_on = attempt.is_paused and may_switch(user, attempt.mailing)
    return attempt


def completion(attempt: Attempt, user: User) -> dict[str, Any]:
    """Return what a run's page offers: the run to complete, and whether by its sums somebody is left.

    After a run that reached everybody there may be people who came since.
    """
    root, now = attempt.root, timezone.now()
    root.mailing = attempt.mailing
    is_over = attempt.status != Attempt.Status.RUNNING
    if not is_over or not changeable_attempts(user).filter(pk=attempt.pk).exists():
        return {}
    if not remainder.may_be_completed(root, now):
        return {}
    return {"to_complete": root, "is_anybody_left": remainder.is_anybody_left(root)}


def numbers(user: User) -> dict[str, int]:
    mailings = visible_rows(Mailing, user)
    clients = visible_rows(Client, user).aggregate(
        clients=Count("pk"), unsubscribed=Count("unsubscribed_at")
    )
    return {
        **clients,
        "messages": visible_rows(Message, user).count(),
        "mailings": mailings.count(),
        "active": mailings.active().count(),
        "finished": mailings.finished().count(),
    }


def next_runs(mailings: QuerySet[Mailing], count: int = 5) -> QuerySet[Mailing]:
    coming = mailings.allowed().filter(next_run_at__isnull=False)
    return coming.select_related("message").order_by("next_run_at")[:count]
