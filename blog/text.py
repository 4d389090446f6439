"""How much text a post has, and how long it takes to read it."""

from __future__ import annotations

import re

from wagtail.blocks import StreamValue

WORDS_A_MINUTE = 180


def collect_text(body: StreamValue) -> str:
    """Return what the blocks say, without markup."""
    return " ".join(body.stream_block.get_searchable_content(body))


def count_minutes(text: str) -> int:
    words = len(re.findall(r"\w+", text))
    return max(1, round(words / WORDS_A_MINUTE))
