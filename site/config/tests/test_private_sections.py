"""What strangers may not read shows nowhere: in no list, feed, search, map, nor beneath another post."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from wagtail.models import Page, PageViewRestriction

from blog.models import BlogPage
from blog.paging import PostsByKey
from blog.tests.posts import get_blog, make_post
from blog.tests.test_filing import file_post, make_author, make_category
from config import generations, private_sections

pytestmark = pytest.mark.django_db

ADDRESSES = [
    "/",
    "/blog/",
    "/blog/category/advice/",
    "/blog/author/anna/",
    "/blog/tag/tea/",
    "/blog/search/?q=green",
    "/blog/feed/",
    "/blog/feed/atom/",
    "/blog/open/",
    "/sitemap.xml",
]


def close(page: Page) -> None:
    PageViewRestriction.objects.create(page=page, restriction_type="login")


@pytest.fixture
def secret() -> BlogPage:
    """Return one of two posts that are filed alike."""
    filed = {"categories": [make_category()], "tags": ["tea"], "author": make_author()}
    file_post("Open", lead="Green tea.", **filed)
    return file_post("Secret", lead="Green leaves.", **filed)


@pytest.fixture
def naming(browser) -> Callable[[str], list[str]]:
    """Return a function that gives the addresses at which strangers find a slug."""

    def find(slug: str) -> list[str]:
        generations.get_generation().change()  # No finished page is good any more.
        found = []
        for address in ADDRESSES:
            response = browser().get(address)
            assert response.status_code == 200, address
            if f"/{slug}/" in response.text:
                found.append(address)
        return found

    return find


class TestPlaces:
    def test_open_post_is_everywhere(self, secret, naming):
        assert naming("secret") == ADDRESSES

    @pytest.mark.parametrize("hide", [close, BlogPage.unpublish])
    def test_post_that_is_hidden(self, secret, naming, hide):
        naming("secret")
        hide(secret)
        assert naming("secret") == []
        assert naming("open") == ADDRESSES

    def test_post_that_is_opened_again(self, secret, naming):
        close(secret)
        naming("secret")
        PageViewRestriction.objects.all().delete()
        assert naming("secret") == ADDRESSES

    def test_alias(self, secret, naming):
        secret.create_alias(update_slug="repeated")
        close(secret)
        assert naming("repeated") == []

    def test_alias_of_an_alias(self, secret, naming):
        secret.create_alias(update_slug="repeated").create_alias(update_slug="again")
        close(secret)
        assert naming("again") == []

    def test_alias_of_an_open_post(self, secret, naming):
        BlogPage.objects.get(slug="open").create_alias(update_slug="repeated")
        close(secret)
        assert naming("repeated") == ADDRESSES

    def test_page_beneath_an_alias(self, secret, naming):
        alias = secret.create_alias(update_slug="repeated")
        alias.add_child(instance=BlogPage(title="Below", slug="below", lead="Green.", body=[]))
        assert "/sitemap.xml" in naming("below")
        close(secret)
        assert naming("below") == []

    def test_more_private_posts_than_a_condition_has_parts(self, secret, naming, monkeypatch):
        sections = {f"{number:012}" for number in range(2000)}
        monkeypatch.setattr(private_sections, "read_sections", lambda: sections | {secret.path})
        assert naming("secret") == []
        assert naming("open") == ADDRESSES

    def test_post_that_is_closed_while_a_list_is_read(self, secret, browser, monkeypatch):
        def find_keys(posts, part):
            keys = find(posts, part)
            close(secret)
            return keys

        find = PostsByKey.find_keys
        monkeypatch.setattr(PostsByKey, "find_keys", find_keys)
        html = browser().get("/blog/").text
        assert "/blog/open/" in html
        assert "/blog/secret/" not in html


def test_private_blog_is_no_translation(browser):
    make_post("Чай", "ru", slug="chai")
    close(get_blog("ru"))
    assert "/ru/blog/" not in browser().get("/blog/").text
    assert "/ru/blog/chai/" not in browser().get("/ru/").text
    assert "/ru/blog/" not in browser().get("/sitemap.xml").text


def test_each_request_asks_once_unless_it_changes_something(rf, django_assert_num_queries):
    def ask_twice(request):
        private_sections.private_sections()
        return private_sections.private_sections()

    site = private_sections.PrivateSectionsMiddleware(ask_twice)
    for request, number in ((rf.get("/"), 1), (rf.post("/"), 2), (rf.head("/"), 1)):
        with django_assert_num_queries(number):
            site(request)
    with django_assert_num_queries(2):
        ask_twice(None)
