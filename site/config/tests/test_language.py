"""Which language a page is in, and the switch between languages."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, quote

import pytest
from django.urls import URLPattern, URLResolver
from wagtail.models import Locale
from wagtail.users.models import UserProfile

from blog.models import BlogIndexPage, BlogPage
from blog.snippets import Category
from blog.tests.posts import get_blog, make_post
from config import language, urls
from home.models import HomePage

pytestmark = pytest.mark.django_db

SWITCH = "/i18n/setlang/"
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "/\\\\evil.example/",
    "\\\\evil.example/",
    "http:///evil.example/",
    "http://testserver@evil.example/",
    "javascript:1",
]


def language_of(html: str) -> str:
    return html.split('<html lang="')[1][:2]


def switch(reader, page: str, to: str) -> str:
    """Press the button on the page and return where it leads."""
    referer = f"http://testserver{page}"
    location = reader.post(SWITCH, {"language": to}, headers={"Referer": referer})["Location"]
    return location.removeprefix("http://testserver")


def make_translated_post() -> tuple[BlogPage, BlogPage]:
    """Publish a post in English and its translation, which has a slug of its own."""
    english = make_post("Tea")
    russian = english.copy_for_translation(Locale.objects.get(language_code="ru"))
    russian.title, russian.slug = "Чай", "chai"
    russian.save_revision().publish()
    return english, BlogPage.objects.get(pk=russian.pk)


class TestAddresses:
    def test_each_page_has_an_address_in_its_language(self, browser):
        english, russian = make_translated_post()
        assert (english.url, russian.url) == ("/blog/tea/", "/ru/blog/chai/")
        for address, code in {
            "/blog/tea/": "en",
            "/ru/blog/chai/": "ru",
            "/ru/": "ru",
            "/ru/blog/": "ru",
        }.items():
            page = browser(headers={"Accept-Language": "en" if code == "ru" else "ru"})
            assert language_of(page.get(address).text) == code

    @pytest.mark.parametrize("door", ["/", "/blog/"])
    def test_doors_open_in_the_language_of_the_reader(self, browser, door):
        for code in ("en", "ru"):
            page = browser().get(door, headers={"Accept-Language": code})
            assert language_of(page.text) == code
            assert "Accept-Language" in page["Vary"]

    def test_other_pages_do_not_depend_on_the_reader(self, browser):
        make_translated_post()
        for address in ("/blog/tea/", "/ru/blog/chai/", "/ru/"):
            assert "Accept-Language" not in browser().get(address).get("Vary", "")

    def test_user_reads_a_post_in_its_language(self, browser, owner):
        """The language of the account is that of the interface, not of what is in one language."""
        make_translated_post()
        browser(owner).post(SWITCH, {"language": "ru"})
        assert language_of(browser(owner).get("/blog/tea/").text) == "en"
        assert language_of(browser(owner).get("/accounts/profile/").text) == "ru"

    @pytest.mark.parametrize("address", ["/en/", "/en/blog/", "/de/", "/ru/no-such-page/"])
    def test_no_other_prefix_leads_anywhere(self, browser, address):
        assert browser().get(address).status_code == 404

    @pytest.mark.parametrize("method", ["get", "head"])
    @pytest.mark.parametrize("query", ["", "?utm=a%20b&x=1"])
    def test_language_without_a_slash_leads_to_its_home_page(self, browser, method, query):
        for _ in range(2):  # Nothing was kept there.
            response = getattr(browser(), method)(f"/ru{query}")
            assert (response.status_code, response["Location"]) == (301, f"/ru/{query}")

    def test_what_is_no_page_of_wagtail_is_known(self):
        """Whoever adds an address outside Wagtail's pages names it in INTERFACE."""
        for pattern in urls.urlpatterns:
            if isinstance(pattern.pattern, language.LanguagePattern):
                continue
            assert isinstance(pattern, URLPattern | URLResolver)
            first = re.match(r"\^?([\w.-]+)", str(pattern.pattern))[1]
            assert first in language.INTERFACE


