"""What the mail server's replies mean, row by row of the table in delivery/transport.py."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from mailings import runs
from mailings.delivery.transport import RULES, Outcome, classify
from mailings.models import Attempt, Chunk, MailServer
from mailings.smtp.protocol import Reply, Server

LETTER_STAGES = ("rcpt", "data", "body")

# Replies as servers in the field word them: stages, code, words, and what they mean.
CASES = [
    (["login"], 535, "5.7.8 Authentication credentials invalid", Outcome.LOGIN),
    (["login"], 454, "4.7.0 Temporary authentication failure", Outcome.TROUBLE),
    (["mail", *LETTER_STAGES], 530, "5.7.0 Authentication required", Outcome.LOGIN),
    (["mail", *LETTER_STAGES], 534, "5.7.9 Mechanism too weak", Outcome.LOGIN),
    (["mail", *LETTER_STAGES], 535, "5.7.8 Credentials invalid", Outcome.LOGIN),
    (["mail", *LETTER_STAGES], 538, "5.7.11 Encryption required", Outcome.LOGIN),
    (["connect", "hello"], 0, "", Outcome.FULL),
    (["connect", "hello"], 421, "4.7.0 Too many connections", Outcome.FULL),
    (["connect", "hello"], 450, "Come back later", Outcome.FULL),
    (["connect", "hello"], 554, "5.7.1 No SMTP service here", Outcome.TROUBLE),
    (["tls"], 454, "4.7.0 TLS not available", Outcome.TROUBLE),
    (["tls"], 0, "", Outcome.TROUBLE),
    (["mail", *LETTER_STAGES], 454, "4.7.0 Temporary authentication failure", Outcome.TROUBLE),
    (LETTER_STAGES, 421, "4.7.28 Unusual rate of mail", Outcome.SLOW),
    (LETTER_STAGES, 450, "4.7.650 The mail server has been limited", Outcome.SLOW),
    (LETTER_STAGES, 421, "4.16.55 [TSS04] Messages temporarily deferred", Outcome.SLOW),
    (LETTER_STAGES, 452, "4.4.5 Too many recipients in a row", Outcome.SLOW),
    (LETTER_STAGES, 421, "4.7.0 Try again later", Outcome.SLOW),
    (LETTER_STAGES, 421, "Too many messages", Outcome.SLOW),
    (LETTER_STAGES, 421, "4.3.2 System shutting down", Outcome.UNSENT),
    (LETTER_STAGES, 421, "4.4.2 Idle for too long", Outcome.UNSENT),
    (["mail"], 421, "4.7.0 Closing", Outcome.UNSENT),
    (["mail"], 503, "5.5.1 Nested MAIL command", Outcome.UNSENT),
    (["mail"], 451, "4.3.0 Temporary lookup failure", Outcome.TROUBLE),
    (["mail"], 550, "5.1.8 Bad sender", Outcome.TROUBLE),
    (["mail"], 550, "5.4.5 Daily sending quota exceeded", Outcome.REFUSED),
    (["mail"], 550, "5.7.1 Not allowed to send today", Outcome.REFUSED),
    (["data", "body"], 451, "4.3.0 Error: queue file write error", Outcome.UNSENT),
    (["data", "body"], 452, "4.3.1 Insufficient system storage", Outcome.UNSENT),
    (["rcpt"], 451, "4.3.0 Temporary lookup failure", Outcome.LATER),
    (LETTER_STAGES, 500, "5.5.2 Syntax error", Outcome.UNSENT),
    (LETTER_STAGES, 502, "5.5.1 Not implemented", Outcome.UNSENT),
    (LETTER_STAGES, 503, "5.5.1 Bad sequence of commands", Outcome.UNSENT),
    (LETTER_STAGES, 504, "5.5.4 Parameter not implemented", Outcome.UNSENT),
    (LETTER_STAGES, 550, "5.7.1 Message rejected as spam", Outcome.REFUSED),
    (LETTER_STAGES, 550, "5.4.5 Daily sending quota exceeded", Outcome.REFUSED),
    (LETTER_STAGES, 552, "5.3.4 Message too big for system", Outcome.REFUSED),
    (LETTER_STAGES, 550, "5.1.8 Access denied, bad outbound sender", Outcome.REFUSED),
    (LETTER_STAGES, 550, "5.1.90 Your message exceeds your daily limit", Outcome.REFUSED),
    (LETTER_STAGES, 450, "4.2.0 Greylisted", Outcome.LATER),
    (LETTER_STAGES, 452, "4.2.2 Mailbox full", Outcome.LATER),
    (LETTER_STAGES, 451, "Local error in processing", Outcome.LATER),
    (LETTER_STAGES, 550, "5.1.1 No such user", Outcome.NEVER),
    (LETTER_STAGES, 552, "5.2.2 Mailbox full for ever", Outcome.NEVER),
    (LETTER_STAGES, 554, "Transaction failed", Outcome.NEVER),
    (["body"], 250, "2.0.0 Ok: queued as 4F2", Outcome.ACCEPTED),
    (["body"], 251, "Will forward", Outcome.ACCEPTED),
    # No reply that SMTP knows: the conversation is out of step, and nothing is certain.
    (["rcpt", "data"], 220, "Hello", Outcome.UNSENT),
    (["body"], 354, "Go on", Outcome.UNSENT),
]


@pytest.mark.parametrize(
    ("stages", "code", "words", "outcome"), CASES, ids=[f"{c[0][0]}-{c[1]}-{c[2]}" for c in CASES]
)
def test_reply(stages, code, words, outcome):
    found = {stage: classify(stage, Reply(code, words)) for stage in stages}
    assert found == dict.fromkeys(stages, outcome)


def test_a_code_in_the_words_is_no_code():
    """Only what stands first is the enhanced status code (RFC 3463)."""
    assert classify("rcpt", Reply(550, "Gone, unlike 5.7.1 elsewhere")) is Outcome.NEVER
    assert classify("rcpt", Reply(450, "no 4.7.28 here")) is Outcome.LATER


def test_every_row_of_the_table_is_met():
    """A row that no case reaches would say nothing to anybody."""
    met = set()
    for stages, code, words, _outcome in CASES:
        for stage in stages:
            enhanced = words.split()[0] if words[:1].isdigit() else ""
            met.add(
                next((n for n, rule in enumerate(RULES) if fits(rule, stage, code, enhanced)), -1)
            )
    assert met >= set(range(len(RULES)))


def fits(rule: tuple, stage: str, code: int, enhanced: str) -> bool:
    stages, code_pattern, enhanced_pattern, _outcome = rule
    is_code = re.fullmatch(code_pattern, f"{code:03}") and re.match(enhanced_pattern, enhanced)
    return stage in stages and bool(is_code)


class TestProbe:
    """The breaker: one worker at a time asks whether the trouble is over."""

    @pytest.fixture
    def state(self, db) -> MailServer:
        return MailServer.objects.create(name="smtp.example.com")

    def test_only_one_worker_has_the_right(self, state):
        now = timezone.now()
        state.report_trouble("421 Down", now)
        first, second = (MailServer.objects.get(pk=state.pk) for _ in range(2))
        later = state.next_try_at + timedelta(seconds=1)
        assert [first.take_probe("a", later), second.take_probe("b", later)] == [True, False]
        third = MailServer.objects.get(pk=state.pk)
        assert not third.take_probe("c", later)
        assert third.take_probe("c", third.next_try_at)

    def test_one_who_died_with_the_probe_leaves_it_to_another(self, state, due):
        """Its lease has run out, or this machine freed its chunk; else it may still be at it."""
        runs.open_due(timezone.now())
        state.name = Server.from_settings().name
        state.save()
        state.report_trouble("421 Down", timezone.now())
        at = state.next_try_at
        assert state.take_probe("a", at)
        chunk = Chunk.objects.get()
        Chunk.objects.update(worker="a", leased_until=at + timedelta(seconds=20))
        other = MailServer.objects.get(pk=state.pk)
        assert not other.take_probe("b", at + timedelta(seconds=19))
        assert other.take_probe("b", at + timedelta(seconds=21))
        # The second one holds nothing, for a moment because it has only just begun.
        third = MailServer.objects.get(pk=state.pk)
        assert not third.take_probe("c", at + timedelta(seconds=22))
        assert not runs.is_work_waiting(at + timedelta(seconds=22))
        Chunk.objects.filter(pk=chunk.pk).update(worker="", leased_until=None)
        assert runs.is_work_waiting(at + timedelta(seconds=25))
        assert third.take_probe("c", at + timedelta(seconds=25))
        # A probe that failed is waited out all the same.
        third.report_trouble("421 Down", at + timedelta(seconds=26), worker="c")
        assert not third.take_probe("d", third.next_try_at - timedelta(seconds=1))

    def test_one_outage_is_one_failure_whoever_meets_it(self, state, due):
        """S5: other workers' letters were on their way: they may time out minutes later."""
        runs.open_due(timezone.now())
        run, now = Attempt.objects.get(), timezone.now()
        workers = [MailServer.objects.get(pk=state.pk) for _ in range(4)]
        for number, each in enumerate(workers):
            at = now + timedelta(seconds=50 * number)
            each.report_trouble("no answer in time", at, [run.pk], worker=str(number))
        for each in (MailServer.objects.get(pk=state.pk), *workers):
            assert (each.trouble_since, each.failures) == (now, 1)
        run.refresh_from_db()
        assert (run.breaks, run.paused_at) == (1, None)

    def test_nobody_probes_before_the_time(self, state):
        now = timezone.now()
        state.report_trouble("421 Down", now)
        assert not state.take_probe("a", state.next_try_at - timedelta(seconds=0.1))
        assert state.take_probe("a", state.next_try_at)

    def test_waits_grow_and_differ(self, db):
        """By a fifth at most to both sides, so that many hosts do not ask in the same second."""
        now = timezone.now()
        waits = {number: set() for number in range(len(MailServer.PROBE_DELAYS) + 1)}
        for attempt in range(20):
            state = MailServer.objects.create(name=f"{attempt}.example.com")
            for found in waits.values():
                state.report_trouble("421 Down", now)
                found.add((state.next_try_at - now).total_seconds())
        delays = [*MailServer.PROBE_DELAYS, MailServer.PROBE_DELAYS[-1]]
        for delay, found in zip(delays, waits.values(), strict=True):
            assert len(found) > 10
            assert 0.8 * delay <= min(found) < max(found) <= 1.2 * delay

    def test_well_again_means_well_for_all(self, state):
        now = timezone.now()
        state.report_trouble("421 Down", now)
        MailServer.objects.get(pk=state.pk).report_success()
        other = MailServer.objects.get(pk=state.pk)
        assert (other.trouble_since, other.failures) == (None, 0)
        assert other.take_probe("a", now)
