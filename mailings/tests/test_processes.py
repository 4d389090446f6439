"""Real workers on a real database and a real mail server: killed, stopped, started again."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pytest

from bench.processes import connected, family, free_port, wait_for
from mailings.tests.processes import Site, kill_group, site, template
from mailings.tests.servers import GOODBYE, HANG, Fault, ScriptedServer

__all__ = ["site", "template"]

CONNECTIONS = 2
IN_TROUBLE = "MailServer.objects.filter(trouble_since__isnull=False).exists()"


class Brake:
    """Lets a number of letters through, then holds all answers until released."""

    def __init__(self, server: ScriptedServer, after: int) -> None:
        self.server, self.after = server, after
        self.reached, self.released = threading.Event(), threading.Event()
        server.before = self.before

    def before(self, stage: str, _recipient: str) -> None:
        if stage == "body" and len(self.server.letters) > self.after:
            self.reached.set()
            self.released.wait(60)


@pytest.fixture
def mail(site: Site):
    with ScriptedServer() as server:
        site.env["EMAIL_URL"] = server.url
        yield server


def assert_nobody_lost(mail: ScriptedServer, run: dict, clients: int, *, doubled: int) -> None:
    counts = Counter(mail.recipients())
    assert set(counts) == {f"c{n}@example.com" for n in range(clients)}
    assert sum(counts.values()) - clients <= doubled
    assert run["states"] == {"accepted": clients}
    assert (run["status"], run["planned"], run["accepted"]) == ("success", clients, clients)


@pytest.mark.parametrize("stage", ["hello", "mail", "rcpt", "data", "body"])
def test_command_killed_at_any_stage(site, mail, stage):
    """S5: SIGKILL while the server is silent at a stage; the next worker finishes the run."""
    mailing = site.make_due(60)
    mail.fail(stage, HANG, to="*" if stage in {"hello", "mail"} else "c30@example.com", times=1)
    command = site.start("mailing")
    wait_for(lambda: not any(f.times for f in mail.faults), "the server fell silent")
    kill_group(command)
    mail.recover()
    assert site.manage("mailing").returncode == 0
    assert_nobody_lost(mail, site.run_of(mailing), 60, doubled=CONNECTIONS)


def test_killed_in_the_middle_doubles_only_what_was_on_the_wire(site, mail):
    """S5: the answers of at most one letter a connection are unknown; only those go twice."""
    mailing = site.make_due(200)
    brake = Brake(mail, after=90)
    command = site.start("mailing")
    assert brake.reached.wait(60)
    kill_group(command)
    on_the_wire = len(mail.letters) - 90
    mail.before = None
    brake.released.set()
    assert site.manage("mailing").returncode == 0
    assert on_the_wire <= CONNECTIONS
    assert_nobody_lost(mail, site.run_of(mailing), 200, doubled=CONNECTIONS)


def test_left_as_unknown_where_the_mailing_says_so(site, mail):
    mailing = site.make_due(100, in_doubt="leave")
    brake = Brake(mail, after=50)
    command = site.start("mailing")
    assert brake.reached.wait(60)
    kill_group(command)
    mail.before = None
    brake.released.set()
    site.manage("mailing")
    run = site.run_of(mailing)
    assert len(mail.letters) == len(set(mail.recipients())), "nobody got it twice"
    assert run["planned"] == 100 == run["accepted"] + run["unknown"]
    assert 1 <= run["unknown"] <= CONNECTIONS
    assert run["status"] == "partial"


KILL_IN_THE_THIRD_STEP = """
import os, signal
from mailings import runs
runs.FIRST_STEP = runs.LARGEST_STEP = 20
plan_step, steps = runs._plan_step, []
def plan_and_die(*args):
    done = plan_step(*args)
    steps.append(done)
    if len(steps) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
