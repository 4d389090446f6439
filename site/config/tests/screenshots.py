"""Keep a picture of every public page in var/screenshots, with the texts of the example data.

`make screenshots` runs this. It is no part of the tests, which it would make longer by minutes.
Each page is loaded once in a language and photographed in all widths and themes.
"""

from __future__ import annotations

import re

import pytest
from django.conf import settings as site_settings
from django.core.management import call_command

from accounts.models import User
from config import errors
from config.page_cache import store
from config.tests.pages import INTERFACE, STRANGERS, USERS, Visits
from config.tests.windows import NEEDS_CHROMIUM, Window, chromium, publish_everything, window
from conftest import PASSWORD
from home.counting import sum_up
from home.examples.posts import POSTS

__all__ = ["chromium", "window"]

pytestmark = NEEDS_CHROMIUM

FOLDER = site_settings.BASE_DIR / "var" / "screenshots"
WIDTHS, THEMES = (360, 768, 1440), ("light", "dark")
WORDS = {"ru": "письмо", "en": "letter"}
# What lies below the window is loaded too, and whole.
LOAD_ALL = """async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
    await document.fonts.ready;
}"""


class Album:
    """The pictures of all pages in one language."""

    def __init__(self, language: str) -> None:
        self.folder = FOLDER / language
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*.png"):
            old.unlink()

    def visit(self, desk: Window, address: str, name: str = "") -> None:
        desk.go(address)
        self.keep(desk, name or re.sub(r"\W+", "-", address).strip("-") or "home")

    def keep(self, desk: Window, name: str) -> None:
        desk.page.evaluate(LOAD_ALL)
        for theme in THEMES:
            desk.page.emulate_media(color_scheme=theme)
            desk.page.evaluate("() => new Promise(requestAnimationFrame)")
            for width in WIDTHS:
                desk.page.set_viewport_size({"width": width, "height": 800})
                path = self.folder / f"{name}-{width}-{theme}.png"
                desk.page.screenshot(path=path, full_page=True, animations="disabled")


@pytest.mark.parametrize("language", ["ru", "en"])
def test_every_page(language, window, browser, rf, settings, monkeypatch):
    monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 4)
    album, prefix = Album(language), "/" if language == "en" else f"/{language}/"
    stranger = window(browser(), language=language)
    album.visit(stranger, f"{prefix}blog/", "blog-empty")

    call_command("seed", verbosity=0)
    sum_up()
    publish_everything(language)
    store.clear()  # Nothing is committed here, and that would do it.
    first = POSTS[language][0]
    examples = [
        f"blog/{first.slug}/",
        f"blog/category/{first.category}/",
        f"blog/author/{first.author}/",
        f"blog/search/?q={WORDS[language]}",
    ]
    for address in [*STRANGERS, *examples]:
        album.visit(
            stranger, f"{prefix}{address}", re.sub(r"\W+", "-", address).strip("-") or "home"
        )
    for address in INTERFACE:
        album.visit(stranger, address)
    for status in (400, 413, 500, 503):
        stranger.show(errors.bare_page(rf.get("/", HTTP_ACCEPT_LANGUAGE=language), status))
        album.keep(stranger, str(status))

    user, editor = (User.objects.get(email=f"{name}@example.com") for name in ("user", "editor"))
    user.set_password(PASSWORD)
    user.save()
    user.wagtail_userprofile.delete()  # It has a language, which would count more than the window's.
    desk = window(browser(user), language=language)
    for address in USERS:
        album.visit(desk, address, "home-of-user" if address == "/" else "")
    album.visit(window(browser(editor), language=language), "/admin/reports/views/")
    for name, response in Visits(language, settings):
        stranger.show(response)
        album.keep(stranger, name)
