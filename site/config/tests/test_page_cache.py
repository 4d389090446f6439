"""Finished pages for strangers: who gets them, who does not, and when they are made anew."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest, get_script_name
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, override_script_prefix
from django.urls import reverse
from django.utils import timezone
from taggit.models import Tag
from wagtail.contrib.frontend_cache.utils import get_backends
from wagtail.documents.models import Document
from wagtail.embeds.models import Embed
from wagtail.images.models import Image, Rendition
from wagtail.models import Page, PageViewRestriction, Site

from blog.models import BlogIndexPage, BlogPage
from blog.snippets import Author, Category
from blog.tasks import publish_scheduled
from blog.tests.posts import get_blog, make_post, store_embed
from config import env, generations, page_cache, page_changes
from conftest import PASSWORD, make_client, make_mailing
from home.examples.pictures import draw_picture
from home.models import HomePage

pytestmark = pytest.mark.django_db

PAGES = ["/", "/blog/", "/blog/how-to-write/"]
POST = "/blog/how-to-write/"


@pytest.fixture(autouse=True)
def one_home(request, monkeypatch):
    """Keep one variant of the home page, but where the test is about them."""
    if "variants" not in request.node.name:
        monkeypatch.setattr(HomePage, "kept_variants", 1)


def change_behind_the_back(post: BlogPage) -> None:
    """Change a post by a statement that nothing of Wagtail notices."""
    BlogPage.objects.filter(pk=post.pk).update(lead="Changed.", title="Changed")


def costs(browser: Callable, address: str, **options: Any) -> int:
    """Return how many queries a stranger's request makes."""
    with CaptureQueriesContext(connection) as queries:
        assert browser().get(address, **options).status_code in {200, 304}
    return len(queries)


def ask_as_a_server_does(**environ: str) -> HttpResponse:
    """Heed what a server says of the place of the site, as Django's test client does not."""
    environ = RequestFactory()._base_environ(**environ)
    with override_script_prefix(get_script_name(environ)):
        return WSGIHandler().get_response(WSGIRequest(environ))


@pytest.fixture
def forgets(browser, django_capture_on_commit_callbacks):
    """Return a function that says whether a change makes all pages of strangers new."""

    def try_out(change: Callable[[], Any]) -> bool:
        browser().get("/blog/")
        assert costs(browser, "/blog/") == 0
        with django_capture_on_commit_callbacks(execute=True):
            change()
        return costs(browser, "/blog/") > 0

    return try_out


