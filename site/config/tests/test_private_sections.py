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
from home.models import HomePage

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


class TestHiddenHome:
    """Under the prefix of a language whose home page is not public there is nothing (language.py)."""

    NAMING = ["/", "/blog/", "/blog/category/advice/", "/blog/tea/", "/sitemap.xml"]

    @pytest.fixture
    def english(self) -> BlogPage:
        """Return a post with a translation that is filed as it is."""
        advice = make_category()
        advice.copy_for_translation(get_blog("ru").locale).save()
        english = file_post("Tea", categories=[advice])
        russian = english.copy_for_translation(get_blog("ru").locale)
        russian.slug = "chai"
        russian.save_revision().publish()
        return english

    @staticmethod
    def hide(language: str) -> None:
        HomePage.objects.get(locale__language_code=language).unpublish()

    @pytest.mark.parametrize("address", NAMING)
    def test_what_lies_beneath_is_named_nowhere(self, english, browser, address):
        assert "/ru/" in browser().get(address).text
        self.hide("ru")
        generations.get_generation().change()  # No finished page is good any more.
        assert "/ru/" not in browser().get(address).text

    def test_no_post_beneath_another_one_lies_there(self, english, browser):
        russian = english.get_translations().get()
        chosen = make_post("Chosen", slug="chosen")
        chosen.chosen_posts.create(post=russian)
        chosen.save_revision().publish()
        assert "/ru/blog/chai/" in browser().get("/blog/chosen/").text
        self.hide("ru")
        generations.get_generation().change()  # No finished page is good any more.
        assert "/ru/blog/chai/" not in browser().get("/blog/chosen/").text

    def test_switch_does_not_lead_there(self, english, browser):
        self.hide("ru")
        for address in ("/blog/tea/", "/blog/category/advice/"):
            form = {"language": "ru", "next": address}
            assert browser().post("/i18n/setlang/", form)["Location"] == "/"

    def test_what_repeats_such_a_page_is_open(self, english, browser):
        make_post("Other", slug="other").create_alias(update_slug="closed")
        close(BlogPage.objects.get(slug="other"))
        english.get_translations().get().create_alias(parent=get_blog(), update_slug="repeated")
        self.hide("ru")
        listed = browser().get("/sitemap.xml").text
        assert "/blog/repeated/" in listed
        assert "/blog/closed/" not in listed

    def test_home_of_the_site_hides_nothing(self, english, browser):
        """Without it the blog answers nevertheless."""
        self.hide("en")
        assert browser().get("/blog/tea/").status_code == 200
        assert "/blog/tea/" in browser().get("/blog/").text
        assert "/blog/tea/" in browser().get("/sitemap.xml").text


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
