"""What pages tell search engines and those who share them."""

from __future__ import annotations

import json
import re
from datetime import date
from urllib.parse import quote
from xml.etree import ElementTree

import PIL.Image
import pytest
from django.core.files.images import ImageFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from wagtail.images.models import Image
from wagtail.images.tests.utils import get_test_image_file
from wagtail.models import PageViewRestriction

from blog.snippets import Author, Category
from blog.tests.posts import get_blog, make_post
from config import sitemaps
from config.generations import get_generation
from config.structured_data import as_script
from config.tests.test_language import alternates, make_translated_post
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db

HOST = "http://testserver"
SITEMAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"


def meta(html: str, name: str) -> str | None:
    found = re.search(rf'<meta (?:property|name)="{name}" content="([^"]*)">', html)
    return found and found[1]


def canonical(html: str) -> list[str]:
    return re.findall(r'<link rel="canonical" href="([^"]+)">', html)


def structured(html: str) -> dict[str, dict]:
    [script] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', html)
    return {thing["@type"]: thing for thing in json.loads(script)["@graph"]}


class TestCanonical:
    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("/", "/"),
            ("/?utm_source=x", "/"),
            ("/blog/", "/blog/"),
            ("/blog/?page=1", "/blog/"),
            ("/blog/how-to-write/?utm_source=x", "/blog/how-to-write/"),
            ("/ru/blog/", "/ru/blog/"),
        ],
    )
    def test_each_page_has_one(self, browser, address, expected):
        make_post()
        assert canonical(browser().get(address).text) == [f"{HOST}{expected}"]

    def test_pages_of_a_list_have_their_own(self, browser, monkeypatch):
        monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 1)
        make_post("One")
        make_post("Two")
        assert canonical(browser().get("/blog/?page=2").text) == [f"{HOST}/blog/?page=2"]


class TestLists:
    """The head of a list is about the list, and not about the whole blog."""

    @pytest.fixture(autouse=True)
    def filed(self, monkeypatch):
        monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 1)
        english, russian = get_blog("en").locale, get_blog("ru").locale
        advice = Category.objects.create(name="Advice", slug="advice", lead="Help.", locale=english)
        anna = Author.objects.create(name="Anna", slug="anna", about="Writes.", locale=english)
        for thing, name in ((advice, "Советы"), (anna, "Анна")):
            translation = thing.copy_for_translation(russian)
            translation.name, translation.lead = name, ""
            translation.save()
        for title in ("One", "Two"):
            post = make_post(title, author=anna)
            post.categories.set([advice])
            post.tags.set(["чай"])
            post.save()

    @pytest.mark.parametrize(
        ("address", "title", "description"),
        [
            ("/blog/category/advice/", "Advice", "Help."),
            ("/ru/blog/category/advice/", "Советы", "Все статьи: Советы"),
            ("/blog/author/anna/", "Anna", "Writes."),
            ("/blog/tag/чай/", "#чай", "All posts: #чай"),
        ],
    )
    def test_it_says_what_it_is(self, browser, address, title, description):
        html = browser().get(address).text
        assert html.split("<title>")[1].startswith(f"{title} · ")
        assert meta(html, "og:title") == title
        assert meta(html, "description") == meta(html, "og:description") == description
        assert meta(html, "og:url") == f"{HOST}{quote(address)}"
        trail = structured(html)["BreadcrumbList"]["itemListElement"]
        assert [item["position"] for item in trail] == [1, 2, 3]
        assert (trail[2]["name"], trail[2]["item"]) == (title, f"{HOST}{quote(address)}")

    def test_category_names_its_translation(self, browser):
        for address in ("/blog/category/advice/", "/ru/blog/category/advice/"):
            assert alternates(browser().get(address).text) == {
                "en": "/blog/category/advice/",
                "ru": "/ru/blog/category/advice/",
                "x-default": "/blog/category/advice/",
            }

    def test_author_names_the_translation_that_has_posts(self, browser):
        assert alternates(browser().get("/blog/author/anna/").text) == {}
        make_post("Три", "ru", slug="tri", author=Author.objects.get(name="Анна"))
        get_generation().change()  # No finished page is good any more.
        names = alternates(browser().get("/blog/author/anna/").text)
        assert names == alternates(browser().get("/ru/blog/author/anna/").text)
        assert names["ru"] == "/ru/blog/author/anna/"

    def test_post_may_name_the_author_as_written_down_in_another_language(self, browser):
        make_post("Три", "ru", slug="tri", author=Author.objects.get(name="Anna"))
        names = alternates(browser().get("/blog/author/anna/").text)
        assert names["ru"] == "/ru/blog/author/anna/"

    @pytest.mark.parametrize("address", ["/blog/", "/blog/category/advice/"])
    def test_later_pages_name_none_in_other_languages(self, browser, address):
        """The same page there holds other posts."""
        assert alternates(browser().get(address).text)
        assert alternates(browser().get(f"{address}?page=2").text) == {}

    def test_search_is_no_page_of_its_own(self, browser):
        for query in ("", "?q=one"):
            html = browser().get(f"/blog/search/{query}").text
            assert meta(html, "robots") == "noindex, follow"
            assert canonical(html) == []
            assert meta(html, "og:title") is None
            assert "application/ld+json" not in html


