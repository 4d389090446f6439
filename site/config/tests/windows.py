"""Public pages in a real browser, whose requests Django answers in this very process.

All of it happens in the test's transaction. A test module imports the fixtures it uses.
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
from home.examples.pictures import draw_picture

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
HOST = "http://testserver"
# Where a window shows an answer that it was handed; no page has this address.
SHOWN = "/shown/"

NEEDS_CHROMIUM = [
    pytest.mark.django_db,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="browser tests need a Chromium (apt install chromium)"),
]
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

    def __init__(
        self,
        chromium: Any,
        reader: Browser,
        *,
        language: str,
        theme: str,
        width: int,
        scripts: bool = True,
    ):
        self.seen: list[str] = []
        self.shown: HttpResponse | None = None
        self.context = chromium.new_context(
            locale=language,
            color_scheme=theme,
            viewport={"width": width, "height": 800},
            java_script_enabled=scripts,
        )
        # The test's own context holds its connection to the database; Playwright has another.
        own = copy_context()

        def ask(target: str, language: str) -> HttpResponse:
            if target == SHOWN:
                return self.shown
            return own.run(reader.get, target, headers={"Accept-Language": language})

        self.context.route("**/*", lambda route: answer(route, ask))
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.seen.append(request.url))
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def go(self, address: str) -> None:
        self.status = self.page.goto(f"{HOST}{address}", wait_until="load").status

    def show(self, response: HttpResponse) -> None:
        """Show an answer that a person got in another way than by an address alone."""
        self.shown = response
        self.go(SHOWN)

    def open(self, address: str) -> list[dict[str, Any]]:
        """Open a page and return what axe finds serious."""
        self.go(address)
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

    def style(self, selector: str, name: str) -> str:
        """Return what a property of CSS comes to for the first element that fits."""
        one = self.page.locator(selector).first
        return one.evaluate("(node, name) => getComputedStyle(node)[name]", name)


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


def publish_everything(language: str) -> BlogPage:
    """Publish a post with every block, all that it can be filed under, and some more posts."""
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
