"""A blog post and its views."""

from __future__ import annotations

import json
from datetime import date

import pytest
from wagtail.images.models import Image

from accounts.models import User
from blog.models import BlogPage
from blog.tests.posts import make_post
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db


def count(post: BlogPage) -> int:
    return BlogPage.objects.get(pk=post.pk).view_count


class TestPage:
    def test_it_shows_every_part(self, browser):
        """T5: a post has a title, content, an image, a view count and a publication date."""
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        body = [
            {"type": "text", "value": "<p>Write <b>shorter</b>.</p>"},
            {"type": "quote", "value": {"text": "Less is more.", "author": "Mies"}},
            {
                "type": "image",
                "value": {"image": picture.pk, "alt_text": "A calm sea", "decorative": False},
            },
        ]
        post = make_post(
            "Short letters",
            image=picture,
            body=json.dumps(body),
            published_on=date(2026, 5, 9),
            view_count=41,
        )
        html = browser().get(post.url).text
        assert "<h1>Short letters</h1>" in html
        assert "Write <b>shorter</b>." in html
        assert "Less is more." in html
        assert "Mies" in html
        assert 'alt="A calm sea"' in html
        assert html.count("<img") == 3  # One is for readers without scripts.
        assert 'datetime="2026-05-09"' in html
        assert "41 views" in html

    def test_draft_is_not_found(self, browser):
        post = make_post()
        post.unpublish()
        assert browser().get(post.url).status_code == 404

    def test_picture_that_was_deleted_leaves_the_post(self, browser):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        post = make_post("Tea", image=picture)
        picture.delete()
        assert "<h1>Tea</h1>" in browser().get(post.url).text

    def test_picture_file_that_is_gone_leaves_the_post(self, browser):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        post = make_post("Tea", image=picture)
        picture.file.storage.delete(picture.file.name)
        assert "<h1>Tea</h1>" in browser().get(post.url).text


class TestViewCount:
    def test_page_and_list_show_it(self, browser):
        """I4: the blog shows how often each post was read."""
        post = make_post(view_count=7)
        assert "7 views" in browser().get(post.url).text
        assert "7 views" in browser().get("/blog/").text

    def test_publishing_keeps_it(self, editor: User):
        """I4: views that came while an editor was writing are not lost by publishing."""
        post = make_post()
        revision = post.save_revision(user=editor)
        BlogPage.objects.filter(pk=post.pk).update(view_count=1)
        revision.publish()
        assert count(post) == 1

    def test_saving_an_old_copy_keeps_it(self):
        post = make_post()
        BlogPage.objects.filter(pk=post.pk).update(view_count=1)
        post.title = "New title"
        post.save()
        assert count(post) == 1

    def test_copy_begins_at_zero(self):
        post = make_post(view_count=9)
        copy = post.copy(update_attrs={"slug": "copy", "title": "Copy"})
        assert count(copy) == 0

    def test_alias_begins_at_zero(self):
        """What repeats a post was read by nobody, and stands elsewhere among those on home."""
        post = make_post(view_count=9, shuffle=0.5)
        alias = post.create_alias(update_slug="repeated")
        place = BlogPage.objects.get(pk=alias.pk).shuffle
        assert (count(post), count(alias)) == (9, 0)
        assert place != 0.5
        BlogPage.objects.filter(pk=alias.pk).update(view_count=4)
        post.save_revision().publish()
        assert count(alias) == 4
        assert BlogPage.objects.get(pk=alias.pk).shuffle == place
