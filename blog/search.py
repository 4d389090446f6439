"""Search in posts: by stems, so that a word is found in its other forms.

The stems are indexed beside the words (`BlogPage.stems`), and it is stems that are looked for.
SQLite's FTS5 knows no Russian; PostgreSQL does, but its stems keep the vowels that come and go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import snowballstemmer
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.utils.functional import cached_property
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from wagtail.search.models import IndexEntry

from blog.reading import collect_text

if TYPE_CHECKING:
    from blog.models import BlogPage, BlogPageQuerySet

LONGEST_QUERY = 100
EXCERPT = 220  # characters
NO_BREAK = "\u00a0"
FEW = 500  # keys that a statement takes as parameters
WORD = re.compile(r"\w+")
STEMMERS = {name: snowballstemmer.stemmer(name) for name in ("russian", "english")}


def clean(query: str) -> str:
    """Return the words of a query; signs mean nothing."""
    return " ".join(WORD.findall(query.replace("_", " ")))[:LONGEST_QUERY].strip()


# The vowel before the last consonant of a Russian stem, which other forms lack: рассылок, рассылка.
FLEETING = re.compile(r"(?<=[бвгджзйклмнпрстфхцчшщ])[ое](?=[кцнлр]$)|ь(?=[кцнлрм]$)")
# Snowball takes their last two letters for an ending.
IRREGULAR = {"писем": "письмо", "тюрем": "тюрьма"}


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return what the forms of a word have in common; it is no word by itself."""
    word = word.lower().replace("ё", "е")
    if word.isascii():
        return STEMMERS["english"].stemWord(word)
    found = STEMMERS["russian"].stemWord(IRREGULAR.get(word, word))
    return FLEETING.sub("", found) if len(found) > 3 else found


def stems_to_index(text: str) -> str:
    return " ".join(stem(word) for word in WORD.findall(text))


def find(posts: BlogPageQuerySet, query: str) -> Any:
    """Return the posts that hold all words of the query in any form, the best first.

    What comes back can be counted and sliced, as a paginator does.
    """
    stems = [stem(word) for word in query.split()]
    if connection.vendor == "postgresql":
        return posts.search(" ".join(stems), operator="and")
    return Found(posts, stems)


# What Wagtail asks of SQLite looks for each post in the whole index anew: 14 seconds where 4,000
# of 10,000 posts are found. The index itself gives them all, ranked, in milliseconds.
RANKED = """
SELECT e.object_id FROM {index} f JOIN {entries} e ON e.id = f.rowid
 WHERE {index} MATCH %s AND e.content_type_id = %s
 ORDER BY bm25({index}), e.id DESC
"""


class Found:
    """Posts by rank in SQLite's index: the keys by one query, the posts of a page by another."""

    def __init__(self, posts: BlogPageQuerySet, stems: list[str]) -> None:
        self.posts, self.stems = posts, stems

    @cached_property
    def keys(self) -> list[int]:
        words = " AND ".join(f'"{word}"' for word in self.stems)
        kind = ContentType.objects.get_for_model(self.posts.model)
        entries = IndexEntry._meta.db_table
        ranked = RANKED.format(index=f"{entries}_fts", entries=entries)
        with connection.cursor() as cursor:
            cursor.execute(ranked, [f"{{title body}} : ({words})", kind.pk])
            keys = [int(key) for (key,) in cursor.fetchall()]
        shown = self.posts.order_by()
        if len(keys) < FEW:
            shown = shown.filter(pk__in=keys)
        open_to_all = set(shown.values_list("pk", flat=True))
        return [key for key in keys if key in open_to_all]

    def count(self) -> int:
        return len(self.keys)

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[BlogPage]:
        keys = self.keys[part]
        found = self.posts.in_bulk(keys)
        return [found[key] for key in keys if key in found]


# --- What is shown of a find ------------------------------------------------------------------


def add_excerpts(posts: Iterable[BlogPage], query: str) -> None:
    """Give each post a title and an excerpt in which the found words are marked."""
    stems = {stem(word) for word in query.split()}
    for post in posts:
        post.marked_title = mark(post.title, stems)
        post.excerpt = mark(cut_out(f"{post.lead} {flatten(post)}", stems), stems)


def flatten(post: BlogPage) -> str:
    return re.sub(r"\s+", " ", collect_text(post.body))


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
