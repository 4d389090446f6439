"""What the form of a message sends."""

from __future__ import annotations

import json
from typing import Any

from wagtail.test.utils.form_data import rich_text, streamfield

Block = tuple[str, Any]


def message_data(*blocks: Block, subject: str = "News") -> dict[str, Any]:
    """Return the form's data with these blocks, or with one short text."""
    body = {"body": streamfield(blocks or [text("<p>Hello!</p>")])}
    return {"subject": subject, **flatten(body)}


def text(html: str) -> Block:
    return "text", rich_text(html, features=["bold", "italic", "letter-link", "ol", "ul"])


def text_with_link(url: str) -> Block:
    """Return a text that holds a link as the browser's editor would send it."""
    block = {"key": "a", "text": "here", "type": "unstyled", "depth": 0, "inlineStyleRanges": []}
    block["entityRanges"] = [{"key": 0, "offset": 0, "length": 4}]
    entity = {"type": "LINK", "mutability": "MUTABLE", "data": {"url": url}}
    return "text", json.dumps({"blocks": [block], "entityMap": {"0": entity}})


def image(picture: Any, alt: str = "A cat", link: str = "") -> Block:
    return "image", {"picture": getattr(picture, "pk", picture), "alt": alt, "link": link}


def button(words: str, link: str = "https://example.com/") -> Block:
    return "button", {"text": words, "link": link}


def flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}-")
        else:
            flat[f"{prefix}{name}"] = "" if value is None else value
    return flat
