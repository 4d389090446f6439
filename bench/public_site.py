"""`make bench-site`: how fast the public site answers, cached and not.

On the production server (gunicorn, as README starts it) with production settings and a blog of many
posts. wrk asks for cached pages and, before and after each, for a static file of the same size that
the same server serves; then pages that no cache holds say what each cost, and the home page what its
numbers cost with few clients and with many. Settings by environment:

    BENCH_POSTS       posts (10000)
    BENCH_CLIENTS     clients, many (1000000; ten times as many take ten times as long to put in)
    BENCH_DATABASES   "postgres sqlite" where PostgreSQL and Redis answer, else "sqlite"
    BENCH_SECONDS     seconds that wrk asks for one page (8)
    BENCH_ASKS        how often each page is asked for uncached (30)

DATABASE_URL names the server of PostgreSQL; what is measured lives in a database of its own there
(vestnik_bench_site), which is made anew and dropped. The exit code is 1 where a target is missed,
or there is nothing to measure.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass

from databases import databases
from harness import say
from processes import clean_up_on_sigterm, cpu_seconds
from report import any_is_missed, insist, print_table, verdict, write_report
from site_server import WORKERS, WebServer

POSTS = int(os.environ.get("BENCH_POSTS", "10000"))
CLIENTS = int(os.environ.get("BENCH_CLIENTS", "1000000"))
FEW_CLIENTS = 1000
SECONDS = int(os.environ.get("BENCH_SECONDS", "8"))
ASKS = int(os.environ.get("BENCH_ASKS", "30"))
CONNECTIONS = 50
WARM_UP = 10 * WORKERS  # times that a page is asked for before it is measured
# What must be reached: of the static file's rate; p99 as a multiple of p50; queries; milliseconds.
SHARE, SPREAD, QUERIES, MILLISECONDS = 0.60, 5.0, 15, 60.0
# What costs the same may cost this much more, on a machine that drifts.
SAME = 1.5
# Seconds that a number of the home page may be old.
OLDEST = 60.0
POST = f"/blog/copy-{POSTS // 2}/"
CACHED = {"home": "/", "index": "/blog/", "post": POST}
UNCACHED = {
    **CACHED,
    "middle of the index": f"/blog/?page={POSTS // 18}",
    "last page of the index": f"/blog/?page={POSTS // 9}",
    "category": "/blog/category/letters/",
    "tag": "/blog/tag/tag-1/",
    "author": "/blog/author/olga/",
    "search, one found": f"/blog/search/?q={POSTS // 2}",
    # Copies of an example post: one in seven has the word.
    "search, a seventh found": "/blog/search/?q=%D0%BF%D0%BE%D1%80%D1%82",
    "home in the other language": "/en/",
    "index in the other language": "/en/blog/",
    "feed": "/blog/feed/",
    "sitemap": "/sitemap.xml",
}
if POSTS >= 500:  # Few pages are one sitemap.
    UNCACHED["a part of the sitemap"] = "/sitemap.xml?page=2"


@dataclass
class Rate:
    """What wrk measured of a page, or of a static file; times in milliseconds."""

    database: str
    page: str
    kind: str
    size: int
    rate: float
    p50: float
    p99: float
    errors: int
    # Seconds of CPU for each second: of wrk, and of the server.
    cpu_wrk: float
    cpu_server: float
    share: float | None = None


@dataclass
class Cost:
    """What a page that no cache holds cost, over several times; milliseconds of the server."""

    database: str
    page: str
    posts: int
    queries: int
    median: float
    p95: float


@dataclass
class Numbers:
    """What the numbers of the home page cost with so many clients; milliseconds."""

    database: str
    clients: int
    # Seconds in which one statement added them, and from then until the number was right, by the
    # workers of one host.
    added_s: float
    right_s: float
    # Changes that waited while reading was measured.
    waiting: int
    queries: int
    milliseconds: float
    home_queries: int
    home_milliseconds: float


# --- Cached -----------------------------------------------------------------------------------


def ask(server: WebServer, page: str, path: str, kind: str) -> Rate:
    """Let wrk ask for one address over many connections."""
    status, _headers, body = server.get(path)
    if status != 200:
        raise RuntimeError(f"{path} answers {status}")
    for _ in range(2 * WARM_UP):
        server.get(path)  # Each process has its own memory, and home is kept in several variants.
    before = cpu_seconds(server.pids())
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", server.url + path]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = now.ru_utime + now.ru_stime - own.ru_utime - own.ru_stime
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Rate(
        database="",
        page=page,
        kind=kind,
        size=len(body),
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        p50=milliseconds(re.search(r"(?m)^ +50% +(\S+)", text)[1]),
        p99=milliseconds(re.search(r"(?m)^ +99% +(\S+)", text)[1]),
        errors=sum(map(int, errors.groups() if errors else ())) + int(wrong[1] if wrong else 0),
        cpu_wrk=spent / SECONDS,
        cpu_server=(cpu_seconds(server.pids()) - before) / SECONDS,
    )


def milliseconds(text: str) -> float:
    """Return a time of wrk's: 850.00us, 12.34ms, 1.20s."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def measure_cached(server: WebServer, database: str) -> list[Rate]:
    """Measure each page between two measurements of a static file of its size."""
    server.start()
    sizes = {page: len(server.get(path)[2]) for page, path in CACHED.items()}
    server.stop()
    # WhiteNoise looks for files when it starts.
    for page, size in sizes.items():
        (server.static / f"bench-{page}.txt").write_bytes(b"x" * size)
    server.start()
    rows = []
    for page, path in CACHED.items():
        say(f"{database}: {page}, cached")
        file = f"/static/bench-{page}.txt"
        before = ask(server, page, file, "static")
        cached = ask(server, page, path, "cached")
        after = ask(server, page, file, "static")
        cached.share = cached.rate / statistics.mean([before.rate, after.rate])
        rows += [before, cached, after]
    server.stop()
    for row in rows:
        row.database = database
    return rows


