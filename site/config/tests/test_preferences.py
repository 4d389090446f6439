"""What readers prefer: paper, rest, keys, the dark, their own way to write dates and numbers."""

from __future__ import annotations

import datetime

import pytest

from bench import dark_css
from blog.tests.posts import make_post
from config.tests.windows import NEEDS_CHROMIUM, Window, chromium, publish_everything, window
from home.models import Total

__all__ = ["chromium", "window"]

pytestmark = NEEDS_CHROMIUM

WHITE, BLACK = "rgb(255, 255, 255)", "rgb(0, 0, 0)"
DARK = "rgb(15, 22, 21)"
# The colours of everything that both browsers show.
COLOURS = """() => [...document.querySelectorAll(
    "body, h1, h2, p, a, .btn, .card, .form-control, .form-check-input, .site-header, .site-footer, .band"
)].filter(node => !node.closest(".theme-menu, noscript")).map(node => {
    const style = getComputedStyle(node);
    return [node.className, style.color, style.backgroundColor, style.borderTopColor, style.colorScheme];
})"""
# What has the focus, and whether one sees it: by an outline or a shadow of its own or of the card
# that it stands for. None when it is back at the page itself.
FOCUS = """() => {
    const node = document.activeElement;
    if (node === document.body || node.dataset.seen) return null;
    node.dataset.seen = "yes";
    const shown = [node, node.closest(".post-card")].filter(Boolean).map(one => {
        const style = getComputedStyle(one);
        const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        return outline || style.boxShadow !== "none" && one.matches(".form-control, .form-select, .form-check-input");
    });
    return [node.outerHTML.slice(0, 120), shown.some(Boolean)];
}"""


def theme_of(desk: Window) -> str:
    return desk.page.locator("html").get_attribute("data-bs-theme")


def is_dark(desk: Window) -> bool:
    red, green, blue = desk.style("body", "backgroundColor")[4:-1].split(", ")
    return int(red) + int(green) + int(blue) < 3 * 64


class TestPaper:
    """Printed from a dark screen, the page is black on white and holds what one reads."""

    def test_post(self, window, browser):
        publish_everything("en")
        desk = window(browser(), theme="dark", width=768)
        desk.go("/blog/everything/")
        assert is_dark(desk)
        desk.page.emulate_media(media="print")
        assert desk.style("body", "backgroundColor") == WHITE
        assert desk.style(".face", "backgroundColor") == WHITE
        for part in ("h1", ".trail a", ".face", ".prose p", "blockquote p", "pre"):
            assert desk.page.locator(part).first.is_visible(), part
            assert desk.style(part, "color") == BLACK, part
        for part in (".site-menu", ".site-footer", ".tags", ".call-box", ".no-print"):
            assert not desk.page.locator(part).first.is_visible(), part
        assert desk.overflow() <= 0

    def test_answers_are_open(self, window, browser):
        desk = window(browser(), width=768)
        desk.go("/")
        answer = desk.page.locator(".question .prose").first
        assert not answer.is_visible()
        desk.page.emulate_media(media="print")
        assert answer.is_visible()


def test_nothing_moves_for_who_wants_rest(window, browser):
    make_post()
    desk = window(browser())
    desk.go("/blog/")
    assert desk.style(".post-card", "transitionDuration") == "0.15s, 0.15s"
    desk.page.emulate_media(reduced_motion="reduce")
    durations = desk.style(".post-card", "transitionDuration").split(", ")
    assert all(float(one.removesuffix("s")) < 0.001 for one in durations)


class TestKeys:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("address", ["/", "/blog/everything/", "/accounts/login/"])
    def test_focus_is_seen_all_the_way(self, window, browser, address, theme):
        publish_everything("en")
        desk = window(browser(), width=1440, theme=theme)
        desk.go(address)
        found = []
        desk.page.keyboard.press("Tab")
        while focus := desk.page.evaluate(FOCUS):
            found.append(focus)
            desk.page.keyboard.press("Tab")
        assert len(found) >= 12
        assert [html for html, is_seen in found if not is_seen] == []

    def test_first_key_leads_past_the_menu(self, window, browser):
        desk = window(browser())
        desk.go("/")
        desk.page.keyboard.press("Tab")
        link = desk.page.locator(".skip-link")
        desk.page.wait_for_function(
            "node => node.getBoundingClientRect().top >= 0", arg=link.element_handle()
        )
        desk.page.keyboard.press("Enter")
        assert desk.page.evaluate("document.activeElement.id") == "main"


class TestDark:
    def test_it_follows_the_system(self, window, browser):
        desk = window(browser(), theme="dark")
        desk.go("/")
        assert (theme_of(desk), is_dark(desk)) == ("dark", True)
        desk.page.emulate_media(color_scheme="light")
        desk.page.wait_for_function("document.documentElement.dataset.bsTheme === 'light'")
        assert not is_dark(desk)

    def test_the_switch_goes_before_until_it_is_set_back(self, window, browser):
        desk = window(browser(), theme="dark", width=1440)
        desk.go("/")
        for choice, theme in (("light", "light"), ("auto", "dark")):
            desk.page.locator(".theme-menu summary").click()
            desk.page.locator(f"[data-theme-choice={choice}]").click()
            desk.go("/blog/")
            assert (theme_of(desk), is_dark(desk)) == (theme, theme == "dark")


class TestWithoutScripts:
    """The theme is set by a script; without any the system's preference counts by itself."""

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("address", ["/", "/accounts/login/", "/no-such-page/", "/?q=%00"])
    def test_colours_are_those_that_the_script_sets(self, window, browser, address, theme):
        with_scripts, without = (
            window(browser(), theme=theme, scripts=scripts) for scripts in (True, False)
        )
        for desk in (with_scripts, without):
            desk.go(address)
        assert without.page.evaluate(COLOURS) == with_scripts.page.evaluate(COLOURS)
        assert (without.style("body", "backgroundColor") == DARK) == (theme == "dark")

    def test_what_is_said_of_dark_is_up_to_date(self):
        """Run `make css` where this fails."""
        assert dark_css.RESULT.read_text() == dark_css.build()


@pytest.mark.parametrize(
    ("language", "date", "views", "clients", "words"),
    [
        ("en", "May 9, 2026", "12,345 views", "1,234,567", "unique clients"),
        ("ru", "9 мая 2026 г.", "12 345 просмотров", "1 234 567", "уникальных клиентов"),
    ],
)
def test_dates_and_numbers_are_written_as_in_the_language(
    window, browser, language, date, views, clients, words
):
    day = datetime.date(2026, 5, 9)
    make_post("Tea", language, slug="tea", published_on=day, view_count=12_345)
    Total.objects.update_or_create(name="clients", defaults={"value": 1_234_567})
    desk = window(browser(), language=language)
    prefix = "/" if language == "en" else f"/{language}/"

    def read(selector: str) -> str:
        return desk.page.locator(selector).first.inner_text().replace("\xa0", " ").strip()

    for address in (prefix, f"{prefix}blog/", f"{prefix}blog/tea/"):
        desk.go(address)
        assert read("time") == date, address
        assert views in read(".meta"), address
    desk.go(prefix)
    assert read("#unique-clients") == clients
    assert words in read(".figures")
