"""The list of posts."""

from __future__ import annotations

import re
from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from wagtail.test.utils.form_data import nested_form_data

from blog.models import BlogIndexPage, BlogPage
from blog.tests.posts import get_blog, make_post

pytestmark = pytest.mark.django_db


def test_newest_come_first(browser):
    """I4: the blog lists its posts with their dates."""
    make_post("Older", published_on=date(2026, 1, 1))
    make_post("Newer", published_on=date(2026, 2, 1))
    html = browser().get("/blog/").text
    assert html.index("Newer") < html.index("Older")
    assert 'datetime="2026-02-01"' in html


def test_empty_blog_says_so(browser):
    assert "There are no posts yet" in browser().get("/blog/").text


def test_drafts_are_not_listed(browser):
    make_post("Secret plan").unpublish()
    assert "Secret plan" not in browser().get("/blog/").text


class TestPaging:
    @pytest.fixture(autouse=True)
    def three_posts_on_pages_of_two(self, monkeypatch):
        monkeypatch.setattr(BlogIndexPage, "posts_per_page", 2)
        for day in (1, 2, 3):
            make_post(f"Post {day}", published_on=date(2026, 1, day))

    def test_each_page_has_an_address(self, browser):
        reader = browser()
        first, second = reader.get("/blog/").text, reader.get("/blog/?page=2").text
        assert 'href="/blog/?page=2"' in first
        assert "Post 1" not in first
        assert "Post 1" in second
        assert "Post 3" not in second
        assert "page 2" in second.split("</title>")[0]

    @pytest.mark.parametrize("number", ["0", "3", "-1", "last", "two", "1e3", " ", "9" * 50])
    def test_page_that_is_none_is_not_found(self, browser, number):
        assert browser().get("/blog/", {"page": number}).status_code == 404


class TestOrder:
    @pytest.mark.parametrize("address", ["/blog/", "/blog/tag/tea/"])
    def test_it_goes_on_from_page_to_page(self, browser, monkeypatch, address):
        """Newest first, of one day the one made last, however far the page is from either end."""
        monkeypatch.setattr(BlogIndexPage, "posts_per_page", 2)
        for number in range(9):
            post = make_post(f"Post {number}", published_on=date(2026, 1, 1 + number // 3))
            post.tags.add("tea")
            post.save_revision().publish()
        titles = []
        for page in range(1, 6):
            html = browser().get(address, {"page": page}).text
            titles += re.findall(r'post-card-title"><a [^>]*>(.*?)</a>', html)
        assert titles == [f"Post {number}" for number in reversed(range(9))]
        assert browser().get(address, {"page": 6}).status_code == 404


@pytest.mark.parametrize("slug", ["feed", "search", "tag"])
@pytest.mark.parametrize("as_what", [{}, {"alias": "on"}, {"publish_copies": "on"}])
def test_copy_cannot_take_one_either(browser, editor, slug, as_what):
    post = make_post("Tea")
    address = reverse("wagtailadmin_pages:copy", args=[post.pk])
    form = {"new_title": "Tea", "new_slug": slug, "new_parent_page": get_blog().pk, **as_what}
    response = browser(editor).post(address, form)
    assert response.status_code == 200
    assert "choose another one" in response.text
    assert BlogPage.objects.count() == 1
    assert browser(editor).post(address, {**form, "new_slug": "coffee"}).status_code == 302


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("slug", ["feed", "search"])
def test_post_that_took_one_hides_nothing(browser, slug, live):
    """However it came there."""
    post = make_post("Tea")
    BlogPage.objects.filter(pk=post.pk).update(slug=slug, live=live)
    response = browser().get(f"/blog/{slug}/")
    assert response.status_code == 200
    assert "<h1>Tea</h1>" not in response.text


@pytest.mark.parametrize(("slug", "status"), [("blog", 302), ("news", 200)])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_blog_keeps_its_own(browser, editor, language, slug, status):
    """Header, footer and home page lead to it."""
    form = nested_form_data(
        {
            "title": "News",
            "slug": slug,
            "lead": "",
            "comments": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            "action-publish": "yes",
        }
    )
    address = reverse("wagtailadmin_pages:edit", args=(get_blog(language).pk,))
    response = browser(editor).post(address, form)
    assert response.status_code == status
    assert ("every page of the site links to it" in response.text) == (status == 200)
    assert get_blog(language).slug == "blog"


@pytest.mark.parametrize("slug", ["feed", "search", "tag"])
def test_post_cannot_take_an_address_of_the_blog(slug):
    with pytest.raises(ValidationError, match="choose another one"):
        make_post("Feed", slug=slug)
