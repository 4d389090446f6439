"""The rows `stop` and `sigterm`: how long letters still go out after somebody said no."""

from __future__ import annotations

import signal
import statistics
import sys
import time

from harness import DOUBTS, Product, Run, say
from processes import connected, in_session, wait_for
from servers import Receiver
from table import Row

WORKERS, CONNECTIONS, DELAY = 4, 4, 0.03  # seconds before every reply
LETTERS, TRIES = 8000, 4  # of each way to stop
UNDER_WAY = 500  # letters that have arrived when it is stopped
SILENCE = 2.5  # seconds
UNSUBSCRIBED = 300  # clients, one after another: those whose letters would be the next
SIGTERM_TRIES = 5

# The moment is taken before the commit: what is measured is a little too long, never too short.
STOP = """
import time
from django.db import transaction
owner = User.objects.get(email="@OWNER@@example.com")
mailing = Mailing.objects.get(owner=owner)
admin = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser(
    "admin@example.com", password="")
with transaction.atomic():
    @HOW@
    result = time.time()
"""

HOW = {
    "switched off": "mailing.switch_off(by=owner)",
    "owner blocked": "assert owner.block(by=admin)",
    "all unsubscribed": "Client.objects.filter(owner=owner).update(unsubscribed_at=timezone.now())",
    "window over": "mailing.ends_at = timezone.now(); mailing.save()",
}

ONE_BY_ONE = "unsubscribed one by one"
# As the link in a letter does it, of each the moment before its commit.
UNSUBSCRIBE = """
import time
from django.db import transaction
owner = User.objects.get(email="@OWNER@@example.com")
waiting = Delivery.objects.filter(attempt__mailing__owner=owner, status="planned").order_by("pk")
result = {}
for row in list(waiting.select_related("client")[:@COUNT@]):
    with transaction.atomic():
        row.client.unsubscribe()
        result[row.email] = time.time()
"""


def stop_rows(database: str) -> list[Row]:
    """Measure how late the last DATA command and the last body began, for each way to stop."""
    server = Receiver("--delay", str(DELAY), "--commands")
    product = Product(
        database,
        server,
        clients=0,
        MAILING_WORKERS=str(WORKERS),
        SMTP_CONNECTIONS=str(CONNECTIONS),
    )
    product.open_console()
    product.start()
    rows = []
    for number, name in enumerate((*HOW, ONE_BY_ONE)):
        say(f"{name}, {database}, {TRIES} tries")
        lates = [stop_once(product, f"stop{number}{n}", name) for n in range(TRIES)]
        row = Row(f"{name}, {database}", LETTERS, kind="stop")
        data, body = max(late for late, _body in lates), max(late for _data, late in lates)
        row.seconds = max(data, body)
        row.result = f"last DATA {data:.2f} s after the commit, last body {body:.2f} s, "
        row.result += f"{TRIES} tries, {WORKERS} busy workers"
        rows.append(row)
    product.close()
    server.stop()
    return rows


def stop_once(product: Product, company: str, way: str) -> tuple[float, float]:
    """Stop a mailing under way; return seconds from there to the last DATA and the last body."""
    server = product.server
    product.add_company(company, LETTERS)
    before = server.taken
    mailing_id, _due = product.save_mailing(company=company)
    wait_for(lambda: server.taken - before >= UNDER_WAY, "letters are under way")
    members = product.members()
    wait_for(lambda: len(connected(server.port, members)) == WORKERS, "all workers are busy")
    moments: dict[str, float] = {}
    if way == ONE_BY_ONE:
        code = UNSUBSCRIBE.replace("@OWNER@", company).replace("@COUNT@", str(UNSUBSCRIBED))
        moments = product.python(code)
    how = HOW.get(way, HOW["switched off"])  # Nobody else's letters need to go out after that.
    stopped_at = product.python(STOP.replace("@OWNER@", company).replace("@HOW@", how))
    if (run := product.run_of(mailing_id)).accepted > LETTERS * 0.8:
        sys.exit(f"The mailing was too small to be stopped: {run}.")
    wait_for(lambda: silent_since(server) > SILENCE, "nothing begins any more")
    if moments:
        return latest(server.data, moments), latest(server.bodies, moments)
    return last_after(server.data, stopped_at), last_after(server.bodies, stopped_at)


def silent_since(server: Receiver) -> float:
    """Return for how many seconds no letter has begun."""
    server.look()
    return time.time() - max(server.data[-1][0], server.bodies[-1][0])


def last_after(moments: list[tuple[float, str]], stopped_at: float) -> float:
    """Return how many seconds after the stop the last of the moments lies; 0 if none does."""
    return max(moments[-1][0] - stopped_at, 0.0)


def latest(begun: list[tuple[float, str]], moments: dict[str, float]) -> float:
    """Return by how many seconds the latest letter to one of these began after their moment."""
    after = [moment - moments[email] for moment, email in begun if email in moments]
    return max([0.0, *after])


# --- SIGTERM ----------------------------------------------------------------------------------


def sigterm_rows(database: str) -> list[Row]:
    """Measure SIGTERM beside a server that answers at once, and beside one that takes its time."""
    return [
        sigterm_row(database, delay=0.02, letters=5000, under_way=200),
        sigterm_row(database, delay=1.0, letters=150, under_way=12),
    ]


def sigterm_row(database: str, *, delay: float, letters: int, under_way: int) -> Row:
    """Stop a busy `qcluster` again and again in one mailing; look what it leaves behind.

    `delay` is in seconds before every reply; `under_way` letters arrive before each stop.
    """
    name = f"SIGTERM, {delay * 1000:g} ms a reply, {database}"
    say(f"{name}, {SIGTERM_TRIES} tries")
    server = Receiver("--delay", str(delay))
    product = Product(database, server, clients=letters, MAILING_RETRY_DELAYS="1,1,1")
    product.open_console()
    product.start()
    mailing_id, _due = product.save_mailing()
    times, doubts, left = [], 0, 0
    for _ in range(SIGTERM_TRIES):
        times.append(sigterm_once(product, under_way))
        doubts += len(product.query(DOUBTS))
        left += len(product.query("SELECT 1 FROM mailings_chunk WHERE worker <> ''"))
        product.start()
    run = wait_for(lambda: finished(product, mailing_id), "the run is closed", 300)
    product.close()
    server.stop()
    recipients = {letter.recipient for letter in server.letters}
    excused = run.rejected + run.skipped + run.unknown
    return Row(
        name,
        letters,
        kind="sigterm",
        seconds=max(times),
        result=f"ended after {max(times):.2f} s, median {statistics.median(times):.2f} s, "
        f"{SIGTERM_TRIES} tries; {doubts} letters in doubt, {left} chunks not given back",
        doubts=doubts + left,
        planned=run.planned,
        accepted=run.accepted,
        lost=max(run.planned - excused - len(recipients), 0),
        doubled=len(server.letters) - len(recipients),
        unknown=run.unknown,
        checked_by="log",
    )


def sigterm_once(product: Product, under_way: int) -> float:
    """Return the seconds from SIGTERM until no process of a busy cluster is left."""
    server, before = product.server, product.server.taken
    wait_for(lambda: server.taken - before >= under_way, "the cluster is busy")
    session = product.cluster.pid
    began = time.monotonic()
    product.cluster.send_signal(signal.SIGTERM)
    product.cluster.wait(120)
    while in_session(session):
        time.sleep(0.02)
    return time.monotonic() - began


def finished(product: Product, mailing_id: int) -> Run | None:
    run = product.run_of(mailing_id)
    return run if run and run.finished_at else None
