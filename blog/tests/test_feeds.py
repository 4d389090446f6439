"""Feeds of the blog."""

from __future__ import annotations

from datetime import date, timedelta
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

import pytest
from django.utils import timezone

from blog.models import BlogIndexPage, BlogPage
from blog.readings.models import today
from blog.snippets import Author, Category
from blog.tests.posts import get_blog, make_post

pytestmark = pytest.mark.django_db

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(autouse=True)
def posts():
    make_post("Older & wiser", published_on=date(2026, 5, 1))
    make_post("Newer", published_on=date(2026, 5, 2))
    make_post("Draft").unpublish()
    make_post("Другая", language="ru", slug="drugaya")


def test_rss_lists_the_newest_first(browser):
    response = browser().get("/blog/feed/")
    assert response["Content-Type"].startswith("application/rss+xml")
    items = ElementTree.fromstring(response.content).findall("channel/item")
    assert [item.findtext("title") for item in items] == ["Newer", "Older & wiser"]
    assert items[0].findtext("link") == "http://testserver/blog/newer/"
    assert items[0].findtext("pubDate") == "Sat, 02 May 2026 12:00:00 +0300"


@pytest.mark.parametrize(
    ("day", "came", "told"),
    [
        # In Moscow it is three hours later.
        (date(2026, 5, 9), "2026-05-09T05:30:00Z", "Sat, 09 May 2026 08:30:00 +0300"),
        (date(2026, 5, 9), "2026-05-08T21:30:00Z", "Sat, 09 May 2026 00:30:00 +0300"),
        (date(2026, 5, 9), "2026-05-09T21:30:00Z", "Sat, 09 May 2026 12:00:00 +0300"),
        (date(2026, 5, 9), None, "Sat, 09 May 2026 12:00:00 +0300"),
    ],
)
def test_post_has_the_moment_at_which_it_came_that_day(browser, day, came, told):
    BlogPage.objects.filter(title="Newer").update(published_on=day, first_published_at=came)
    feed = ElementTree.fromstring(browser().get("/blog/feed/").content)
    assert feed.findtext("channel/item/pubDate") == told


@pytest.mark.parametrize("days", [0, 1])
def test_no_post_comes_from_the_future(browser, days):
    """A day to come may be left from before it was refused."""
    day = today() + timedelta(days=days)
    BlogPage.objects.filter(title="Newer").update(published_on=day, first_published_at=None)
    feed = ElementTree.fromstring(browser().get("/blog/feed/").content)
    told = parsedate_to_datetime(feed.findtext("channel/item/pubDate"))
    assert told <= timezone.now()


def test_atom_says_the_same(browser):
    response = browser().get("/blog/feed/atom/")
    assert response["Content-Type"].startswith("application/atom+xml")
    entries = ElementTree.fromstring(response.content).findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == ["Newer", "Older & wiser"]


def test_each_language_has_its_own(browser):
    feed = ElementTree.fromstring(browser().get("/ru/blog/feed/").content)
    assert feed.findtext("channel/language") == "ru"
    assert [title.text for title in feed.findall("channel/item/title")] == ["Другая"]


@pytest.mark.parametrize("feed", ["/blog/feed/", "/blog/feed/atom/"])
def test_they_stand_what_xml_does_not(browser, feed):
    """A character pasted unseen takes no feed away from everybody."""
    spoilt = "T\x0be\x1fa\ufffe"
    locale = get_blog().locale
    author = Author.objects.create(name=spoilt, slug="tea", locale=locale)
    post = make_post("Tea", lead=spoilt, author=author)
    post.categories.add(Category.objects.create(name=spoilt, slug="tea", locale=locale))
    post.save()
    BlogPage.objects.update(title=spoilt)
    BlogIndexPage.objects.update(title=spoilt, lead=spoilt)
    ElementTree.fromstring(browser().get(feed).content)
    ElementTree.fromstring(browser().get("/sitemap.xml").content)


def test_pages_name_them(browser):
    for page in ("/blog/", "/blog/newer/"):
        html = browser().get(page).text
        assert 'type="application/rss+xml" title="Blog (RSS)" href="/blog/feed/"' in html
        assert 'href="/blog/feed/atom/"' in html
