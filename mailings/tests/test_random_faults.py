"""A server that fails at random, people who stop and go on: every letter is accounted for."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from mailings import reasons
from mailings.delivery import dispatch
from mailings.models import Mailing, Pace
from mailings.tests.conftest import ledger_of, let_time_pass, make_due, only_run, point_at
from mailings.tests.servers import CLOSE, GARBAGE, GOODBYE, LATER, NEVER, ScriptedServer
from mailings.tests.test_faults import assert_adds_up

SLOW = b"421 4.7.28 An unusual rate of mail\r\n"
SLOWER = b"450 4.7.28 An unusual rate of mail\r\n"
QUOTA = b"550 5.4.5 Daily user sending limit exceeded\r\n"
POLICY = b"550 5.7.1 Message rejected as spam\r\n"
LOGIN = b"530 5.7.0 Authentication required\r\n"

ANSWERS = (GOODBYE, LATER, NEVER, SLOW, SLOWER, QUOTA, POLICY, LOGIN)
ACTIONS = (*ANSWERS, CLOSE, GARBAGE)
STAGES = ("connect", "hello", "mail", "rcpt", "data", "body")
PEOPLE = 24


class MoodyServer(ScriptedServer):
    """Keeps a letter whose body has come in unless it says clearly that it does not."""

    def __enter__(self) -> MoodyServer:
        self.verdicts: dict[str, bytes | None] = {}
        super().__enter__()
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def action(self, stage: str, recipient: str) -> bytes | None:
        if stage == "body":
            return self.verdicts.pop(recipient)
        if stage != "before-body":
            return super().action(stage, recipient)
        verdict = self.verdicts[recipient] = super().action("body", recipient)
        return verdict if verdict in ANSWERS else None


@pytest.fixture
def moody(settings) -> Iterator[MoodyServer]:
    with MoodyServer() as server:
        point_at(settings, server.url)
        settings.MAILING_RETRY_DELAYS = [60] * 4
        yield server


def set_mood(server: MoodyServer, chance: random.Random, domains: int) -> None:
    """Let some things go wrong, a few times each."""
    server.recover()
    for _ in range(chance.randrange(8)):
        number = chance.randrange(PEOPLE)
        to = chance.choice(["*", address(number, domains)])
        server.fail(
            chance.choice(STAGES), chance.choice(ACTIONS), to=to, times=chance.randrange(1, 4)
        )


def address(number: int, domains: int) -> str:
    return f"c{number // domains}@d{number % domains}.test"


def make_spread(owner, domains: int, **fields) -> Mailing:
    """Make a due mailing to people of several domains."""
    mailing = make_due(owner, 0, **fields)
    for number in range(PEOPLE):
        to = address(number, domains)
        mailing.clients.create(owner=owner, email=to, full_name=f"Client {number}")
    return mailing


def time_and_people_help(mailing: Mailing) -> None:
    """Let all waits end; the owner lets a paused run go on."""
    let_time_pass(mailing)
    past = timezone.now() - timedelta(seconds=2)
    Pace.objects.update(paced_until=past, halved_at=past, changed_at=past - timedelta(minutes=1))
    if (run := only_run(mailing)).paused_at:
        run.go_on(by=mailing.owner)


@pytest.mark.parametrize("seed", range(8))
def test_every_letter_is_accounted_for(owner, moody, settings, seed):
    chance = random.Random(seed)
    domains = chance.choice([1, 2, 6])
    moody.extensions = ("PIPELINING",) if chance.random() < 0.7 else ()
    settings.SMTP_CONNECTIONS = chance.choice([1, 2, 4])
    due = make_spread(owner, domains, in_doubt=chance.choice(["resend", "leave"]))
    in_doubt: Counter[str] = Counter()
    for number in range(40):
        set_mood(moody, chance, domains) if number < 20 else moody.recover()
        dispatch.run_pass()
        run = only_run(due)
        doubtful = run.deliveries.filter(response=reasons.ANSWER_LOST, code=None)
        in_doubt.update(doubtful.exclude(status="unknown").values_list("email", flat=True))
        if run.status != run.Status.RUNNING:
            break
        time_and_people_help(due)
    assert_adds_up(run)
    # A dot alone is the answer to a 354 that came although MAIL was refused.
    got, states = Counter(to for to, content in moody.letters if content), ledger_of(due)
    assert len(states) == PEOPLE
    for to, status in states.items():
        if status == "accepted":
            assert 1 <= got[to] <= 1 + in_doubt[to]
        elif status == "rejected":
            assert got[to] <= in_doubt[to]
        else:
            # Its last answer was lost; with "leave" there is no second try.
            assert status == "unknown"
            assert got[to] <= 1 + in_doubt[to]
        if due.in_doubt == "leave":
            assert got[to] <= 1
