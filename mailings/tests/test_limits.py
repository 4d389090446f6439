"""Limits of the service, of a company, of a recipient's mail system."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings import limits, reasons, runs
from mailings.delivery import dispatch
from mailings.models import Attempt, Delivery, Mailing, MailServer, Pace
from mailings.tests.conftest import ledger_of, let_time_pass, make_due, only_run

SLOW = b"421 4.7.28 An unusual rate of mail\r\n"
START = datetime.fromisoformat("2030-05-06T12:00:00+03:00")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def moments(count: int, within: float) -> Iterator[tuple[float, int]]:
    """Yield when several workers look whether they may send, and which one; out of step."""
    chance = random.Random(4)
    nexts = [chance.random() for _ in range(count)]
    while (at := min(nexts)) < within:
        yield at, (worker := nexts.index(at))
        nexts[worker] = at + chance.uniform(0.02, 0.5)


class TestReserve:
    """Exact within 5 %, whoever asks and however late."""

    @pytest.mark.parametrize("ahead", [0.0, limits.AHEAD])
    @pytest.mark.parametrize("rate", [0.2, 3, 100, 5000])
    def test_as_many_as_the_rate_allows(self, db, rate, ahead):
        ration = max(1, int(rate * limits.RATION_SECONDS))
        within = max(40, 60 / rate)
        given, again = 0, [0.0] * 3
        for at, worker in moments(3, min(within, 40)):
            at *= within / 40
            if at < again[worker]:
                continue
            now = START + seconds(at)
            start = Pace.reserve({"service": rate}, ration, now, ahead)
            again[worker] = (start - START).total_seconds()
            # Who has places ahead waits for them; who has none asks again.
            given += ration * (start <= now + seconds(ahead) and again[worker] < within)
        assert 0.95 * rate * within <= given <= rate * within + ration

    def test_idle_time_is_not_saved_up(self, db):
        Pace.reserve({"service": 10}, 4, START)
        now, given = START + seconds(3600), 0
        while Pace.reserve({"service": 10}, 4, now) <= now:
            given += 4
        assert given <= 10 * Pace.CREDIT.total_seconds() + 4

    def test_what_was_not_needed_goes_back(self, db):
        both = {"company:1": 4.0, "service": 10.0}
        Pace.reserve(both, 4, START)
        Pace.give_back(both, 3)
        ends = dict(Pace.objects.values_list("name", "paced_until"))
        assert ends == {
            "company:1": START + seconds(0.25), "service": START + seconds(0.1)
        }  # fmt: skip

    def test_both_limits_or_none(self, db):
        both = {"company:1": 1.0, "service": 10.0}
        assert Pace.reserve(both, 1, START) <= START
        soon = START + seconds(0.2)
        assert Pace.reserve(both, 1, soon) == START + seconds(1)
        # What the company could not have was not taken from the service.
        assert Pace.reserve({"service": 10.0}, 1, soon) <= soon
        assert Pace.objects.get(name="company:1").paced_until == START + seconds(1)

    def test_companies_do_not_share_their_own_limits(self, db):
        assert Pace.reserve({"company:1": 1.0}, 1, START) <= START
        assert Pace.reserve({"company:2": 1.0}, 1, START) <= START
        assert Pace.reserve({"company:1": 1.0}, 1, START) > START

    def test_one_clock_ahead_of_the_other(self, db):
        given = 0
        for at in range(0, 400):
            for ahead in (0, 5):
                now = START + seconds(at / 10 + ahead)
                given += Pace.reserve({"service": 10}, 4, now) <= now
        assert given * 4 <= 10 * (40 + 5) + 4

    def test_a_clock_that_was_a_day_ahead_is_forgotten(self, db):
        Pace.reserve({"service": 10}, 4, START + timedelta(days=1))
        assert Pace.reserve({"service": 10}, 4, START) <= START


def next_place(name: str) -> None:
    """Let the time come at which a limit opens again."""
    Pace.objects.filter(name=name).update(paced_until=timezone.now())


def accepted(mailing: Mailing) -> int:
    return Delivery.objects.filter(attempt__mailing=mailing, status="accepted").count()


@pytest.fixture
def limited(owner) -> Mailing:
    """A mailing of three letters, whose company may send one in ten seconds."""
    owner.letters_per_minute = 6
    owner.save()
    return make_due(owner, 3)


class TestCompany:
    def test_it_waits_alone_and_goes_on(self, server, limited, stranger):
        other = make_due(stranger, 5, domain="other.test")
        before = timezone.now()
        dispatch.run_pass()
        assert (accepted(limited), accepted(other)) == (1, 5)
        due_at = only_run(limited).chunks.get().due_at
        assert seconds(9) < due_at - before < seconds(12)
        for number in (2, 3):
            dispatch.run_pass()  # Not before its time.
            assert accepted(limited) == number - 1
            next_place(f"company:{limited.owner_id}")
            let_time_pass(limited)
            dispatch.run_pass()
            assert accepted(limited) == number
        assert only_run(limited).status == Attempt.Status.SUCCESS
        assert len(server.letters) == 8

    def test_all_its_mailings_share_it(self, server, limited):
        second = make_mailing(
            limited.owner, starts_at=timezone.now(), clients=limited.clients.all()
        )
        dispatch.run_pass()
        assert accepted(limited) + accepted(second) == 1

    def test_a_limit_that_is_taken_away(self, server, limited):
        dispatch.run_pass()
        limited.owner.letters_per_minute = None
        limited.owner.save()
        let_time_pass(limited)
        dispatch.run_pass()
        assert only_run(limited).status == Attempt.Status.SUCCESS

    def test_a_clock_that_was_a_day_ahead_stops_nobody(self, server, limited):
        name, ahead = f"company:{limited.owner_id}", timezone.now() + timedelta(days=1)
        Pace.objects.create(name=name, paced_until=ahead)
        dispatch.run_pass()
        assert accepted(limited) == 1


class TestService:
    def test_companies_take_turns(self, server, owner, stranger, settings):
        settings.MAILING_RATE_LIMIT = 0.1
        first, second = make_due(owner, 2), make_due(stranger, 2, domain="other.test")
        for number in range(1, 5):
            dispatch.run_pass()
            assert accepted(first) + accepted(second) == number
            assert abs(accepted(first) - accepted(second)) <= 1
            next_place("service")
            let_time_pass(first)
            let_time_pass(second)
        assert only_run(first).status == only_run(second).status == "success"

    def test_letters_cost_what_they_count(self, server, owner, settings, monkeypatch):
        """A run takes as many letters out of a limit as it sends, give or take one ration."""
        settings.MAILING_RATE_LIMIT = 100
        taken = []
        reserve, give_back = Pace.reserve, Pace.give_back

        def count_reserved(rates, count, now, ahead):
            start = reserve(rates, count, now, ahead)
            taken.append(count if start <= now + seconds(ahead) else 0)
            return start

        def count_given_back(rates, count):
            give_back(rates, count)
            taken.append(-count)

        monkeypatch.setattr(Pace, "reserve", count_reserved)
        monkeypatch.setattr(Pace, "give_back", count_given_back)
        monkeypatch.setattr("mailings.runs.CHUNK_SIZE", 20)
        due = make_due(owner, 40)
        dispatch.run_pass()
        assert only_run(due).accepted == 40
        assert sum(taken) == 40


@pytest.fixture
def mixed(owner) -> Mailing:
    """A mailing to three people of a slow domain and three of another."""
    domains = ("slow.test", "fine.test")
    people = [make_client(owner, f"c{n}@{domain}") for domain in domains for n in range(3)]
    return make_mailing(owner, clients=people, starts_at=timezone.now() - timedelta(minutes=1))


def pass_until_done(mailing: Mailing, passes: int = 12) -> Attempt:
    """Let time pass, and send, until the run is closed."""
    for _ in range(passes):
        if (run := only_run(mailing)).status != Attempt.Status.RUNNING:
            break
        let_time_pass(mailing)
        Pace.objects.update(paced_until=timezone.now() - seconds(1))
        dispatch.run_pass()
    return run


def refuse(server, reply: bytes, *people: str, stage: str = "rcpt") -> None:
    for to in people:
        server.fail(stage, reply, to=to)
        server.fail("before-body", reply, to=to)


SLOW_PEOPLE = [f"c{n}@slow.test" for n in range(3)]


class TestSlowDomain:
    """A recipient's mail system wants fewer letters: others do not notice, nobody is blamed."""

    @pytest.mark.parametrize("stage", ["rcpt", "body"])
    @pytest.mark.parametrize("pipelining", [True, False])
    @pytest.mark.parametrize(
        "reply",
        [
            SLOW,
            b"450 4.7.28 An unusual rate of mail\r\n",
            b"421 4.7.0 Try again later\r\n",
            b"451 4.7.650 The mail server was temporarily rate limited\r\n",
        ],
        ids=["421 4.7.28", "450 4.7.28", "421 4.7.0", "451 4.7.650"],
    )
    def test_its_letters_wait_and_others_go_out(self, server, mixed, reply, stage, pipelining):
        server.extensions = ("PIPELINING",) if pipelining else ()
        refuse(server, reply, *SLOW_PEOPLE, stage=stage)
        dispatch.run_pass()
        run = only_run(mixed)
        states = ledger_of(mixed)
        assert {states[to] for to in SLOW_PEOPLE} == {"deferred"}
        assert {state for to, state in states.items() if to.endswith("@fine.test")} == {"accepted"}
        waiting = run.deliveries.filter(status="deferred")
        assert not waiting.exclude(tries=0).exists()
        assert waiting.filter(next_try_at__gt=timezone.now()).count() == 3
        words = reply.decode().strip()
        assert set(waiting.values_list("response", flat=True)) <= {words, reasons.DOMAIN_SLOW}
        # Those that were asked after have the server's words; the others were not begun.
        assert words in waiting.values_list("response", flat=True)
        assert run.server_response in (words, reasons.DOMAIN_SLOW)
        assert Pace.objects.get().name == "domain:slow.test"
        assert MailServer.objects.get().trouble_since is None

        server.recover()
        run = pass_until_done(mixed)
        assert (run.status, run.accepted) == ("success", 6)
        assert sorted(server.recipients()) == sorted(states)

    @pytest.mark.parametrize("reply", [SLOW, b"450 4.7.28 An unusual rate of mail\r\n"])
    def test_after_a_complaint_no_more_is_begun(self, server, owner, settings, reply):
        server.extensions, settings.SMTP_CONNECTIONS = (), 1
        people = [f"c{n}@slow.test" for n in range(10)]
        refuse(server, reply, *people)
        due = make_due(owner, 10, domain="slow.test")
        dispatch.run_pass()
        asked = [line for line in server.commands if line.startswith("RCPT")]
        waiting = only_run(due).deliveries.filter(status="deferred", tries=0)
        not_begun = waiting.filter(response=reasons.DOMAIN_SLOW).count()
        assert len(asked) <= 2  # What was on the way may have complained too.
        assert not_begun == 10 - len(asked)
        server.recover()
        assert pass_until_done(due).accepted == 10
        assert sorted(server.recipients()) == people

    def test_letters_wait_for_the_places_they_were_given(self, server, mixed):
        now = timezone.now()
        Pace.objects.create(name="domain:slow.test", rate=0.1, ceiling=5, halved_at=now)
        dispatch.run_pass()
        waiting = only_run(mixed).deliveries.filter(status="deferred").order_by("next_try_at")
        assert {row.response for row in waiting} == {reasons.DOMAIN_SLOW}
        first, second = (row.next_try_at - now for row in waiting)
        assert seconds(9) < first < seconds(13)
        assert seconds(9) < second - first < seconds(11)
        assert {row.tries for row in waiting} == {0}
        # They have their places already: no second wait.
        let_time_pass(mixed)
        dispatch.run_pass()
        assert only_run(mixed).status == Attempt.Status.SUCCESS

    def test_places_given_before_a_complaint_are_given_anew(self, server, mixed):
        Pace.objects.create(name="domain:slow.test", rate=0.1, ceiling=5)
        dispatch.run_pass()
        let_time_pass(mixed)
        Pace.halve("slow.test", 0, timezone.now() + Pace.HALVE_PAUSE)
        dispatch.run_pass()
        assert accepted(mixed) == 4
        assert Pace.objects.get().rate == 0.05

    def test_at_the_slowest_tries_are_used_up(self, server, mixed, settings):
        settings.MAILING_RETRY_DELAYS = [60]
        Pace.objects.create(name="domain:slow.test", rate=Pace.SLOWEST, ceiling=5)
        refuse(server, SLOW, *SLOW_PEOPLE)
        dispatch.run_pass()
        run = pass_until_done(mixed)
        assert (run.status, run.accepted, run.rejected) == ("partial", 3, 3)
        refused = run.deliveries.filter(status="rejected")
        assert {(row.code, row.tries) for row in refused} == {(421, 2)}

    def test_a_domain_that_never_takes_any_comes_to_the_slowest(self, server, mixed, settings):
        settings.MAILING_RETRY_DELAYS = [60]
        refuse(server, SLOW, *SLOW_PEOPLE)
        dispatch.run_pass()
        for _ in range(30):
            Pace.objects.update(halved_at=timezone.now() - Pace.HALVE_PAUSE)
            run = pass_until_done(mixed, passes=1)
        assert (run.status, run.rejected) == ("partial", 3)


