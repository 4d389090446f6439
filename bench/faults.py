"""`make bench-faults`: everything dies, again and again, and every letter is accounted for.

A mailing goes out through a `qcluster` of two workers with four connections each, while its
processes are killed at random moments (SIGKILL: mostly a worker, now and then another process or
the whole cluster, which is then started again), PostgreSQL crashes and comes back, Redis is killed
and comes back empty, and the mail server cuts connections at EHLO, MAIL, RCPT, DATA and after the
final dot. At the end the mail server's own log is compared with the ledger, letter by letter:

    lost       planned, neither in the log nor rejected, skipped or unknown
    doubled    more than once in the log
    beyond     doubled although the reply to an earlier copy had certainly been read
    in doubt   marked in the ledger as perhaps handed over when a process died
    unmarked   doubled, and not in doubt

PostgreSQL and Redis are started for this alone and stopped afterwards. Settings by environment:

    BENCH_N          letters (50000)
    BENCH_KILLS      SIGKILLs (100)
    BENCH_RESTARTS   restarts of PostgreSQL, and as many of Redis (3)
    BENCH_DATABASES  "postgres" where it can be started, else "sqlite"
    BENCH_DELAY      seconds the mail server takes to answer (0.05): the run shall outlast the kills
    BENCH_LIMIT      seconds after which it is given up (1200)
    BENCH_DOUBT      what the mailing says of letters in doubt: "resend" (default) or "leave":
                     then none may arrive twice
    BENCH_SEED       of what happens when (a random number, printed)
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from datetime import datetime

import psycopg2
from harness import CONNECTIONS, WORKERS, Product, Run
from processes import clean_up_on_sigterm, connected, in_session, kill
from report import write_report
from servers import Postgres, Receiver, Redis, Taken

LETTERS = int(os.environ.get("BENCH_N", "50000"))
KILLS = int(os.environ.get("BENCH_KILLS", "100"))
RESTARTS = int(os.environ.get("BENCH_RESTARTS", "3"))
DELAY = os.environ.get("BENCH_DELAY", "0.05")
LIMIT = float(os.environ.get("BENCH_LIMIT", "1200"))
DOUBT = os.environ.get("BENCH_DOUBT", "resend")
SEED = int(os.environ.get("BENCH_SEED", str(random.randrange(10**6))))
# Shares of the commands, and of the letters, at which the mail server cuts; with few letters
# larger ones, so that each kind of cut happens.
DENSE = max(1.0, min(10_000 / LETTERS, 5.0))
CUTS = {"hello": 0.03, "mail": 0.001, "rcpt": 0.001, "data": 0.001, "dot": 0.001}
CUTS = {stage: share * DENSE for stage, share in CUTS.items()}
# Which process is killed, and how often in a hundred.
VICTIMS = {"a worker": 75, "any process": 15, "the cluster": 10}
RETRY_DELAYS = "1,1,2,2,4,4,8,8,15,15"
GRACE = 30  # seconds that the processes of a cluster may take to follow it
STANDSTILL = 30  # seconds without a letter
FINAL = ("rejected", "skipped", "unknown")
DATABASE_ERRORS = (psycopg2.Error, sqlite3.Error)


class Storm:
    """What happens, and at which number of letters taken over; one thing at a time."""

    def __init__(self, product: Product, services: dict[str, Postgres | Redis]) -> None:
        self.product, self.services = product, services
        self.random = random.Random(SEED)
        plan = self.random.choices(list(VICTIMS), list(VICTIMS.values()), k=KILLS)
        plan += [f"{name} restarts" for name in services for _ in range(RESTARTS)]
        self.random.shuffle(plan)
        moments = sorted(self.random.uniform(0, LETTERS * 0.97) for _ in plan)
        self.plan = list(zip(moments, plan, strict=True))
        self.happened: list[tuple[float, str]] = []  # Unix time, what
        self.ended: dict[int, float] = {}  # clusters that ended, and when (time.monotonic)

    def step(self, taken: int) -> None:
        """Do the next thing if its moment has come; start a cluster that ended again."""
        if self.plan and taken >= self.plan[0][0] and self._do(self.plan[0][1]):
            self.happened.append((time.time(), self.plan.pop(0)[1]))
        if self.product.cluster.poll() is not None:
            self.ended[self.product.cluster.pid] = time.monotonic()
            self.product.launch()

    def count(self, what: str) -> int:
        return sum(name == what for _moment, name in self.happened)

    def kills(self) -> int:
        return sum(self.count(victim) for victim in VICTIMS)

    def orphans(self, age: float = 0) -> list[int]:
        """Return processes of clusters that ended at least `age` seconds ago."""
        until = time.monotonic() - age
        dead = [session for session, moment in self.ended.items() if moment <= until]
        return [pid for session in dead for pid in in_session(session)]

    def _do(self, what: str) -> bool:
        """Let it happen; return False where no worker is connected yet that could be killed."""
        members = self.product.members()
        if what == "a worker":
            members = connected(self.product.server.port, members)
        if what in ("a worker", "any process"):
            kill(self.random.sample(members, min(len(members), 1)))
        elif what == "the cluster":
            self.product.kill_cluster()
        else:
            self.services[what.removesuffix(" restarts")].restart()
        return bool(members)


@dataclass
class FaultReport:
    """What came of it. Times in seconds."""

    database: str
    seed: int
    kills: int = 0
    killed: dict[str, int] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    planned: int = 0
    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    unknown: int = 0
    arrived: int = 0
    lost: int = 0
    doubled: int = 0
    beyond: int = 0
    in_doubt: int = 0
    unmarked: int = 0
    strangers: int = 0
    other_ids: int = 0
    reply_unread: int = 0
    orphans: int = 0
    seconds: float = 0.0
    standstill: float = 0.0
    standstill_after: str = ""
    closed_after: float = 0.0
    adds_up: bool = False
    gave_up: str = ""

    def problems(self) -> list[str]:
        """Return what must not be, in words; empty if all is well."""
        restarts, uncut = sum(self.restarts.values()), [s for s in CUTS if not self.cuts.get(s)]
        wanted = 2 * RESTARTS if self.database == "postgres" else 0
        # The mail server refuses nobody for good; `unknown` are doubts that are left.
        refused = self.rejected + self.skipped + (self.unknown if DOUBT == "resend" else 0)
        return [
            words
            for words, is_bad in (
                (self.gave_up, bool(self.gave_up)),
                (f"{self.kills} of {KILLS} kills happened", self.kills < KILLS),
                (f"{restarts} of {wanted} restarts happened", restarts < wanted),
                (f"nothing was cut at {', '.join(uncut)}", bool(uncut)),
                (f"{self.lost} letters are lost", self.lost > 0),
                (f"{refused} were given up", refused > 0 and not self.gave_up),
                (f"{self.beyond} arrived again after their reply was read", self.beyond > 0),
                (
                    f"{self.doubled} arrived twice although letters in doubt are left",
                    DOUBT == "leave" and self.doubled > 0,
                ),
                (f"{self.unmarked} arrived twice and are not in doubt", self.unmarked > 0),
                (f"{self.strangers} arrived that nobody planned", self.strangers > 0),
                ("the ledger does not add up", not self.adds_up),
                (f"nothing arrived for {self.standstill:.1f} s", self.standstill >= STANDSTILL),
                (
                    f"closed {self.closed_after:.1f} s after the last letter",
                    self.closed_after >= STANDSTILL,
                ),
                (f"{self.orphans} processes outlived their cluster", self.orphans > 0),
            )
            if is_bad
        ]


# --- The run ----------------------------------------------------------------------------------


def run(database: str) -> FaultReport:
    """Send the mailing through the storm; compare what arrived with the ledger."""
    services = start_services(database)
    cuts = [part for name, share in CUTS.items() for part in ("--cut", f"{name}={share}")]
    receiver = Receiver("--delay", DELAY, "--seed", str(SEED), *cuts)
    urls = (services["PostgreSQL"].url, services["Redis"].url) if services else None
    settings = {"MAILING_RETRY_DELAYS": RETRY_DELAYS, "SMTP_TIMEOUT": "10"}
    product = Product(database, receiver, clients=LETTERS, urls=urls, **settings)
    product.start()
    storm = Storm(product, services)
    began = time.time()
    mailing_id, _due = product.save_mailing(in_doubt=DOUBT)
    report = FaultReport(database, SEED)
    last = endure(product, storm, mailing_id, report)
    ended = time.time()
    report.seconds = ended - began
    report.orphans = len(storm.orphans(GRACE))
    kill(storm.orphans())
    if last:
        compare(last, ledger_of(product, last), receiver, report)
    note_faults(storm, receiver, report, ended)
    if report.problems():
        tell_story(storm, receiver, product)
    product.close()
    receiver.stop()
    for service in services.values():
        service.stop()
    return report


def start_services(database: str) -> dict[str, Postgres | Redis]:
    """Start a PostgreSQL and a Redis that may crash; none where the programs are missing."""
    if database != "postgres":
        print(f"On {database} there is no PostgreSQL and no Redis to restart.")
        return {}
    if not (Postgres.can_run() and Redis.can_run()):
        print("NOT restarted: PostgreSQL and Redis. initdb, pg_ctl or redis-server is missing.")
        return {}
    return {"PostgreSQL": Postgres(), "Redis": Redis()}


def endure(product: Product, storm: Storm, mailing_id: int, report: FaultReport) -> Run | None:
    """Let the storm pass until the run is closed; return its last state."""
    end, looked, shown = time.monotonic() + LIMIT, 0.0, time.monotonic()
    last = None
    while time.monotonic() < end:
        taken = product.server.taken
        storm.step(taken)
        if time.monotonic() - looked >= 1:
            looked = time.monotonic()
            with contextlib.suppress(*DATABASE_ERRORS):  # It is being restarted.
                last = product.run_of(mailing_id)
        if time.monotonic() - shown >= 10:
            shown = time.monotonic()
            print(f"{taken:,} letters arrived, {storm.kills()} kills, {last}", flush=True)
        if last and last.finished_at:
            break
        time.sleep(0.02)
    else:
        where = f"{product.server.taken:,} letters arrived, {storm.kills()} kills, {last}"
        report.gave_up = f"given up after {LIMIT:.0f} s: {where}"
    return last


def ledger_of(product: Product, run: Run) -> dict[str, tuple[str, int]]:
    """Return the state of every recipient, and how often it was in doubt whether the letter came."""
    sql = f"SELECT email, status, doubts FROM mailings_delivery WHERE attempt_id = {run.id}"
    return {email: (status, doubts) for email, status, doubts in product.query(sql)}


# --- What came of it --------------------------------------------------------------------------


def compare(
    run: Run, ledger: dict[str, tuple[str, int]], receiver: Receiver, report: FaultReport
) -> None:
    """Hold the ledger against the mail server's log, letter by letter."""
    receiver.look()
    copies: dict[str, list[Taken]] = defaultdict(list)
    for letter in receiver.letters:
        copies[letter.recipient].append(letter)
    missing = [status for email, (status, _doubts) in ledger.items() if email not in copies]
    doubled = [letters for letters in copies.values() if len(letters) > 1]
    marked = {email for email, (_status, doubts) in ledger.items() if doubts}
    for name in ("planned", "accepted", *FINAL):
        setattr(report, name, getattr(run, name))
    report.arrived = len(copies)
    # Given up, what is still to be sent is not lost yet.
    excused = (*FINAL, "planned", "deferred") if report.gave_up else FINAL
    report.lost = sum(status not in excused for status in missing)
    report.doubled = len(doubled)
    report.in_doubt = len(marked)
    report.unmarked = sum(letters[0].recipient not in marked for letters in doubled)
    report.beyond = sum(was_read_before(letters, receiver.read) for letters in doubled)
    report.other_ids = sum(len({each.message_id for each in letters}) > 1 for letters in doubled)
    report.strangers = len(copies.keys() - ledger.keys())
    report.reply_unread = len(receiver.letters) - len(receiver.read)
    counted = Counter(status for status, _doubts in ledger.values())
    report.adds_up = (
        run.status in ("success", "partial", "failure")
        and run.planned == len(ledger) == LETTERS
        and all(counted[name] == getattr(run, name) for name in ("accepted", *FINAL))
        and sum(counted[name] for name in ("accepted", *FINAL)) == run.planned
    )


