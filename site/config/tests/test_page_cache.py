"""Finished pages for strangers."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from blog.models import BlogPage
from blog.tests.posts import make_post
from config import page_cache
from conftest import PASSWORD
from home.models import HomePage

pytestmark = pytest.mark.django_db

PAGES = ["/", "/blog/", "/blog/how-to-write/"]


def change_behind_the_back(post: BlogPage) -> None:
    """Change a post by a statement that nothing of Wagtail notices."""
    BlogPage.objects.filter(pk=post.pk).update(lead="Changed.", title="Changed")


class TestStrangers:
    @pytest.mark.parametrize("page", ["/blog/", "/blog/how-to-write/"])
    def test_page_is_kept(self, browser, page):
        """I5: blog pages are cached."""
        post = make_post()
        browser().get(page)
        change_behind_the_back(post)
        assert "Changed" not in browser().get(page).text

    def test_home_page_is_kept(self, browser, monkeypatch):
        """I5: the home page is cached."""
        monkeypatch.setattr("home.models.VARIANTS", 1)
        browser().get("/")
        HomePage.objects.update(title="Changed", seo_title="Changed")
        assert "Changed" not in browser().get("/").text

    def test_kept_page_costs_fewer_queries(self, browser):
        """I5: a cached page asks the database for no posts."""
        make_post()
        browser().get("/blog/")
        with CaptureQueriesContext(connection) as queries:
            browser().get("/blog/")
        assert "blog_blogpage" not in str(queries.captured_queries)

    def test_each_language_has_its_own(self, browser):
        reader = browser()
        for language in ("en", "ru", "en"):
            html = reader.get("/blog/", headers={"Accept-Language": language}).text
            assert f'<html lang="{language}"' in html

    def test_each_page_number_has_its_own(self, browser, monkeypatch):
        monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 1)
        make_post("First")
        make_post("Second")
        assert browser().get("/blog/").text != browser().get("/blog/?page=2").text

    def test_other_parameters_change_nothing(self, browser):
        """What stands in the address of one reader never reaches the page of another."""
        make_post()
        assert "secret" not in browser().get("/blog/?token=secret").text
        assert "secret" not in browser().get("/blog/").text

    @pytest.mark.parametrize("page", PAGES)
    def test_it_holds_no_token(self, browser, page):
        make_post()
        html = browser(enforce_csrf_checks=True).get(page).text
        assert "csrfmiddlewaretoken" not in html


class TestPeople:
    @pytest.mark.parametrize("page", PAGES)
    def test_page_of_a_user_is_not_kept(self, browser, owner, page):
        make_post()
        assert "/accounts/logout/" in browser(owner).get(page).text
        assert "/accounts/logout/" not in browser().get(page).text

    @pytest.mark.parametrize("page", PAGES)
    def test_user_gets_no_page_of_a_stranger(self, browser, owner, page):
        make_post()
        browser().get(page)
        assert "/accounts/logout/" in browser(owner).get(page).text

    def test_message_shows_once_to_the_one_it_is_for(self, browser, owner):
        """The page after logging out greets nobody else."""
        reader = browser()
        reader.login(email=owner.email, password=PASSWORD)
        html = reader.post("/accounts/logout/", follow=True).text
        assert 'role="status"' in html
        assert 'role="status"' not in reader.get("/").text
        assert 'role="status"' not in browser().get("/").text


class TestChanges:
    def test_publishing_forgets(self, browser, django_capture_on_commit_callbacks):
        """I5: what is published shows at once."""
        post = make_post()
        browser().get("/blog/")
        with django_capture_on_commit_callbacks(execute=True):
            post.title = "Changed"
            post.save_revision().publish()
        assert "Changed" in browser().get("/blog/").text

    def test_unpublishing_forgets(self, browser, django_capture_on_commit_callbacks):
        post = make_post()
        browser().get("/blog/")
        with django_capture_on_commit_callbacks(execute=True):
            post.unpublish()
        assert "How to write</a>" not in browser().get("/blog/").text

    def test_deleting_forgets(self, browser, django_capture_on_commit_callbacks):
        post = make_post()
        browser().get("/blog/")
        with django_capture_on_commit_callbacks(execute=True):
            post.delete()
        assert "How to write</a>" not in browser().get("/blog/").text

    def test_page_read_before_a_change_is_not_kept_after_it(self, browser, monkeypatch):
        """A slow rendering that began before a publication does not outlive it."""
        post = make_post()
        get_cache_key = page_cache.CachedPageMixin.get_cache_key

        def publish_meanwhile(self, request):
            key = get_cache_key(self, request)
            cache.set(page_cache.GENERATION, "newer", None)
            return key

        with monkeypatch.context() as patch:
            patch.setattr(page_cache.CachedPageMixin, "get_cache_key", publish_meanwhile)
            browser().get(post.url)
        change_behind_the_back(post)
        assert "Changed" in browser().get(post.url).text
