"""Every public page in a real browser: what axe finds, what is cut off, what is loaded.

The browser's requests are answered by Django in this very process, in the test's transaction.
"""

from __future__ import annotations

import json
import mimetypes
import os
import shutil
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.http import HttpResponse
from django.test import Client as Browser
from wagtail.images.models import Image

from blog.models import BlogPage
from blog.snippets import Author, Category
from blog.tests.posts import get_blog, make_post, store_embed
from config import errors
from home.examples.pictures import draw_picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
HOST = "http://testserver"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="browser tests need a Chromium (apt install chromium)"),
]

STRANGERS = [
    "",
    "blog/",
    "blog/everything/",
    "blog/?page=2",
    "blog/category/advice/",
    "blog/author/anna/",
    "blog/tag/tea/",
    "blog/search/",
    "blog/search/?q=tea",
    "blog/search/?q=zebra",
]
INTERFACE = [
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/u/preview/",
    "/no-such-page/",
    "/?q=%00",
]
USERS = ["/accounts/profile/", "/accounts/email/", "/accounts/password/change/", "/"]
LONG_WORDS = {
    "en": "Misunderstandings and responsibilities",
    "ru": "Высокопроизводительность и взаимопонимание",
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread; nothing here asks the database from it.
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def answer(route: Any, ask: Callable[[str, str], HttpResponse]) -> None:
    """Answer a request of the browser as the site would."""
    parts = urlsplit(route.request.url)
    if parts.path.startswith("/static/"):
        path = finders.find(parts.path.removeprefix("/static/"))
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        route.fulfill(path=path, content_type=kind)
        return
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    response = ask(target, route.request.headers["accept-language"])
    body = b"".join(response) if response.streaming else response.content
    route.fulfill(status=response.status_code, content_type=response["Content-Type"], body=body)


class Window:
    """A window of the browser on one person's desk."""

    def __init__(self, chromium: Any, reader: Browser, *, language: str, theme: str, width: int):
        self.seen: list[str] = []
        self.context = chromium.new_context(
            locale=language, color_scheme=theme, viewport={"width": width, "height": 800}
        )
        # The test's own context holds its connection to the database; Playwright has another.
        own = copy_context()

        def ask(target: str, language: str) -> HttpResponse:
            return own.run(reader.get, target, headers={"Accept-Language": language})

        self.context.route("**/*", lambda route: answer(route, ask))
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.seen.append(request.url))
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, address: str) -> list[dict[str, Any]]:
        """Open a page and return what axe finds serious."""
        self.status = self.page.goto(f"{HOST}{address}", wait_until="load").status
        return self.ask_axe()

    def ask_axe(self) -> list[dict[str, Any]]:
        self.page.add_script_tag(path=str(AXE))
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [
            {"rule": one["id"], "where": [node["target"] for node in one["nodes"]][:3]}
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]

    def overflow(self) -> int:
        root = "document.documentElement"
        return self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")


@pytest.fixture
def window(chromium: Any) -> Iterator[Any]:
    opened: list[Window] = []

    def open_window(reader: Browser, **options: Any) -> Window:
        options = {"language": "en", "theme": "light", "width": 360, **options}
        opened.append(Window(chromium, reader, **options))
        return opened[-1]

    yield open_window
    for one in opened:
        one.context.close()