class TestStrangers:
    @pytest.mark.parametrize("page", [*PAGES, "/blog/feed/", "/blog/feed/atom/", "/sitemap.xml"])
    def test_page_is_kept(self, browser, page):
        """I5: blog and home page are cached, whole."""
        post = make_post()
        browser().get(page)
        first = browser().get(page).content
        change_behind_the_back(post)
        HomePage.objects.update(title="Changed", seo_title="Changed")
        assert browser().get(page).content == first

    @pytest.mark.parametrize("page", PAGES)
    def test_kept_page_costs_no_query(self, browser, page):
        make_post()
        browser().get(page)
        assert costs(browser, page) == 0

    @pytest.mark.parametrize("page", ["/blog/search/?q=write", "/accounts/login/", "/no-such/"])
    def test_what_is_not_kept(self, browser, page):
        make_post()
        browser().get(page)
        with CaptureQueriesContext(connection) as queries:
            response = browser().get(page)
        assert "private" in response.headers.get("Cache-Control", "")
        assert "ETag" not in response
        assert queries.captured_queries or page.startswith("/accounts/")

    def test_each_language_has_its_own(self, browser):
        reader = browser()
        for language in ("en", "ru", "en", "ru"):
            for page in ("/", "/blog/"):
                response = reader.get(page, headers={"Accept-Language": language})
                assert f'<html lang="{language}"' in response.text
                assert response["Content-Language"] == language
                assert "Accept-Language" in response["Vary"]

    def test_language_that_was_chosen_counts_more(self, browser):
        browser().get("/blog/", headers={"Accept-Language": "en"})
        reader = browser()
        reader.cookies["django_language"] = "ru"
        for _ in range(2):
            assert '<html lang="ru"' in reader.get("/blog/", headers={"Accept-Language": "en"}).text
        assert '<html lang="en"' in browser().get("/blog/", headers={"Accept-Language": "en"}).text

    def test_address_with_a_language_is_the_same_for_all(self, browser):
        make_post("Пост", "ru")
        first = browser().get("/ru/blog/", headers={"Accept-Language": "en"})
        assert costs(browser, "/ru/blog/", headers={"Accept-Language": "de"}) == 0
        assert "Accept-Language" not in first["Vary"]

    def test_theme_is_in_no_page(self, browser):
        """It is set in the browser, from what the browser keeps."""
        make_post()
        pages = []
        for theme in ("dark", "light"):
            cache.clear()
            page_cache.store.clear()
            reader = browser()
            reader.cookies["theme"] = theme
            pages.append(reader.get(POST, headers={"Sec-CH-Prefers-Color-Scheme": theme}).content)
        assert pages[0] == pages[1]

    @pytest.mark.parametrize("host", ["testserver", "other.example"])
    def test_each_host_has_its_own(self, browser, settings, host):
        settings.ALLOWED_HOSTS = ["testserver", "other.example"]
        make_post()
        browser().get("/blog/", headers={"Host": "testserver"})
        kept = set(page_cache.store.pages)
        refused = browser().get("/blog/", headers={"Host": "evil.example"})
        assert refused.status_code == 400
        assert "evil.example" not in refused.text
        assert set(page_cache.store.pages) == kept
        response = browser().get("/blog/", headers={"Host": host})
        assert response.status_code == 200
        assert "evil.example" not in response.text

    def test_each_page_number_has_its_own(self, browser, monkeypatch):
        monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 1)
        make_post("First")
        make_post("Second")
        first, second = (browser().get(f"/blog/{query}").text for query in ("", "?page=2"))
        assert first != second
        assert costs(browser, "/blog/?page=2") == 0
        assert browser().get("/blog/?page=2").text == second

    def test_other_parameters_change_nothing(self, browser):
        """What stands in the address of one reader never reaches the page of another."""
        make_post()
        assert "secret" not in browser().get("/blog/?token=secret").text
        assert costs(browser, "/blog/?utm_source=secret") == 0
        assert "secret" not in browser().get("/blog/").text

    @pytest.mark.parametrize("address", [f"{POST}?page=2", "/blog/?page=01", "/blog/feed/?page=1"])
    def test_numbers_that_mean_nothing_fill_no_store(self, browser, address):
        make_post()
        for _ in range(2):
            assert costs(browser, address) > 0
        assert not page_cache.store.pages

    @pytest.mark.parametrize("page", PAGES)
    def test_it_holds_no_token(self, browser, page):
        make_post()
        html = browser(enforce_csrf_checks=True).get(page).text
        assert "csrfmiddlewaretoken" not in html

    def test_variants_of_home_show_other_posts(self, browser, monkeypatch):
        """I1: three random posts, others when one comes again."""
        for number in range(15):
            make_post(f"Post {number}", shuffle=number / 15)
        places = iter(number / 5 for number in range(5))
        monkeypatch.setattr("blog.models.random_place", lambda: next(places))
        monkeypatch.setattr(page_cache.time, "monotonic", count(0, 100).__next__)
        reader, etag, seen = browser(), "", []
        for _ in range(30):
            headers = {"Sec-Fetch-Mode": "navigate", "If-None-Match": etag}
            response = reader.get("/", headers=headers)
            assert response.status_code == 200
            assert response["ETag"] != etag
            etag = response["ETag"]
            seen.append(frozenset(re.findall(r">(Post \d+)</a>", response.text)))
        assert len(set(seen)) > 1
        assert costs(browser, "/") == 0

    def test_variants_of_home_are_not_rendered_all_at_once(self, browser, monkeypatch):
        monkeypatch.setattr(page_cache.time, "monotonic", lambda: 1000.0)
        for number in range(9):
            make_post(f"Post {number}")
        browser().get("/")
        for _ in range(20):
            assert costs(browser, "/") == 0
        monkeypatch.setattr(page_cache.time, "monotonic", lambda: 1010.0)
        assert sum(costs(browser, "/") > 0 for _ in range(40)) == 1

    def test_variants_of_home_are_good_for_programs(self, browser):
        for number in range(9):
            make_post(f"Post {number}")
        for _ in range(30):
            response = browser().get("/")
        response = browser().get("/", headers={"If-None-Match": response["ETag"]})
        assert response.status_code == 304

    def test_what_is_not_kept_comes_compressed_too(self, browser):
        make_post()
        headers = {"Accept-Encoding": "gzip"}
        for address in ("/blog/search/?q=write", f"{POST}?page=3", "/no-such/"):
            response = browser().get(address, headers=headers)
            assert response["Content-Encoding"] == "gzip"
            assert b"</html>" in gzip.decompress(response.content)

    def test_compression_can_be_refused(self, browser):
        make_post()
        for _ in range(2):
            response = browser().get(POST, headers={"Accept-Encoding": "gzip;q=0, br"})
            assert "Content-Encoding" not in response

    @pytest.mark.parametrize("page", [*PAGES, "/accounts/login/"])
    def test_nobody_leads_others_elsewhere(self, page):
        """Gunicorn makes this of a header SCRIPT_NAME."""
        make_post()
        for names in ({"SCRIPT_NAME": "/evil"}, {}):
            response = ask_as_a_server_does(PATH_INFO=page, **names)
            assert response.status_code == 200
            assert "/evil" not in response.text

    @pytest.mark.parametrize(
        ("site_url", "allowed", "host", "is_kept"),
        [
            ("https://mail.example.com", ["mail.example.com"], "mail.example.com", True),
            ("https://mail.example.com", ["mail.example.com"], "mail.example.com:1", False),
            ("https://mail.example.com", ["mail.example.com"], "MAIL.example.com", False),
            ("https://mail.example.com", ["mail.example.com"], "mail.example.com.", False),
            ("https://mail.example.com", [".example.com"], "some.example.com", False),
            ("https://mail.example.com", ["Other.example"], "other.example", True),
            ("http://mail.example.com:81", ["mail.example.com"], "mail.example.com:81", True),
            ("http://mail.example.com:81", ["mail.example.com"], "mail.example.com", True),
            ("http://127.0.0.1:8000", ["*"], "127.0.0.1:8000", True),
            ("http://127.0.0.1:8000", ["*"], "localhost:8000", True),
            ("http://127.0.0.1:8000", ["*"], "localhost", True),
            ("http://127.0.0.1:8000", ["*"], "whoever.example", False),
        ],
    )
    def test_spellings_of_a_host_fill_no_store(
        self, browser, settings, site_url, allowed, host, is_kept
    ):
        settings.SITE_URL, settings.ALLOWED_HOSTS = site_url, allowed
        assert browser().get("/blog/", headers={"Host": host}).status_code == 200
        assert bool(page_cache.store.pages) == is_kept

    def test_places_with_variants_have_an_end(self, browser, settings, monkeypatch):
        monkeypatch.setattr(page_cache, "MOST_PLACES", 2)
        settings.ALLOWED_HOSTS = [f"{number}.example" for number in range(5)]
        for host in settings.ALLOWED_HOSTS:
            assert browser().get("/", headers={"Host": host}).status_code == 200
        assert 0 < len(page_cache.store.variants) <= 2
        assert page_cache.store.rendered_at.keys() == page_cache.store.variants.keys()

    def test_store_has_an_end(self, browser, monkeypatch):
        monkeypatch.setattr(page_cache, "LARGEST_STORE", 150_000)
        for number in range(6):
            browser().get(make_post(f"Post {number}").url)
        assert 0 < page_cache.store.size <= 150_000
        assert page_cache.store.size == sum(kept.size for kept in page_cache.store.pages.values())