class TestSharing:
    def test_post_with_a_picture(self, browser):
        picture = Image.objects.create(
            title="Sea", description="A calm sea", file=ImageFile(draw_picture(1, "sea.jpg"))
        )
        make_post("Tea", lead='On "tea"', image=picture, published_on=date(2026, 5, 9))
        html = browser().get("/blog/tea/").text
        assert meta(html, "og:type") == "article"
        assert meta(html, "og:title") == "Tea"
        assert meta(html, "og:description") == "On &quot;tea&quot;"
        assert meta(html, "og:url") == f"{HOST}/blog/tea/"
        assert meta(html, "og:image").endswith(".jpg")
        assert meta(html, "og:image:alt") == "A calm sea"
        assert meta(html, "article:published_time") == "2026-05-09"
        assert meta(html, "twitter:card") == "summary_large_image"

    @pytest.mark.parametrize(
        ("size", "shared"), [((1600, 900), (1200, 630)), ((300, 300), (300, 158))]
    )
    def test_picture_says_its_own_size(self, browser, size, shared):
        """A small one is cut to the shape, but never made larger."""
        picture = Image.objects.create(title="Sea", file=get_test_image_file(size=size))
        make_post("Tea", image=picture)
        html = browser().get("/blog/tea/").text
        told = tuple(int(meta(html, f"og:image:{side}")) for side in ("width", "height"))
        made = picture.renditions.get(filter_spec="fill-1200x630|format-jpeg")
        with PIL.Image.open(made.file) as file:
            assert told == file.size
        assert told == shared

    def test_picture_whose_file_is_gone_says_none(self, browser):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        make_post("Tea", image=picture)
        picture.renditions.all().delete()
        picture.file.storage.delete(picture.file.name)
        html = browser().get("/blog/tea/").text
        assert meta(html, "og:image:width") is None

    @pytest.mark.parametrize(("address", "language"), [("/", "en"), ("/ru/blog/", "ru")])
    def test_pages_without_one_share_that_of_the_site(self, browser, address, language):
        html = browser().get(address).text
        assert meta(html, "og:image") == f"{HOST}/static/img/share-{language}.png"
        assert meta(html, "og:image:width") == "1200"
        assert meta(html, "og:image:height") == "630"


