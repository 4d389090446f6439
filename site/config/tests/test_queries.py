"""What a page that is in no cache asks of the database: few queries, however many posts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.models import Locale, Page, PageViewRestriction

from blog.models import BlogPage
from blog.snippets import Author, Category
from blog.tests.posts import make_post, store_embed
from config import generations
from conftest import make_client, make_mailing
from home.examples.pictures import draw_picture
from home.models import HomePage

pytestmark = pytest.mark.django_db

MOST = 15
PAGES = {
    "home": "",
    "index": "blog/",
    "second page": "blog/?page=2",
    "category": "blog/category/advice/",
    "tag": "blog/tag/tea/",
    "author": "blog/author/anna/",
    "search": "blog/search/?q=tea",
    "search in vain": "blog/search/?q=zebra",
    "post": "blog/everything/",
    "plain post": "blog/tea-1/",
    "feed": "blog/feed/",
}
OTHERS = {"sitemap": "/sitemap.xml"}
# How many queries each needs right after a change; with all that an editor can put on home and post.
NEEDED = {
    "home": 13,
    "index": 11,
    "second page": 11,
    "category": 12,
    "tag": 12,
    "author": 12,
    "search": 10,
    "search in vain": 6,
    "post": 15,
    "plain post": 10,
    "feed": 8,
    "sitemap": 7,
}


def link_all() -> list[str]:
    """Return links of rich text to every page, whatever its language, and to three documents."""
    documents = [
        Document.objects.create(title=f"Terms {n}", file=draw_picture(n, f"terms{n}.jpg"))
        for n in range(3)
    ]
    pages = Page.objects.filter(depth__gt=1)
    things = [*(("page", page) for page in pages), *(("document", one) for one in documents)]
    return [f'<p><a id="{one.pk}" linktype="{kind}">{one.title}</a></p>' for kind, one in things]


def call_all() -> list[dict[str, Any]]:
    """Return calls to action, each with a button to a page of its own, and to signing up."""
    call = {"title": "Try it", "text": "", "button": "Go", "address": ""}
    pages = [
        {**call, "target": "page", "page": page.pk} for page in Page.objects.filter(depth__gt=1)
    ]
    calls = [*pages, {**call, "target": "signup", "page": None}]
    return [{"type": "call", "value": call} for call in calls]


def blocks(pictures: list[Image]) -> list[dict[str, Any]]:
    """Return the body of a post in which every block stands, with all that can be linked to."""
    shown = [
        {"image": {"image": one.pk, "alt_text": "Sea", "decorative": False}, "caption": "Sea"}
        for one in pictures
    ]
    links = link_all()
    table = {
        "caption": "Replies",
        "columns": [{"type": "text", "heading": "Code"}, {"type": "rich", "heading": "Where"}],
        "rows": [{"values": ["250", link]} for link in links],
    }
    films = [f"https://www.youtube.com/watch?v={n}" for n in range(3)]
    return [
        *({"type": "text", "value": link} for link in links),
        *({"type": "image", "value": one} for one in shown),
        {"type": "quote", "value": {"text": "Less is more.", "author": "Mies"}},
        {"type": "code", "value": {"code": "250 Ok", "title": "A talk"}},
        {"type": "table", "value": table},
        {"type": "gallery", "value": {"pictures": shown}},
        {"type": "gallery", "value": {"pictures": shown[:2]}},
        *({"type": "embed", "value": {"title": "A film", "embed": film}} for film in films),
        *call_all(),
    ]


def write_home(language: str) -> None:
    """Add to the home page what holds links, as often as an editor might."""
    links = link_all()
    questions = [{"question": "Why?", "answer": link} for link in links]
    home = HomePage.objects.get(locale__language_code=language)
    added = [
        {"type": "questions", "value": {"title": "Questions", "questions": questions}},
        *({"type": "text", "value": link} for link in links),
        *call_all(),
    ]
    home.body = json.dumps([*home.body.raw_data, *added])
    home.save_revision().publish()


def write_posts(language: str, number: int, begin: int = 0) -> None:
    """Publish posts about tea, each with a picture of its own, an author and a category."""
    locale = Locale.objects.get(language_code=language)
    author = Author.objects.get(slug="anna", locale=locale)
    category = Category.objects.get(slug="advice", locale=locale)
    for n in range(begin, begin + number):
        picture = Image.objects.create(title=f"Sea {n}", file=draw_picture(n, f"{n}.jpg"))
        post = make_post(f"Tea {n}", language, slug=f"tea-{n}", image=picture, author=author)
        post.categories.set([category])
        post.tags.set(["tea"])
        post.save_revision().publish()


def write_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish, in both languages, a post with all blocks, some more beside it, and a home page."""
    # The home page shows the same posts whenever it is asked, whose pictures are made by then: few
    # that lie behind a random place, and as many as are missing from the start.
    monkeypatch.setattr("blog.models.random_place", lambda: 0.99)
    monkeypatch.setattr("blog.models.BlogIndexPage.posts_per_page", 4)
    pictures = [
        Image.objects.create(title=f"Sea {n}", file=draw_picture(n, f"sea{n}.jpg"))
        for n in range(4)
    ]
    store_embed("https://www.youtube.com/watch?v=0")
    store_embed("https://www.youtube.com/watch?v=1")
    original = None
    for language in ("en", "ru"):
        locale = Locale.objects.get(language_code=language)
        links = {"locale": locale, "slug": "advice"}
        advice = Category.objects.filter(slug="advice").first()
        anna = Author.objects.filter(slug="anna").first()
        Category.objects.create(
            name="Advice",
            **links,
            **({"translation_key": advice.translation_key} if advice else {}),
        )
        author = Author.objects.create(
            name="Anna",
            about="Writes.",
            photo=pictures[0],
            locale=locale,
            slug="anna",
            **({"translation_key": anna.translation_key} if anna else {}),
        )
        write_posts(language, 4)
        post = make_post(
            "Everything about tea",
            language,
            slug="everything",
            image=pictures[1],
            author=author,
            body=json.dumps(blocks(pictures)),
            **({"translation_key": original.translation_key} if original else {}),
        )
        post.categories.set(Category.objects.filter(locale=locale))
        post.tags.set(["tea", "cake"])
        post.chosen_posts.create(post=BlogPage.objects.get(slug="tea-1", locale=locale))
        post.save_revision().publish()
        original = post
        write_home(language)


