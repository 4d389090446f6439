"""The row `limits`: whether limits hold over several clusters, and what a slow domain costs."""

from __future__ import annotations

import time

from harness import CONNECTIONS, WORKERS, Host, Product, say
from processes import wait_for
from servers import Receiver
from table import Row

RATE, PER_MINUTE = 200, 600  # letters a second of the service, a minute of one company
SECONDS, WARM_UP = 30.0, 2.0
KILL_AT, RESTART_AT = 12.0, 14.0  # of these seconds
DOMAIN, DOMAIN_RATE, DOMAIN_SECONDS = "slow.test", 20, 60.0
ALONE_SECONDS = 15.0  # to measure the other domains without a slow one
DELAY = 0.05  # seconds before every reply: 8 connections take 160 letters a second
SESSIONS = WORKERS * CONNECTIONS


def limit_rows(database: str) -> list[Row]:
    """Measure the limits of the service and of a company on two clusters, one of them killed."""
    say(f"limits of the service and of a company, {database}, {SECONDS:.0f} s")
    server = Receiver()
    count = int(RATE * (SECONDS + 15))
    product = Product(database, server, clients=count, MAILING_RATE_LIMIT=str(RATE))
    product.add_company("limited", PER_MINUTE, domain="limited.test", per_minute=PER_MINUTE)
    product.open_console()
    product.start()
    host = Host(product)
    wait_for(lambda: len(product.query("SELECT 1 FROM mailings_host")) == 2, "both are there")
    for company in ("bench", "limited"):
        product.save_mailing(company=company)
    wait_for(lambda: set(domains(server, 0)) == {"example.com", "limited.test"}, "both send")
    began = time.time() + WARM_UP
    sleep_until(began + KILL_AT)
    host.kill()
    sleep_until(began + RESTART_AT)
    host.launch()
    sleep_until(began + SECONDS)
    everybody = domains(server, began, began + SECONDS)
    host.close()
    product.close()
    server.stop()
    what = "2 clusters x 2 workers, one killed"
    return [
        limit_row(f"service limit, {what}, {database}", len(everybody), RATE),
        limit_row(
            f"company limit, {what}, {database}", everybody.count("limited.test"), PER_MINUTE / 60
        ),
    ]


def limit_row(what: str, letters: int, limit: float) -> Row:
    row = Row(what, letters, rate=letters / SECONDS, kind="limit")
    row.against, row.share = limit, row.rate / limit
    row.result = f"{row.rate:.2f} letters/s of {limit:g} over {SECONDS:.0f} s ({row.share:.1%})"
    return row


def domains(server: Receiver, since: float, until: float = float("inf")) -> list[str]:
    """Return the recipient's domain of each letter that arrived in a time."""
    server.look()
    return [
        letter.recipient.rpartition("@")[2]
        for letter in server.letters
        if since <= letter.time < until
    ]


def sleep_until(moment: float) -> None:
    time.sleep(max(moment - time.time(), 0))


# --- A domain that complains ------------------------------------------------------------------


def domain_row(database: str) -> Row:
    """Send every fourth letter to a domain that answers 421 above its rate.

    The others are compared with the same mailing where no domain complains.
    """
    _slow, alone, _complaints = send_mixed(database, ALONE_SECONDS)
    slow, others, complaints = send_mixed(
        database, DOMAIN_SECONDS, "--slow", f"{DOMAIN}={DOMAIN_RATE}"
    )
    row = Row(f"a slow domain, {database}", round(slow * DOMAIN_SECONDS), kind="others")
    row.rate, row.seconds = slow, DOMAIN_SECONDS
    row.against, row.share = alone, others / alone
    row.result = (
        f"it took {slow:.1f} letters/s of {DOMAIN_RATE}, with {complaints} complaints in "
        f"{DOMAIN_SECONDS:.0f} s; all others {others:.0f}/s, {alone:.0f}/s where none complains"
    )
    return row


def send_mixed(database: str, seconds: float, *options: str) -> tuple[float, float, int]:
    """Return letters a second to the slow domain and to all others, and the complaints."""
    say(f"domains, {database}, {seconds:.0f} s, {' '.join(options) or 'none slow'}")
    server = Receiver("--delay", str(DELAY), *options)
    product = Product(database, server, clients=0)
    # What the connections take, if all of it goes to the three quarters that do not complain.
    most = SESSIONS / DELAY * (seconds + WARM_UP + 5) * 4 / 3
    product.add_company("bench", int(most), fourth=DOMAIN)
    product.start()
    product.save_mailing()
    wait_for(lambda: server.taken, "the first letter arrives")
    began = time.time() + WARM_UP
    sleep_until(began + seconds)
    found = domains(server, began, began + seconds)
    complaints = sum(began <= moment < began + seconds for moment, _domain in server.complaints)
    product.close()
    server.stop()
    slow = found.count(DOMAIN)
    return slow / seconds, (len(found) - slow) / seconds, complaints
