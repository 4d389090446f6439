"""The pages that a fresh database has, and what becomes of those from before."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.contrib.auth.models import Group
from wagtail.models import GroupApprovalTask, GroupPagePermission, Locale, Page, Site, Workflow

from accounts.models import EDITORS, MANAGERS, USERS
from blog.models import BlogIndexPage
from home.models import HomePage

two_languages = import_module("home.migrations.0004_two_languages")
first_pages = import_module("home.migrations.0002_first_pages")


@pytest.mark.django_db
class TestFreshSite:
    def test_it_opens_at_our_home_page(self):
        site = Site.objects.get()
        assert site.is_default_site
        assert site.root_page.specific_class.__name__ == "HomePage"
        assert Page.objects.filter(depth=2).count() == 2
        assert Page.find_problems() == ([], [], [], [], [])

    def test_each_language_has_a_home_page_and_a_blog(self):
        """Both are translations of one another, so that the switch leads from one to the other."""
        assert set(Locale.objects.values_list("language_code", flat=True)) == {"en", "ru"}
        for model in (HomePage, BlogIndexPage):
            english, russian = model.objects.order_by("locale__language_code")
            assert english.translation_key == russian.translation_key
            assert (english.locale.language_code, russian.locale.language_code) == ("en", "ru")

    def test_home_pages_say_what_the_service_does(self, browser):
        for address, words in {
            "/": "Mailings that go out on time",
            "/ru/": "Рассылки, которые уходят вовремя",
        }.items():
            html = browser().get(address).text
            assert words in html
            assert html.count("<h1>") == 1
            assert html.count("<h2>") == 5
            assert html.count('class="feature"') == 6

    def test_only_our_roles_are_there(self):
        assert set(Group.objects.values_list("name", flat=True)) == {USERS, MANAGERS, EDITORS}

    def test_editors_may_write_in_both_languages(self):
        """P4: an editor writes the blog and the home page."""
        rights = GroupPagePermission.objects.filter(group__name=EDITORS)
        for home in HomePage.objects.all():
            assert rights.filter(page=home).count() == 3

    def test_a_second_editor_approves(self):
        task = GroupApprovalTask.objects.get()
        assert [group.name for group in task.groups.all()] == [EDITORS]
        assert Workflow.objects.get().name == "Second pair of eyes"


class TestPageFromBefore:
    """What editors wrote before there were blocks for everything stays."""

    texts = first_pages.TEXTS["ru"]

    def arrange(self, headline: str, body: list) -> tuple[list[str], list]:
        blocks = two_languages.arrange(headline, self.texts["lead"], body, "ru")
        return [block["type"] for block in blocks], blocks

    def body_as_made(self) -> list:
        features = [{"title": t, "text": x} for t, x in self.texts["features"]]
        value = {"title": self.texts["features_title"], "features": features}
        return [{"type": "features", "value": value, "id": "1"}]

    def test_what_nobody_changed_gets_the_new_text(self):
        kinds, _blocks = self.arrange(self.texts["headline"], self.body_as_made())
        assert kinds == [
            "hero",
            "numbers",
            "features",
            "steps",
            "quotes",
            "posts",
            "questions",
            "call",
        ]

    def test_a_new_headline_is_kept(self):
        kinds, blocks = self.arrange("Наш заголовок", self.body_as_made())
        assert kinds == ["hero", "numbers", "features", "posts", "call"]
        assert blocks[0]["value"]["title"] == "Наш заголовок"
        assert blocks[2] == self.body_as_made()[0]

    def test_a_new_body_is_kept(self):
        body = [{"type": "text", "value": "<p>О нас</p>", "id": "1"}]
        kinds, blocks = self.arrange(self.texts["headline"], body)
        assert kinds == ["hero", "numbers", "text", "posts", "call"]
        assert blocks[2] == body[0]
