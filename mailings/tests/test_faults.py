"""A run against a mail server that misbehaves: it adds up, others go on, the words are shown."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import timedelta

import pytest
import trustme
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import reasons, runs, server_health
from mailings.delivery import dispatch, ledger
from mailings.metrics import Summary
from mailings.models import Attempt, Chunk, Client, MailServer
from mailings.tests.conftest import ledger_of, let_time_pass, make_due, only_run, point_at
from mailings.tests.servers import (
    CLOSE,
    DRIP,
    GARBAGE,
    GOODBYE,
    HANG,
    LATER,
    NEVER,
    ScriptedServer,
)

BROKEN = {"lost": CLOSE, "silent": HANG, "dripping": DRIP, "not SMTP": GARBAGE, "421": GOODBYE}


def assert_adds_up(run: Attempt) -> None:
    run.refresh_from_db()
    assert run.status != Attempt.Status.RUNNING
    assert run.planned == run.accepted + run.rejected + run.skipped + run.unknown
    for name in ("accepted", "rejected", "skipped", "unknown"):
        assert getattr(run, name) == run.deliveries.filter(status=name).count()


def words_of(action: bytes) -> str:
    """Return what must be shown of a fault."""
    return {
        CLOSE: "the server closed the connection",
        HANG: "no answer in time",
        DRIP: "no answer in time",
        GARBAGE: "not an SMTP reply",
        GOODBYE: "421 4.3.2 Closing",
    }[action]


def assert_each_got_one(server: ScriptedServer) -> None:
    got = sorted(to for to in server.recipients() if to.endswith("@example.com"))
    assert got == [f"c{n}@example.com" for n in range(5)]


class TestServerTakesNothing:
    """S5: a mail server that refuses connections, answers garbage or not at all."""

    @pytest.mark.parametrize("stage", ["connect", "hello"])
    @pytest.mark.parametrize(
        "action", [*BROKEN.values(), LATER, NEVER], ids=[*BROKEN, "4xx", "5xx"]
    )
    def test_run_waits_and_blames_nobody(self, server, due, stage, action):
        server.fail(stage, action)
        summary = dispatch.run_pass()
        run = only_run(due)
        assert not summary.all_went_out
        assert run.status == Attempt.Status.RUNNING
        assert set(ledger_of(due).values()) == {"planned"}
        assert not run.deliveries.exclude(tries=0).exists()
        assert run.server_response == MailServer.objects.get().response != ""

        server.recover()
        let_time_pass(due)
        dispatch.run_pass()
        assert_adds_up(run)
        assert run.status == Attempt.Status.SUCCESS
        assert sorted(server.recipients()) == [f"c{n}@example.com" for n in range(5)]
        assert MailServer.objects.get().trouble_since is None

    def test_refused_connection(self, settings, due):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        point_at(settings, f"smtp://127.0.0.1:{port}")
        assert dispatch.run_pass().trouble
        assert set(ledger_of(due).values()) == {"planned"}
        assert "refused" in only_run(due).server_response

    def test_a_server_that_is_silent_for_longer_than_a_turn(self, server, settings, due):
        """By one connection it takes some time until that is known for trouble."""
        settings.SMTP_CONNECTIONS, settings.SMTP_TIMEOUT = 1, 0.3
        server.fail("mail", HANG)
        turn = dispatch.Turn(lambda: False, float("inf"), Summary())

        def end_with_the_first_break(stage: str, _recipient: str) -> None:
            if stage == "mail" and server.sessions == 2:
                turn.end = time.monotonic()

        server.before = end_with_the_first_break
        turn.run()
        turn.close()
        assert "no answer in time" in turn.summary.trouble
        assert MailServer.objects.get().trouble_since
        assert set(ledger_of(due).values()) == {"planned"}
        assert not only_run(due).deliveries.exclude(tries=0).exists()

    def test_no_worker_hammers_a_server_in_trouble(self, server, due):
        server.fail("connect", GOODBYE)
        dispatch.run_pass()
        sessions = server.sessions
        assert dispatch.run_pass().trouble
        assert server.sessions == sessions
        assert not runs.is_work_waiting(timezone.now())
        later = MailServer.objects.get().next_try_at + timedelta(seconds=1)
        assert runs.is_work_waiting(later)

    def test_other_workers_that_are_served_no_more_prove_nothing(self, server, due, monkeypatch):
        monkeypatch.setattr(server_health, "PATIENCE", timedelta(seconds=0.3))
        now = timezone.now()
        other = make_due(due.owner, 1, domain="other.test")
        runs.open_due(now)
        chunks = Chunk.objects.filter(attempt__mailing=other)
        chunks.update(worker="other", leased_until=now + timedelta(minutes=1))
        server.fail("connect", GOODBYE)
        assert dispatch.run_pass().trouble == GOODBYE.decode().strip()
        assert MailServer.objects.get().trouble_since >= now

    def test_no_room_for_letters_is_nobodys_fault(self, server, owner, settings):
        settings.MAILING_RETRY_DELAYS = []
        due = make_due(owner, 12)
        server.fail("body", b"451 4.3.0 Error: queue file write error\r\n")
        assert dispatch.run_pass().trouble
        assert set(ledger_of(due).values()) == {"planned"}
        server.recover()
        let_time_pass(due)
        dispatch.run_pass()
        assert (only_run(due).status, only_run(due).accepted) == ("success", 12)

    def test_waits_grow(self, server, due):
        server.fail("connect", GOODBYE)
        waits = []
        for _ in range(3):
            let_time_pass(due) if waits else None
            dispatch.run_pass()
            waits.append((MailServer.objects.get().next_try_at - timezone.now()).total_seconds())
        assert waits[0] < waits[2]
        assert MailServer.objects.get().failures == 3

    def test_authentication_failure(self, server, settings, due):
        server.extensions = ("PIPELINING", "AUTH PLAIN LOGIN")
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "vestnik", "wrong"
        server.fail("login", b"535 5.7.8 Authentication credentials invalid\r\n")
        dispatch.run_pass()
        run = only_run(due)
        assert run.paused_for == reasons.LOGIN_REFUSED
        assert "credentials invalid" in run.server_response
        assert set(ledger_of(due).values()) == {"planned"}
        server.recover()
        dispatch.run_pass()
        assert server.letters == []
        run.go_on(by=due.owner)
        dispatch.run_pass()
        assert only_run(due).status == Attempt.Status.SUCCESS

    @pytest.mark.parametrize("reply", [b"454 4.7.0 TLS not available\r\n", b"220 Go\r\n"])
    def test_tls_failure(self, server, settings, due, reply):
        server.extensions = ("PIPELINING", "STARTTLS")
        settings.EMAIL_USE_TLS = True
        server.fail("tls", reply)  # After "220 Go" plain text follows instead of a handshake.
        dispatch.run_pass()
        assert only_run(due).server_response
        assert set(ledger_of(due).values()) == {"planned"}
        assert server.letters == []

    def test_sender_refused(self, server, due):
        server.fail("mail", b"550 5.7.1 Sender not allowed\r\n")
        dispatch.run_pass()
        assert set(ledger_of(due).values()) == {"planned"}
        assert "Sender not allowed" in only_run(due).server_response

    def test_window_ends_while_the_server_is_down(self, server, owner):
        due = make_due(owner, 3, ends_at=timezone.now() + timedelta(hours=1))
        server.fail("connect", GOODBYE)
        dispatch.run_pass()
        type(due).objects.filter(pk=due.pk).update(ends_at=timezone.now())
        dispatch.run_pass()
        run = only_run(due)
        assert_adds_up(run)
        assert run.status == Attempt.Status.FAILURE
        assert set(run.deliveries.values_list("response", flat=True)) == {reasons.WINDOW_CLOSED}
        due.refresh_from_db()
        assert due.status == "finished"


@pytest.fixture
def certificates(tmp_path, monkeypatch) -> trustme.CA:
    """An authority of our own that the site trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def context_for(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


class TestTls:
    @pytest.mark.parametrize("from_the_start", [True, False])
    def test_letters_go_out_encrypted(self, server, settings, due, certificates, from_the_start):
        server.tls = context_for(certificates, "127.0.0.1")
        server.tls_first = settings.EMAIL_USE_SSL = from_the_start
        settings.EMAIL_USE_TLS = not from_the_start
        dispatch.run_pass()
        assert only_run(due).status == "success"
        assert len(server.letters) == 5
        assert ("STARTTLS" in server.commands) is not from_the_start

    @pytest.mark.parametrize("from_the_start", [True, False])
    @pytest.mark.parametrize("flaw", ["untrusted", "other host"])
    def test_false_certificate(self, server, settings, due, certificates, flaw, from_the_start):
        authority = trustme.CA() if flaw == "untrusted" else certificates
        host = "127.0.0.1" if flaw == "untrusted" else "mail.example.com"
        server.tls = context_for(authority, host)
        server.tls_first = settings.EMAIL_USE_SSL = from_the_start
        settings.EMAIL_USE_TLS = not from_the_start
        dispatch.run_pass()
        assert "certificate verify failed" in only_run(due).server_response
        assert set(ledger_of(due).values()) == {"planned"}
        assert server.letters == []


@pytest.fixture
def other(stranger, server):
    """Another company's mailing, which must go on whatever happens; checked at the end."""
    mailing = make_due(stranger, 3, domain="other.test")
    yield mailing
    let_time_pass(mailing)
    dispatch.run_pass()
    run = only_run(mailing)
    assert_adds_up(run)
    assert (run.status, run.accepted) == ("success", 3)


@pytest.mark.usefixtures("other")
class TestOneRecipient:
    """The server refuses or fails at one recipient; everybody else gets their letters."""

    @pytest.mark.parametrize("pipelining", [True, False])
    @pytest.mark.parametrize("stage", ["rcpt", "data", "body"])
    def test_refused_for_good(self, server, due, stage, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        server.fail(stage, NEVER, to="c2@example.com")
        server.fail("before-body", NEVER, to="c2@example.com")
        dispatch.run_pass()
        run = only_run(due)
        assert_adds_up(run)
        assert (run.status, run.accepted, run.rejected) == ("partial", 4, 1)
        refused = run.deliveries.get(status="rejected")
        assert (refused.email, refused.code) == ("c2@example.com", 550)
        assert refused.response == run.server_response == "550 5.1.1 No such user"
        assert [to for to in server.recipients() if to.endswith("@example.com")] != []
        assert "c2@example.com" not in server.recipients()

    @pytest.mark.parametrize("pipelining", [True, False])
    @pytest.mark.parametrize("stage", ["rcpt", "data", "body"])
    def test_refused_for_now(self, server, due, stage, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        server.fail(stage, LATER, to="c2@example.com", times=1)
        server.fail("before-body", LATER, to="c2@example.com", times=1 if stage == "body" else 0)
        dispatch.run_pass()
        run = only_run(due)
        waiting = run.deliveries.get(status="deferred")
        assert (waiting.code, waiting.tries) == (451, 1)
        assert timedelta(minutes=4) < waiting.next_try_at - timezone.now() < timedelta(minutes=6)
        dispatch.run_pass()
        assert run.deliveries.get(status="deferred")  # Not before its time.
        let_time_pass(due)
        dispatch.run_pass()
        assert_adds_up(run)
        assert run.status == "success"
        assert_each_got_one(server)

    def test_given_up_after_the_last_delay(self, server, due, settings):
        settings.MAILING_RETRY_DELAYS = [60, 60]
        server.fail("rcpt", LATER, to="c2@example.com")
        dispatch.run_pass()
        for _ in range(2):
            let_time_pass(due)
            dispatch.run_pass()
        run = only_run(due)
        assert_adds_up(run)
        refused = run.deliveries.get(status="rejected")
        assert (refused.tries, refused.code) == (3, 451)

    @pytest.mark.parametrize("pipelining", [True, False])
    @pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
    @pytest.mark.parametrize("action", BROKEN.values(), ids=BROKEN)
    def test_broken_before_the_letter(self, server, due, stage, action, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        to = "*" if stage == "mail" else "c2@example.com"
        server.fail(stage, action, to=to, times=1)
        dispatch.run_pass()
        run = only_run(due)
        assert not run.deliveries.filter(status__in=["rejected", "unknown", "sending"]).exists()
        if stage != "mail":
            assert words_of(action) in run.server_response
            assert words_of(action) in run.deliveries.get(email="c2@example.com").response
        let_time_pass(due)
        dispatch.run_pass()
        assert_adds_up(run)
        assert run.status == "success"
        assert_each_got_one(server)

    @pytest.mark.parametrize(
        "action", [CLOSE, HANG, DRIP, GARBAGE], ids=["lost", "silent", "dripping", "not SMTP"]
    )
    @pytest.mark.parametrize(("policy", "copies"), [("resend", 2), ("leave", 1)])
    def test_broken_after_the_letter(self, server, owner, action, policy, copies):
        due = make_due(owner, 5, in_doubt=policy)
        server.fail("body", action, to="c2@example.com", times=1)
        dispatch.run_pass()
        run = only_run(due)
        doubtful = run.deliveries.get(email="c2@example.com")
        assert doubtful.response == reasons.ANSWER_LOST
        assert doubtful.status == ("deferred" if policy == "resend" else "unknown")
        if policy == "resend":
            let_time_pass(due)
            dispatch.run_pass()
        assert_adds_up(run)
        assert server.recipients().count("c2@example.com") == copies
        assert run.status == ("success" if policy == "resend" else "partial")
        # The ledger says that it may have come twice, also where it did not.
        doubtful.refresh_from_db()
        assert doubtful.doubts == 1
        assert run.doubtful == (1 if policy == "resend" else 0)
        assert run.deliveries.filter(doubts__gt=0).count() == 1

    def test_421_after_the_letter_is_a_refusal(self, server, due):
        server.fail("before-body", GOODBYE, to="c2@example.com", times=1)
        server.fail("body", GOODBYE, to="c2@example.com", times=1)
        dispatch.run_pass()
        assert only_run(due).deliveries.get(email="c2@example.com").status == "deferred"
        let_time_pass(due)
        dispatch.run_pass()
        assert_each_got_one(server)


POLICY = b"550 5.7.1 Daily sending quota exceeded\r\n"


class TestPolicyAndQuota:
    """A refusal for policy or quota is nobody's fault; the mailing waits, others go on."""

    def test_several_in_a_row_hold_the_mailing(self, server, owner, other):
        due = make_due(owner, 20)
        for number in range(20):
            server.fail("rcpt", POLICY, to=f"c{number}@example.com")
        dispatch.run_pass()
        run = only_run(due)
        assert set(ledger_of(due).values()) == {"planned"}
        assert "quota exceeded" in run.server_response
        assert run.paused_for == reasons.POLICY_REFUSED
        assert not runs.is_work_waiting(timezone.now() + timedelta(days=1))
        assert MailServer.objects.get().trouble_since is None
        server.recover()
        run.go_on(by=owner)
        dispatch.run_pass()
        assert_adds_up(run)
        assert run.status == "success"

    def test_a_single_one_is_tried_later(self, server, due, other):
        server.fail("rcpt", POLICY, to="c2@example.com")
        dispatch.run_pass()
        assert only_run(due).accepted == 4
        assert only_run(due).deliveries.get(status="deferred").code == 550


class TestServerInTrouble:
    def test_server_that_cuts_every_connection_is_in_trouble(self, server, owner):
        due = make_due(owner, 20)
        server.fail("rcpt", CLOSE)
        dispatch.run_pass()
        assert MailServer.objects.get().trouble_since
        assert not only_run(due).deliveries.exclude(tries=0).exists()
        server.recover()
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == "success"


class TestPeculiarServers:
    def test_fails_by_itself_and_keeps_the_transaction_open(self, server, owner):
        due = make_due(owner, 8)
        server.nested_mail = True
        server.fail("before-body", NEVER)
        server.fail("body", b"500 Error: (FileNotFoundError) no such folder\r\n")
        dispatch.run_pass()
        assert set(ledger_of(due).values()) == {"planned"}
        assert "FileNotFoundError" in only_run(due).server_response
        server.recover()
        let_time_pass(due)
        dispatch.run_pass()
        assert only_run(due).status == "success"

    def test_transaction_left_open_after_a_refusal(self, server, due):
        server.nested_mail = True
        server.fail("before-body", NEVER, to="c2@example.com")
        server.fail("body", NEVER, to="c2@example.com")
        dispatch.run_pass()
        assert only_run(due).accepted == 4

    def test_closes_after_every_third_letter(self, server, owner):
        server.close_after = 3
        due = make_due(owner, 20)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.accepted) == ("success", 20)
        assert not run.deliveries.exclude(tries=1).exists()
        assert len(set(server.recipients())) == len(server.letters) == 20

    def test_allows_one_connection(self, server, owner, settings):
        settings.SMTP_CONNECTIONS = 4
        server.max_sessions = 1
        due = make_due(owner, 20)
        dispatch.run_pass()
        run = only_run(due)
        assert (run.status, run.accepted) == ("success", 20)
        assert len(server.letters) == 20

    def test_knows_only_helo(self, server, due):
        server.extensions = None
        dispatch.run_pass()
        assert only_run(due).accepted == 5

    def test_internationalised_address_needs_smtputf8(self, server, owner):
        client = make_client(owner, "иван@пример.рф")
        due = make_mailing(owner, clients=[client], starts_at=timezone.now())
        server.extensions = ("PIPELINING",)
        dispatch.run_pass()
        assert only_run(due).deliveries.get().response == reasons.NO_SMTPUTF8

        again = make_mailing(owner, clients=[client], starts_at=timezone.now())
        server.extensions = ("PIPELINING", "SMTPUTF8")
        dispatch.run_pass()
        assert only_run(again).accepted == 1
        assert server.recipients() == ["иван@xn--e1afmkfd.xn--p1ai"]


class TestLyingServer:
    @pytest.mark.parametrize("reply", [b"354 Go on\r\n", b"199 What\r\n", b"999 Ok\r\n"])
    def test_a_reply_that_means_nothing_leaves_the_letter_in_doubt(self, server, owner, reply):
        due = make_due(owner, 5, in_doubt="leave")
        server.fail("body", reply, to="c2@example.com", times=1)
        dispatch.run_pass()
        assert ledger_of(due)["c2@example.com"] == "unknown"
        assert server.recipients().count("c2@example.com") == 1

    def test_one_reply_too_many_does_not_shift_the_others(self, server, owner):
        due = make_due(owner, 5)
        server.extensions = ()
        server.fail("body", b"250 Ok\r\n250 Ok again\r\n", to="c2@example.com", times=1)
        server.fail("rcpt", NEVER, to="c3@example.com")
        dispatch.run_pass()
        states = ledger_of(due)
        assert states.pop("c3@example.com") == "rejected"
        assert set(states.values()) == {"accepted"}
        assert len(server.letters) == 4

    def test_agreement_at_the_wrong_place_sends_no_body(self, server, due):
        server.fail("data", b"250 Ok\r\n", to="c2@example.com", times=1)
        dispatch.run_pass()
        assert ledger_of(due)["c2@example.com"] == "deferred"
        assert not any("Subject" in command for command in server.commands)

    def test_354_that_comes_after_an_unsubscription(self, server, owner, settings):
        settings.SMTP_TIMEOUT = 20
        due = make_due(owner, 1)
        begun, go_on = threading.Event(), threading.Event()

        def hold(stage: str, _recipient: str) -> None:
            if stage == "data":
                begun.set()
                go_on.wait(20)

        server.before = hold
        looks = []
        plain = ledger.still_allowed

        def look(chunk, ids, now):
            if begun.is_set() and not looks:
                Client.objects.get().unsubscribe()
            looks.append(plain(chunk, ids, now))
            if looks[-1] == set():
                go_on.set()
            return looks[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger, "still_allowed", look)
            dispatch.run_pass()
        assert server.letters == []
        assert ledger_of(due) == {"c0@example.com": "skipped"}

    def test_internationalised_recipient_refused_at_mail(self, server, owner):
        client = make_client(owner, "иван@example.com")
        due = make_mailing(owner, clients=[client], starts_at=timezone.now())
        server.fail("mail", b"555 5.6.7 Not here\r\n")
        dispatch.run_pass()
        assert ledger_of(due) == {"иван@example.com": "rejected"}
        assert MailServer.objects.get().trouble_since is None


class TestOthersGoOn:
    def test_other_mailing_is_sent_beside_a_troubled_recipient(self, server, owner, stranger):
        bad = make_due(owner, 2, domain="slow.test")
        good = make_due(stranger, 5)
        server.fail("rcpt", HANG, to="c0@slow.test")
        dispatch.run_pass()
        assert only_run(good).status == "success"
        assert only_run(bad).deliveries.get(email="c1@slow.test").status == "accepted"
        assert only_run(bad).deliveries.get(email="c0@slow.test").status == "deferred"


def test_ledger_adds_up_whatever_happens(owner, settings):
    """A run that meets every fault in turn still adds up, and nobody is left out."""
    with ScriptedServer() as server:
        point_at(settings, server.url)
        settings.MAILING_RETRY_DELAYS = [60, 60, 60]
        due = make_due(owner, 30)
        stages = ["mail", "rcpt", "data", "body"]
        for number, action in enumerate([*BROKEN.values(), LATER, NEVER] * 2):
            server.fail(stages[number % 4], action, times=1)
        for _ in range(20):
            dispatch.run_pass()
            if only_run(due).status != "running":
                break
            let_time_pass(due)
        assert_adds_up(only_run(due))
        assert set(ledger_of(due)) == {f"c{n}@example.com" for n in range(30)}