class TestHomePageThatIsNotPublic:
    """Wagtail takes the home page of the site then, which is in another language."""

    @pytest.fixture(autouse=True)
    def unpublished(self):
        make_post("Tea")
        HomePage.objects.get(locale__language_code="ru").unpublish()

    @pytest.mark.parametrize("address", ["/ru/", "/ru/blog/", "/ru/blog/tea/", "/ru/blog/feed/"])
    def test_nothing_is_under_its_prefix(self, browser, address):
        for _ in range(2):  # Nothing else was kept there either.
            assert browser().get(address).status_code == 404

    @pytest.mark.parametrize("door", ["/", "/blog/"])
    def test_doors_are_in_the_language_of_what_they_show(self, browser, door):
        for _ in range(2):  # The second is kept.
            page = browser().get(door, headers={"Accept-Language": "ru"})
            assert page["Content-Language"] == language_of(page.text) == "en"
            assert "Tea" in page.text
            assert "Войти" not in page.text

    def test_the_other_language_is_as_before(self, browser):
        assert language_of(browser().get("/blog/tea/").text) == "en"
        assert browser().get("/blog/chai/").status_code == 404

    def test_it_comes_back_with_it(self, browser):
        assert browser().get("/ru/").status_code == 404
        HomePage.objects.get(locale__language_code="ru").save_revision().publish()
        assert language_of(browser().get("/ru/").text) == "ru"
        page = browser().get("/", headers={"Accept-Language": "ru"})
        assert language_of(page.text) == "ru"


class TestFurtherPages:
    """Two pages of posts in English, one in Russian."""

    @pytest.fixture(autouse=True)
    def posts(self, monkeypatch):
        monkeypatch.setattr(BlogIndexPage, "posts_per_page", 2)
        for number in (1, 2, 3):
            make_post(f"Tea {number}")
        make_post("Чай", "ru", slug="chai")

    @pytest.mark.parametrize("reader", ["en", "ru"])
    def test_link_shows_the_same_to_everybody(self, browser, reader):
        for _ in range(2):  # The second is kept.
            page = browser().get("/blog/?page=2", headers={"Accept-Language": reader})
            assert page["Content-Language"] == language_of(page.text) == "en"
            assert "Tea 1" in page.text
            assert '<link rel="canonical" href="http://testserver/blog/?page=2">' in page.text
            assert "Accept-Language" not in page["Vary"]

    def test_they_do_not_depend_on_the_account(self, browser, owner):
        browser(owner).post(SWITCH, {"language": "ru"})
        assert language_of(browser(owner).get("/blog/?page=2").text) == "en"

    def test_door_leads_to_those_in_its_language(self, browser):
        for title in ("Кофе", "Какао"):
            make_post(title, "ru", slug=title)
        html = browser().get("/blog/", headers={"Accept-Language": "ru"}).text
        assert 'href="/ru/blog/?page=2"' in html
        html = browser().get("/blog/", headers={"Accept-Language": "en"}).text
        assert 'href="/blog/?page=2"' in html

    def test_switch_leads_to_a_page_that_is_there(self, browser):
        reader = browser()
        address = switch(reader, "/blog/?page=2", "ru")
        assert address == "/ru/blog/"
        assert reader.get(address).status_code == 200

    def test_other_parameters_make_no_page(self, browser):
        page = browser().get("/blog/?subpage=2", headers={"Accept-Language": "ru"})
        assert language_of(page.text) == "ru"

    def test_too_many_parameters_are_refused(self, browser, settings):
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 2
        assert browser().get("/blog/?a=1&b=2&c=3").status_code == 413


def alternates(html: str) -> dict[str, str]:
    found = re.findall(r'<link rel="alternate" hreflang="([\w-]+)" href="([^"]+)">', html)
    return {code: address.removeprefix("http://testserver") for code, address in found}


