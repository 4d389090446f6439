"""The engine pauses a run that the mail server refuses; nothing of it is lost, others go on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from conftest import make_message
from mailings import reasons, runs
from mailings.delivery import dispatch
from mailings.models import Attempt, Client, Delivery, Mailing, MailServer
from mailings.tests.conftest import ledger_of, let_time_pass, make_due, only_run
from mailings.tests.servers import CLOSE, LATER, NEVER
from mailings.tests.test_faults import assert_adds_up
from mailings.tests.test_session import server

__all__ = ["server"]

QUOTA = b"550 5.4.5 Daily user sending limit exceeded\r\n"
POLICY = b"550 5.7.1 Message rejected as spam\r\n"
FULL = b"552 5.3.4 Message too big\r\n"
LOGIN = b"530 5.7.0 Authentication required\r\n"


def make_big(owner: User, count: int, *, domain: str = "example.com", **fields) -> Mailing:
    """Make a due mailing of many clients, in few statements."""
    clients = Client.objects.bulk_create(
        Client(owner=owner, email=f"c{n}@{domain}", full_name=f"Client {n}") for n in range(count)
    )
    fields.setdefault("starts_at", timezone.now() - timedelta(minutes=1))
    mailing = Mailing.objects.create(owner=owner, message=make_message(owner), **fields)
    links = Mailing.clients.through
    links.objects.bulk_create(links(mailing=mailing, client=client) for client in clients)
    return mailing


def refuse(server, *numbers: int, reply: bytes = NEVER) -> None:
    for number in numbers:
        server.fail("rcpt", reply, to=f"c{number}@example.com")


def assert_nobody_got_two(server) -> None:
    assert len(server.recipients()) == len(set(server.recipients()))


@pytest.fixture
def bad(server, owner) -> Mailing:
    """A run of 600 whose first fifteen addresses are refused."""
    refuse(server, *range(15))
    return make_big(owner, 600)


class TestManyRefused:
    """More than 5 % refused among the first 200 letters."""

    def test_pauses_and_goes_on_when_told(self, server, bad):
        dispatch.run_pass()
        run = only_run(bad)
        assert run.paused_at
        assert (run.paused_for, run.server_response) == (
            reasons.TOO_MANY_REFUSED, "550 5.1.1 No such user"
        )  # fmt: skip
        assert run.accepted + run.rejected < run.planned
        sums = (run.accepted, run.rejected)
        assert not runs.is_work_waiting(timezone.now() + timedelta(days=1))
        dispatch.run_pass()
        run.refresh_from_db()
        assert (run.accepted, run.rejected) == sums

        server.recover()
        run.go_on(by=bad.owner)
        refuse(server, *range(500, 530))
        dispatch.run_pass()
        assert_adds_up(run)
        assert (run.status, run.paused_at, run.rejected) == ("partial", None, 45)
        assert len(server.letters) == 555
        assert_nobody_got_two(server)

    def test_other_companies_go_on(self, server, bad, stranger):
        other = make_due(stranger, 5, domain="other.test")
        dispatch.run_pass()
        assert only_run(bad).paused_at
        assert only_run(other).status == Attempt.Status.SUCCESS
        assert MailServer.objects.get().trouble_since is None

    def test_the_end_comes_while_it_is_paused(self, server, owner):
        refuse(server, *range(15))
        bad = make_big(owner, 600, ends_at=timezone.now() + timedelta(hours=1))
        dispatch.run_pass()
        taken = len(server.letters)
        Mailing.objects.filter(pk=bad.pk).update(ends_at=timezone.now())
        assert runs.is_work_waiting(timezone.now())
        dispatch.run_pass()
        run = only_run(bad)
        assert_adds_up(run)
        assert (run.status, run.accepted, len(server.letters)) == ("partial", taken, taken)
        skipped = run.deliveries.filter(status="skipped")
        assert set(skipped.values_list("response", flat=True)) == {reasons.WINDOW_CLOSED}
        bad.refresh_from_db()
        assert bad.status == Mailing.Status.FINISHED

    def test_unsubscribed_while_it_was_paused(self, server, bad):
        dispatch.run_pass()
        run = only_run(bad)
        waiting = run.deliveries.filter(status="planned").last().client
        waiting.unsubscribe()
        run.go_on(by=bad.owner)
        dispatch.run_pass()
        assert_adds_up(run)
        assert ledger_of(bad)[waiting.email] == "skipped"
        assert waiting.email not in server.recipients()

    def test_a_small_run_is_not_paused(self, server, owner):
        refuse(server, 1, 2, 3)
        due = make_due(owner, 20)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected, run.paused_at) == ("partial", 3, None)

    def test_one_in_twenty_is_not_too_many(self, server, owner):
        refuse(server, *range(10))
        due = make_big(owner, 200)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected, run.paused_at) == ("partial", 10, None)

    def test_eleven_of_two_hundred_are(self, server, owner):
        """However fast the answers come: the first letters are judged before more go out."""
        refuse(server, *range(100, 111))
        due = make_big(owner, 600)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.paused_for, run.rejected) == (reasons.TOO_MANY_REFUSED, 11)
        assert run.accepted + run.rejected == 200

    def test_those_that_another_worker_met_count(self, server, owner):
        """Refused for policy they are tried again, but permanent that is all the same."""
        due = make_big(owner, 600)
        runs.open_due(timezone.now())
        first = list(only_run(due).deliveries.order_by("pk").values_list("pk", flat=True)[:8])
        met = {"status": "deferred", "code": 550, "response": POLICY.decode(), "tries": 1}
        later = timezone.now() + timedelta(hours=1)
        Delivery.objects.filter(pk__in=first).update(**met, next_try_at=later)
        refuse(server, 20, 60, 100)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.paused_for, run.rejected) == (reasons.TOO_MANY_REFUSED, 3)

    def test_ten_of_the_first_and_many_later_are_not(self, server, owner):
        refuse(server, *range(10), *range(200, 230))
        due = make_big(owner, 600)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected, run.paused_at) == ("partial", 40, None)

    def test_late_refusals_do_not_pause(self, server, owner, settings):
        settings.SMTP_CONNECTIONS = 1
        refuse(server, *range(560, 600))
        due = make_big(owner, 600)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.rejected, run.paused_at) == ("partial", 40, None)


class TestServerRefusesUs:
    """Login, quota, policy: nobody's fault, no tries used up, the run waits for people."""

    @pytest.mark.parametrize(
        ("stage", "reply", "reason"),
        [
            ("mail", LOGIN, reasons.LOGIN_REFUSED),
            ("rcpt", LOGIN, reasons.LOGIN_REFUSED),
            ("rcpt", QUOTA, reasons.QUOTA_REFUSED),
            ("body", QUOTA, reasons.QUOTA_REFUSED),
            ("body", FULL, reasons.QUOTA_REFUSED),
            ("rcpt", POLICY, reasons.POLICY_REFUSED),
            ("body", POLICY, reasons.POLICY_REFUSED),
        ],
    )
    def test_pauses_with_its_reason(self, server, owner, stranger, stage, reply, reason):
        due = make_due(owner, 20)
        server.fail(stage, reply)
        server.fail("before-body", reply)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.paused_for, run.status) == (reason, "running")
        assert run.server_response == reply.decode().strip()
        assert not run.deliveries.exclude(status="planned", tries=0).exists()
        assert MailServer.objects.get().trouble_since is None

        server.recover()
        other = make_due(stranger, 3, domain="other.test")
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(other).status == Attempt.Status.SUCCESS
        assert only_run(due).accepted == 0
        run.go_on(by=owner)
        dispatch.run_pass()
        assert_adds_up(run)
        assert run.status == Attempt.Status.SUCCESS
        assert_nobody_got_two(server)

    def test_it_is_paused_again_while_the_server_says_so(self, server, owner):
        due = make_due(owner, 20)
        server.fail("rcpt", QUOTA)
        for _ in range(2):
            dispatch.run_pass()
            run = only_run(due)
            assert run.paused_for == reasons.QUOTA_REFUSED
            run.go_on(by=owner)
        assert not run.deliveries.exclude(tries=0).exists()

    def test_policy_that_meets_some_people_only(self, server, owner, settings):
        """Between accepted letters it is tried later, and refused for good in the end."""
        settings.MAILING_RETRY_DELAYS = [60]
        settings.SMTP_CONNECTIONS = 1
        due = make_due(owner, 20)
        refuse(server, 3, 9, 15, reply=POLICY)
        for _ in range(2):
            dispatch.run_pass()
            assert only_run(due).accepted == 17
            assert not only_run(due).paused_at
            let_time_pass(due)
        run = only_run(due)
        assert_adds_up(run)
        assert (run.status, run.rejected) == ("partial", 3)
        assert set(run.deliveries.filter(status="rejected").values_list("code", flat=True)) == {550}

    @pytest.mark.parametrize("first", [0, 17])
    def test_some_in_a_row_do_not_stand_in_the_way_for_ever(self, server, owner, settings, first):
        """Whoever lets the run go on gets to its end, although these stay refused."""
        settings.MAILING_RETRY_DELAYS = [60]
        settings.SMTP_CONNECTIONS = 1
        due = make_due(owner, 20)
        refuse(server, first, first + 1, first + 2, reply=POLICY)
        pauses = 0
        for _ in range(6):
            dispatch.run_pass()
            if only_run(due).paused_at:
                only_run(due).go_on(by=owner)
                pauses += 1
            let_time_pass(due)
        run = only_run(due)
        assert 1 <= pauses <= 2
        assert_adds_up(run)
        assert (run.status, run.accepted, run.rejected) == ("partial", 17, 3)

    def test_a_quota_pauses_at_once(self, server, owner):
        """Whatever was taken before: whoever comes next meets it as well."""
        due = make_due(owner, 20)
        server.fail("rcpt", QUOTA, to="c10@example.com")
        dispatch.run_pass()
        run = only_run(due)
        assert (run.paused_for, run.status) == (reasons.QUOTA_REFUSED, Attempt.Status.RUNNING)
        assert run.accepted > 0
        assert not run.deliveries.filter(email="c10@example.com", tries__gt=0).exists()

    def test_a_quota_pauses_also_those_who_are_tried_again(self, server, owner, settings):
        """They were put off for another reason: nobody was refused before."""
        settings.MAILING_RETRY_DELAYS = [60, 600]
        due = make_due(owner, 20)
        server.fail("rcpt", LATER)
        dispatch.run_pass()
        server.recover()
        for reply in (QUOTA, POLICY):
            server.fail("rcpt", reply)
            let_time_pass(due)
            dispatch.run_pass()
            run = only_run(due)
            assert run.paused_at, reply
            assert set(run.deliveries.values_list("tries", flat=True)) == {1}
            server.recover()
            run.go_on(by=owner)
            Attempt.objects.update(brake_released=False)
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == "success"

    def test_letters_that_break_connections_do_not_stop_everybody(self, server, owner, settings):
        """Tried before, they use up their tries, and others find the server well."""
        settings.MAILING_RETRY_DELAYS = [60, 600]
        due = make_due(owner, 20)
        for number in (3, 9, 15):
            server.fail("data", CLOSE, to=f"c{number}@example.com")
        dispatch.run_pass()
        run = only_run(due)
        assert run.accepted == 17
        let_time_pass(due)
        assert dispatch.run_pass().trouble
        waiting = run.deliveries.filter(status="deferred")
        assert waiting.count() == 3
        soon = timezone.now() + timedelta(seconds=30)
        assert not waiting.filter(next_try_at__lt=soon).exists()
        assert set(waiting.values_list("tries", flat=True)) == {2}
        let_time_pass(due)
        dispatch.run_pass()
        run.refresh_from_db()
        assert (run.status, run.accepted, run.rejected) == ("partial", 17, 3)

    @pytest.mark.parametrize(
        ("stage", "words"), [("data", "the server closed the connection"), ("body", "broke after")]
    )
    def test_one_run_that_always_breaks_them_is_paused(self, server, owner, stranger, stage, words):
        """Its letters alone put the server out of order, while letters of others are taken."""
        bad = make_due(owner, 9)
        for number in range(9):
            server.fail(stage, CLOSE, to=f"c{number}@example.com")
        dispatch.run_pass()
        state = MailServer.objects.get()
        assert only_run(bad).breaks == 1
        for number in (1, 2):
            assert state.trouble_since
            other = make_big(stranger, 4, domain=f"others{number}.example")
            let_time_pass(bad)
            dispatch.run_pass()
            assert only_run(other).status == "success"
            state.refresh_from_db()
        run = only_run(bad)
        assert run.paused_for == reasons.BREAKS_CONNECTIONS
        assert words in run.server_response
        assert state.trouble_since is None
        server.recover()
        run.go_on(by=owner)
        let_time_pass(bad)
        dispatch.run_pass()
        assert only_run(bad).status == "success"

    def test_two_such_runs_are_paused_both(self, server, owner, stranger):
        """One message, sent to two lists."""
        bad = make_due(owner, 9), make_due(owner, 9, domain="second.example")
        server.fail("data", CLOSE)
        dispatch.run_pass()
        for number in range(8):
            server.recover()
            for domain in ("example.com", "second.example"):
                for client in range(9):
                    server.fail("data", CLOSE, to=f"c{client}@{domain}")
            other = make_big(stranger, 4, domain=f"others{number}.example")
            for mailing in bad:
                let_time_pass(mailing)
            dispatch.run_pass()
            assert only_run(other).status == "success"
        for mailing in bad:
            assert only_run(mailing).paused_for == reasons.BREAKS_CONNECTIONS
        assert MailServer.objects.get().trouble_since is None

    def test_let_go_on_it_gets_to_its_end(self, server, owner, settings):
        """Those of its letters that break connections use up their tries then."""
        settings.MAILING_RETRY_DELAYS = [60]
        bad = make_due(owner, 20)
        for number in range(5):
            server.fail("data", CLOSE, to=f"c{number}@example.com")
        runs.open_due(timezone.now())
        Attempt.objects.update(brake_released=True)
        for _ in range(8):
            dispatch.run_pass()
            let_time_pass(bad)
        run = only_run(bad)
        assert_adds_up(run)
        assert (run.status, run.accepted, run.rejected) == ("partial", 15, 5)

    def test_a_server_that_comes_and_goes_pauses_nobody(self, server, owner, stranger):
        """Letters of the run are taken between two breaks."""
        goals = [0, 20, 30, 40]

        def cut(stage: str, _recipient: str) -> None:
            if stage == "data" and len(server.letters) >= goals[0]:
                raise ConnectionError

        server.before = cut
        due, other = make_due(owner, 60), make_big(stranger, 4, domain="others.example")
        while len(goals) > 1:
            dispatch.run_pass()
            assert MailServer.objects.get().trouble_since
            assert not Attempt.objects.filter(paused_at__isnull=False).exists()
            let_time_pass(due)
            goals.pop(0)
        server.before = None
        dispatch.run_pass()
        assert only_run(due).status == only_run(other).status == "success"
        assert only_run(due).breaks == 0