class TestPeople:
    @pytest.mark.parametrize("page", PAGES)
    def test_page_of_a_user_is_not_kept(self, browser, owner, page):
        make_post()
        response = browser(owner).get(page)
        assert "/accounts/logout/" in response.text
        assert response["Cache-Control"] == "private, no-cache"
        assert "Cookie" in response["Vary"]
        assert "/accounts/logout/" not in browser().get(page).text

    @pytest.mark.parametrize("page", PAGES)
    def test_user_gets_no_page_of_a_stranger(self, browser, owner, page):
        make_post()
        etag = browser().get(page)["ETag"]
        response = browser(owner).get(page, headers={"If-None-Match": etag})
        assert response.status_code == 200
        assert "/accounts/logout/" in response.text

    def test_message_shows_once_to_the_one_it_is_for(self, browser, owner):
        """The page after logging out greets nobody else."""
        reader = browser()
        reader.login(email=owner.email, password=PASSWORD)
        html = reader.post("/accounts/logout/", follow=True).text
        assert 'role="status"' in html
        assert 'role="status"' not in reader.get("/").text
        assert 'role="status"' not in browser().get("/").text

    def test_message_in_a_cookie(self, browser, rf):
        """A stranger who was told something, and has no session."""
        browser().get("/blog/")
        reader = browser()
        reader.cookies["messages"] = "whatever"
        assert reader.get("/blog/")["Cache-Control"] == "private, no-cache"

    def test_preview_neither_takes_nor_leaves_a_page(self, browser, editor):
        post = make_post()
        browser().get(post.url)
        post.title = "Unpublished words"
        assert "Unpublished words" in post.make_preview_request().rendered_content
        post.save_revision()
        draft = reverse("wagtailadmin_pages:view_draft", args=[post.pk])
        assert "Unpublished words" in browser(editor).get(draft).text
        page_cache.store.clear()
        assert "Unpublished words" not in browser().get(post.url).text

    def test_preview_leaves_nothing_in_an_empty_store(self, browser):
        post = make_post()
        post.title = "Unpublished words"
        post.make_preview_request()
        assert not page_cache.store.pages

    def test_page_behind_a_password_is_kept_from_strangers(
        self, browser, django_capture_on_commit_callbacks
    ):
        post = make_post()
        assert f"<h1>{post.title}</h1>" in browser().get(post.url).text
        with django_capture_on_commit_callbacks(execute=True):
            PageViewRestriction.objects.create(
                page=post, restriction_type="password", password="sesame"
            )
        response = browser().get(post.url)
        assert "ETag" not in response
        assert f"<h1>{post.title}</h1>" not in response.text
        assert f">{post.title}</a>" not in browser().get("/blog/").text

    def test_alias_of_a_private_page(self, browser):
        """What repeats a private page is in no list either."""
        post = make_post()
        alias = post.create_alias(update_slug="repeated")
        PageViewRestriction.objects.create(page=post, restriction_type="login")
        for address in ("/blog/", "/blog/feed/", "/sitemap.xml", "/blog/search/?q=write"):
            assert "repeated" not in browser().get(address).text
        assert browser().get(alias.url).status_code == 302

    def test_category_of_private_posts_alone(self, browser):
        post = make_post()
        category = Category.objects.create(name="Secret plans", locale=post.locale)
        post.categories.add(category)
        post.save()
        assert "Secret plans" in browser().get("/blog/").text
        PageViewRestriction.objects.create(page=post, restriction_type="login")
        page_cache.store.clear()
        generations.get_generation().change()
        assert "Secret plans" not in browser().get("/blog/").text