class TestManyDomains:
    @pytest.fixture
    def spread(self, owner) -> Mailing:
        """A mailing to five people of five domains."""
        people = [make_client(owner, f"c@d{n}.test") for n in range(5)]
        return make_mailing(owner, clients=people, starts_at=timezone.now())

    def test_complaints_of_three_are_the_servers_trouble(self, server, spread):
        server.fail("rcpt", SLOW)
        summary = dispatch.run_pass()
        assert "4.7.28" in summary.trouble
        assert MailServer.objects.get().trouble_since
        assert not only_run(spread).deliveries.exclude(tries=0).exists()
        server.recover()
        run = pass_until_done(spread)
        assert (run.status, run.accepted) == ("success", 5)
        assert sorted(server.recipients()) == [f"c@d{n}.test" for n in range(5)]
        assert MailServer.objects.get().trouble_since is None

    def test_complaints_of_two_are_not(self, server, spread, settings):
        settings.SMTP_CONNECTIONS = 1
        refuse(server, SLOW, "c@d1.test", "c@d3.test")
        dispatch.run_pass()
        assert MailServer.objects.get().trouble_since is None
        assert accepted(spread) == 3


class TestPaceOfADomain:
    def rate(self) -> float:
        return Pace.objects.get(name="domain:slow.test").rate

    def test_complaints_soon_after_each_other_halve_once(self, db):
        Pace.halve("slow.test", 40, START)
        assert self.rate() == 20
        Pace.halve("slow.test", 40, START + 0.9 * Pace.HALVE_PAUSE)
        assert self.rate() == 20
        Pace.halve("slow.test", 40, START + 1.1 * Pace.HALVE_PAUSE)
        assert self.rate() == 10

    def test_never_below_the_slowest(self, db):
        for at in range(20):
            Pace.halve("slow.test", 40, START + at * Pace.HALVE_PAUSE)
        assert self.rate() == Pace.SLOWEST

    def test_grows_after_quiet_until_it_is_free_again(self, db):
        Pace.halve("slow.test", 40, START)
        Pace.grow(["slow.test"], START + Pace.GROW_PAUSE - seconds(1))
        assert self.rate() == 20
        at = START
        for rate in (25, 31.25, 39.0625):
            at += Pace.GROW_PAUSE
            Pace.grow(["slow.test"], at)
            Pace.grow(["slow.test"], at + seconds(1))
            assert self.rate() == rate
        Pace.grow(["slow.test"], at + Pace.GROW_PAUSE)
        assert not Pace.objects.exists()

    def test_a_domain_without_complaint_has_no_places(self, db):
        assert Pace.book("fine.test", 100, START) == (START, 0.0)
        assert not Pace.objects.exists()

    @pytest.mark.parametrize("admitted", [2, 25])
    def test_finds_what_the_domain_admits(self, db, admitted):
        """Ten minutes of a domain that takes so many a second, and asks for fewer above that."""
        full, fast = 8 * admitted, 0
        places: list[float] = []
        took, complaints = [], []
        Pace.halve("slow.test", full, START)
        for at in range(600):
            now = START + seconds(at)
            pace = Pace.slow_domains().get("slow.test")
            if pace is None:
                fast += 1
                sent = full
            else:
                if not places or places[0] < at:
                    start, step = Pace.book("slow.test", max(int(pace.rate), 1), now)
                    first = (start - START).total_seconds()
                    places += [first + n * step for n in range(max(int(pace.rate), 1))]
                sent = sum(place < at + 1 for place in places)
                places = [place for place in places if place >= at + 1]
            if sent > admitted:
                complaints.append(at)
                Pace.halve("slow.test", sent, now)
                places.clear()
            Pace.grow(["slow.test"], now)
            took.append(min(sent, admitted))
        assert sum(took[60:]) >= 0.6 * admitted * 540
        assert len([at for at in complaints if at >= 60]) <= 540 / 40
        assert fast == 0


