"""What editors may do."""

from __future__ import annotations

import pytest
from django.urls import reverse
from wagtail.models import Page
from wagtail.test.utils.form_data import nested_form_data, rich_text, streamfield

from accounts.models import User
from blog.models import BlogPage
from blog.tests.posts import get_blog
from home.models import HomePage

pytestmark = pytest.mark.django_db


def post_form(**fields: str) -> dict[str, str]:
    body = streamfield([("text", rich_text("<p>Hello.</p>"))])
    return nested_form_data(
        {
            "title": "A new post",
            "slug": "a-new-post",
            "lead": "In short.",
            "published_on": "2026-05-09",
            "body": body,
            "comments": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            "chosen_posts": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            "action-publish": "yes",
            **fields,
        }
    )


def test_editor_publishes_a_post(browser, editor):
    """P4: an editor writes the blog."""
    blog = get_blog()
    address = reverse("wagtailadmin_pages:add", args=("blog", "blogpage", blog.pk))
    desk = browser(editor)
    assert desk.get(address).status_code == 200
    assert desk.post(address, post_form()).status_code == 302
    assert "A new post" in browser().get("/blog/a-new-post/").text


def test_editor_changes_the_home_page(browser, editor):
    """P4: an editor writes the home page."""
    home = HomePage.objects.get(locale__language_code="en")
    address = reverse("wagtailadmin_pages:edit", args=(home.pk,))
    form = nested_form_data(
        {
            "title": home.title,
            "slug": home.slug,
            "body": streamfield(
                [("hero", {"title": "Letters on time", "lead": "In short.", "note": ""})]
            ),
            "comments": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            "action-publish": "yes",
        }
    )
    assert browser(editor).post(address, form).status_code == 302
    assert "Letters on time" in browser().get("/").text


def test_editor_uploads_images(browser, editor):
    """P4: an editor adds images and documents to posts."""
    desk = browser(editor)
    assert desk.get(reverse("wagtailimages:add")).status_code == 200
    assert desk.get(reverse("wagtaildocs:add")).status_code == 200


def test_editor_touches_nothing_above_the_home_page(editor):
    root = Page.objects.get(depth=1)
    permissions = root.permissions_for_user(editor)
    assert not permissions.can_edit()
    assert not permissions.can_add_subpage()


def test_editor_has_no_right_on_mailings(editor):
    """P4: editors are the content team; mailings are none of their business."""
    assert not [name for name in editor.get_all_permissions() if name.startswith("mailings.")]


@pytest.mark.parametrize("person", ["owner", "manager"])
def test_others_write_no_pages(browser, request, person):
    user: User = request.getfixturevalue(person)
    blog = get_blog()
    address = reverse("wagtailadmin_pages:add", args=("blog", "blogpage", blog.pk))
    browser(user).post(address, post_form())
    assert not BlogPage.objects.exists()
