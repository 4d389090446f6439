"""How much text a post has, and how long it takes to read it."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

from wagtail.blocks import StreamValue
from wagtail.rich_text import RichText

WORDS_A_MINUTE = 180
# What XML 1.0 has no place for, however it is written (https://www.w3.org/TR/xml/#charsets).
NOT_FOR_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Of a heading that brings no sign of its own.
HEADING_END = re.compile(r"(?<![.,:;!?…])(?=</h\d>)")


def collect_text(body: StreamValue) -> str:
    """Return what the blocks say, without markup; a heading ends like a sentence."""
    texts = (child.block.get_searchable_content(end_headings(child.value)) for child in body)
    return " ".join(chain.from_iterable(texts))


def end_headings(value: Any) -> Any:
    return RichText(HEADING_END.sub(".", value.source)) if isinstance(value, RichText) else value


def collect_text_alone(body: StreamValue) -> str:
    """Return the same without loading the images and pages that the blocks show, by no query."""
    blocks = [{**block, "value": only_words(block["value"])} for block in body.raw_data]
    return collect_text(StreamValue(body.stream_block, blocks, is_lazy=True))


def only_words(value: Any) -> Any:
    """Return the value of a block as it is kept, without the keys of images and pages."""
    if isinstance(value, list):
        return [only_words(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "alt_text" in value:  # An image without caption, as it was kept once.
        value = {"image": value}
    image = value.get("image")
    if isinstance(image, dict):
        alt_text = "" if image.get("decorative") else image.get("alt_text") or ""
        return {**value, "image": None, "caption": f"{alt_text} {value.get('caption') or ''}"}
    return {key: None if key == "page" else only_words(part) for key, part in value.items()}


def fit_for_xml(text: str) -> str:
    """Return a text without the control characters that editors paste unseen."""
    return NOT_FOR_XML.sub("", text)


def count_minutes(text: str) -> int:
    words = len(re.findall(r"\w+", text))
    return max(1, round(words / WORDS_A_MINUTE))