class Clock:
    """What `limits` takes for time.monotonic."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Row:
    response, updated_at = "", START

    def __init__(self, email: str) -> None:
        self.email = email


class TestWhatAWorkerSees:
    @pytest.fixture
    def clock(self, monkeypatch) -> Clock:
        clock = Clock()
        monkeypatch.setattr("mailings.limits.time", clock)
        return clock

    def send(self, domains: limits.Domains, clock: Clock, *, rate: int, during: int) -> None:
        """Claim and send letters, and have their answers written, like a worker."""
        for _ in range(during):
            domains.refresh()
            emails = [f"c{n}@slow.test" for n in range(rate)]
            domains.admit([Row(email) for email in emails])
            clock.now += 1
            domains.accepted(emails)

    @pytest.mark.parametrize("during", [3, 10, 11, 12, 20, 21, 25])
    def test_the_first_complaint_halves_what_went_out(self, db, clock, during):
        domains = limits.Domains()
        self.send(domains, clock, rate=20, during=during)
        domains.refresh()
        wait = domains.complained("c@slow.test")
        assert wait == 1
        assert Pace.objects.get().rate == pytest.approx(10, rel=0.35)

    def test_other_workers_letters_count_too(self, owner, clock, monkeypatch):
        monkeypatch.setattr("mailings.runs.CHUNK_SIZE", 1)
        due, now = make_due(owner, 4), timezone.now()
        runs.open_due(now)
        _free, *held, dead = only_run(due).chunks.order_by("pk")
        for chunk, worker in zip(held, ("this", "another"), strict=True):
            chunk.worker, chunk.leased_until = worker, now + seconds(60)
            chunk.save()
        dead.worker, dead.leased_until = "dead", now - seconds(60)
        dead.save()
        domains = limits.Domains()
        self.send(domains, clock, rate=20, during=15)
        domains.complained("c@slow.test")
        # Half of what both have sent.
        assert Pace.objects.get().rate == pytest.approx(20, rel=0.35)

    def test_a_domain_that_takes_none_from_the_beginning(self, db, clock):
        domains = limits.Domains()
        domains.admit([Row("c@slow.test")])
        clock.now += 30
        domains.refresh()
        assert domains.complained("c@slow.test") is not None
        assert Pace.objects.get().rate == pytest.approx(1)

    def test_a_worker_that_wakes_for_single_letters_lets_it_grow(self, db, clock):
        old = timezone.now() - timedelta(minutes=5)
        Pace.objects.create(name="domain:slow.test", rate=0.1, ceiling=5, changed_at=old)
        domains = limits.Domains()
        domains.refresh()
        domains.accepted(["c@slow.test"])
        assert Pace.objects.get().rate > 0.1

    def test_case_does_not_matter(self, db, clock):
        Pace.objects.create(name="domain:slow.test", rate=0.1, ceiling=5)
        domains = limits.Domains()
        domains.refresh()
        _go, wait = domains.admit([Row("C1@SLOW.test"), Row("c2@Slow.Test"), Row("c3@fine.test")])
        assert len(wait) == 1