runs._plan_step = plan_and_die
runs.open_due(timezone.now())
"""


def test_killed_while_it_opens_a_run(site, mail):
    """S5: the worker that plans a large run dies; another one plans the rest."""
    mailing = site.make_due(100)
    assert site.execute(KILL_IN_THE_THIRD_STEP).returncode == -signal.SIGKILL
    assert site.run_of(mailing)["planned"] == 40
    site.python("Attempt.objects.update(opening_until=timezone.now())")  # Its lease is over.
    site.start("qcluster")
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 100, doubled=0)


@pytest.mark.parametrize("who", ["the busy and the idle", "the sentinel"])
def test_part_of_the_cluster_killed(site, mail, who):
    """S5: workers, or the process above them, die; the cluster goes on with the run by itself."""
    mailing = site.make_due(200)
    brake = Brake(mail, after=50)
    cluster = site.start("qcluster")
    assert brake.reached.wait(60)
    _guardian, _cluster, sentinel, *workers = family(cluster.pid)
    for pid in {"the busy and the idle": workers, "the sentinel": [sentinel]}[who]:
        os.kill(pid, signal.SIGKILL)
    mail.before = None
    brake.released.set()
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 200, doubled=CONNECTIONS)


def test_worker_killed_with_the_probe_in_hand(site, mail):
    """S5: the worker that finds out if a trouble is over dies at it; another one does it soon."""
    mailing = site.make_due(20)
    mail.fail("hello", GOODBYE)
    cluster = site.start("qcluster", SMTP_TIMEOUT="180")
    wait_for(lambda: site.python(f"result = {IN_TROUBLE}"), "the server is known to be in trouble")
    mail.faults[:] = [Fault("hello", HANG, times=1)]
    wait_for(lambda: mail.faults[0].times == 0, "a worker makes the probe")
    for pid in connected(mail.port, family(cluster.pid)):
        os.kill(pid, signal.SIGKILL)
    # By the time alone, another one might after a minute.
    wait_for(lambda: not site.python(f"result = {IN_TROUBLE}"), "another one made it", 40)
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 20, doubled=0)


def test_outage_that_meets_four_workers_pauses_nothing(site, mail):
    """S5: each of them breaks several connections, and it is one outage all the same."""
    silent, well = threading.Event(), threading.Event()

    def fall_silent(_stage: str, _recipient: str) -> None:
        if len(mail.letters) > 500 and not well.is_set():
            silent.set()
            well.wait(60)

    mail.before = fall_silent
    mailing = site.make_due(6000)
    slow = {"SMTP_TIMEOUT": "2", "MAILING_RETRY_DELAYS": "1,1,1,1"}
    site.start("qcluster", MAILING_WORKERS="4", SMTP_CONNECTIONS="4", **slow)
    assert silent.wait(60)
    wait_for(lambda: site.python(f"result = {IN_TROUBLE}"), "the outage is known")
    nobody = "result = not Chunk.objects.exclude(worker='').exists()"
    wait_for(lambda: site.python(nobody), "all workers have put down what they had")
    assert site.python("result = Attempt.objects.get().breaks") == 1
    well.set()
    assert site.wait_for_status(mailing, "success")["accepted"] == 6000


def test_whole_cluster_killed(site, mail):
    """S5: all processes die; the next cluster finishes the run by itself."""
    mailing = site.make_due(200)
    brake = Brake(mail, after=50)
    cluster = site.start("qcluster")
    assert brake.reached.wait(60)
    kill_group(cluster)
    mail.before = None
    brake.released.set()
    site.start("qcluster")
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 200, doubled=2 * CONNECTIONS)


@pytest.mark.parametrize("stopped", [False, True], ids=["it is well", "it hangs"])
def test_nothing_outlives_the_guardian(site, mail, stopped):
    """Workers that went on by themselves would be ended by nobody, and never get new code."""
    cluster = site.start("qcluster")
    wait_for(lambda: site.python("result = Host.objects.filter(workers=2).exists()"), "it is up")
    members = family(cluster.pid)
    if stopped:
        os.kill(members[2], signal.SIGSTOP)  # The sentinel.
    os.kill(members[0], signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, members)), "all are gone")


def test_workers_die_with_the_cluster_also_without_the_guardian(site, mail):
    cluster = site.start("qcluster")
    wait_for(lambda: site.python("result = Host.objects.filter(workers=2).exists()"), "it is up")
    members = family(cluster.pid)
    for pid in members[:2]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_running, members)), "all are gone")


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("command", ["mailing", "qcluster"])
def test_sigterm_leaves_nothing_in_doubt(site, mail, command):
    """S6: SIGTERM finishes the letter in hand and leaves the rest for the next worker."""
    mailing = site.make_due(200)
    brake = Brake(mail, after=50)
    process = site.start(command)
    assert brake.reached.wait(60)
    process.send_signal(signal.SIGTERM)
    brake.released.set()
    mail.before = None
    assert process.wait(30) in (0, 1)
    run = site.run_of(mailing)
    assert run["status"] == "running"
    assert set(run["states"]) == {"accepted", "planned"}
    assert run["states"]["accepted"] == len(mail.letters) < 200
    assert site.manage("mailing").returncode == 0
    assert_nobody_lost(mail, site.run_of(mailing), 200, doubled=0)


def test_cluster_sends_what_is_saved_while_it_waits(site, mail):
    """S1: a mailing saved inside its window is sent at once, without anybody's command."""
    site.start("qcluster")
    wait_for(lambda: site.python("result = Host.objects.count()"), "the cluster is up")
    mailing = site.make_due(5)
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 5, doubled=0)


