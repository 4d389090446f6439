"""The newest posts for feed readers, as RSS and as Atom."""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING

from config.addresses import absolute
from django.http import HttpResponse
from django.utils import timezone
from django.utils.feedgenerator import Atom1Feed, Rss201rev2Feed, SyndicationFeed

from blog.dating import day_of
from blog.text import fit_for_xml

if TYPE_CHECKING:
    from blog.models import BlogIndexPage, BlogPage

NEWEST = 20


def rss(blog: BlogIndexPage) -> HttpResponse:
    return respond(blog, Rss201rev2Feed, "feed/")


def atom(blog: BlogIndexPage) -> HttpResponse:
    return respond(blog, Atom1Feed, "feed/atom/")


def respond(blog: BlogIndexPage, kind: type[SyndicationFeed], place: str) -> HttpResponse:
    feed = kind(
        title=fit_for_xml(blog.title),
        link=absolute(blog.url),
        description=fit_for_xml(blog.lead or blog.title),
        language=blog.locale.language_code,
        feed_url=absolute(f"{blog.url}{place}"),
    )
    for post in blog.get_newest(NEWEST):
        add_item(feed, post)

    response = HttpResponse(content_type=feed.content_type)
    feed.write(response, "utf-8")
    return response


def moment_of(post: BlogPage) -> datetime:
    """Return when a post came: the moment if it was that day, else its noon, and never one to come."""
    zone = timezone.get_default_timezone()
    first = post.first_published_at
    if first and day_of(first) == post.published_on:
        return timezone.localtime(first, zone)
    noon = timezone.make_aware(datetime.combine(post.published_on, time(12)), zone)
    return min(noon, timezone.localtime(timezone=zone))


def add_item(feed: SyndicationFeed, post: BlogPage) -> None:
    feed.add_item(
        title=fit_for_xml(post.title),
        link=absolute(post.url),
        description=fit_for_xml(post.lead),
        pubdate=moment_of(post),
        updateddate=post.last_published_at,
        author_name=fit_for_xml(post.author.name) if post.author else None,
        categories=[fit_for_xml(category.name) for category in post.categories.all()],
        unique_id=absolute(post.url),
    )