class TestAlternates:
    def test_translations_name_each_other(self, browser):
        make_translated_post()
        expected = {"en": "/blog/tea/", "ru": "/ru/blog/chai/", "x-default": "/blog/tea/"}
        for address in ("/blog/tea/", "/ru/blog/chai/"):
            assert alternates(browser().get(address).text) == expected

    def test_addresses_in_cyrillic_are_named_too(self, browser):
        _english, russian = make_translated_post()
        russian.slug = "привет-мир"
        russian.save_revision().publish()
        address = f"/ru/blog/{quote('привет-мир')}/"
        expected = {"en": "/blog/tea/", "ru": address, "x-default": "/blog/tea/"}
        for page in ("/blog/tea/", address):
            html = browser().get(page).text
            assert alternates(html) == expected
            assert f'<link rel="canonical" href="http://testserver{page}">' in html

    def test_home_pages_name_each_other(self, browser):
        expected = {"en": "/", "ru": "/ru/", "x-default": "/"}
        assert alternates(browser().get("/").text) == expected
        assert alternates(browser().get("/ru/").text) == expected

    def test_a_door_in_another_language_names_the_page_it_shows(self, browser):
        html = browser().get("/blog/", headers={"Accept-Language": "ru"}).text
        assert '<link rel="canonical" href="http://testserver/ru/blog/">' in html
        assert alternates(html) == {}

    def test_post_without_translation_names_none(self, browser):
        assert alternates(browser().get(make_post().url).text) == {}

    def test_translation_that_is_a_draft_is_not_named(self, browser):
        english, russian = make_translated_post()
        russian.unpublish()
        assert alternates(browser().get(english.url).text) == {}


class TestSwitch:
    def test_stranger_stays_on_the_page(self, browser):
        reader = browser(enforce_csrf_checks=True)
        assert switch(reader, "/blog/", "ru") == "/blog/"
        assert language_of(reader.get("/blog/").text) == "ru"

    def test_it_leads_to_the_translation(self, browser):
        make_translated_post()
        reader = browser()
        assert switch(reader, "/blog/tea/", "ru") == "/ru/blog/chai/"
        assert switch(reader, "/ru/blog/chai/", "en") == "/blog/tea/"
        assert switch(reader, "/ru/", "en") == "/"

    def test_post_without_translation_leads_to_the_blog(self, browser):
        make_post("Tea")
        assert switch(browser(), "/blog/tea/", "ru") == "/ru/blog/"

    def test_list_leads_to_the_same_list(self, browser):
        category = Category.objects.create(name="Tea", slug="tea", locale=get_blog().locale)
        translated = category.copy_for_translation(Locale.objects.get(language_code="ru"))
        translated.name, translated.slug = "Чай", "chai"
        translated.save()
        assert switch(browser(), "/blog/category/tea/", "ru") == "/ru/blog/category/chai/"
        assert (
            switch(browser(), "/ru/blog/search/?q=чай", "en")
            == "/blog/search/?q=%D1%87%D0%B0%D0%B9"
        )

    @pytest.mark.parametrize("tag", ["tea", "чай"])
    def test_list_of_a_tag_leads_to_the_same_tag_where_it_has_posts(self, browser, tag):
        address = f"blog/tag/{quote(tag)}/"
        post = make_post("Tea")
        post.tags.set([tag])
        post.save()
        assert switch(browser(), f"/{address}", "ru") == "/ru/blog/"
        translated = make_post("Чай", "ru", slug="chai")
        translated.tags.set([tag])
        translated.save()
        assert switch(browser(), f"/{address}", "ru") == f"/ru/{address}"
        assert switch(browser(), f"/ru/{address}", "en") == f"/{address}"
        translated.unpublish()
        assert switch(browser(), f"/{address}", "ru") == "/ru/blog/"

    def test_page_of_a_list_leads_to_the_first(self, browser):
        assert switch(browser(), "/ru/blog/?page=3", "en") == "/blog/"
        assert switch(browser(), "/blog/?page=2", "ru") == "/ru/blog/"

    def test_address_in_cyrillic(self, browser):
        english = make_post("Tea")
        russian = english.copy_for_translation(Locale.objects.get(language_code="ru"))
        russian.slug = "чай"
        russian.save_revision().publish()
        assert switch(browser(), f"/ru/blog/{quote('чай')}/", "en") == "/blog/tea/"
        assert switch(browser(), "/blog/tea/", "ru") == f"/ru/blog/{quote('чай')}/"

    def test_address_that_begins_like_a_language(self, browser):
        blog = get_blog()
        blog.slug = "entries"
        blog.save()
        assert switch(browser(), "/entries/", "ru") == "/ru/blog/"

    @pytest.mark.parametrize("page", ["/ru/blog/%00/", "/ru/blog/%ff/", "/ru/blog/%/"])
    def test_address_that_is_no_text(self, browser, page):
        assert switch(browser(), page, "en") == "/"

    def test_page_that_is_none_does_not_hinder(self, browser):
        assert switch(browser(), "/ru/no-such-page/", "en") == "/"

    def test_user_takes_the_language_along(self, browser, owner):
        browser(owner).post(SWITCH, {"language": "ru"})
        assert UserProfile.get_for_user(owner).preferred_language == "ru"
        assert language_of(browser(owner).get("/").text) == "ru"

    @pytest.mark.parametrize("code", ["", "xx", "ru; drop", "de"])
    def test_unknown_language_changes_nothing(self, browser, owner, code):
        reader = browser(owner)
        assert reader.post(SWITCH, {"language": code}).status_code == 302
        assert language_of(reader.get("/").text) == "en"

    def test_get_changes_nothing(self, browser):
        reader = browser()
        reader.get(SWITCH, {"language": "ru"})
        assert language_of(reader.get("/").text) == "en"

    @pytest.mark.parametrize("target", ELSEWHERE)
    def test_it_leads_to_no_other_site(self, browser, target):
        data = {"language": "ru", "next": target}
        response = browser().post(SWITCH, data, headers={"Referer": target})
        assert response["Location"] == "/"


