"""`make lighthouse`: what Lighthouse says of the public pages, as a phone sees them.

The production server serves the example data from SQLite; Chromium is Debian's. A page is looked at
several times and the median counts, since the machine drifts. Settings by environment:

    LIGHTHOUSE_RUNS       how often each page is looked at (3)
    LIGHTHOUSE_LANGUAGES  "ru en"
    CHROME_PATH           the browser (chromium on the path)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from databases import BASE_DIR
from harness import say
from processes import clean_up_on_sigterm
from report import any_is_missed, insist, print_table, verdict, write_report
from site_server import WebServer

RUNS = int(os.environ.get("LIGHTHOUSE_RUNS", "3"))
LANGUAGES = os.environ.get("LIGHTHOUSE_LANGUAGES", "ru en").split()
CHROME = os.environ.get("CHROME_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
# Now and then Chromium loses its trace (NO_NAVSTART), which says nothing about the page.
TRIES = 4
LIGHTHOUSE = BASE_DIR / "bench" / "node_modules" / ".bin" / "lighthouse"
TARGETS = {"performance": 98, "accessibility": 100, "best-practices": 100, "seo": 100}
# What HTML, style sheets and scripts of a post may weigh on the wire (bytes).
WEIGHT = 100_000
SHIFT = 0.01  # of the layout while a page loads; Lighthouse calls 0.1 good
PAGES = {
    "ru": {
        "home": "/",
        "index": "/blog/",
        "post": "/blog/pervaya-rassylka/",
        "sign-up": "/accounts/signup/",
    },
    "en": {
        "home": "/en/",
        "index": "/en/blog/",
        "post": "/en/blog/your-first-mailing/",
        "sign-up": "/accounts/signup/",
    },
}


@dataclass
class Look:
    """One look at a page. Scores of 100; milliseconds; bytes on the wire."""

    language: str
    page: str
    scores: dict[str, int]
    first_paint: float
    largest_paint: float
    blocked: float
    shift: float
    weight: int
    images: int
    fonts: int
    strangers: list[str]
    # The audits that cost points, with what they say.
    faults: list[str]


def look(server: WebServer, language: str, page: str) -> Look:
    report = server.folder / "lighthouse.json"
    command = [
        *(str(LIGHTHOUSE), server.url + PAGES[language][page], "--quiet", "--output=json"),
        f"--output-path={report}",
        f"--only-categories={','.join(TARGETS)}",
        f"--chrome-flags=--headless=new --no-sandbox --lang={language}",
        "--extra-headers=" + json.dumps({"Accept-Language": language}),
    ]
    env = {**os.environ, "CHROME_PATH": CHROME or ""}
    for _ in range(TRIES):
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if not done.returncode:
            return read_report(json.loads(report.read_text()), language, page)
    raise RuntimeError(done.stdout + done.stderr)


def read_report(report: dict, language: str, page: str) -> Look:
    audits, categories = report["audits"], report["categories"]
    requests = audits["network-requests"]["details"]["items"]
    own = urlsplit(report["finalDisplayedUrl"]).netloc
    weights = {kind: weigh(requests, kind) for kind in ("Document", "Stylesheet", "Script")}
    return Look(
        language=language,
        page=page,
        scores={name: round(categories[name]["score"] * 100) for name in TARGETS},
        first_paint=audits["first-contentful-paint"]["numericValue"],
        largest_paint=audits["largest-contentful-paint"]["numericValue"],
        blocked=audits["total-blocking-time"]["numericValue"],
        shift=audits["cumulative-layout-shift"]["numericValue"],
        weight=sum(weights.values()),
        images=weigh(requests, "Image"),
        fonts=weigh(requests, "Font"),
        strangers=[url for item in requests if is_stranger(url := item["url"], own)],
        faults=[
            f"{name}: {audits[ref['id']]['title']}"
            for name in TARGETS
            for ref in categories[name]["auditRefs"]
            if ref["weight"]
            and (audits[ref["id"]]["score"] or 0) < (0.9 if name == "performance" else 1)
            and audits[ref["id"]]["scoreDisplayMode"] not in {"notApplicable", "manual"}
        ],
    )


def weigh(requests: list[dict], kind: str) -> int:
    return sum(item["transferSize"] for item in requests if item.get("resourceType") == kind)


def is_stranger(url: str, own: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and parts.netloc != own


def middle(looks: list[Look]) -> Look:
    """Return the look whose performance is the median; all else that counts is the worst of all."""
    looks = sorted(looks, key=lambda one: one.scores["performance"])
    median = looks[len(looks) // 2]
    for name in TARGETS:
        if name != "performance":
            median.scores[name] = min(one.scores[name] for one in looks)
    median.shift = max(one.shift for one in looks)
    return median


def print_looks(looks: list[Look]) -> None:
    lines = [
        ["page", *TARGETS, "first paint, ms", "largest, ms", "blocked, ms", "shift"]
        + ["HTML+CSS+JS", "images", "fonts", "third party"]
    ]
    for one in looks:
        times = [f"{t:,.0f}" for t in (one.first_paint, one.largest_paint, one.blocked)]
        weights = [f"{size:,}" for size in (one.weight, one.images, one.fonts)]
        scores = [str(score) for score in one.scores.values()]
        name = f"{one.page}, {one.language}"
        lines.append([name, *scores, *times, f"{one.shift:.3f}", *weights, str(len(one.strangers))])
    print_table(lines)


def verdicts(looks: list[Look]) -> list[str]:
    lines = []
    for one in looks:
        what = f"{one.page}, {one.language}"
        for name, target in TARGETS.items():
            words = f"{name} {one.scores[name]}"
            lines.append(verdict(what, words, str(target), one.scores[name] >= target))
        if one.page == "post":
            words = f"HTML, CSS and JS {one.weight:,} bytes compressed"
            lines.append(verdict(what, words, f"under {WEIGHT:,}", one.weight < WEIGHT))
        words = f"layout shift {one.shift:.3f}"
        lines.append(verdict(what, words, f"{SHIFT:g}", one.shift <= SHIFT))
        words = f"{len(one.strangers)} requests to others"
        lines.append(verdict(what, words, "0", not one.strangers))
    return lines


def main() -> None:
    clean_up_on_sigterm()
    if not CHROME:
        sys.exit("A Chromium is missing (apt install chromium).")
    insist(LANGUAGES, "LIGHTHOUSE_LANGUAGES")
    server = WebServer("sqlite")
    server.fill(posts=0)
    server.start()
    looks = []
    for language in LANGUAGES:
        for page, path in PAGES[language].items():
            say(f"{page}, {language}")
            for _ in range(6):
                server.get(path, Accept_Language=language)  # Makes pictures, reads templates.
            looks.append(middle([look(server, language, page) for _ in range(RUNS)]))
    server.stop()
    print_looks(looks)
    for one in looks:
        for fault in one.faults:
            print(f"{one.page}, {one.language}: {fault}")
    lines = verdicts(looks)
    print("", *lines, sep="\n")
    content = {"looks": [asdict(one) for one in looks], "verdicts": lines}
    print(f"\nWritten to {write_report('lighthouse', content)}.")
    sys.exit(any_is_missed(lines))


if __name__ == "__main__":
    main()
