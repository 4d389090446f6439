"""`make profile`: which functions of ours one worker spends its time in.

`manage.py mailing` sends BENCH_N letters (20000) to smtp-sink under cProfile, on each of
BENCH_DATABASES. Shares are a function's own time of all time in `dispatch.run_pass`, waits left out;
no function shall have more than a quarter. cProfile makes calls dearer than they are: read it for
shares, not for speed.
"""

from __future__ import annotations

import os
import pstats
import subprocess
import sys
from pathlib import Path

from databases import BASE_DIR, databases
from harness import Product, say
from processes import clean_up_on_sigterm
from servers import rate_receiver

LETTERS = int(os.environ.get("BENCH_N", "20000"))
SHOWN = 12  # functions
MOST = 0.25  # of the time
# What they do is wait: time spent there is nobody's.
WAITING = ("<method 'poll' of 'select.epoll' objects>", "<built-in method time.sleep>")


def profile(database: str) -> pstats.Stats:
    """Send a mailing in one process under cProfile."""
    say(f"profile of one worker, {database}, {LETTERS:,} letters")
    server = rate_receiver()
    product = Product(database, server, clients=LETTERS)
    product.save_mailing()
    path = product.folder / "worker.profile"
    done = subprocess.run(
        [sys.executable, "-m", "cProfile", "-o", str(path), "manage.py", "mailing"],
        cwd=BASE_DIR,
        env=product.env,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    stats = pstats.Stats(str(path))
    product.close()
    server.stop()
    return stats


def shares(stats: pstats.Stats) -> list[tuple[float, int, str]]:
    """Return share, number of calls and name of each function of ours, the largest first."""
    found, total = [], working_seconds(stats)
    for (path, line, name), (_primitive, calls, own, _total, _callers) in stats.stats.items():
        file = Path(path)
        if file.is_relative_to(BASE_DIR) and ".venv" not in file.parts:
            where = f"{file.relative_to(BASE_DIR)}:{line} {name}"
            found.append((own / total, calls, where))
    return sorted(found, reverse=True)


def working_seconds(stats: pstats.Stats) -> float:
    """Return the seconds of `dispatch.run_pass`, waits left out."""
    waited = sum(row[2] for (_path, _line, name), row in stats.stats.items() if name in WAITING)
    passes = [
        row[3]
        for (path, _line, name), row in stats.stats.items()
        if name == "run_pass" and path.endswith("dispatch.py")
    ]
    return max(passes) - waited


def judge(database: str) -> bool:
    """Print where the time goes; return whether a function has more than its share."""
    stats = profile(database)
    found = shares(stats)
    print(f"{working_seconds(stats):.2f} seconds at work under cProfile, {LETTERS:,} letters\n")
    print("| own time | calls | function |\n|---|---|---|")
    for share, calls, where in found[:SHOWN]:
        print(f"| {share:.1%} | {calls:,} | `{where}` |")
    largest, _calls, where = found[0]
    verdict = "met" if largest <= MOST else "NOT MET"
    print(f"\n{database}, largest share: {largest:.1%}, {where} (target {MOST:.0%}): {verdict}\n")
    return largest > MOST


def main() -> None:
    clean_up_on_sigterm()
    missed = [database for database in databases() if judge(database)]
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