def way_back(html: str) -> str | None:
    found = re.search(r'<input type="hidden" name="next" value="([^"]*)">', html)
    return found and unescape(found[1])


class TestSwitchWithoutReferer:
    def press(self, reader, page: str, to: str) -> str:
        form = {"language": to, "next": way_back(reader.get(page).text)}
        return reader.post(SWITCH, form)["Location"]

    def test_it_leads_to_the_translation(self, browser):
        make_translated_post()
        assert self.press(browser(), "/blog/tea/", "ru") == "/ru/blog/chai/"
        assert self.press(browser(), "/ru/blog/chai/", "en") == "/blog/tea/"

    def test_address_in_cyrillic(self, browser):
        _english, russian = make_translated_post()
        russian.slug = "чай"
        russian.save_revision().publish()
        assert self.press(browser(), f"/ru/blog/{quote('чай')}/", "en") == "/blog/tea/"

    def test_what_is_searched_for_stays(self, browser):
        words = quote("чай кофе")
        address = self.press(browser(), f"/blog/search/?utm=1&q={words}", "ru")
        path, _, query = address.partition("?")
        assert path == "/ru/blog/search/"
        assert parse_qs(query) == {"q": ["чай кофе"]}

    def test_interface_keeps_the_whole_address(self, browser):
        address = "/accounts/login/?next=/admin/pages/&a=%22%3E"
        assert self.press(browser(), address, "ru") == address

    def test_kept_page_names_nothing_that_one_reader_asked_for(self, browser):
        make_post("Tea")
        for query in ("?utm=mine", ""):
            html = browser().get(f"/blog/tea/{query}").text
            assert way_back(html) == "/blog/tea/"

    def test_error_page_names_none(self, browser):
        assert way_back(browser().get("/no-such-page/").text) is None
        refused = browser(enforce_csrf_checks=True).post("/accounts/login/")
        assert refused.status_code == 403
        assert way_back(refused.text) is None