class TestChanges:
    """I5: what pages show changes, and they are new at once."""

    def test_publishing_a_change(self, forgets):
        post = make_post()
        post.title = "Changed"
        assert forgets(lambda: post.save_revision().publish())

    def test_a_new_post(self, forgets):
        assert forgets(lambda: make_post("New").save_revision().publish())

    def test_unpublishing(self, forgets):
        assert forgets(make_post().unpublish)

    def test_deleting(self, forgets):
        assert forgets(make_post().delete)

    def test_deleting_a_whole_blog(self, browser, django_capture_on_commit_callbacks):
        make_post()
        browser().get(POST)
        with django_capture_on_commit_callbacks(execute=True):
            get_blog().delete()
        assert browser().get(POST).status_code == 404

    def test_moving(self, browser, django_capture_on_commit_callbacks):
        post = make_post()
        browser().get(post.url)
        with django_capture_on_commit_callbacks(execute=True):
            Page.objects.get(pk=post.pk).move(get_blog("ru"), pos="last-child")
        assert browser().get(POST).status_code == 301
        assert browser().get("/ru/blog/how-to-write/").status_code == 200

    def test_other_address(self, browser, django_capture_on_commit_callbacks):
        post = make_post()
        browser().get(POST)
        with django_capture_on_commit_callbacks(execute=True):
            post.slug = "other"
            post.save_revision().publish()
        assert browser().get(POST).status_code == 301

    def test_saving_a_live_page_without_a_revision(self, forgets):
        post = make_post()
        post.title = "Changed"
        assert forgets(post.save)

    def test_home_page(self, browser, django_capture_on_commit_callbacks):
        browser().get("/")
        home = HomePage.objects.get(locale__language_code="en")
        with django_capture_on_commit_callbacks(execute=True):
            home.title = home.seo_title = "Changed"
            home.save_revision().publish()
        assert "<title>Changed" in browser().get("/").text

    @pytest.mark.parametrize("model", [Category, Author])
    def test_category_and_author(self, forgets, model):
        thing = model.objects.create(name="Tea", slug="tea", locale=get_blog().locale)
        thing.name = "Coffee"
        assert forgets(thing.save)
        assert forgets(thing.delete)

    def test_translation_of_a_category(self, forgets):
        """Lists name their translations in their head."""
        thing = Category.objects.create(name="Tea", slug="tea", locale=get_blog().locale)
        assert forgets(thing.copy_for_translation(get_blog("ru").locale).save)

    def test_tag(self, forgets):
        tag = Tag.objects.create(name="tea")
        tag.name = "coffee"
        assert forgets(tag.save)

    def test_picture_and_its_sizes(self, forgets):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        picture.title = "Lake"
        assert forgets(picture.save)
        picture.get_rendition("fill-10x10")
        assert forgets(Rendition.objects.all().delete)
        assert forgets(picture.delete)

    def test_document(self, forgets):
        document = Document.objects.create(title="Terms", file=draw_picture(1, "terms.jpg"))
        document.title = "Rules"
        assert forgets(document.save)
        assert forgets(document.delete)

    def test_what_a_provider_gave(self, forgets):
        assert forgets(lambda: store_embed("https://www.youtube.com/watch?v=1"))
        assert forgets(Embed.objects.get().delete)

    def test_site(self, forgets):
        site = Site.objects.get(is_default_site=True)
        site.site_name = "Other"
        assert forgets(site.save)

    def test_who_may_read(self, forgets):
        post = make_post()
        restriction = PageViewRestriction(page=post, restriction_type="login")
        assert forgets(restriction.save)
        assert forgets(restriction.delete)

    def test_by_the_clock(self, forgets):
        """A worker publishes a post whose time has come, and takes down one whose time is over."""
        post = make_post("Scheduled")
        post.unpublish()
        post.go_live_at = timezone.now() + timedelta(hours=1)
        revision = post.save_revision()
        revision.publish()
        assert not forgets(publish_scheduled)
        # An hour later, that is.
        revision.approved_go_live_at = due = timezone.now() - timedelta(seconds=1)
        revision.content["go_live_at"] = due.isoformat()
        revision.save()
        assert forgets(publish_scheduled)
        BlogPage.objects.filter(pk=post.pk).update(expire_at=due)
        assert forgets(publish_scheduled)

    def test_drafts_and_what_pages_do_not_show(self, forgets, owner, editor):
        """Nothing is rendered anew for nothing."""
        post = make_post()
        post.title = "Draft"
        assert not forgets(lambda: post.save_revision(user=editor))
        assert not forgets(lambda: BlogPage.objects.filter(pk=post.pk).update(view_count=9))
        assert not forgets(lambda: make_client(owner))
        assert not forgets(lambda: make_mailing(owner))
        assert not forgets(owner.save)
        assert not forgets(
            lambda: Image.objects.create(title="New", file=draw_picture(1, "new.jpg"))
        )

    def test_change_that_is_taken_back_forgets_nothing(self, forgets):
        post = make_post()

        def fail() -> None:
            with suppress(ZeroDivisionError), transaction.atomic():
                post.save()
                raise ZeroDivisionError

        assert not forgets(fail)

    def test_page_read_before_a_change_is_not_kept_after_it(self, browser, monkeypatch):
        """A slow rendering that began before a publication does not outlive it."""
        post = make_post()
        find = page_cache.store.find

        def publish_meanwhile(*args: Any) -> Any:
            found = find(*args)
            page_changes.change()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(page_cache.store, "find", publish_meanwhile)
            browser().get(post.url)
        change_behind_the_back(post)
        assert "Changed" in browser().get(post.url).text

    def test_numbers_are_new_in_time(self, browser, monkeypatch):
        """I5: the numbers on a page are at most a minute old."""
        post = make_post(view_count=1)
        assert "1 view<" in browser().get(post.url).text
        BlogPage.objects.filter(pk=post.pk).update(view_count=2)
        now = page_cache.time.time()
        monkeypatch.setattr(page_cache.time, "time", lambda: now + page_cache.SECONDS - 1)
        assert "1 view<" in browser().get(post.url).text
        monkeypatch.setattr(page_cache.time, "time", lambda: now + page_cache.SECONDS + 1)
        assert "2 views<" in browser().get(post.url).text


