"""What Wagtail gives editors, with the rights of their role: drafts, times, approval, comments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule
from wagtail.models import Comment, TaskState, WorkflowState
from wagtail.test.utils.form_data import nested_form_data, rich_text, streamfield

from accounts.models import EDITORS, User
from blog.models import BlogPage
from blog.snippets import Author, Category
from blog.tasks import publish_scheduled
from blog.tests.posts import get_blog, make_post
from conftest import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_editor(db) -> User:
    return make_user("second@example.com", EDITORS, first_name="Vera")


def fill_in(title: str, **fields: Any) -> dict[str, str]:
    return nested_form_data(
        {
            "title": title,
            "slug": "tea",
            "lead": "In short.",
            "published_on": "2026-05-09",
            "body": streamfield([("text", rich_text("<p>Hello.</p>"))]),
            "comments": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            "chosen_posts": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            **fields,
        }
    )


def add_post(browser, editor: User, **fields: Any) -> BlogPage:
    address = reverse("wagtailadmin_pages:add", args=("blog", "blogpage", get_blog().pk))
    assert browser(editor).post(address, fill_in("Tea", **fields)).status_code == 302
    return BlogPage.objects.get(slug="tea")


def edit(browser, editor: User, post: BlogPage, title: str, **fields: Any) -> None:
    address = reverse("wagtailadmin_pages:edit", args=(post.pk,))
    assert browser(editor).post(address, fill_in(title, **fields)).status_code == 302


class TestDrafts:
    def test_draft_is_seen_by_editors_alone(self, browser, editor):
        """P4: editors write at leisure."""
        post = add_post(browser, editor)
        assert not post.live
        assert browser().get("/blog/tea/").status_code == 404
        draft = reverse("wagtailadmin_pages:view_draft", args=(post.pk,))
        assert "Hello." in browser(editor).get(draft).text

    def test_readers_keep_the_old_text_until_the_new_is_published(
        self, browser, editor, django_capture_on_commit_callbacks
    ):
        post = add_post(browser, editor, **{"action-publish": "yes"})
        edit(browser, editor, post, "Coffee")
        assert "<h1>Tea</h1>" in browser().get("/blog/tea/").text
        with django_capture_on_commit_callbacks(execute=True):
            edit(browser, editor, post, "Coffee", **{"action-publish": "yes"})
        assert "<h1>Coffee</h1>" in browser().get("/blog/tea/").text

    def test_preview_shows_what_is_being_written(self, browser, editor):
        post = make_post("Tea")
        address = reverse("wagtailadmin_pages:preview_on_edit", args=(post.pk,))
        desk = browser(editor)
        assert desk.post(address, fill_in("Coffee")).json()["is_valid"]
        assert "<h1>Coffee</h1>" in desk.get(f"{address}?mode=").text

    def test_preview_alone_holds_what_checks_it(self, browser, editor):
        """The checks of the editor count words and look for faults by it; readers get no byte."""
        post = make_post("Tea")
        desk = browser(editor)
        address = reverse("wagtailadmin_pages:preview_on_edit", args=(post.pk,))
        desk.post(address, fill_in("Coffee"))
        draft = reverse("wagtailadmin_pages:view_draft", args=(post.pk,))
        for preview in (f"{address}?mode=&in_preview_panel=true", draft):
            assert "wagtail-userbar" in desk.get(preview).text
        assert "wagtail-userbar" not in desk.get(post.url).text
        assert "wagtail-userbar" not in browser().get(post.url).text


class TestTimes:
    def test_post_comes_and_goes_by_the_clock(self, browser, editor):
        """A worker looks every minute."""
        now = timezone.now()
        soon = timezone.localtime(now + timedelta(hours=1)).strftime("%Y-%m-%d %H:%M")
        post = add_post(browser, editor, go_live_at=soon, **{"action-publish": "yes"})
        publish_scheduled()
        assert browser().get("/blog/tea/").status_code == 404
        post.refresh_from_db()
        revision = post.scheduled_revision
        # An hour later, that is.
        revision.approved_go_live_at = now - timedelta(minutes=1)
        revision.content["go_live_at"] = revision.approved_go_live_at.isoformat()
        revision.save()
        publish_scheduled()
        assert browser().get("/blog/tea/").status_code == 200

    def test_the_worker_is_told_to_look(self):
        assert Schedule.objects.filter(func="blog.tasks.publish_scheduled", minutes=1).exists()


class TestApproval:
    def submit(self, browser, editor: User) -> BlogPage:
        return add_post(browser, editor, **{"action-submit": "yes"})

    def decide(self, browser, editor: User, post: BlogPage, action: str, comment: str) -> int:
        [state] = TaskState.objects.filter(status="in_progress")
        address = reverse("wagtailadmin_pages:workflow_action", args=(post.pk, action, state.pk))
        return browser(editor).post(address, {"comment": comment}).status_code

    def test_second_editor_approves_and_it_is_published(self, browser, editor, other_editor):
        post = self.submit(browser, editor)
        assert not post.live
        assert self.decide(browser, other_editor, post, "approve", "Good.") in {200, 302}
        assert browser().get("/blog/tea/").status_code == 200
        assert WorkflowState.objects.get().status == "approved"

    def test_letter_leads_to_the_post_at_the_address_of_the_site(
        self, browser, editor, other_editor, settings
    ):
        """Also after SITE_URL has changed; the site learns of it by `migrate`."""
        settings.SITE_URL = "https://news.example.com"
        call_command("migrate", verbosity=0)
        post = self.submit(browser, editor)
        self.decide(browser, other_editor, post, "approve", "Good.")
        [letter] = [one for one in mail.outbox if one.to == [editor.email]]
        assert "https://news.example.com/blog/tea/" in letter.body
        assert "testserver/blog/" not in letter.body

    def test_second_editor_sends_it_back_with_a_reason(self, browser, editor, other_editor):
        post = self.submit(browser, editor)
        self.decide(browser, other_editor, post, "reject", "Too long.")
        assert TaskState.objects.get().comment == "Too long."
        assert browser().get("/blog/tea/").status_code == 404

    def test_it_waits_on_the_dashboard_of_the_others(self, browser, editor, other_editor):
        self.submit(browser, editor)
        assert "Tea" in browser(other_editor).get("/admin/").text

    @pytest.mark.parametrize("person", ["owner", "manager"])
    def test_nobody_else_approves(self, browser, editor, request, person):
        post = self.submit(browser, editor)
        self.decide(browser, request.getfixturevalue(person), post, "approve", "")
        post.refresh_from_db()
        assert not post.live


def a_comment(comment: Comment | None = None, **fields: Any) -> dict[str, Any]:
    """Return what the form says of the only comment on a page, a new one unless it is given."""
    return {
        "TOTAL_FORMS": 1,
        "INITIAL_FORMS": 1 if comment else 0,
        "0": {
            "text": "Shorter?",
            "contentpath": "lead",
            "position": "",
            "id": comment.pk if comment else "",
            "resolved": "",
            "replies": {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0},
            **fields,
        },
    }


def addressees() -> set[str]:
    return {address for letter in mail.outbox for address in letter.to}


class TestComments:
    def test_editors_talk_about_a_place_in_the_text(self, browser, editor, other_editor):
        post = make_post("Tea")
        edit(browser, other_editor, post, "Tea", comments=a_comment())
        assert Comment.objects.get().text == "Shorter?"
        address = reverse("wagtailadmin_pages:edit", args=(post.pk,))
        assert "Shorter?" in browser(editor).get(address).text
        assert "Shorter?" not in browser().get("/blog/tea/").text

    def test_wagtail_writes_to_those_it_concerns(self, browser, editor, other_editor):
        """To who made the page, who takes part and who switched it on; to nobody else."""
        make_user("third@example.com", EDITORS)
        listener = make_user("listener@example.com", EDITORS)
        # The switch stands in the panel of comments, on for who makes a page.
        post = add_post(browser, editor, comment_notifications="on")
        edit(browser, listener, post, "Tea", comment_notifications="on")
        mail.outbox.clear()
        edit(browser, other_editor, post, "Tea", comments=a_comment())
        assert addressees() == {"editor@example.com", "listener@example.com"}
        mail.outbox.clear()
        reply = {"id": "", "text": "Yes."}
        replies = {"TOTAL_FORMS": 1, "INITIAL_FORMS": 0, "0": reply}
        answered = a_comment(Comment.objects.get(), replies=replies)
        edit(browser, editor, post, "Tea", comments=answered, comment_notifications="on")
        assert addressees() == {"second@example.com", "listener@example.com"}


class TestFiling:
    @pytest.mark.parametrize(("kind", "model"), [("category", Category), ("author", Author)])
    def test_editor_keeps_categories_and_authors(self, browser, editor, kind, model):
        desk = browser(editor)
        address = f"/admin/snippets/blog/{kind}/"
        form = {"name": "Tea", "slug": "tea", "lead": "", "role": "", "about": "", "photo": ""}
        assert desk.post(f"{address}add/", form).status_code == 302
        assert model.objects.get().slug == "tea"
        assert desk.get(address).status_code == 200
        taken = desk.post(f"{address}add/", form)
        assert "taken already" in taken.text

    @pytest.mark.parametrize("person", ["owner", "manager"])
    def test_others_do_not(self, browser, request, person):
        desk = browser(request.getfixturevalue(person))
        desk.post("/admin/snippets/blog/category/add/", {"name": "Tea", "slug": "tea", "lead": ""})
        assert not Category.objects.exists()

    def test_post_offers_the_categories_of_its_language(self, browser, editor):
        Category.objects.create(name="Tea", slug="tea", locale=get_blog("en").locale)
        Category.objects.create(name="Чай", slug="chai", locale=get_blog("ru").locale)
        for language, here, there in [("en", "Tea", "Чай"), ("ru", "Чай", "Tea")]:
            blog = get_blog(language)
            address = reverse("wagtailadmin_pages:add", args=("blog", "blogpage", blog.pk))
            choices = browser(editor).get(address).context["form"].fields["categories"].queryset
            assert [category.name for category in choices] == [here], there


class TestTranslation:
    def test_editor_translates_a_post(self, browser, editor):
        post = make_post("Tea")
        russian = get_blog("ru").locale
        address = reverse("simple_translation:submit_page_translation", args=(post.pk,))
        desk = browser(editor)
        assert desk.get(address).status_code == 200
        assert desk.post(address, {"locales": [russian.pk]}).status_code == 302
        translation = post.get_translation(russian)
        assert not translation.live
        assert translation.get_parent().pk == get_blog("ru").pk
