"""The day under which a post stands: of its first publication, unless an editor chose one."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone
from wagtail.models import Locale, PageLogEntry
from wagtail.test.utils.form_data import nested_form_data, streamfield

from blog.forms import BlogPageForm
from blog.models import BlogPage
from blog.readings.models import today
from blog.tasks import publish_scheduled
from blog.tests.posts import get_blog, make_post

pytestmark = pytest.mark.django_db

BEGUN = date(2026, 5, 1)


def make_draft(title: str = "Tea", day: date = BEGUN) -> BlogPage:
    """Begin a draft on the first of May; its day may be another one."""
    body = json.dumps([{"type": "text", "value": "<p>Write shorter.</p>"}])
    post = BlogPage(title=title, lead="In short.", body=body, published_on=day, live=False)
    get_blog().add_child(instance=post)
    post.save_revision()
    begun = datetime(2026, 5, 1, 12, tzinfo=timezone.get_default_timezone())
    PageLogEntry.objects.filter(page=post.pk).update(timestamp=begun)
    return BlogPage.objects.get(pk=post.pk)


def read(post: BlogPage) -> tuple[date, date]:
    """Return the day of the live post and the one that its next edit begins with."""
    row = BlogPage.objects.get(pk=post.pk)
    return row.published_on, row.get_latest_revision_as_object().published_on


class TestFirstPublication:
    def test_draft_gets_the_day(self):
        post = make_draft()
        post.latest_revision.publish()
        assert read(post) == (today(), today())

    def test_scheduled_post_gets_the_day_on_which_it_comes(self):
        post = make_draft()
        post.go_live_at = timezone.now() + timedelta(hours=1)
        revision = post.save_revision()
        revision.publish()
        assert read(post) == (BEGUN, BEGUN)
        revision.refresh_from_db()
        revision.approved_go_live_at = timezone.now() - timedelta(minutes=1)
        revision.content["go_live_at"] = revision.approved_go_live_at.isoformat()
        revision.save()
        publish_scheduled()
        assert read(post) == (today(), today())

    def test_newer_draft_does_not_put_the_old_day_back(self):
        post = make_draft()
        first = post.latest_revision
        post.title = "Coffee"
        post.save_revision()
        first.publish()
        assert read(post) == (today(), today())
        BlogPage.objects.get(pk=post.pk).latest_revision.publish()
        assert read(post) == (today(), today())

    def test_day_that_an_editor_chose_stays(self):
        day = date(2026, 3, 8)
        post = make_draft(day=day)
        post.latest_revision.publish()
        assert read(post) == (day, day)

    def test_it_is_the_day_of_the_site(self, settings):
        """At 23:30 UTC it is the next day in Moscow."""
        post = make_draft()
        post.live = True
        post.first_published_at = datetime(2026, 5, 3, 23, 30, tzinfo=UTC)
        post.last_published_at = post.first_published_at
        with timezone.override("UTC"):
            post.save()
        assert post.published_on == date(2026, 5, 4)

    def test_it_stands_first(self, browser):
        make_post("Older", published_on=today() - timedelta(days=1))
        post = make_draft()
        post.latest_revision.publish()
        html = browser().get("/blog/").text
        assert html.index("/blog/tea/") < html.index("/blog/older/")
        page = browser().get("/blog/tea/").text
        assert f'"datePublished": "{today().isoformat()}"' in page
        assert f'datetime="{today().isoformat()}"' in page


class TestLater:
    def test_editors_may_change_it(self):
        post = make_draft()
        post.latest_revision.publish()
        post = BlogPage.objects.get(pk=post.pk)
        post.published_on = BEGUN
        post.save_revision().publish()
        assert read(post) == (BEGUN, BEGUN)

    def test_taking_down_and_publishing_again_leaves_it(self):
        post = make_draft()
        post.latest_revision.publish()
        BlogPage.objects.filter(pk=post.pk).update(published_on=BEGUN)
        post = BlogPage.objects.get(pk=post.pk)
        post.unpublish()
        post.save_revision().publish()
        assert read(post) == (BEGUN, BEGUN)

    def test_saving_a_live_post_leaves_it(self):
        """What an older version published keeps the day that readers know."""
        post = make_draft()
        post.latest_revision.publish()
        BlogPage.objects.filter(pk=post.pk).update(published_on=BEGUN)
        BlogPage.objects.get(pk=post.pk).save()
        assert read(post)[0] == BEGUN


class TestOthers:
    def test_alias_follows(self):
        post = make_draft()
        alias = post.create_alias(update_slug="again")
        post.latest_revision.publish()
        alias.refresh_from_db()
        assert alias.published_on == today()

    def test_alias_begun_on_a_chosen_day_follows_too(self):
        day = date(2026, 3, 8)
        post = make_draft(day=day)
        alias = post.create_alias(update_slug="again")
        made = datetime(2026, 3, 8, 12, tzinfo=timezone.get_default_timezone())
        PageLogEntry.objects.filter(page=alias.pk).update(timestamp=made)
        post.latest_revision.publish()
        alias.refresh_from_db()
        assert alias.published_on == day

    def test_translation_keeps_the_day_of_what_was_published(self):
        post = make_post("Tea", published_on=date(2026, 3, 8))
        translation = post.copy_for_translation(Locale.objects.get(language_code="ru"))
        translation.get_latest_revision().publish()
        assert read(translation) == (date(2026, 3, 8),) * 2

    def test_translated_draft_is_begun_anew(self):
        post = make_draft()
        translation = post.copy_for_translation(Locale.objects.get(language_code="ru"))
        assert translation.get_latest_revision_as_object().published_on == today()


class TestForm:
    def errors(self, day: date) -> list[str]:
        sent = {"published_on": day.isoformat(), "body": streamfield([])}
        form = BlogPage.get_edit_handler().get_form_class()(
            nested_form_data(sent),
            instance=BlogPage(locale=get_blog().locale),
            parent_page=get_blog(),
        )
        assert isinstance(form, BlogPageForm)
        return form.errors.get("published_on", [])

    def test_day_to_come_is_refused(self):
        assert "schedule" in self.errors(today() + timedelta(days=1))[0]

    @pytest.mark.parametrize("days", [0, 1, 200])
    def test_others_are_not(self, days):
        assert self.errors(today() - timedelta(days=days)) == []
