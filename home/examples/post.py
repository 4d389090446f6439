"""What an example post is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Block = tuple[str, Any]


@dataclass(frozen=True)
class Post:
    slug: str
    title: str
    lead: str
    body: list[Block]
    days_ago: int
    views: int
    category: str
    author: str
    tags: list[str] = field(default_factory=list)
    # The slug of the post that this one translates.
    translates: str = ""
