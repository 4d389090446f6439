"""Numbers and words for the dashboard, the reports and the detail pages."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import User
from mailings.delivery import reasons
from mailings.models import Attempt, AttemptQuerySet, Client, Delivery, Mailing, Message
from mailings.permissions import sees_clients_of, visible_attempts, visible_rows

ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")


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
        .exclude(response__in=reasons.NOT_WANTED)
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


# --- Statistics -------------------------------------------------------------------------------


def statistics(attempts: AttemptQuerySet) -> dict[str, Any]:
    """Add up runs: how many there were, how they ended, what became of the letters."""
    numbers = attempts.aggregate(
        runs=Count("pk"),
        running=Count("pk", filter=Q(status=Attempt.Status.RUNNING)),
        successes=Count("pk", filter=Q(status=Attempt.Status.SUCCESS)),
        failures=Count("pk", filter=Q(status=Attempt.Status.FAILURE)),
        last=Max("started_at"),
        **{name: Sum(name, default=0) for name in Attempt.SUMS},
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
        **{name: Sum(f"attempts__{name}", default=0) for name in Attempt.SUMS},
    )


# --- The dashboard ----------------------------------------------------------------------------


def dashboard(user: User) -> dict[str, Any]:
    """Return what the first page of the workspace shows; only rows that the user may see."""
    attempts = visible_attempts(user)
    ended = attempts.exclude(status=Attempt.Status.RUNNING)
    return {
        "numbers": numbers(user),
        "running": running(attempts, user),
        "upcoming": next_runs(visible_rows(Mailing, user)),
        "last": described(ended[:5], user),
        "reasons": failure_reasons(attempts),
    }


def running(attempts: AttemptQuerySet, user: User) -> list[Attempt]:
    return described(attempts.running()[:10], user)


def described(attempts: QuerySet[Attempt], user: User) -> list[Attempt]:
    """Give each attempt its numbers and the server's words, ready to be shown to the user."""
    rows = list(attempts.select_related("mailing__owner").defer("html", "text"))
    for attempt in rows:
        addresses = sees_clients_of(user, attempt.mailing.owner)
        attempt.numbers = attempt_numbers(attempt)
        attempt.reply = show_reply(attempt.server_response, addresses=addresses)
    return rows


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
