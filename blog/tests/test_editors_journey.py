"""An editor's work through the whole stack: Chromium, gunicorn with kept pages, qcluster."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bench.processes import free_port, wait_for
from home.examples.pictures import draw_picture
from mailings.tests.processes import BASE_DIR, Site, answers, site, template

__all__ = ["site", "template"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = BASE_DIR / "var" / "screenshots"
PASSWORD = "correct horse battery"
TITLE = "Tea in May"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="browser tests need a Chromium (apt install chromium)"),
]

# Two editors and two posts: with the third one all there are stand on the home page.
MAKE_SITE = f"""
    import json
    from django.contrib.auth.models import Group
    from blog.models import BlogIndexPage, BlogPage
    for name in ("anna", "boris"):
        user = User.objects.create_user(f"{{name}}@example.com", "{PASSWORD}", first_name=name)
        user.groups.add(Group.objects.get(name="Editors"))
        user.confirm_email()
    blog = BlogIndexPage.objects.get(locale__language_code="en")
    body = json.dumps([{{"type": "text", "value": "<p>Write shorter.</p>"}}])
    for title in ("Coffee", "Milk"):
        post = BlogPage(title=title, lead=title, body=body)
        blog.add_child(instance=post)
        post.save_revision().publish()
    result = blog.pk
"""
POST = f"""
    from blog.models import BlogPage
    post = BlogPage.objects.get(title="{TITLE}")
"""
IS_LIVE = POST + "    result = post.live"
# What the worker does every minute, as soon as the time of the post has come or gone.
COME = (
    POST
    + """
    from django_q.tasks import async_task
    revision, moment = post.scheduled_revision, timezone.now() - timedelta(minutes=1)
    revision.approved_go_live_at = moment
    revision.content["go_live_at"] = moment.isoformat()
    revision.save()
    async_task("blog.tasks.publish_scheduled")
"""
)
GO = (
    POST
    + """
    from django_q.tasks import async_task
    BlogPage.objects.filter(pk=post.pk).update(expire_at=timezone.now() - timedelta(minutes=1))
    async_task("blog.tasks.publish_scheduled")
"""
)


@pytest.fixture
def blog(site: Site) -> int:
    """Make what there is before the editors come; return the key of the blog."""
    return site.python(MAKE_SITE)


@pytest.fixture
def address(site: Site, blog: int) -> str:
    """Start web server and worker; return the address of the site."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    site.env["SITE_URL"] = address
    site.serve(port)
    site.start("qcluster")
    wait_for(lambda: answers(f"{address}/healthz"), "the site and its worker are up")
    return address


@pytest.fixture
def sit_down(address: str) -> Iterator[Any]:
    """Yield a function that gives a page in a browser of one's own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def open_page() -> Any:
            view = {"width": 1440, "height": 1000}
            desk = chromium.new_context(base_url=address, locale="en-GB", viewport=view)
            desk.set_default_timeout(20_000)
            return desk.new_page()

        yield open_page
        chromium.close()


class Stranger:
    """A reader whose browser keeps the pages that it saw."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def sees(self, title: str) -> list[str]:
        """Open home and blog anew, look once, and return which of them shows a post."""
        found = []
        for path in ("/", "/blog/"):
            self.page.goto(path)
            if self.page.locator(f".post-card-title:has-text('{title}')").count():
                found.append(path)
        return found

    def has_kept(self, path: str) -> bool:
        """Return whether the browser holds a page, and asks only if it is still good."""
        asked = self.page.goto(path)
        assert asked.headers["cache-control"] == "public, no-cache"
        return "if-none-match" in asked.request.all_headers()