class TestHeaders:
    @pytest.mark.parametrize("page", PAGES)
    def test_copy_that_is_still_good(self, browser, page):
        make_post()
        first = browser().get(page)
        for tags in (first["ETag"], f'"other", {first["ETag"]}', "*", first["ETag"][2:]):
            again = browser().get(page, headers={"If-None-Match": tags})
            assert again.status_code == 304
            assert again.content == b""
            for name in ("ETag", "Cache-Control", "Vary"):
                assert again[name] == first[name]
        assert browser().get(page, headers={"If-None-Match": '"other"'}).status_code == 200

    def test_same_page_has_the_same_tag_whoever_renders_it(self, browser):
        make_post()
        first = browser().get(POST)["ETag"]
        page_changes.change()
        assert browser().get(POST)["ETag"] == first

    def test_changed_page_has_another(self, browser):
        post = make_post()
        first = browser().get(POST)["ETag"]
        change_behind_the_back(post)
        page_changes.change()
        response = browser().get(POST, headers={"If-None-Match": first})
        assert response.status_code == 200
        assert response["ETag"] != first

    def test_head_tells_what_get_would(self, browser):
        make_post()
        heads = [browser().head(POST) for _ in range(2)]  # Before there is a kept page, and after.
        got = browser().get(POST)
        for head in heads:
            assert head.content == b""
            assert dict(head.headers) == dict(got.headers)

    def test_first_and_later_answers_are_alike(self, browser):
        make_post()
        first, later = browser().get(POST), browser().get(POST)
        assert first.content == later.content
        assert dict(first.headers) == dict(later.headers)

    def test_it_comes_compressed_to_who_takes_that(self, browser):
        make_post()
        plain = browser().get(POST)
        for _ in range(2):
            small = browser().get(POST, headers={"Accept-Encoding": "br, gzip"})
            assert small["Content-Encoding"] == "gzip"
            assert gzip.decompress(small.content) == plain.content
            assert len(small.content) == int(small["Content-Length"]) < len(plain.content) / 2
        assert "Content-Encoding" not in plain
        assert "Accept-Encoding" in small["Vary"]

    def test_headers_of_other_middlewares_stay(self, browser):
        make_post()
        for _ in range(2):
            response = browser().get(POST)
            assert response["X-Content-Type-Options"] == "nosniff"
            assert response["Referrer-Policy"] == "same-origin"

    @pytest.mark.parametrize("page", PAGES)
    def test_without_a_cdn_to_purge_every_copy_is_asked_for(self, browser, page):
        make_post()
        response = browser().get(page)
        assert response["Cache-Control"] == "public, no-cache"
        assert "Cookie" in response["Vary"]

    def test_cdn_that_is_purged_keeps_pages_but_not_variants(self, browser, settings):
        settings.FRONTEND_CACHE = {"BACKEND": "…"}
        make_post()
        assert "s-maxage=15" in browser().get(POST)["Cache-Control"]
        # A door's language is the reader's, and home shows other posts.
        for page in ("/blog/", "/", "/ru/"):
            assert browser().get(page)["Cache-Control"] == "public, no-cache"

    def test_old_numbers_together_are_younger_than_a_minute(self):
        from blog.readings import timer
        from home import counting

        for seconds in (timer.SECONDS, counting.SECONDS):
            assert seconds + page_cache.SECONDS + page_cache.CDN_SECONDS < 60


