"""Categories, authors, tags, reading time and related posts."""

from __future__ import annotations

import json
from datetime import date
from urllib.parse import quote

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from wagtail.models import Locale

from blog.models import BlogPage, ChosenPost
from blog.snippets import Author, Category
from blog.tests.posts import get_blog, make_post

pytestmark = pytest.mark.django_db


def make_category(name: str = "Advice", **fields) -> Category:
    fields.setdefault("locale", get_blog().locale)
    return Category.objects.create(name=name, slug=name.lower(), **fields)


def make_author(name: str = "Anna Orlova", **fields) -> Author:
    fields.setdefault("locale", get_blog().locale)
    return Author.objects.create(name=name, slug=name.split()[0].lower(), **fields)


def file_post(title: str, *, categories=(), tags=(), **fields) -> BlogPage:
    post = make_post(title, **fields)
    post.categories.set(categories)
    post.tags.set(tags)
    post.save_revision().publish()
    return BlogPage.objects.get(pk=post.pk)


class TestLists:
    @pytest.fixture(autouse=True)
    def posts(self):
        advice = make_category(lead="What helps.")
        anna = make_author(role="Editor", about="Writes letters.")
        file_post("Filed", categories=[advice], tags=["e-mail", "чай"], author=anna)
        make_post("Loose")

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("category/advice/", "What helps."),
            ("author/anna/", "Writes letters."),
            ("tag/e-mail/", "#e-mail"),
            ("tag/чай/", "#чай"),
        ],
    )
    def test_each_has_an_address(self, browser, address, words):
        html = browser().get(f"/blog/{address}").text
        assert words in html
        assert "/blog/filed/" in html
        assert "/blog/loose/" not in html
        canonical = f"http://testserver/blog/{quote(address)}"
        assert f'<link rel="canonical" href="{canonical}">' in html

    @pytest.mark.parametrize("address", ["category/no/", "author/no/", "tag/no/", "category/"])
    def test_what_is_none_is_not_found(self, browser, address):
        assert browser().get(f"/blog/{address}").status_code == 404

    def test_post_leads_to_all_of_them(self, browser):
        html = browser().get("/blog/filed/").text
        for address in ("category/advice/", "author/anna/", "tag/e-mail/"):
            assert f'href="/blog/{address}"' in html

    def test_blog_offers_the_categories_that_have_something(self, browser):
        make_category("Empty")
        html = browser().get("/blog/").text
        assert "/blog/category/advice/" in html
        assert "/blog/category/empty/" not in html

    def test_post_in_a_category_and_its_translation_is_listed_once(self, browser):
        advice = Category.objects.get(slug="advice")
        translation = advice.copy_for_translation(Locale.objects.get(language_code="ru"))
        translation.save()
        file_post("Both", categories=[advice, translation])
        html = browser().get("/blog/category/advice/").text
        assert html.count('href="/blog/both/"') == 1

    def test_each_list_is_kept_by_itself(self, browser):
        """The cache does not give one list for another."""
        reader = browser()
        assert "/blog/loose/" in reader.get("/blog/").text
        assert "/blog/loose/" not in reader.get("/blog/category/advice/").text
        assert "/blog/loose/" in reader.get("/blog/").text


class TestSlugs:
    def test_two_of_a_language_cannot_share_an_address(self):
        first = make_category()
        second = Category(name="Other", slug=first.slug, locale=first.locale)
        with pytest.raises(ValidationError):
            second.full_clean()
        with pytest.raises(IntegrityError), transaction.atomic():
            second.save()

    def test_translations_can(self):
        translation = make_category().copy_for_translation(Locale.objects.get(language_code="ru"))
        translation.full_clean()
        translation.save()


class TestTranslation:
    def test_translated_post_is_filed_under_the_translations(self):
        russian = Locale.objects.get(language_code="ru")
        advice, news, anna = make_category(), make_category("News"), make_author()
        for thing in (advice, anna):
            thing.copy_for_translation(russian).save()
        post = file_post("Tea", categories=[advice, news], author=anna)
        translation = post.copy_for_translation(russian)
        draft = BlogPage.objects.get(pk=translation.pk).get_latest_revision_as_object()
        assert [category.locale for category in draft.categories.all()] == [russian]
        assert draft.author.locale == russian


class TestAuthorOfAnotherLanguage:
    """A byline leads to the list of the author in the language of the post, if there is one."""

    def read(self, browser, author: Author) -> str:
        make_post("Чай", "ru", slug="tea", author=author)
        return browser().get("/ru/blog/tea/").text

    def test_it_leads_to_the_translation(self, browser):
        anna = make_author(about="Writes letters.")
        translation = anna.copy_for_translation(Locale.objects.get(language_code="ru"))
        translation.slug = "anya"
        translation.save()
        html = self.read(browser, anna)
        assert html.count('href="/ru/blog/author/anya/">Anna Orlova</a>') == 2
        assert '"url": "http://testserver/ru/blog/author/anya/"' in html
        assert "author/anna/" not in html
        assert browser().get("/ru/blog/author/anya/").status_code == 200

    def test_without_one_it_leads_nowhere(self, browser):
        html = self.read(browser, make_author(about="Writes letters."))
        assert html.count('<p class="byline-name">Anna Orlova</p>') == 2
        assert '{"@type": "Person", "name": "Anna Orlova"}' in html
        assert "author/anna/" not in html


class TestReadingTime:
    @pytest.mark.parametrize(("words", "minutes"), [(1, 1), (180, 1), (899, 5)])
    def test_it_follows_the_text(self, browser, words, minutes):
        text = f"<p>{'word ' * words}</p>"
        post = make_post(lead="Short.", body=json.dumps([{"type": "text", "value": text}]))
        assert post.reading_minutes == minutes
        unit = "minute" if minutes == 1 else "minutes"
        assert f"{minutes} {unit} to read" in browser().get(post.url).text


class TestRelatedPosts:
    def related(self, post: BlogPage) -> list[str]:
        return [other.title for other in post.get_related_posts()]

    def test_those_with_most_in_common_come_first(self):
        advice = make_category()
        file_post("Stranger", published_on=date(2026, 5, 4))
        file_post("Cousin", categories=[advice], published_on=date(2026, 5, 3))
        file_post("Sister", categories=[advice], tags=["tea"], published_on=date(2026, 5, 2))
        post = file_post("Me", categories=[advice], tags=["tea"])
        assert self.related(post) == ["Sister", "Cousin", "Stranger"]

    def test_what_editors_chose_goes_before(self):
        chosen, post = make_post("Chosen"), make_post("Me")
        make_post("Newer")
        post.chosen_posts.add(ChosenPost(post=chosen))
        post.save_revision().publish()
        assert self.related(BlogPage.objects.get(pk=post.pk)) == ["Chosen", "Newer"]

    def test_drafts_and_other_languages_are_not_among_them(self):
        post = make_post("Me")
        make_post("Draft").unpublish()
        make_post("Другая", language="ru", slug="drugaya")
        assert self.related(post) == []

    def test_alone_it_has_none(self, browser):
        assert "Read next" not in browser().get(make_post().url).text
