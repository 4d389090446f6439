"""Every public page in a real browser: what axe finds, what is cut off, what is loaded."""

from __future__ import annotations

import pytest

from config import errors
from config.tests.pages import INTERFACE, STRANGERS, USERS, Visits
from config.tests.windows import (
    HOST,
    NEEDS_CHROMIUM,
    Window,
    chromium,
    publish_everything,
    window,
)

__all__ = ["chromium", "window"]

pytestmark = NEEDS_CHROMIUM

STATUS = {"403": 403, "403-csrf": 403, "429": 429}


def check(desk: Window, name: str) -> None:
    """Check the page that a window shows."""
    assert desk.ask_axe() == [], name
    assert desk.overflow() <= 0, name
    assert desk.errors == [], name
    strange = [url for url in desk.seen if not url.startswith((HOST, "data:"))]
    assert strange == [], name


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en", "light", 1440), ("ru", "dark", 360), ("ru", "light", 360), ("en", "dark", 768)],
)
class TestPages:
    def test_of_strangers(self, window, language, theme, width, browser, monkeypatch):
        monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 2)
        publish_everything(language)
        desk = window(browser(), language=language, theme=theme, width=width)
        prefix = "/" if language == "en" else f"/{language}/"
        for address in STRANGERS:
            desk.go(f"{prefix}{address}")
            assert desk.status == 200, address
            check(desk, address)
        for address in INTERFACE:
            desk.go(address)
            check(desk, address)

    def test_of_users(self, window, language, theme, width, browser, owner):
        desk = window(browser(owner), language=language, theme=theme, width=width)
        for address in USERS:
            desk.go(address)
            assert desk.status == 200, address
            check(desk, address)

    def test_that_need_nothing(self, window, language, theme, width, rf, browser):
        desk = window(browser(), language=language, theme=theme, width=width)
        for status in (400, 413, 500, 503):
            desk.show(errors.bare_page(rf.get("/", HTTP_ACCEPT_LANGUAGE=language), status))
            check(desk, str(status))


@pytest.mark.parametrize(
    ("language", "theme", "width"), [("ru", "dark", 360), ("en", "light", 1440)]
)
def test_pages_that_no_address_alone_leads_to(window, language, theme, width, browser, settings):
    desk = window(browser(), language=language, theme=theme, width=width)
    for name, response in Visits(language, settings):
        desk.show(response)
        assert desk.status == STATUS.get(name, 200), name
        check(desk, name)


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

    def test_fields_have_the_type_of_the_page(self, window, browser, owner):
        """The part of Bootstrap that is served may lose what is said of an element's name."""
        desk = window(browser(owner))
        desk.go("/accounts/profile/")
        for field in ("input.form-control", "select.form-select", "button.btn"):
            assert desk.style(field, "fontFamily") == desk.style("body", "fontFamily"), field
