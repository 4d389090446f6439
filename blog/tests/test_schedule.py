"""Posts that come and go by the clock: one that fails loses nothing and keeps no other back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from wagtail.models import PageLogEntry
from wagtail.signals import page_published, page_unpublished

from blog.models import BlogPage
from blog.tasks import publish_scheduled
from blog.tests.posts import make_post

pytestmark = pytest.mark.django_db


def make_due(title: str, minutes: int) -> BlogPage:
    """Schedule a post and let its time come, so many minutes ago."""
    post = make_post(title)
    post.unpublish()
    post.go_live_at = timezone.now() + timedelta(hours=1)
    revision = post.save_revision()
    revision.publish()
    revision.approved_go_live_at = timezone.now() - timedelta(minutes=minutes)
    revision.content["go_live_at"] = revision.approved_go_live_at.isoformat()
    revision.save()
    return BlogPage.objects.get(pk=post.pk)


def make_expired(title: str, minutes: int) -> BlogPage:
    post = make_post(title)
    over = timezone.now() - timedelta(minutes=minutes)
    BlogPage.objects.filter(pk=post.pk).update(expire_at=over)
    return post


def is_scheduled(post: BlogPage) -> bool:
    return BlogPage.objects.get(pk=post.pk).scheduled_revision is not None


def is_live(post: BlogPage) -> bool:
    return BlogPage.objects.get(pk=post.pk).live


@pytest.fixture
def trouble() -> Iterator[set[str]]:
    """Return a set of titles; publishing or taking down a post with one of them fails."""
    titles: set[str] = set()

    def fail(instance: BlogPage, **signal: object) -> None:
        if instance.title in titles:
            raise RuntimeError("no luck")

    for signal in (page_published, page_unpublished):
        signal.connect(fail)
    yield titles
    for signal in (page_published, page_unpublished):
        signal.disconnect(fail)


class TestComing:
    def test_what_fails_stays_scheduled(self, trouble, caplog):
        first, second = make_due("First", 9), make_due("Second", 1)
        trouble.add("First")
        publish_scheduled()
        assert (is_live(first), is_live(second)) == (False, True)
        assert is_scheduled(first)
        assert "no luck" in caplog.text
        trouble.clear()
        publish_scheduled()
        assert is_live(first)
        assert not is_scheduled(first)

    def test_it_is_written_down(self):
        post = make_due("Tea", 1)
        publish_scheduled()
        assert PageLogEntry.objects.filter(
            page=post.pk, action="wagtail.publish.scheduled"
        ).exists()

    def test_locked_post_comes_too(self):
        """As with Wagtail's own command: a scheduled post is locked by its schedule."""
        post = make_due("Tea", 1)
        BlogPage.objects.filter(pk=post.pk).update(locked=True)
        publish_scheduled()
        assert is_live(post)

    def test_what_is_not_due_waits(self):
        post = make_due("Tea", -5)
        publish_scheduled()
        assert not is_live(post)


class TestGoing:
    def test_what_fails_stays_due(self, trouble, caplog):
        first, second = make_expired("First", 9), make_expired("Second", 1)
        trouble.add("First")
        publish_scheduled()
        assert (is_live(first), is_live(second)) == (True, False)
        assert "no luck" in caplog.text
        trouble.clear()
        publish_scheduled()
        assert not is_live(first)
        assert BlogPage.objects.get(pk=first.pk).expired

    def test_trouble_there_keeps_no_other_from_coming(self, trouble):
        make_expired("First", 9)
        post = make_due("Second", 1)
        trouble.add("First")
        publish_scheduled()
        assert is_live(post)
