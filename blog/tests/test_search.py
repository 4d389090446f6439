"""Search in the blog, on the database that the tests run on."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from unicodedata import normalize

import pytest
from django.db import connection
from wagtail.search.models import IndexEntry

from blog import search, tasks
from blog.models import BlogIndexPage
from blog.tests.posts import make_post

pytestmark = pytest.mark.django_db


def write(title: str, text: str = "Hello.", **fields) -> None:
    make_post(title, body=json.dumps([{"type": "text", "value": f"<p>{text}</p>"}]), **fields)


def found(browser, query: str, blog: str = "/blog/") -> list[str]:
    html = browser().get(f"{blog}search/", {"q": query}).text
    titles = re.findall(r'class="post-card-title"><a [^>]*>(.*?)</a>', html)
    return sorted(re.sub(r"</?mark>", "", title) for title in titles)


class TestWords:
    @pytest.mark.parametrize("query", ["letter", "Letters", "LETTER"])
    def test_every_form_of_an_english_word(self, browser, query):
        write("One", "Two letters came.")
        write("Two", "Nothing.")
        assert found(browser, query) == ["One"]

    @pytest.mark.parametrize("query", ["рассылка", "рассылками", "РАССЫЛКЕ", "рассылку"])
    def test_every_form_of_a_russian_word(self, browser, query):
        write("Раз", "Наши рассылки уходят вовремя.", language="ru", slug="raz")
        write("Два", "Ничего.", language="ru", slug="dva")
        assert found(browser, query, "/ru/blog/") == ["Раз"]

    @pytest.mark.parametrize(
        ("query", "written"),
        [
            ("рассылок", "рассылка"),
            ("рассылка", "десять рассылок"),
            ("писем", "письмо"),
            ("письмами", "много писем"),
            ("продавец", "у продавца"),
            ("сроки", "в срок"),
            ("ссылок", "ссылка"),
            ("уроков", "урок"),
        ],
    )
    def test_vowels_that_come_and_go(self, browser, query, written):
        write("Раз", f"Здесь {written} есть.", language="ru", slug="raz")
        write("Два", "Ничего.", language="ru", slug="dva")
        assert found(browser, query, "/ru/blog/") == ["Раз"]

    @pytest.mark.parametrize("asked", ["NFC", "NFD"])
    @pytest.mark.parametrize("written", ["NFC", "NFD"])
    def test_letters_of_two_characters(self, browser, written, asked):
        """What is pasted from a Mac may hold й as и with a breve."""
        text = normalize(written, "Новый чай.")
        write("Раз", text, lead="Коротко.", language="ru", slug="raz")
        query = normalize(asked, "чай")
        assert found(browser, query, "/ru/blog/") == ["Раз"]
        html = browser().get("/ru/blog/search/", {"q": query}).text
        assert "Новый <mark>чай</mark>" in html

    def test_title_and_lead_count(self, browser):
        write("Harbour")
        write("Other", lead="About a harbour.")
        assert found(browser, "harbours") == ["Harbour", "Other"]

    def test_all_words_are_needed(self, browser):
        write("One", "Green tea.")
        write("Two", "Black tea.")
        assert found(browser, "tea green") == ["One"]

    def test_other_language_and_drafts_stay_out(self, browser):
        write("Tea", language="ru", slug="tea")
        write("Tea two")
        make_post("Tea three").unpublish()
        assert found(browser, "tea") == ["Tea two"]


class TestPage:
    def test_found_words_are_marked(self, browser):
        around = "Long text. " * 40
        write("Teas", f"{around}Then <b>tea</b> &amp; cake. {around}", lead="Short.")
        html = browser().get("/blog/search/", {"q": "tea"}).text
        assert "<mark>Teas</mark>" in html
        assert "Then <mark>tea</mark> &amp; cake." in html
        assert "… " in html

    @pytest.mark.parametrize(
        "query", ["<script>alert(1)</script>", "'\"--", "&amp;", "%", "AND OR ("]
    )
    def test_signs_do_no_harm(self, browser, query):
        write("One")
        response = browser().get("/blog/search/", {"q": query})
        assert response.status_code == 200
        assert "<script>alert" not in response.text

    def test_nothing_found_says_so(self, browser):
        write("One")
        assert "Nothing was found" in browser().get("/blog/search/", {"q": "zebra"}).text

    @pytest.mark.parametrize("query", ["how to", "как", "the и"])
    def test_words_too_common_for_the_index_are_named_so(self, browser, query):
        """PostgreSQL drops them; SQLite looks for them as for any other."""
        write("How to make tea")
        html = browser().get("/blog/search/", {"q": query}).text
        assert ("These words are too common" in html) == (connection.vendor == "postgresql")
        assert "too common" not in browser().get("/blog/search/", {"q": f"{query} tea"}).text

    @pytest.mark.parametrize("query", ["", "   ", "!!!"])
    def test_without_words_it_asks_for_some(self, browser, query):
        assert "What are you looking for?" in browser().get("/blog/search/", {"q": query}).text

    def test_pages_keep_the_query(self, browser, monkeypatch):
        monkeypatch.setattr(BlogIndexPage, "posts_per_page", 1)
        write("Tea one", "green tea")
        write("Tea two", "green tea")
        html = browser().get("/blog/search/", {"q": "green tea"}).text
        assert 'href="?q=green%20tea&amp;page=2"' in html
        assert browser().get("/blog/search/", {"q": "tea", "page": "3"}).status_code == 404

    def test_search_engines_keep_out(self, browser):
        html = browser().get("/blog/search/", {"q": "tea"}).text
        assert '<meta name="robots" content="noindex, follow">' in html

    def test_what_was_typed_is_not_kept_for_others(self, browser):
        assert 'value="tea"' in browser().get("/blog/search/", {"q": "tea"}).text
        assert 'value="tea"' not in browser().get("/blog/search/").text


def test_posts_of_an_older_version_are_indexed_by_a_worker(browser):
    write("Раз", "Много писем.", language="ru", slug="raz")
    IndexEntry.objects.all().delete()
    assert found(browser, "письмо", "/ru/blog/") == []
    tasks.index_posts()
    assert found(browser, "письмо", "/ru/blog/") == ["Раз"]


def test_query_is_cut():
    assert len(search.clean("word " * 100)) <= search.LONGEST_QUERY


class TestThreads:
    @pytest.mark.parametrize("word", ["letters", "рассылки"])
    def test_they_stem_one_after_the_other(self, monkeypatch, word):
        at_work, met = Lock(), []

        class Stemmer:
            def stemWord(self, word: str) -> str:
                met.append(not at_work.acquire(blocking=False))
                time.sleep(0.01)
                if not met[-1]:
                    at_work.release()
                return word

        stemmer = Stemmer()
        monkeypatch.setattr(search, "_stemmer", lambda language: stemmer)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(search.stem.__wrapped__, [word] * 8))
        assert met == [False] * 8
