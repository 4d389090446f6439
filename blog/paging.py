"""Long lists of posts, a page of them at a time, for Django's paginator.

The rows of posts are long, for they hold the text. So rows of pages, which are short, tell what
belongs to a list and are counted, and an index of dates gives the order. Posts are read last, and
of them those alone that are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.public_pages import PublicPageQuerySet
from django.db.models import IntegerField, QuerySet
from django.db.models.functions import Cast
from django.utils.functional import cached_property

if TYPE_CHECKING:
    from blog.models import BlogPage, BlogPageQuerySet


class PostsByKey:
    """Posts, the newest first: the keys of a page of them, then these posts with what they show.

    `pages`: what is listed, as rows of pages.
    `cards`: how posts are loaded.
    `filed`: a query for keys of posts; only those among them are listed.
    """

    def __init__(
        self, pages: PublicPageQuerySet, cards: BlogPageQuerySet, filed: QuerySet | None = None
    ) -> None:
        self.pages, self.cards, self.filed = pages, cards, filed

    @cached_property
    def number(self) -> int:
        pages = self.pages if self.filed is None else self.pages.filter(pk__in=self.filed)
        return pages.count()

    def count(self) -> int:
        return self.number

    def __len__(self) -> int:
        return self.count()

    @property
    def posts(self) -> BlogPageQuerySet:
        posts = self.cards.model.objects.among(self.pages).newest_first()
        if self.filed is None:
            return posts
        # A number is no key: SQLite would look each key up among the posts, and sort what it finds.
        return posts.alias(plain=Cast("pk", IntegerField())).filter(plain__in=self.filed)

    def find_keys(self, part: slice) -> list[int]:
        """Walk along the index from the end that is nearer."""
        keys = self.posts.values_list("pk", flat=True)
        if not part.start or part.start <= self.number // 2:
            return list(keys[part])
        first, last = max(self.number - part.stop, 0), self.number - part.start
        return list(keys.reverse()[first:last])[::-1]

    def __getitem__(self, part: slice) -> list[BlogPage]:
        return self.cards.load(self.find_keys(part))
