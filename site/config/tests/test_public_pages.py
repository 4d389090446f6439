"""What all public pages have in common."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.urls import resolve
from wagtail.images.models import Image

from blog.tests.posts import make_post
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db

PAGES = [
    "/",
    "/blog/",
    "/blog/how-to-write/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/no-such-page/",
    "/?q=%00",
]
# What a browser loads by itself; links lead where they want, and so do those for machines.
LOADED = re.compile(
    r"<(?:link(?! rel=\"(?:canonical|alternate)\")|script|img|iframe|source|video|audio|use)\b"
    r"[^>]*?(?:src|href)=\"([^\"#]+)[\"#]"
)


@pytest.mark.parametrize("page", PAGES)
class TestEveryPage:
    @pytest.fixture(autouse=True)
    def post(self):
        make_post()

    def test_it_uses_bootstrap(self, browser, page):
        """I6: Bootstrap is the interface kit of the public site."""
        html = browser().get(page).text
        assert "/static/vendor/bootstrap-5.3.9/bootstrap.used.min.css" in html
        assert re.search(r'class="[^"]*\b(container|card|btn)\b', html)

    def test_it_loads_nothing_from_another_host(self, browser, page):
        """I6: whatever a page loads comes from this site."""
        addresses = LOADED.findall(browser().get(page).text)
        assert addresses
        assert all(re.match(r"/(?!/)", address) for address in addresses), addresses

    def test_what_it_loads_is_there(self, browser, page):
        for address in LOADED.findall(browser().get(page).text):
            if address.startswith(settings.STATIC_URL):
                assert finders.find(address.removeprefix(settings.STATIC_URL)), address

    def test_it_has_no_inline_script_or_style(self, browser, page):
        html = browser().get(page).text
        # JSON-LD is data; it is not run.
        assert not re.search(r"<script(?![^>]*(\bsrc=|application/ld\+json))", html)
        assert not re.search(r"<style|\sstyle=|\son\w+=", html)


def test_our_styles_and_scripts_load_nothing_from_another_host():
    folder = Path(settings.BASE_DIR) / "site" / "static"
    files = [*folder.glob("css/*.css"), *folder.glob("js/*.js"), *folder.glob("img/*.svg")]
    assert files
    for file in files:
        assert not re.search(r"(?:url\(|import\s|href=)\W*(?:https?:)?//", file.read_text()), file


class TestOnTheWire:
    @pytest.mark.parametrize("page", ["/", "/blog/how-to-write/", "/accounts/signup/"])
    def test_pages_are_compressed(self, browser, page):
        make_post()
        response = browser().get(page, headers={"Accept-Encoding": "gzip"})
        assert response["Content-Encoding"] == "gzip"
        assert b"<!doctype html>" in gzip.decompress(response.content)
        assert "Content-Encoding" not in browser().get(page)

    def test_pictures_are_kept_by_browsers(self, rf):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        view = resolve(picture.file.url).func
        response = view(rf.get("/"), path=picture.file.name)
        assert response.status_code == 200
        assert "max-age=604800" in response["Cache-Control"]


def classes_in(css: str) -> set[str]:
    return set(re.findall(r"\.([a-z][\w-]*)", css))


def test_what_templates_use_of_the_kit_is_in_what_is_served():
    """A class used for the first time needs `make css`."""
    folder = Path(finders.find("vendor/bootstrap-5.3.9/LICENSE")).parent
    kit = classes_in((folder / "bootstrap.min.css").read_text())
    served = classes_in((folder / "bootstrap.used.min.css").read_text())
    root = Path(settings.BASE_DIR)
    sources = [*root.glob("templates/**/*.html"), *root.glob("accounts/**/*.py")]
    used = set()
    for source in sources:
        for value in re.findall(r'class="([^"]*)"|"(form-[a-z-]+)"', source.read_text()):
            used |= set(re.findall(r"[a-z][\w-]*", " ".join(value)))
    assert {"btn-primary", "form-control", "alert-danger"} <= served
    assert (used & kit) - served == set()


def test_frame_of_the_browser_has_the_colour_of_the_page(browser):
    css = Path(finders.find("css/site.css")).read_text()
    light, dark = re.findall(r"--page: (#\w+);", css)[:2]
    html = browser().get("/").text
    for theme, colour in (("light", light), ("dark", dark)):
        assert f'content="{colour}" media="(prefers-color-scheme: {theme})"' in html


def test_kit_lies_beside_its_licence():
    """I6: the kit is ours to serve."""
    assert "MIT" in Path(finders.find("vendor/bootstrap-5.3.9/LICENSE")).read_text()
