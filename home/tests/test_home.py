"""The home page."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest
from config.generations import get_generation
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from blog.models import BlogPage
from blog.tests.posts import make_post
from conftest import make_client, make_mailing
from home.models import HomePage
from mailings.models import Attempt

pytestmark = pytest.mark.django_db


def number(html: str, name: str) -> int:
    return int(re.search(rf'id="{name}">(\d+)<', html)[1])


def titles(html: str) -> set[str]:
    return set(re.findall(r">(Post \d+)</a>", html))


class TestNumbers:
    def test_mailings_in_all_and_active(self, browser, owner, stranger):
        """I1: the home page shows the number of mailings in all and of active mailings."""
        make_mailing(owner)
        make_mailing(stranger)
        make_mailing(owner).switch_off(by=owner)
        ended = make_mailing(owner, starts_at=timezone.now())
        Attempt.objects.create(mailing=ended, slot=ended.starts_at, status="success")
        ended.save()
        html = browser().get("/").text
        assert number(html, "mailings-in-all") == 4
        assert number(html, "active-mailings") == 2

    def test_client_of_two_users_counts_once(self, browser, owner, stranger):
        """I1: the home page shows the number of unique clients."""
        make_client(owner, "ivan@example.com")
        make_client(stranger, "Ivan@Example.com")
        make_client(owner, "anna@example.com")
        assert number(browser().get("/").text, "unique-clients") == 2

    def test_empty_service_shows_zeros(self, browser):
        html = browser().get("/").text
        assert [
            number(html, n) for n in ("mailings-in-all", "active-mailings", "unique-clients")
        ] == [0, 0, 0]


class TestPosts:
    def test_three_at_random(self, browser):
        """I1: the home page shows three random blog posts."""
        for n in range(8):
            make_post(f"Post {n}")
        seen = set()
        for _ in range(20):
            get_generation().change()
            shown = titles(browser().get("/").text)
            assert len(shown) == 3
            seen.add(frozenset(shown))
        assert len(seen) > 1

    def test_they_are_in_the_language_of_the_page(self, browser):
        make_post("Post 1")
        make_post("Post 2", language="ru", slug="post-2")
        assert titles(browser().get("/").text) == {"Post 1"}
        assert titles(browser().get("/ru/").text) == {"Post 2"}

    def test_every_post_has_its_turn(self):
        for n in range(6):
            make_post(f"Post {n}")
        seen = {key for _ in range(200) for key in BlogPage.objects.published().some_keys(3)}
        assert len(seen) == 6

    @pytest.mark.parametrize(
        ("place", "expected"), [(0.0, "012"), (0.25, "123"), (0.5, "230"), (0.9, "012")]
    )
    def test_they_go_on_from_a_random_place(self, monkeypatch, place, expected):
        posts = [make_post(f"Post {n}", shuffle=n / 5 + 0.1) for n in range(4)]
        monkeypatch.setattr("blog.models.random_place", lambda: place)
        with CaptureQueriesContext(connection) as queries:
            found = BlogPage.objects.live().some_keys(3)
        assert found == [posts[int(n)].pk for n in expected]
        assert len(queries) == 1

    def test_picking_does_not_sort_all_of_them(self):
        """A place in an index is looked for, however many posts there are."""
        for n in range(4):
            make_post(f"Post {n}")
        with CaptureQueriesContext(connection) as queries:
            BlogPage.objects.published().some_keys(3)
        assert "RANDOM" not in str(queries.captured_queries).upper()
        assert '"shuffle" >= ' in str(queries.captured_queries)

    def test_fewer_where_there_are_fewer(self, browser):
        make_post("Post 1")
        assert titles(browser().get("/").text) == {"Post 1"}

    def test_no_heading_without_posts(self, browser):
        assert "From the blog" not in browser().get("/").text

    def test_drafts_stay_hidden(self, browser):
        make_post("Post 1").unpublish()
        assert not titles(browser().get("/").text)


class TestNewestPosts:
    """The block of posts as an editor may set it."""

    @pytest.fixture
    def show(self):
        def show(*choices: str) -> HomePage:
            home = HomePage.objects.get(locale__language_code="en")
            blocks = [{"title": f"Posts {which}", "which": which} for which in choices]
            home.body = json.dumps([{"type": "posts", "value": block} for block in blocks])
            home.save_revision().publish()
            get_generation().change()
            return home

        return show

    def test_they_are_the_newest_by_their_date(self, browser, show):
        for n in range(6):
            make_post(f"Post {n}", published_on=date(2026, 5, 9 - n))
        make_post("Post 7", language="ru", slug="post-7", published_on=date(2026, 5, 9))
        show("newest")
        for _ in range(4):
            get_generation().change()
            html = browser().get("/").text
            assert re.findall(r">(Post \d+)</a>", html) == ["Post 0", "Post 1", "Post 2"]

    def test_both_kinds_stand_on_one_page_and_cost_few_queries(self, browser, show):
        for n in range(6):
            make_post(f"Post {n}", published_on=date(2026, 5, 9 - n))
        asked = {}
        for choices in (["random"], ["random", "newest"]):
            show(*choices)
            browser().get("/")
            get_generation().change()
            with CaptureQueriesContext(connection) as queries:
                html = browser().get("/").text
            asked[len(choices)] = len(queries)
        random, newest = html.split("Posts newest")
        assert len(titles(random)) == 3
        assert titles(newest) == {"Post 0", "Post 1", "Post 2"}
        assert asked[2] == asked[1] + 1 <= 15

    def test_block_of_earlier_days_shows_posts_at_random(self, browser, show):
        for n in range(4):
            make_post(f"Post {n}")
        home = show("newest")
        body = [{"type": "posts", "value": {"title": "From the blog"}}]
        home.body = json.dumps(body)
        home.save()
        seen = set()
        for _ in range(20):
            get_generation().change()
            seen |= titles(browser().get("/").text)
        assert len(seen) == 4


class TestCallToAction:
    def test_stranger_is_invited(self, browser):
        html = browser().get("/").text
        assert 'href="/accounts/signup/"' in html
        assert "/dashboard/" not in html

    def test_user_is_led_to_the_workspace(self, browser, owner):
        html = browser(owner).get("/").text
        assert 'href="/dashboard/"' in html
        assert "/accounts/signup/" not in html