def publish_everything(language: str, monkeypatch: pytest.MonkeyPatch) -> BlogPage:
    """Publish a post with every block, all that it can be filed under, and some more posts."""
    monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 2)
    locale = get_blog(language).locale
    picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
    image = {"image": picture.pk, "alt_text": "A calm sea", "decorative": False}
    captioned = {"image": image, "caption": "The sea in May"}
    call = {"title": "Try it", "text": "It is free.", "button": "Go", "target": "signup"}
    body = [
        ("text", "<h2>Head</h2><p>Text with <a href='/'>a link</a> and <code>code</code>.</p>"),
        ("image", captioned),
        ("quote", {"text": "Less is more.", "author": "Mies"}),
        ("code", {"code": "250 2.0.0 Ok: queued " * 6, "title": "A talk"}),
        (
            "table",
            {
                "caption": "Replies",
                "columns": [
                    {"type": "text", "heading": "Code"},
                    {"type": "number", "heading": "Share"},
                ],
                "rows": [{"values": ["250", "97"]}],
            },
        ),
        ("embed", {"title": "A film", "embed": "https://www.youtube.com/watch?v=1"}),
        ("embed", {"title": "Another film", "embed": "https://www.youtube.com/watch?v=2"}),
        ("gallery", {"pictures": [captioned, captioned]}),
        ("call", {**call, "page": None, "address": ""}),
    ]
    store_embed("https://www.youtube.com/watch?v=1")  # The other one can only be linked to.
    post = make_post(
        LONG_WORDS[language],
        language,
        slug="everything",
        image=picture,
        author=Author.objects.create(name="Anna", slug="anna", about="Writes.", locale=locale),
        body=json.dumps([{"type": kind, "value": value} for kind, value in body]),
    )
    category = Category.objects.create(name="Advice", slug="advice", lead="Help.", locale=locale)
    post.categories.set([category])
    post.tags.set(["tea"])
    post.save_revision().publish()
    for number in range(2):
        make_post(f"Tea {number}", language, published_on="2020-01-01")
    return post


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en", "light", 1440), ("ru", "dark", 360), ("ru", "light", 360), ("en", "dark", 768)],
)
class TestPages:
    def check(self, window: Window, address: str) -> None:
        assert window.open(address) == [], address
        assert window.overflow() <= 0, address
        assert window.errors == [], address
        strange = [url for url in window.seen if not url.startswith((HOST, "data:"))]
        assert strange == [], address

    def test_of_strangers(self, window, language, theme, width, browser, monkeypatch):
        publish_everything(language, monkeypatch)
        desk = window(browser(), language=language, theme=theme, width=width)
        prefix = "/" if language == "en" else f"/{language}/"
        for address in STRANGERS:
            self.check(desk, f"{prefix}{address}")
            assert desk.status == 200, address
        for address in INTERFACE:
            self.check(desk, address)

    def test_of_users(self, window, language, theme, width, browser, owner):
        desk = window(browser(owner), language=language, theme=theme, width=width)
        for address in USERS:
            self.check(desk, address)
            assert desk.status == 200, address

    def test_that_need_nothing(self, window, language, theme, width, rf, browser):
        desk = window(browser(), language=language, theme=theme, width=width)
        desk.page.goto(f"{HOST}/accounts/login/")
        for status in (400, 413, 500, 503):
            html = errors.bare_page(rf.get("/", HTTP_ACCEPT_LANGUAGE=language), status).content
            desk.page.set_content(html.decode(), wait_until="load")
            assert desk.ask_axe() == [], status
            assert desk.overflow() <= 0, status


def test_axe_finds_what_is_wrong(window, browser):
    desk = window(browser())
    desk.open("/accounts/login/")
    desk.page.set_content(
        "<html lang='en'><title>T</title><p style='color:#aaa'>Pale</p><img src=''>"
    )
    assert {one["rule"] for one in desk.ask_axe()} == {"color-contrast", "image-alt"}


class TestParts:
    """What the pages' own script does."""

    def test_menu_of_a_phone(self, window, browser):
        desk = window(browser())
        desk.open("/")
        link, button = desk.page.locator(".site-link").first, desk.page.locator(".menu-button")
        assert not link.is_visible()
        button.click()
        assert link.is_visible()
        assert button.get_attribute("aria-expanded") == "true"
        assert desk.ask_axe() == []

    def test_theme_stays_when_the_page_is_left(self, window, browser):
        desk = window(browser(), width=1440)
        desk.open("/")
        desk.page.locator(".theme-menu summary").click()
        assert desk.ask_axe() == []
        desk.page.locator("[data-theme-choice=dark]").click()
        for address in ("/", "/blog/"):
            desk.open(address)
            assert desk.page.locator("html").get_attribute("data-bs-theme") == "dark"

    def test_questions_open(self, window, browser):
        desk = window(browser(), width=1440)
        desk.open("/")
        for question in desk.page.locator(".question summary").all():
            question.click()
        assert desk.ask_axe() == []