def ask(browser, address: str) -> list[str]:
    """Return the queries of a page that no cache holds, right after a change."""
    cache.clear()
    generations.get_generation().change()
    with CaptureQueriesContext(connection) as queries:
        response = browser().get(address)
    assert response.status_code == 200, address
    assert queries.captured_queries, address
    return [query["sql"] for query in queries.captured_queries]


class TestNumberOfQueries:
    @pytest.mark.parametrize("language", ["en", "ru"])
    def test_no_page_needs_many(self, browser, owner, monkeypatch, language):
        write_all(monkeypatch)
        make_mailing(owner, clients=[make_client(owner)])  # Nobody has summed this up yet.
        prefix = "/" if language == "en" else "/ru/"
        for address in PAGES.values():
            browser().get(prefix + address)  # Makes the pictures, as the first reader does.
        pages = {**{name: prefix + address for name, address in PAGES.items()}, **OTHERS}
        asked = {name: len(ask(browser, address)) for name, address in pages.items()}
        assert asked == NEEDED

    @pytest.mark.parametrize("address", ["/", "/blog/", "/blog/author/anna/", "/blog/tea-1/"])
    def test_first_answer_of_a_process_needs_one_more(self, browser, monkeypatch, address):
        write_all(monkeypatch)
        browser().get(address)
        number = len(ask(browser, address))
        ContentType.objects.clear_cache()
        assert len(ask(browser, address)) == number + 1 <= MOST

    def test_private_sections_are_asked_for_once(self, browser, monkeypatch):
        write_all(monkeypatch)
        secret = make_post("Secret", slug="secret")
        secret.create_alias(update_slug="repeated")
        PageViewRestriction.objects.create(page=secret, restriction_type="login")
        for name, address in PAGES.items():
            browser().get(f"/{address}")
            queries = ask(browser, f"/{address}")
            assert len(queries) <= NEEDED[name], name
            of_sections = [q for q in queries if "UNION ALL" in q and "pageviewrestriction" in q]
            assert len(of_sections) == 1, name

    def test_more_posts_need_no_more(self, browser, monkeypatch):
        write_all(monkeypatch)
        monkeypatch.setattr("blog.models.random_place", lambda: 0.0)
        before = {}
        for number in (0, 6):
            write_posts("en", number, begin=10)
            for name, address in PAGES.items():
                browser().get(f"/{address}")
                asked = len(ask(browser, f"/{address}"))
                assert asked <= before.setdefault(name, asked), name