def was_read_before(letters: list[Taken], read: set[int]) -> bool:
    """Return whether a copy other than the last had its reply read."""
    return any(letter.number in read for letter in sorted(letters)[:-1])


def note_faults(storm: Storm, receiver: Receiver, report: FaultReport, ended: float) -> None:
    report.kills = storm.kills()
    report.killed = {victim: storm.count(victim) for victim in VICTIMS}
    report.restarts = {name: storm.count(f"{name} restarts") for name in storm.services}
    report.cuts = {stage: receiver.cuts[stage] for stage in CUTS}
    if not receiver.letters:
        return
    report.standstill, report.standstill_after = longest_standstill(storm.happened, receiver)
    report.closed_after = ended - receiver.letters[-1].time


def gaps_between(receiver: Receiver) -> list[tuple[float, float]]:
    """Return the seconds between each two letters, and when the later one came (Unix time)."""
    moments = [letter.time for letter in receiver.letters]
    return [(later - sooner, later) for sooner, later in itertools.pairwise(moments)]


def longest_standstill(happened: list[tuple[float, str]], receiver: Receiver) -> tuple[float, str]:
    """Return the longest time between two letters, and the last fault before it was over."""
    longest, until = max(gaps_between(receiver), default=(0.0, receiver.letters[-1].time))
    cuts = [(moment, f"a cut at {stage}") for moment, stage in receiver.cut_at]
    before = [fault for moment, fault in sorted([*happened, *cuts]) if moment <= until]
    return longest, before[-1] if before else "nothing"


