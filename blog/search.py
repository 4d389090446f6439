"""Search in posts: by stems, so that a word is found in its other forms.

The stems are indexed beside the words (`BlogPage.stems`), and it is stems that are looked for.
SQLite's FTS5 knows no Russian; PostgreSQL does, but its stems keep the vowels that come and go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.utils.functional import cached_property
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from wagtail.search.models import IndexEntry

from blog.paging import PostsByKey
from blog.text import collect_text_alone

if TYPE_CHECKING:
    from config.public_pages import PublicPageQuerySet

    from blog.models import BlogPage, BlogPageQuerySet

LONGEST_QUERY = 100
EXCERPT = 220  # characters
NO_BREAK = "\u00a0"
FEW = 500  # keys that a statement takes as parameters
WORD = re.compile(r"\w+")


def clean(query: str) -> str:
    """Return the words of a query; signs mean nothing."""
    words = WORD.findall(compose(query).replace("_", " "))
    return " ".join(words)[:LONGEST_QUERY].strip()


def compose(text: str) -> str:
    """Return a text with each letter as one character: macOS writes й as и and a sign, no word."""
    return normalize("NFC", text)


# The vowel before the last consonant of a Russian stem, which other forms lack: рассылок, рассылка.
FLEETING = re.compile(r"(?<=[бвгджзйклмнпрстфхцчшщ])[ое](?=[кцнлр]$)|ь(?=[кцнлрм]$)")
# Snowball takes their last two letters for an ending.
IRREGULAR = {"писем": "письмо", "тюрем": "тюрьма"}


# A stemmer keeps the word that it is at in itself, and threads of a process share it.
stemming = Lock()


@cache
def _stemmer(language: str) -> Any:
    import snowballstemmer  # All languages at once, 3 MB: workers do without it.

    return snowballstemmer.stemmer(language)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return what the forms of a word have in common; it is no word by itself."""
    word = word.lower().replace("ё", "е")
    with stemming:
        if word.isascii():
            return _stemmer("english").stemWord(word)
        found = _stemmer("russian").stemWord(IRREGULAR.get(word, word))
    return FLEETING.sub("", found) if len(found) > 3 else found


def stems_to_index(text: str) -> str:
    return " ".join(stem(word) for word in WORD.findall(compose(text)))


# Wagtail's own search ranks every post found: a third of a second where PostgreSQL has 10,000 posts,
# 14 seconds where SQLite has them. What is in the index is open to a query that uses it.
# PostgreSQL drops words as common as "how" and "как", and finds nothing where no other is left;
# the row of TOO_COMMON says so without a second query.
POSTGRESQL = """
(SELECT p.page_ptr_id FROM {entries} e JOIN blog_blogpage p ON p.page_ptr_id = e.object_id::bigint
 WHERE e.body @@ plainto_tsquery('russian', %s) AND e.content_type_id = %s
 ORDER BY ts_rank(e.title, plainto_tsquery('russian', %s)) DESC, p.published_on DESC, p.page_ptr_id DESC)
UNION ALL SELECT {too_common} WHERE numnode(plainto_tsquery('russian', %s)) = 0
"""
TOO_COMMON = -1
SQLITE = """
SELECT e.object_id FROM {entries}_fts f JOIN {entries} e ON e.id = f.rowid
 WHERE {entries}_fts MATCH %s AND e.content_type_id = %s
 ORDER BY bm25({entries}_fts), e.id DESC
"""


class Found(PostsByKey):
    """Posts that hold all words of a query in any form, the best first.

    On PostgreSQL those with the words in their title are best, then the newest.
    """

    def __init__(self, pages: PublicPageQuerySet, cards: BlogPageQuerySet, query: str) -> None:
        super().__init__(pages, cards)
        self.stems = [stem(word) for word in query.split()]

    @cached_property
    def indexed(self) -> list[int]:
        return self.ask_index()

    @property
    def are_too_common(self) -> bool:
        """Return whether the index knows none of the words, for every text has them."""
        return self.indexed == [TOO_COMMON]

    @cached_property
    def keys(self) -> list[int]:
        keys = [] if self.are_too_common else self.indexed
        shown = self.pages
        if len(keys) < FEW:
            shown = shown.filter(pk__in=keys)
        open_to_all = set(shown.values_list("pk", flat=True)) if keys else set()
        return [key for key in keys if key in open_to_all]

    def ask_index(self) -> list[int]:
        kind = ContentType.objects.get_for_model(self.cards.model).pk
        if connection.vendor == "postgresql":
            words = " ".join(self.stems)
            sql, params = POSTGRESQL, [words, kind, words, words]
        else:
            words = " AND ".join(f'"{word}"' for word in self.stems)
            sql, params = SQLITE, [f"{{title body}} : ({words})", kind]
        with connection.cursor() as cursor:
            table = IndexEntry._meta.db_table
            cursor.execute(sql.format(entries=table, too_common=TOO_COMMON), params)
            return [int(key) for (key,) in cursor.fetchall()]

    def count(self) -> int:
        return len(self.keys)

    def find_keys(self, part: slice) -> list[int]:
        return self.keys[part]


# --- What is shown of a find ------------------------------------------------------------------


def add_excerpts(posts: Iterable[BlogPage], query: str) -> None:
    """Give each post a title and an excerpt in which the found words are marked."""
    stems = {stem(word) for word in query.split()}
    for post in posts:
        post.marked_title = mark(compose(post.title), stems)
        text = compose(f"{post.lead} {flatten(post)}")
        post.excerpt = mark(cut_out(text, stems), stems)


def flatten(post: BlogPage) -> str:
    return re.sub(r"\s+", " ", collect_text_alone(post.body))


def cut_out(text: str, stems: set[str]) -> str:
    """Return the part of the text around the first found word, cut between words."""
    first = next((m.start() for m in WORD.finditer(text) if stem(m[0]) in stems), 0)
    start = 0 if first < EXCERPT // 2 else text.rfind(" ", 0, first - EXCERPT // 3) + 1
    end = len(text) if len(text) <= start + EXCERPT else text.rfind(" ", start, start + EXCERPT)
    part = text[start : end if end > start else start + EXCERPT]
    return f"{'… ' if start else ''}{part}{NO_BREAK + '…' if end < len(text) else ''}"


def mark(text: str, stems: set[str]) -> SafeString:
    pieces, done = [], 0
    for match in WORD.finditer(text):
        if stem(match[0]) in stems:
            pieces += [escape(text[done : match.start()]), f"<mark>{escape(match[0])}</mark>"]
            done = match.end()
    return mark_safe("".join([*pieces, escape(text[done:])]))