class Cdn(BaseHTTPRequestHandler):
    """A CDN that notes what it is told to purge."""

    def do_PURGE(self) -> None:
        self.server.purged.append(f"http://{self.headers['Host']}{self.path}")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def purged(settings, monkeypatch) -> Iterator[list[str]]:
    """Put a CDN before the site; return the addresses that it is told to purge."""
    with HTTPServer(("127.0.0.1", 0), Cdn) as server:
        server.purged = []
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("FRONTEND_CACHE", f"http://127.0.0.1:{server.server_port}")
        settings.FRONTEND_CACHE = env.frontend_cache("FRONTEND_CACHE")
        settings.WAGTAILFRONTENDCACHE = {"default": settings.FRONTEND_CACHE}
        yield server.purged
        server.shutdown()
        thread.join()


class TestCdn:
    def test_publishing_purges_the_page_and_its_lists(
        self, purged, django_capture_on_commit_callbacks
    ):
        post = make_post()
        post.tags.add("tea", "чай")
        with django_capture_on_commit_callbacks(execute=True):
            post.save_revision().publish()
        in_russian = f"/blog/tag/{quote('чай')}/"
        for path in (POST, "/blog/", "/", "/blog/feed/", "/blog/tag/tea/", in_russian):
            assert f"http://testserver{path}" in purged, path

    @pytest.mark.parametrize("change", ["unpublish", "delete", "move", "give another slug"])
    def test_old_address_is_purged_with_the_lists_that_showed_it(
        self, purged, django_capture_on_commit_callbacks, change
    ):
        post = make_post()
        post.tags.add("tea")
        post.save_revision().publish()
        blog = get_blog()
        home = blog.get_parent()
        with django_capture_on_commit_callbacks(execute=True):
            other = BlogIndexPage(title="Other", slug="other", locale=blog.locale)
            home.add_child(instance=other)
        purged.clear()
        with django_capture_on_commit_callbacks(execute=True):
            if change == "unpublish":
                post.unpublish()
            elif change == "delete":
                post.delete()
            elif change == "move":
                post.move(other, pos="last-child")
            else:
                post.slug = "another"
                post.save_revision().publish()
        new = {"move": "/other/how-to-write/", "give another slug": "/blog/another/"}.get(change)
        lists = ["/blog/", "/", "/blog/feed/", "/blog/tag/tea/"]
        for path in [POST, *lists, *([new] if new else [])]:
            assert f"http://testserver{path}" in purged, path
        assert ("http://testserver/other/" in purged) == (change == "move")

    def test_old_address_in_cyrillic(self, purged, caplog, django_capture_on_commit_callbacks):
        """Wagtail, where it writes redirects down, tells of it as no request can hold it."""
        post = make_post("Tea", "ru", slug="чай")
        with django_capture_on_commit_callbacks(execute=True):
            post.slug = "кофе"
            post.save_revision().publish()
        assert f"http://testserver/ru/blog/{quote('чай')}/" in purged
        assert "FAILED" not in caplog.text

    def test_after_the_site_got_another_address(
        self, purged, settings, django_capture_on_commit_callbacks
    ):
        post = make_post()
        settings.SITE_URL = "http://news.example.com"
        call_command("migrate", verbosity=0)
        purged.clear()
        with django_capture_on_commit_callbacks(execute=True):
            post.save_revision().publish()
        assert f"http://news.example.com{POST}" in purged
        assert not [address for address in purged if "testserver" in address]

    def test_off_by_default(self):
        assert get_backends() == {}