# --- Uncached ---------------------------------------------------------------------------------


def measure_uncached(server: WebServer, database: str) -> list[Cost]:
    server.start("measured_wsgi")
    rows = []
    for page, path in UNCACHED.items():
        say(f"{database}: {page}, uncached")
        queries, times = ask_uncached(server, path)
        median, p95 = statistics.median(times), times[int(len(times) * 0.95)]
        rows.append(Cost(database, page, POSTS, queries, median, p95))
    server.stop()
    return rows


def ask_uncached(server: WebServer, path: str) -> tuple[int, list[float]]:
    """Return the most queries of several times, and how long each took, the shortest first."""
    for _ in range(WARM_UP):
        server.get(path, X_Uncached="1")  # Makes pictures, reads templates, in each process.
    costs = [read_cost(server, path) for _ in range(ASKS)]
    return max(queries for _time, queries in costs), sorted(time for time, _queries in costs)


def read_cost(server: WebServer, path: str) -> tuple[float, int]:
    status, headers, _body = server.get(path, X_Uncached="1")
    if status != 200:
        raise RuntimeError(f"{path} answers {status}")
    cost = re.fullmatch(r"site;dur=([\d.]+), queries;desc=(\d+)", headers["server-timing"])
    return float(cost[1]), int(cost[2])


# --- Numbers ----------------------------------------------------------------------------------


def measure_numbers(server: WebServer, database: str) -> list[Numbers]:
    """Measure reading the numbers, and the home page in no cache, with few and with many clients."""
    rows = []
    for clients in (FEW_CLIENTS, CLIENTS):
        say(f"{database}: {clients:,} clients")
        found = json.loads(server.run("bench/fill_clients.py", str(clients)))
        server.start("measured_wsgi")
        home_queries, times = ask_uncached(server, "/")
        server.stop()
        home = {"home_queries": home_queries, "home_milliseconds": statistics.median(times)}
        rows.append(Numbers(database=database, **found, **home))
    return rows


# --- What came of it --------------------------------------------------------------------------


def print_rates(rows: list[Rate]) -> None:
    names = ["database", "page", "what", "bytes", "requests/s", "of static", "p50, ms", "p99, ms"]
    lines = [[*names, "errors", "CPU wrk", "CPU server"]]
    for row in rows:
        share = f"{row.share:.0%}" if row.share else ""
        times = f"{row.p50:.1f}", f"{row.p99:.1f}", str(row.errors)
        lines.append(
            [row.database, row.page, row.kind, f"{row.size:,}", f"{row.rate:,.0f}", share, *times]
            + [f"{row.cpu_wrk:.2f}", f"{row.cpu_server:.2f}"]
        )
    print_table(lines)


