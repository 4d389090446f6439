"""Pages and documents behind a password: who has it reads them, and nobody else learns of them."""

from __future__ import annotations

import pytest
from wagtail.documents.models import Document
from wagtail.models import Collection, CollectionViewRestriction, PageViewRestriction

from blog.models import BlogPage
from blog.tests.posts import make_post
from config import page_cache
from config.tests.pages import action_of
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db

WRONG = {
    "en": "The password you have entered is not correct.",
    "ru": "Пароль не подошёл.",
}


def close(post: BlogPage) -> BlogPage:
    PageViewRestriction.objects.create(page=post, restriction_type="password", password="sesame")
    return post


@pytest.fixture
def post() -> BlogPage:
    return close(make_post("Plan", lead="Buy all the tea."))


class TestPage:
    @pytest.mark.parametrize(
        ("language", "heading"), [("en", "Password required"), ("ru", "Нужен пароль")]
    )
    def test_wrong_password_says_so_and_the_right_one_opens(self, browser, language, heading):
        post = close(make_post("Plan", language, slug="plan"))
        reader = browser()
        asked = reader.get(post.url)
        assert f"<h1>{heading}</h1>" in asked.text
        assert 'class="site-header"' in asked.text
        assert WRONG[language] not in asked.text
        form = {"password": "wrong", "return_url": post.url}
        # The address of the form is one of the interface, in the reader's language.
        answer = reader.post(action_of(asked), form, headers={"Accept-Language": language})
        assert WRONG[language] in answer.text
        assert "<h1>Plan</h1>" not in reader.get(post.url).text
        answer = reader.post(action_of(asked), {**form, "password": "sesame"})
        assert answer["Location"] == post.url
        assert "<h1>Plan</h1>" in reader.get(post.url).text

    def test_it_tells_nothing_of_the_page(self, browser, post):
        html = browser().get(post.url).text
        assert "Buy all the tea" not in html
        assert "Plan" not in html
        assert '<meta name="robots" content="noindex">' in html

    def test_form_that_is_opened_by_itself_leads_to_the_page(self, browser, post):
        reader = browser()
        again = reader.get(action_of(reader.get(post.url)))
        assert f'name="return_url" value="{post.url}"' in again.text

    def test_it_is_never_kept(self, browser, post):
        reader = browser()
        for _ in range(2):
            asked = reader.get(post.url)
            assert "ETag" not in asked
            assert "no-store" in asked["Cache-Control"]
        reader.post(action_of(asked), {"password": "sesame", "return_url": post.url})
        for _ in range(2):
            opened = reader.get(post.url)
            assert "<h1>Plan</h1>" in opened.text
            assert "ETag" not in opened
            assert "no-store" in opened["Cache-Control"]
        assert "<h1>Plan</h1>" not in browser().get(post.url).text
        assert not page_cache.store.pages


def test_document(browser):
    secret = Collection.get_first_root_node().add_child(name="Secret")
    CollectionViewRestriction.objects.create(
        collection=secret, restriction_type="password", password="sesame"
    )
    document = Document(title="Plan", collection=secret, file=draw_picture(1, "plan.jpg"))
    document.save()
    reader = browser()
    asked = reader.get(document.url)
    assert "Only those who have the password" in asked.text
    assert 'class="site-header"' in asked.text
    form = {"password": "wrong", "return_url": document.url}
    assert WRONG["en"] in reader.post(action_of(asked), form).text
    assert reader.post(action_of(asked), {**form, "password": "sesame"}).status_code == 302
    assert reader.get(document.url)["Content-Type"] == "image/jpeg"