class TestTrouble:
    """Whatever happens to the store, pages are rendered."""

    @pytest.fixture
    def without_redis(self, settings, tmp_path):
        settings.REDIS_URL = ""
        settings.VAR_DIR = tmp_path

    def test_place_without_files(self, without_redis, settings, browser, monkeypatch):
        def refuse(*args: Any) -> int:
            raise PermissionError("no files here")

        make_post()
        monkeypatch.setattr(generations.os, "open", refuse)
        for _ in range(2):
            assert browser().get(POST).status_code == 200

    def test_full_disk(self, without_redis, browser, monkeypatch, caplog):
        """A change is seen although no byte can be added."""

        def refuse(*args: Any) -> int:
            raise OSError("no room")

        post = make_post()
        browser().get(POST)
        monkeypatch.setattr(generations.os, "write", refuse)
        change_behind_the_back(post)
        generations.get_generation().change()
        assert "no room" in caplog.text
        assert "Changed" in browser().get(POST).text

    def test_page_in_redis_that_cannot_be_read(self, browser):
        link = page_cache.get_link()
        if link is None:
            pytest.skip("There is no Redis here.")
        make_post()
        browser().get(POST)
        page_cache.store.clear()
        for key in link.client.scan_iter("vestnik:page:*"):
            link.client.set(key, b"of another release")
        assert browser().get(POST).status_code == 200

    def test_change_reaches_a_redis_that_was_away_a_moment_ago(self, browser):
        link = page_cache.get_link()
        if link is None:
            pytest.skip("There is no Redis here.")
        before = generations.get_generation().read()
        link.lose(RuntimeError("a moment"))
        generations.get_generation().change()
        link.away_until = float("-inf")
        assert link.client.get(generations.NAME).decode() != before


