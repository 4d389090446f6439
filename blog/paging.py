"""Long lists of posts, a page of them at a time, for Django's paginator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blog.models import BlogPage, BlogPageQuerySet


class PostsByKey:
    """First the keys of the posts of a page in their order, then these posts with what they show.

    The database sorts, and passes over for a later page, keys alone and no posts.
    """

    def __init__(self, posts: BlogPageQuerySet, cards: BlogPageQuerySet) -> None:
        self.posts, self.cards = posts, cards

    def count(self) -> int:
        return self.posts.order_by().count()

    def find_keys(self, part: slice) -> list[int]:
        return list(self.posts.values_list("pk", flat=True)[part])

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[BlogPage]:
        keys = self.find_keys(part)
        found = self.cards.in_bulk(keys)
        return [found[key] for key in keys if key in found]
