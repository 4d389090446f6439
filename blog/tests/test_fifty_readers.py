"""Views counted by real processes: many readers at once, and processes that are killed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from bench.processes import free_port, wait_for
from mailings.tests.processes import Site, site, template

__all__ = ["site", "template"]

# Kept pages stay until a change, however long fifty browsers take on a slow machine. Each process
# keeps its own, so what answered the post is written down.
KEEP = """
def post_worker_init(worker):
    from config import page_cache
    page_cache.SECONDS = 3600


def post_request(worker, request, environ, response):
    if environ["PATH_INFO"] == "/blog/tea/":
        with open("{answered}", "a") as file:
            file.write(f"{{worker.pid}}\\n")
"""
# Nothing of Wagtail, and so no finished page, notices.
RENAME = """
    from blog.models import BlogPage
    BlogPage.objects.filter(slug="tea").update(title="Coffee")
"""
FORGET = """
    from config.generations import get_generation
    get_generation().change()
"""
WAITING = """
    from blog.readings import waiting
    place, link = waiting.folder(), waiting.get_link()
    result = [path.name for name in ("lines", "*.taken") for path in place.glob(name)]
    if link:
        result += [key.decode() for key in link.client.keys(f"{waiting.WAITING}*")]
"""
SHOW = "window.isShown = true; document.dispatchEvent(new Event('visibilitychange'))"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0"

MAKE_POST = """
    import json
    from blog.models import BlogIndexPage, BlogPage
    body = json.dumps([{"type": "text", "value": "<p>Write shorter.</p>"}])
    post = BlogPage(title="Tea", slug="tea", lead="Tea.", body=body)
    BlogIndexPage.objects.get(locale__language_code="en").add_child(instance=post)
    post.save_revision().publish()
    result = post.pk
"""
COUNT = """
    from blog.readings.models import DailyViews
    from blog.models import BlogPage
    from django.db.models import Sum
    days = DailyViews.objects.aggregate(n=Sum("views"))["n"] or 0
    count = BlogPage.objects.get(slug="tea").view_count
    assert count == days, (count, days)
    result = count
"""


class Web:
    """The site behind gunicorn, with two processes, on one port."""

    def __init__(self, site: Site) -> None:
        self.site, self.port = site, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        site.env["SITE_URL"] = self.address
        self.pk = site.python(MAKE_POST)

    def start(self) -> None:
        self.process = self.site.serve(self.port)
        wait_for(lambda: self.ask("/blog/tea/") == 200, "the site is up")

    def end(self) -> None:
        """Stop it as a restart would: it counts what waits."""
        self.process.terminate()
        self.process.wait(30)

    def ask(self, path: str, **options: Any) -> int:
        try:
            with urlopen(Request(f"{self.address}{path}", **options), timeout=20) as answer:
                return answer.status
        except OSError:
            return 0

    def read(self, visitor: int) -> int:
        headers = {
            "User-Agent": AGENT.format(visitor, visitor),
            "Sec-Fetch-Site": "same-origin",
        }
        return self.ask(f"/read/{self.pk}/", data=b"", headers=headers, method="POST")

    def read_all(self, visitors: range) -> None:
        """Read as all of these people at once; each is told that it was noted."""
        with ThreadPoolExecutor(20) as people:
            assert set(people.map(self.read, visitors)) == {204}

    def see(self) -> set[str]:
        """Return the titles that the post has in many answers, of both processes."""

        def ask(_number: int) -> str:
            with urlopen(f"{self.address}/blog/tea/", timeout=20) as answer:
                return re.search(r"<h1>(.*)</h1>", answer.read().decode())[1]

        with ThreadPoolExecutor(8) as people:
            return set(people.map(ask, range(40)))


def kill(process: subprocess.Popen) -> None:
    """Kill a process and all that it started, as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def see_from_both(web: Web, answered: Path) -> set[str]:
    """Ask until each process has answered; return the titles that the post has by then."""
    titles = set()

    def ask() -> bool:
        titles.update(web.see())
        return len(set(answered.read_text().split())) == 2

    wait_for(ask, "both processes have answered")
    return titles


def count(site: Site) -> int:
    return site.python(COUNT)


def wait_until_nothing_waits(site: Site) -> None:
    wait_for(lambda: site.python(WAITING) == [], "no reading waits")


async def visit(browser: Any, address: str, visitor: int) -> list[tuple[str, str]]:
    """Open the post as one person, twice; return its title and what the answer was kept as."""
    desk = await browser.new_context(user_agent=AGENT.format(visitor, visitor))
    page = await desk.new_page()
    page.set_default_timeout(240_000)  # Fifty browsers share two processors.
    seen = []
    for _ in range(2):
        async with page.expect_response(lambda answer: "/read/" in answer.url) as noted:
            shown = await page.goto(f"{address}/blog/tea/")
        assert (await noted.value).status == 204
        seen.append((await page.inner_text("h1"), shown.headers["cache-control"]))
    assert not await desk.cookies()
    await desk.close()
    return seen