class Editor:
    """Somebody at the admin, who keeps a picture of every step."""

    def __init__(self, page: Any, name: str) -> None:
        self.page, self.name, self.number = page, name, 0
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.goto("/accounts/login/?next=/admin/")
        page.fill("[name=login]", f"{name}@example.com")
        page.fill("[name=password]", PASSWORD)
        page.click("main form button[type=submit]")
        page.wait_for_url("**/admin/")

    def snap(self, step: str) -> None:
        self.number += 1
        path = SCREENSHOTS / f"editor-{self.name}-{self.number:02}-{step}.png"
        self.page.screenshot(path=path, full_page=True)

    # Writing.

    def write(self, blog: int, title: str) -> None:
        self.page.goto(f"/admin/pages/{blog}/")
        self.page.get_by_role("link", name="Add child page").first.click()
        self.page.wait_for_url("**/add/blog/blogpage/**")
        self.page.fill("[name=title]", title)
        self.page.fill("[name=lead]", "Which leaves to buy, and when.")
        self.choose_picture()
        self.add_block("Text")
        self.page.locator("[data-contentpath=body] [contenteditable=true]").last.click()
        self.page.keyboard.type("The first leaves are picked in April.")
        self.add_block("Quote")
        self.page.fill("[name=body-1-value-text]", "Tea is patience.")
        self.page.fill("[name=body-1-value-author]", "A grower")
        self.add_block("Code")
        self.page.fill("[name=body-2-value-code]", "water = 80")
        # The editor hands its text to the form a moment after the last key.
        self.page.wait_for_function(
            "document.querySelector('[name=body-0-value]').value.includes('picked in April')"
        )
        # It also saves by itself, the first time as a new page: a form sent meanwhile would make
        # that page once more, with an address that is taken.
        self.page.wait_for_url("**/edit/")
        self.snap("written")

    def choose_picture(self) -> None:
        """Upload the image that stands above the text."""
        page, field = self.page, "#id_image-chooser"
        page.click(f"{field} .unchosen [data-chooser-action-choose]")
        page.click(".modal [role=tab]:has-text('Upload')")
        file = {"name": "tea.jpg", "mimeType": "image/jpeg"}
        page.set_input_files(
            ".modal input[type=file]", {**file, "buffer": draw_picture(1, "tea.jpg").read()}
        )
        page.fill(".modal [name=image-chooser-upload-title]", "A tea garden")
        page.click(".modal [data-chooser-modal-creation-form] [type=submit]")
        page.locator(f"{field} .chosen").wait_for()

    def add_block(self, name: str) -> None:
        self.page.locator("[data-contentpath=body] button[title='Insert a block']").last.click()
        self.page.get_by_role("option", name=name, exact=True).click()

    def schedule(self) -> None:
        """Let the post come tomorrow and go the day after."""
        now = timezone.localtime()
        button = self.page.locator("[data-a11y-dialog-show=schedule-publishing-dialog]").first
        if not button.is_visible():
            self.page.click("[data-side-panel-toggle=status]")
        button.click()
        for name, days in (("go_live_at", 1), ("expire_at", 2)):
            self.page.fill(f"[name={name}]", f"{now + timedelta(days=days):%Y-%m-%d} 10:00")
        self.snap("schedule")
        # By a key: a calendar lies over the button.
        self.page.press("#schedule-publishing-dialog button:has-text('Save schedule')", "Enter")
        self.page.wait_for_url("**/edit/")
        self.page.locator(".messages:has-text('Tea in May')").wait_for()

    def choose_action(self, selector: str) -> None:
        self.page.click("footer .w-dropdown__toggle")
        self.page.click(f"{selector} >> visible=true")
        # Back to the list of pages.
        self.page.wait_for_url(re.compile(r"/admin/pages/\d+/$"))

    def check(self) -> Any:
        """Open what Wagtail says of the preview."""
        self.page.click("[data-side-panel-toggle=checks]")
        panel = self.page.locator("[data-side-panel=checks]")
        panel.locator("[data-content-word-count]:text-matches('[1-9]')").wait_for()
        self.snap("checks")
        return panel

    def submit(self) -> None:
        self.choose_action("[name=action-submit]")
        self.snap("submitted")

    # Approving.

    def approve(self, title: str) -> None:
        """Open from the dashboard what waits for a second pair of eyes, and approve it."""
        self.page.goto("/admin/")
        self.snap("waits")
        self.page.click(f"main a:has-text('{title}') >> visible=true")
        self.page.wait_for_url("**/edit/")
        self.choose_action(
            "[data-workflow-action-name=approve]:not([data-workflow-action-modal-url])"
        )
        self.snap("approved")


def test_post_comes_and_goes_by_the_clock(site, blog, sit_down):
    """P4: and strangers see it at once, though their browsers and the site keep pages."""
    from playwright.sync_api import expect

    stranger = Stranger(sit_down())
    assert stranger.sees("Coffee") == ["/", "/blog/"]
    assert stranger.has_kept("/")
    assert stranger.has_kept("/blog/")

    writer = Editor(sit_down(), "anna")
    writer.write(blog, TITLE)
    writer.schedule()
    writer.submit()
    reader = Editor(sit_down(), "boris")
    reader.approve(TITLE)
    assert stranger.sees(TITLE) == []

    site.python(COME)
    wait_for(lambda: site.python(IS_LIVE), "the worker publishes it")
    assert stranger.sees(TITLE) == ["/", "/blog/"]
    stranger.page.click(f".post-card-title a:has-text('{TITLE}')")
    for words in ("picked in April", "Tea is patience.", "water = 80"):
        # The click returns before the page is read to its end.
        expect(stranger.page.locator(f".prose :text('{words}')")).to_have_count(1)
    assert stranger.page.locator(".post-picture img").evaluate("image => image.decode()") is None

    site.python(GO)
    wait_for(lambda: not site.python(IS_LIVE), "the worker takes it down")
    assert stranger.sees(TITLE) == []
    assert stranger.page.goto("/blog/tea-in-may/").status == 404


def test_what_is_written_is_checked(blog, sit_down):
    """The panel asks the preview: its words are counted, and axe finds a heading too deep."""
    from playwright.sync_api import expect

    writer = Editor(sit_down(), "anna")
    writer.write(blog, TITLE)
    writer.add_block("Text")
    text = writer.page.locator("[data-contentpath=body] [contenteditable=true]").last
    text.click()
    # The editor makes a heading of the marks by itself, and takes its time.
    writer.page.keyboard.type("### ")
    text.locator("h3").wait_for()
    writer.page.keyboard.type("Too deep")
    expect(text.locator("h3")).to_have_text("Too deep")
    panel = writer.check()
    expect(panel.locator("[data-content-checker-row]")).to_contain_text(["heading hierarchy"])
    # The text, the quote and the code, and the words around them.
    assert int(panel.locator("[data-content-word-count]").inner_text()) > 20
    expect(panel.locator("[data-content-reading-time]")).not_to_have_text("-")


def test_post_without_a_time_is_there_when_it_is_approved(blog, sit_down):
    """P4: one editor submits, another approves, and it is published with that."""
    stranger = Stranger(sit_down())
    assert stranger.sees(TITLE) == []
    writer = Editor(sit_down(), "anna")
    writer.write(blog, TITLE)
    writer.submit()
    Editor(sit_down(), "boris").approve(TITLE)
    assert stranger.sees(TITLE) == ["/", "/blog/"]
