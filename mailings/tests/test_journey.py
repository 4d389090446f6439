"""A newcomer's journey through the whole stack: web server, qcluster, mail server, Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.processes import free_port, wait_for
from mailings.tests.processes import BASE_DIR, Site, answers, site, template

__all__ = ["site", "template"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = BASE_DIR / "var" / "screenshots"
PASSWORD = "correct horse battery"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="browser tests need a Chromium (apt install chromium)"),
]


@pytest.fixture
def address(site: Site, tmp_path: Path) -> Iterator[str]:
    """Start everything as `make run` does; yield the address of the site."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    env = {
        **site.env,
        "PORT": str(port),
        "SMTP_PORT": str(free_port()),
        "SITE_URL": address,
        "VAR_DIR": str(tmp_path / "var"),
        "EMAIL_URL": "",
    }
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "seeded").touch()  # The newcomer brings the data.
    with (tmp_path / "run.log").open("w") as log:
        stack = subprocess.Popen(
            [sys.executable, "site/run.py"],
            cwd=BASE_DIR,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(lambda: answers(f"{address}/healthz"), "the site and its worker are up")
            yield address
        finally:
            stack.send_signal(signal.SIGINT)
            stack.wait(30)


@pytest.fixture
def page(address: str) -> Iterator:
    from playwright.sync_api import expect, sync_playwright

    # Playwright's loop runs in this thread; nothing here asks the database from it.
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = chromium.new_context(
            base_url=address, locale="en-GB", viewport={"width": 1280, "height": 900}
        )
        context.set_default_timeout(20_000)
        yield context.new_page()
        chromium.close()


class Album:
    """Keeps a screenshot of every step."""

    def __init__(self, page, name: str) -> None:
        self.page, self.name, self.number = page, name, 0
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def snap(self, step: str) -> None:
        self.number += 1
        path = SCREENSHOTS / f"{self.name}-{self.number:02}-{step}.png"
        self.page.screenshot(path=path, full_page=True)


def sign_up(page, album: Album, email: str) -> None:
    page.goto("/")
    album.snap("home")
    page.goto("/accounts/signup/")
    page.fill("[name=email]", email)
    page.fill("[name=company]", "Tea & Co")
    page.fill("[name=password1]", PASSWORD)
    page.fill("[name=password2]", PASSWORD)
    album.snap("sign-up")
    page.click("main form button[type=submit]")
    page.wait_for_url("**/confirm-email/")
    album.snap("confirmation-sent")


def confirm(page, album: Album, email: str) -> None:
    page.goto("/inbox/")
    page.click(f"text={email}")
    page.click("main a[href*='/inbox/']:has-text('onfirm')")
    album.snap("confirmation-letter")
    link = re.search(r"http://\S+/accounts/confirm-email/[^\s\"<]+/", page.content())[0]
    page.goto(link)
    page.click("main form button[type=submit]")
    page.wait_for_url("**/admin/")
    album.snap("empty-dashboard")


def add_client(page, email: str, name: str) -> None:
    page.goto("/admin/client/new/")
    page.fill("[name=email]", email)
    page.fill("[name=full_name]", name)
    page.click("footer button[type=submit], button.action-save")
    page.wait_for_url("**/admin/client/")


def write_message(page, album: Album) -> None:
    page.goto("/admin/message/add/")
    page.fill("[name=subject]", "Hello, {{ client.full_name }}")
    page.click("button[title='Insert a block']")
    page.click("[role=option]:has-text('Text')")
    page.locator("[contenteditable=true]").last.click()
    page.keyboard.type("Dear {{ client.full_name }}, the new tea has come.")
    # The editor hands its text to the form a moment after the last key.
    page.wait_for_function(
        "document.forms[0] && [...document.querySelectorAll('input')]"
        ".some(input => input.value.includes('new tea has come'))"
    )
    album.snap("message")
    page.click("[name='action-publish'], footer button[type=submit], button.action-save")
    page.wait_for_url("**/admin/message/")


def schedule_mailing(page, album: Album) -> None:
    page.goto("/admin/mailing/new/")
    page.fill("[name=name]", "The first mailing")
    page.select_option("[name=message]", index=1)
    page.check("[name=all_clients]")
    album.snap("mailing")
    page.click("footer button[type=submit], button.action-save")
    page.wait_for_url(re.compile(r"/admin/mailing/(inspect/.*)?$"))


def test_newcomer_sees_a_mailing_arrive(page, site):
    """P1, T1, T2, T3, T4, S1, I2: sign up, confirm, add clients, write, schedule, see it arrive."""
    from playwright.sync_api import expect

    album = Album(page, "newcomer")
    sign_up(page, album, "founder@tea.example")
    confirm(page, album, "founder@tea.example")
    add_client(page, "anna@clients.example", "Anna Ivanova")
    add_client(page, "boris@clients.example", "Boris Petrov")
    album.snap("clients")
    write_message(page, album)
    schedule_mailing(page, album)
    page.goto("/admin/mailing/")
    page.click("text=The first mailing")
    if "/inspect/" not in page.url:
        page.goto(page.url.replace("/edit/", "/inspect/"))
    detail = page.url

    def is_sent() -> bool:
        page.goto(detail)
        return page.locator("text=/success/i").count() > 0

    wait_for(is_sent, "the attempt is a success")
    expect(page.locator("body")).to_contain_text("250")
    album.snap("mailing-sent")
    for mailbox, name in (("anna", "Anna Ivanova"), ("boris", "Boris Petrov")):
        page.goto("/inbox/")
        page.click(f"text={mailbox}@clients.example")
        expect(page.locator("main")).to_contain_text(f"Hello, {name}")
        page.click(f"main a:has-text('Hello, {name}')")
        expect(page.locator("main")).to_contain_text("the new tea has come")
        album.snap(f"letter-{mailbox}")
    page.goto("/dashboard/")
    album.snap("dashboard")
    expect(page.locator("body")).to_contain_text("The first mailing")