class TestWithoutRedis:
    """I5: with Redis down the site still serves."""

    @pytest.fixture(autouse=True)
    def no_redis(self, settings):
        # Nobody listens on port 1.
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        backend = "config.caches.SturdyRedisCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": settings.REDIS_URL}}

    @pytest.mark.parametrize("page", [*PAGES, "/accounts/login/", "/blog/search/?q=write"])
    def test_pages_are_served(self, browser, page):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        make_post(image=picture)
        for _ in range(2):
            assert browser().get(page).status_code == 200

    def test_they_are_never_old(self, browser):
        post = make_post()
        browser().get(POST)
        change_behind_the_back(post)
        assert "Changed" in browser().get(POST).text

    def test_publishing_goes_on(self, browser, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            make_post().save_revision().publish()
        assert browser().get(POST).status_code == 200

    def test_site_remembers_by_itself_for_a_while(self):
        cache.set("key", "value", 3600)
        cache.set_many({"other": json.dumps([1])})
        assert cache.get("key") == "value"
        assert cache.get_many(["key", "other"]) == {"key": "value", "other": "[1]"}
        assert cache.add("key", "new") is False
        assert cache.incr("number", 1) if cache.add("number", 1) else False
        cache.delete("key")
        assert cache.get("key") is None

    def test_limits_on_log_in_attempts_hold(self, browser, settings, owner):
        form = {"login": owner.email, "password": "wrong"}
        statuses = [browser().post("/accounts/login/", form).status_code for _ in range(15)]
        assert statuses[0] == 200
        assert "Too many" in browser().post("/accounts/login/", form).text or 429 in statuses
