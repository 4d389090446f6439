"""Links of rich text, in posts and on the home page, to pages and documents."""

from __future__ import annotations

import json

import pytest
from config.generations import get_generation
from config.tests.test_language import make_translated_post
from django.urls import reverse
from wagtail.documents.models import Document

from blog.models import BlogPage
from blog.tests.posts import get_blog, make_post
from home.examples.pictures import draw_picture
from home.models import HomePage

pytestmark = pytest.mark.django_db


def link(kind: str, pk: int) -> str:
    return f'<p>Read <a id="{pk}" linktype="{kind}">this</a>.</p>'


def show(browser, language: str, *texts: str) -> str:
    body = json.dumps([{"type": "text", "value": text} for text in texts])
    return browser().get(make_post("Links", language, slug="links", body=body).url).text


def test_they_lead_to_the_translation(browser):
    """A text was copied from the other language, and its links with it."""
    english, russian = make_translated_post()
    alone = make_post("Alone")
    draft = make_post("Draft")
    draft.copy_for_translation(russian.locale)
    pages = [english, alone, draft, get_blog("ru")]
    html = show(browser, "ru", *(link("page", page.pk) for page in pages))
    assert '<a href="/ru/blog/chai/">this' in html
    for slug in ("alone", "draft"):
        assert f'<a href="/blog/{slug}/">this' in html
    assert '<a href="/ru/blog/">this' in html


def test_they_lead_to_documents(browser):
    document = Document.objects.create(title="Terms", file=draw_picture(1, "terms.jpg"))
    assert f'<a href="{document.url}">this' in show(browser, "en", link("document", document.pk))


@pytest.mark.parametrize("kind", ["page", "document"])
def test_what_is_gone_is_led_to_by_none(browser, kind):
    assert "Read <a>this</a>." in show(browser, "en", link(kind, 999_999))


def test_what_is_not_published_is_led_to_by_none(browser):
    """Of a link to a page that would answer 404, strangers get the words alone."""
    draft, english = make_post("Draft"), make_post("English")
    russian = make_post("Кофе", "ru", slug="kofe")
    translated, _russian = make_translated_post()
    links = [link("page", page.pk) for page in (draft, russian, english, translated)]
    draft.unpublish()
    HomePage.objects.get(locale__language_code="ru").unpublish()
    html = show(browser, "en", *links)
    assert html.count("Read <a>this</a>.") == 2
    for page in (english, translated):
        assert f'<a href="{page.url}">this' in html


def test_link_to_a_draft_leads_to_its_translation(browser):
    english, russian = make_translated_post()
    english.unpublish()
    assert f'<a href="{russian.url}">this' in show(browser, "ru", link("page", english.pk))


def test_links_come_back_with_the_page(browser):
    draft = make_post("Draft")
    draft.unpublish()
    assert "Read <a>this</a>." in show(browser, "en", link("page", draft.pk))
    draft.save_revision().publish()
    get_generation().change()  # No finished page is good any more.
    assert f'<a href="{draft.url}">this' in browser().get("/blog/links/").text


def test_calls_to_action_lead_to_no_draft(browser):
    draft = make_post("Draft")
    draft.unpublish()
    call = {"title": "Try it", "text": "", "button": "Go", "target": "page", "address": ""}
    body = json.dumps([{"type": "call", "value": {**call, "page": draft.pk}}])
    html = browser().get(make_post("Calls", slug="calls", body=body).url).text
    assert f'href="{reverse("account_signup")}">Go</a>' in html


def test_calls_to_action_lead_to_pages(browser):
    english, _russian = make_translated_post()
    gone = 999_999
    calls = [
        {"title": "Try it", "text": "", "button": "Go", "target": "page", "page": pk, "address": ""}
        for pk in (english.pk, english.pk, gone)
    ]
    body = json.dumps([{"type": "call", "value": call} for call in calls])
    html = browser().get(make_post("Calls", slug="calls", body=body).url).text
    assert html.count(f'href="{english.url}">Go</a>') == 2
    post = BlogPage.objects.get(slug="calls")
    pages = [block.value["page"] for block in post.body]
    assert pages == [english.page_ptr, english.page_ptr, None]


def test_questions_and_texts_of_the_home_page(browser):
    make_translated_post()
    home = HomePage.objects.get(locale__language_code="ru")
    english = link("page", get_blog("en").pk)
    questions = {"title": "Q", "questions": [{"question": "Why?", "answer": english}]}
    blocks = [("questions", questions), ("text", link("page", home.pk))]
    home.body = json.dumps([{"type": kind, "value": value} for kind, value in blocks])
    home.save_revision().publish()
    html = browser().get("/ru/").text
    assert '<a href="/ru/blog/">this' in html
    assert '<a href="/ru/">this' in html