def print_costs(rows: list[Cost]) -> None:
    lines = [["database", "page, uncached", "posts", "queries", "median, ms", "p95, ms"]]
    for row in rows:
        times = f"{row.median:.1f}", f"{row.p95:.1f}"
        lines.append([row.database, row.page, f"{row.posts:,}", str(row.queries), *times])
    print_table(lines)


def print_numbers(rows: list[Numbers]) -> None:
    lines = [
        ["database", "clients", "added, s", "right after, s", "changes waiting"]
        + ["numbers, queries", "numbers, ms", "home, queries", "home, ms"]
    ]
    for row in rows:
        times = [f"{row.added_s:.1f}", f"{row.right_s:.1f}", str(row.waiting)]
        costs = [str(row.queries), f"{row.milliseconds:.2f}"]
        home = [str(row.home_queries), f"{row.home_milliseconds:.1f}"]
        lines.append([row.database, f"{row.clients:,}", *times, *costs, *home])
    print_table(lines)


def verdicts(rates: list[Rate], costs: list[Cost], numbers: list[Numbers]) -> list[str]:
    lines = []
    for row in rates:
        if row.kind != "cached":
            continue
        what = f"{row.database}, {row.page}, cached"
        words = f"{row.share:.0%} of the static file's rate"
        lines.append(verdict(what, words, f"{SHARE:.0%}", row.share >= SHARE))
        spread = row.p99 / row.p50
        words = f"p99 {row.p99:.1f} ms is {spread:.1f} x p50"
        lines.append(verdict(what, words, f"under {SPREAD:g} x", spread < SPREAD))
        lines.append(verdict(what, f"{row.errors} errors", "0", not row.errors))
    for cost in costs:
        what = f"{cost.database}, {cost.page}, uncached, {cost.posts:,} posts"
        words = f"{cost.queries} queries"
        lines.append(verdict(what, words, str(QUERIES), cost.queries <= QUERIES))
        words = f"median {cost.median:.1f} ms"
        lines.append(verdict(what, words, f"{MILLISECONDS:g} ms", cost.median <= MILLISECONDS))
    for few, many in zip(numbers[::2], numbers[1::2], strict=True):
        what = f"{many.database}, numbers of the home page, {many.clients:,} clients"
        for name, before, now in (
            ("reading them", few.milliseconds, many.milliseconds),
            ("the page, uncached,", few.home_milliseconds, many.home_milliseconds),
        ):
            words = f"{name} takes {now / before:.2f} x what it takes with {few.clients:,}"
            lines.append(verdict(what, words, f"{SAME:g} x", now <= SAME * before))
        words = f"{many.queries} queries, and {many.home_queries} of the page"
        most = f"{few.queries} and {few.home_queries}, as with {few.clients:,}"
        is_met = many.queries <= few.queries and many.home_queries <= few.home_queries
        lines.append(verdict(what, words, most, is_met))
        words = f"right {many.right_s:.1f} s after they were added"
        lines.append(verdict(what, words, f"{OLDEST:g} s", many.right_s <= OLDEST))
    return lines


def main() -> None:
    clean_up_on_sigterm()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing (apt install wrk).")
    insist(names := databases(), "BENCH_DATABASES")
    rates, costs, numbers = [], [], []
    for database in names:
        say(f"{database}: making {POSTS:,} posts")
        server = WebServer(database)
        server.fill(POSTS)
        costs += measure_uncached(server, database)
        rates += measure_cached(server, database)
        numbers += measure_numbers(server, database)
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.platform()}"
    notes = [
        f"Machine: {machine}.",
        f"gunicorn, {WORKERS} workers; wrk, {CONNECTIONS} connections, {SECONDS} s a page.",
        f"CPU: cores in use. Uncached: {ASKS} times each, one after the other.",
    ]
    lines = verdicts(rates, costs, numbers)
    print_rates(rates)
    print_costs(costs)
    print_numbers(numbers)
    print(*notes, "", *lines, sep="\n")
    content = {
        "notes": notes,
        "cached": [asdict(row) for row in rates],
        "uncached": [asdict(row) for row in costs],
        "numbers": [asdict(row) for row in numbers],
        "verdicts": lines,
    }
    print(f"\nWritten to {write_report('bench-site', content)}.")
    sys.exit(any_is_missed(lines))


if __name__ == "__main__":
    main()