async def visit_all(address: str, visitors: range) -> list[tuple[str, str]]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        seen = await asyncio.gather(*(visit(browser, address, number) for number in visitors))
        await browser.close()
    return [one for visits in seen for one in visits]


NEEDS_CHROMIUM = pytest.mark.skipif(
    not CHROMIUM, reason="browser tests need a Chromium (apt install chromium)"
)


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_fifty_people_read_a_kept_page_in_the_browser(site):
    """I4: none is lost and none is counted twice, though each page comes from the cache."""
    hooks = site.folder / "gunicorn.py"
    answered = site.folder / "answered"
    hooks.write_text(KEEP.format(answered=answered))
    site.env["GUNICORN_CMD_ARGS"] = f"--config {hooks}"
    web = Web(site)
    web.start()
    assert see_from_both(web, answered) == {"Tea"}
    site.python(RENAME)
    site.start("qcluster")
    seen = asyncio.run(visit_all(web.address, range(100, 150)))
    assert {header for _title, header in seen} == {"public, no-cache"}
    assert len(seen) == 100
    # None of these pages was made for its reader. With Redis each process that answers for the
    # first time makes kept pages old: a change of one before it may not have reached Redis.
    if "REDIS_URL" not in site.env:
        assert {title for title, _header in seen} == {"Tea"}
    assert web.ask("/blog/tea/", method="HEAD") == 200
    wait_for(lambda: count(site) == 50, "all are counted")
    wait_until_nothing_waits(site)
    site.python(FORGET)
    assert b"50 views" in urlopen(f"{web.address}/blog/tea/").read()
    assert web.see() == {"Coffee"}
    assert count(site) == 50


@pytest.fixture
def browser_of(site) -> Iterator[Any]:
    """Yield a function that opens a page in a browser of its own, beside the running site."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def open_page(**options: Any) -> Any:
            desk = chromium.new_context(user_agent=AGENT.format(140, 140), **options)
            return desk.new_page()

        yield open_page
        chromium.close()


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_tab_behind_another_is_counted_when_it_is_shown(site, browser_of):
    web = Web(site)
    web.start()
    page, asked = browser_of(), []
    page.on("request", lambda request: asked.append(request.url))
    # Playwright shows every tab.
    page.add_init_script(
        "Object.defineProperty(document, 'visibilityState', "
        "{get: () => window.isShown ? 'visible' : 'hidden'})"
    )
    page.goto(f"{web.address}/blog/tea/", wait_until="networkidle")
    page.wait_for_timeout(1000)
    assert not [address for address in asked if "/read/" in address]
    with page.expect_response(lambda answer: "/read/" in answer.url) as noted:
        page.evaluate(SHOW)
    assert noted.value.status == 204
    page.evaluate(SHOW)
    page.wait_for_timeout(500)
    assert len([address for address in asked if "/read/" in address]) == 1
    web.end()
    assert count(site) == 1


@pytest.mark.browser
@NEEDS_CHROMIUM
def test_browser_without_scripts_is_counted_by_the_image(site, browser_of):
    web = Web(site)
    web.start()
    page = browser_of(java_script_enabled=False)
    for _ in range(2):
        with page.expect_response(lambda answer: "/read/" in answer.url) as noted:
            page.goto(f"{web.address}/blog/tea/")
        assert noted.value.request.resource_type == "image"
        assert noted.value.status == 200
    web.end()
    assert count(site) == 1


def test_killed_web_and_worker_lose_and_double_nothing(site):
    web = Web(site)
    for number in range(4):
        web.start()
        worker = site.start("qcluster")
        # Some have been noted before, on the other side of a kill.
        web.read_all(range(100 + 40 * number, 160 + 40 * number))
        kill(web.process)
        if number % 2:
            kill(worker)
    web.start()
    site.start("qcluster")
    web.read_all(range(100, 130))
    wait_for(lambda: count(site) == 180, "all are counted")
    wait_until_nothing_waits(site)
    assert count(site) == 180


def test_web_that_is_told_to_stop_counts_before_it_ends(site):
    """No worker is there to do it."""
    web = Web(site)
    web.start()
    web.read_all(range(100, 140))
    web.end()
    assert count(site) == 40


def test_worker_counts_before_it_ends(site):
    web = Web(site)
    worker = site.start("qcluster")
    web.start()
    web.read_all(range(100, 120))
    kill(web.process)
    worker.terminate()
    worker.wait(30)
    assert count(site) == 20


def test_what_another_process_publishes_shows_at_once(site):
    """I5: in every web process, with the very next answer."""
    web = Web(site)
    web.start()
    for title in ("Tea", "Coffee", "Milk"):
        site.python(f"""
            from blog.models import BlogPage
            post = BlogPage.objects.get(slug="tea")
            post.title = "{title}"
            post.save_revision().publish()
        """)
        assert web.see() == {title}