def test_cluster_says_how_many_workers_it_has(site, mail):
    site.start("qcluster", MAILING_WORKERS="3")
    workers = "result = list(Host.objects.values_list('workers', flat=True))"
    wait_for(lambda: site.python(workers) == [3], "three workers are alive")


def test_cluster_opens_a_future_start_by_itself(site, mail):
    """S2: a start in the future comes by itself."""
    site.start("qcluster")
    wait_for(lambda: site.python("result = Host.objects.count()"), "the cluster is up")
    mailing = site.make_due(5)
    site.wait_for_status(mailing, "success")
    later = site.python("""
        m = Mailing.objects.get()
        m.pk, m._state.adding = None, True
        m.starts_at = timezone.now() + timedelta(seconds=4)
        m.save()
        result = [m.pk, m.status, m.next_run_at > timezone.now()]
    """)
    assert later[1:] == ["created", True]
    site.wait_for_status(later[0], "success")
    assert len(mail.letters) == 10


def test_two_clusters_share_without_doubling(site, mail):
    mailing = site.make_due(1500)
    site.start("qcluster")
    site.start("qcluster")
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 1500, doubled=0)


@pytest.mark.parametrize(
    "stop",
    [
        "Mailing.objects.update(is_active=False)",
        "User.objects.update(is_active=False)",
        "Mailing.objects.update(ends_at=timezone.now())",
        "[client.unsubscribe() for client in Client.objects.all()]",
    ],
    ids=["switched off", "owner blocked", "window over", "everybody unsubscribed"],
)
def test_stop_in_the_middle_of_a_run(site, mail, stop):
    """After a stop only the letters on the wire arrive; no other letter is begun."""
    site.make_due(200)
    brake = Brake(mail, after=50)
    command = site.start("mailing")
    assert brake.reached.wait(60)
    site.python(stop)
    on_the_wire = len(mail.letters)
    # Consent is read again every 0.4 s, so the worker has taken notice when a second such
    # look has come after the stop; the process of the next line takes longer than that.
    site.python("pass")
    brake.released.set()
    command.wait(60)
    assert len(mail.letters) <= on_the_wire + CONNECTIONS


def test_site_answers_while_the_mail_server_hangs(site, mail):
    """S5: the web server does not wait for the mail server that the workers wait for."""
    mail.fail("connect", HANG)
    site.make_due(5)
    port = free_port()
    site.start("qcluster", SMTP_TIMEOUT="180")
    wait_for(lambda: mail.sessions, "a worker waits for the greeting")
    site.start("runserver", "--noreload", f"127.0.0.1:{port}")

    def answers() -> bool:
        try:
            return urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).status == 200
        except OSError:
            return False

    wait_for(answers, "the site answers")
    assert mail.letters == []


def test_a_worker_without_a_connection_leaves_them_to_the_others(site, mail):
    """A server that allows one connection is in no trouble: another worker has it."""
    mail.max_sessions, hurry = 1, threading.Event()
    mail.before = lambda stage, _recipient: stage == "body" and hurry.wait(0.01)
    mailing = site.make_due(6000)  # More chunks than one worker holds.
    first = site.start("mailing")
    wait_for(lambda: mail.letters, "the first letter arrives")
    second = site.start("mailing")
    words = "no connection to spare"
    wait_for(lambda: words in site.log_of(second), "the second worker rests")
    assert site.python("result = MailServer.objects.get().trouble_since") is None
    hurry.set()
    run = site.wait_for_status(mailing, "success")
    assert_nobody_lost(mail, run, 6000, doubled=0)
    assert first.wait(60) == second.wait(60) == 0
    assert words not in site.log_of(first)