def tell_story(storm: Storm, receiver: Receiver, product: Product) -> None:
    """Print what happened when, and the end of the cluster's log."""
    gaps = [(gap, until) for gap, until in gaps_between(receiver) if gap >= STANDSTILL / 3]
    story = [(until - gap, f"nothing arrives for {gap:.1f} s") for gap, until in gaps]
    for moment, what in sorted([*storm.happened, *story]):
        print(datetime.fromtimestamp(moment).strftime("%H:%M:%S.%f")[:-3], what)
    print(product.log.read_text()[-20_000:])


def describe(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "none"


def print_report(report: FaultReport) -> None:
    """Print the report as a Markdown table, and the verdict below it."""
    sums = ("planned", "accepted", "rejected", "skipped", "unknown")
    lines = {
        "database; seed; in doubt": f"{report.database}; {report.seed}; {DOUBT}",
        "SIGKILLs": f"{report.kills}: {describe(report.killed)}",
        "restarts": describe(report.restarts),
        "connections cut at": describe(report.cuts),
        "ledger": ", ".join(f"{name} {getattr(report, name):,}" for name in sums),
        "recipients whose letter arrived": f"{report.arrived:,}",
        "lost": report.lost,
        "doubled": report.doubled,
        "doubled beyond what was on the wire": report.beyond,
        "in doubt, by the ledger; doubled and not in doubt": f"{report.in_doubt}; {report.unmarked}",
        "doubled under another Message-ID": report.other_ids,
        "arrived, reply perhaps not read": report.reply_unread,
        f"processes left {GRACE} s after their cluster died": report.orphans,
        "longest standstill": f"{report.standstill:.1f} s, after: {report.standstill_after}",
        "closed after the last letter": f"{report.closed_after:.1f} s",
        "whole run": f"{report.seconds:.0f} s",
    }
    width = max(map(len, lines))
    print(f"\n| {'what':{width}} | {LETTERS:,} letters, {WORKERS} x {CONNECTIONS} connections |")
    print(f"|{'-' * (width + 2)}|---|")
    for name, value in lines.items():
        print(f"| {name:{width}} | {value} |")
    problems = report.problems()
    print("\n" + ("NOT MET: " + "; ".join(problems) if problems else "met: every letter is there."))


def main() -> None:
    clean_up_on_sigterm()
    default = "postgres" if Postgres.can_run() and Redis.can_run() else "sqlite"
    names = os.environ.get("BENCH_DATABASES", default).split()
    reports = []
    for name in names:
        reports.append(run(name))
        print_report(reports[-1])
    path = write_report("bench-faults", [asdict(report) for report in reports])
    print(f"Written to {path}.")
    sys.exit(any(report.problems() for report in reports))


if __name__ == "__main__":
    main()