class TestStructuredData:
    def test_post(self, browser):
        author = Author.objects.create(name="Anna", slug="anna", locale=get_blog().locale)
        make_post("Tea </script>", slug="tea", author=author, published_on=date(2026, 5, 9))
        things = structured(browser().get("/blog/tea/").text)
        posting = things["BlogPosting"]
        assert posting["headline"] == "Tea </script>"
        assert posting["datePublished"] == "2026-05-09"
        assert posting["author"]["url"] == f"{HOST}/blog/author/anna/"
        assert posting["publisher"]["@id"] == things["Organization"]["@id"]
        trail = [item["item"] for item in things["BreadcrumbList"]["itemListElement"]]
        assert trail == [f"{HOST}/", f"{HOST}/blog/", f"{HOST}/blog/tea/"]

    def test_home(self, browser):
        things = structured(browser().get("/").text)
        assert things["Organization"]["name"] == "Vestnik"
        assert "BreadcrumbList" not in things

    def test_text_cannot_end_the_script(self):
        assert "</script><" not in as_script([{"name": "</script><b>"}])


class TestSitemap:
    def locations(self, browser, address="/sitemap.xml") -> list[str]:
        tree = ElementTree.fromstring(browser().get(address).content)
        return [url.text.removeprefix(HOST) for url in tree.iter(f"{SITEMAP}loc")]

    def test_it_lists_all_languages(self, browser):
        make_translated_post()
        assert self.locations(browser) == [
            "/",
            "/blog/",
            "/blog/tea/",
            "/ru/",
            "/ru/blog/",
            "/ru/blog/chai/",
        ]
        text = browser().get("/sitemap.xml").text
        assert f'hreflang="ru" href="{HOST}/ru/blog/chai/"' in text

    def test_what_strangers_do_not_see_is_not_in_it(self, browser):
        make_post("Draft").unpublish()
        private = make_post("Private")
        PageViewRestriction.objects.create(page=private, restriction_type="login")
        assert not [
            place for place in self.locations(browser) if "draft" in place or "private" in place
        ]

    def test_many_posts_cost_no_more_queries(self, browser):
        asked = []
        for begin in (0, 4):
            for number in range(begin, begin + 4):
                make_post(f"Post {number}")
            browser().get("/sitemap.xml")
            get_generation().change()  # No finished page is good any more.
            with CaptureQueriesContext(connection) as queries:
                browser().get("/sitemap.xml")
            asked.append(len(queries))
        assert 0 < asked[0] == asked[1] <= 15

    def test_many_pages_come_in_parts(self, browser, monkeypatch):
        make_translated_post()
        whole = self.locations(browser)
        monkeypatch.setattr(sitemaps, "PART", 4)
        get_generation().change()  # No finished page is good any more.
        assert "<sitemapindex" in browser().get("/sitemap.xml").text
        parts = self.locations(browser)
        assert parts == ["/sitemap.xml?page=1", "/sitemap.xml?page=2"]
        assert [place for part in parts for place in self.locations(browser, part)] == whole
        # A translation is named also where it stands in another part.
        assert f'hreflang="ru" href="{HOST}/ru/blog/chai/"' in browser().get(parts[0]).text
        for wrong in ("3", "0", "x"):
            assert browser().get(f"/sitemap.xml?page={wrong}").status_code == 404

    def test_a_page_that_became_private_meanwhile_is_not_in_a_part(self, browser, monkeypatch):
        """Between the query for the list and the one for what is shown."""
        private = make_post("Private")
        monkeypatch.setattr(sitemaps, "open_to_all", lambda pages: pages)
        PageViewRestriction.objects.create(page=private, restriction_type="login")
        assert "/blog/private/" not in self.locations(browser)
        assert "/blog/" in self.locations(browser)


def test_robots(browser):
    response = browser().get("/robots.txt")
    assert response["Content-Type"].startswith("text/plain")
    assert f"Sitemap: {HOST}/sitemap.xml" in response.text
    assert "Disallow: /admin/" in response.text
    # Sign-up is for strangers, and they may find it.
    assert "/accounts/" not in response.text
