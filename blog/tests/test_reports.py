"""The reports of views: by post, and of a post by day."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.models import GroupPagePermission

from blog.models import BlogPage
from blog.readings.models import DailyViews, today
from blog.reports import Period, draw
from blog.tests.posts import get_blog, make_post
from conftest import make_user

pytestmark = pytest.mark.django_db

ALL = "/admin/reports/views/"


def add_views(post: BlogPage, views: int, days_ago: int = 0) -> None:
    day = today() - timedelta(days=days_ago)
    DailyViews.objects.create(post=post, day=day, views=views)
    BlogPage.objects.filter(pk=post.pk).update(view_count=views)


def make_draft(title: str) -> BlogPage:
    """Write a post that was never published."""
    draft = BlogPage(title=title, lead=title, body="[]", live=False)
    get_blog().add_child(instance=draft)
    return draft


def rows_of(response) -> list[dict[str, str]]:
    content = b"".join(response).decode()
    return list(csv.DictReader(io.StringIO(content)))


class TestWho:
    @pytest.mark.parametrize("person", ["editor", "administrator"])
    def test_sees_it(self, browser, request, person):
        """I4: editors see how often each post was read."""
        post = make_post("Tea")
        add_views(post, 12)
        desk = browser(request.getfixturevalue(person))
        for address in (ALL, f"{ALL}results/", f"{ALL}{post.pk}/", f"{ALL}{post.pk}/results/"):
            response = desk.get(address)
            assert response.status_code == 200, address
            assert "12" in response.text
        assert f'href="{ALL}"' in desk.get("/admin/").text.replace('"url": "', 'href="')

    @pytest.mark.parametrize("person", ["owner", "manager"])
    def test_does_not(self, browser, request, person):
        post = make_post("Tea")
        desk = browser(request.getfixturevalue(person))
        for address in (ALL, f"{ALL}results/", f"{ALL}{post.pk}/"):
            response = desk.get(address, follow=True)
            assert "Tea" not in response.text
            assert response.redirect_chain or response.status_code == 403
        assert ALL not in desk.get("/admin/", follow=True).text

    def test_draft_is_shown_to_those_who_may_edit_it(self, browser, editor):
        """A part in some pages of the site is none in all."""
        draft, post = make_draft("Secret plan"), make_post("Tea")
        reporter = make_user("reporter@example.com", None)
        group = Group.objects.create(name="Reporters")
        group.permissions.add(Permission.objects.get(codename="access_admin"))
        add = Permission.objects.get(content_type__app_label="wagtailcore", codename="add_page")
        GroupPagePermission.objects.create(group=group, page=get_blog("ru"), permission=add)
        reporter.groups.add(group)
        for tail in ("", "results/"):
            address = f"{ALL}{draft.pk}/{tail}"
            response = browser(reporter).get(address)
            assert response.status_code == 404
            assert "Secret plan" not in response.text
            assert browser(editor).get(address).status_code == 200
            assert browser(reporter).get(f"{ALL}{post.pk}/{tail}").status_code == 200

    def test_stranger_is_asked_to_log_in(self, browser):
        assert browser().get(ALL).status_code == 302


class TestPosts:
    def test_most_read_comes_first(self, browser, editor):
        for title, views in (("Tea", 3), ("Coffee", 7), ("Milk", 0)):
            add_views(make_post(title), views)
        rows = browser(editor).get(ALL).context["object_list"]
        assert [(row.title, row.period_views) for row in rows] == [
            ("Coffee", 7),
            ("Tea", 3),
            ("Milk", 0),
        ]

    def test_days_can_be_chosen(self, browser, editor):
        post = make_post("Tea")
        add_views(post, 5)
        add_views(post, 70, days_ago=40)
        desk = browser(editor)
        assert desk.get(ALL).context["object_list"][0].period_views == 5
        start = today() - timedelta(days=50)
        end = today() - timedelta(days=30)
        response = desk.get(ALL, {"day_from": start.isoformat(), "day_to": end.isoformat()})
        assert response.context["object_list"][0].period_views == 70
        assert response.context["chart"]["total"] == 70

    def test_language_and_words(self, browser, editor):
        add_views(make_post("Tea"), 1)
        russian = make_post("Чай", "ru")
        add_views(russian, 2)
        desk = browser(editor)
        response = desk.get(ALL, {"locale": russian.locale_id})
        assert [row.title for row in response.context["object_list"]] == ["Чай"]
        assert response.context["chart"]["total"] == 2
        response = desk.get(ALL, {"q": "чай"})
        assert [row.title for row in response.context["object_list"]] == ["Чай"]
        assert response.context["chart"]["total"] == 2

    def test_export(self, browser, editor):
        add_views(make_post("=Tea"), 4)
        rows = rows_of(browser(editor).get(ALL, {"export": "csv"}))
        assert rows[0]["Views in these days"] == "4"
        assert rows[0]["Title"] == "'=Tea"
        assert rows[0]["Address"].startswith("http://testserver/blog/")
        assert browser(editor).get(ALL, {"export": "xlsx"}).status_code == 200

    def test_nobody_read_anything(self, browser, editor):
        assert "Nobody has read anything yet." in browser(editor).get(ALL).text

    @pytest.mark.parametrize(
        ("ordering", "titles"),
        [
            ("title", ["Coffee", "Tea"]),
            ("-title", ["Tea", "Coffee"]),
            ("-view_count", ["Coffee", "Tea"]),
            ("view_count", ["Tea", "Coffee"]),
            ("published_on", ["Coffee", "Tea"]),
            ("-published_on", ["Tea", "Coffee"]),
        ],
    )
    def test_order(self, browser, editor, ordering, titles):
        """Coffee was read more in all, and Tea more in these days: it comes first unasked."""
        coffee = make_post("Coffee", published_on=date(2026, 5, 1))
        add_views(make_post("Tea", published_on=date(2026, 5, 9)), 7)
        add_views(coffee, 3)
        add_views(coffee, 70, days_ago=40)
        rows = browser(editor).get(ALL, {"ordering": ordering}).context["object_list"]
        assert [row.title for row in rows] == titles

    def test_order_that_makes_no_sense(self, browser, editor):
        for title, views in (("Coffee", 3), ("Tea", 7)):
            add_views(make_post(title), views)
        rows = browser(editor).get(ALL, {"ordering": "nonsense"}).context["object_list"]
        assert [row.title for row in rows] == ["Tea", "Coffee"]

    def test_it_costs_the_same_for_many_posts(self, browser, editor):
        desk = browser(editor)
        numbers = []
        for count in (1, 6):
            for number in range(count):
                add_views(make_post(f"Post {count} {number}"), number)
            with CaptureQueriesContext(connection) as queries:
                desk.get(ALL)
            numbers.append(len(queries))
        assert numbers[0] == numbers[1]

    @pytest.mark.parametrize(
        "query",
        [
            {"day_from": "yesterday"},
            {"day_from": "2026-05-09", "day_to": "2026-05-01"},
            {"day_from": "0001-01-01"},
            {"day_to": "0001-01-01"},
            {"day_to": "9999-12-31"},
        ],
    )
    def test_days_that_make_no_sense(self, browser, editor, query):
        make_post("Tea")
        assert browser(editor).get(ALL, query).status_code == 200


class TestOnePost:
    def test_its_days(self, browser, editor):
        post = make_post("Tea")
        for days_ago in (0, 1, 45):
            add_views(post, 10 + days_ago, days_ago)
        address = reverse("post_views_report", args=[post.pk])
        response = browser(editor).get(address)
        assert [row.views for row in response.context["object_list"]] == [10, 11, 55]
        assert response.context["chart"]["total"] == 21
        assert reverse("wagtailadmin_pages:edit", args=[post.pk]) in response.text
        rows = rows_of(browser(editor).get(address, {"export": "csv"}))
        assert [row["Views"] for row in rows] == ["10", "11", "55"]

    def test_no_such_post(self, browser, editor):
        assert browser(editor).get(f"{ALL}999999/").status_code == 404


class TestChart:
    def test_every_day_has_its_place(self):
        post = make_post()
        DailyViews.objects.create(post=post, day=date(2026, 5, 1), views=1)
        DailyViews.objects.create(post=post, day=date(2026, 5, 3), views=200)
        chart = draw(Period(date(2026, 5, 1), date(2026, 5, 4)), DailyViews.objects.all())
        # What is little is seen all the same.
        assert [(bar.views, bar.height) for bar in chart["bars"]] == [
            (1, 1),
            (0, 0),
            (200, 100),
            (0, 0),
        ]
        assert (chart["total"], chart["highest"]) == (201, 200)

    def test_long_time_is_shown_by_months(self):
        post = make_post()
        for month, views in ((1, 3), (1, 4), (12, 5)):
            day = date(2026, month, 5 + views)
            DailyViews.objects.create(post=post, day=day, views=views)
        chart = draw(Period(date(2026, 1, 1), date(2026, 12, 31)), DailyViews.objects.all())
        assert [bar.views for bar in chart["bars"]] == [7, *[0] * 10, 5]

    def test_empty(self):
        chart = draw(Period(date(2026, 5, 1), date(2026, 5, 1)), DailyViews.objects.all())
        assert [bar.height for bar in chart["bars"]] == [0]
