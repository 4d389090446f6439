"""`/metrics`: the numbers of the service for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from hmac import compare_digest
from itertools import islice

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mailings.metrics import State, Totals

MOST_DOMAINS = 100  # Each is a time series of its own for as long as Prometheus keeps any.


@never_cache
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer who knows METRICS_TOKEN; without one the page is not there."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not knows_token(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    text = generate_latest(Collector(State.read(timezone.now())))
    return HttpResponse(text, content_type=CONTENT_TYPE_PLAIN_0_0_4)


def knows_token(request: HttpRequest) -> bool:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    is_same = compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return scheme.lower() == "bearer" and is_same


class Collector:
    """Gives the state as the families that prometheus_client can write."""

    def __init__(self, state: State) -> None:
        self.state = state

    def collect(self) -> Iterator[Metric]:
        yield from totals(self.state.totals)
        yield from levels(self.state)
        yield from labelled(self.state)


def totals(numbers: Totals) -> Iterator[Metric]:
    """Give what only grows."""
    letters = CounterMetricFamily(
        "vestnik_letters", "What came of letters, once for each try.", labels=["outcome"]
    )
    for outcome, count in numbers.letters.items():
        letters.add_metric([outcome], count)
    yield letters
    yield CounterMetricFamily(
        "vestnik_letters_doubtful",
        "Accepted letters that may have arrived twice: an earlier try was in doubt.",
        numbers.doubtful,
    )
    events = CounterMetricFamily("vestnik_events", "What else happened.", labels=["event"])
    for event, count in numbers.events.items():
        events.add_metric([event], count)
    yield events
    replies = HistogramMetricFamily(
        "vestnik_smtp_reply_seconds", "Time until the mail server replied.", labels=["stage"]
    )
    for stage, latency in numbers.latencies.items():
        replies.add_metric([stage], latency.cumulative, latency.seconds)
    yield replies


def levels(state: State) -> Iterator[Metric]:
    """Give what has one value at a time."""
    yield GaugeMetricFamily("vestnik_hosts_alive", "Hosts seen within 30 seconds.", state.hosts)
    yield GaugeMetricFamily(
        "vestnik_workers_alive", "Worker processes alive on these hosts.", state.workers
    )
    yield GaugeMetricFamily(
        "vestnik_queue_age_seconds",
        "Age of the longest waiting part of a run that may be sent and nobody works on.",
        state.queue_age,
    )
    yield GaugeMetricFamily(
        "vestnik_oldest_due_mailing_seconds",
        "How long a mailing has been due whose run is not open yet.",
        state.oldest_due,
    )
    yield GaugeMetricFamily(
        "vestnik_letters_left", "Letters of runs at work that are not final.", state.letters_left
    )


def labelled(state: State) -> Iterator[Metric]:
    """Give what has one value for each state, mail server or domain."""
    runs = GaugeMetricFamily("vestnik_runs", "Runs that are not finished.", labels=["state"])
    runs.add_metric(["at_work"], state.runs)
    runs.add_metric(["paused"], state.paused)
    yield runs
    breakers = GaugeMetricFamily(
        "vestnik_breaker_open", "1 while the mail server takes no letters.", labels=["server"]
    )
    for server in state.servers:
        breakers.add_metric([server.name], int(server.trouble_since is not None))
    yield breakers
    domains = GaugeMetricFamily(
        "vestnik_slow_domain_letters_per_second",
        "The limit of a domain that asked for fewer letters.",
        labels=["domain"],
    )
    for domain, rate in islice(state.slow_domains.items(), MOST_DOMAINS):
        domains.add_metric([domain], rate)
    yield domains
