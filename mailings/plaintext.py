"""Turn a letter's HTML into the text part that people read without HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# How many line ends stand around a tag's content.
BREAKS = {
    **dict.fromkeys(["body", "div", "table", "tr", "td", "li"], 1),
    **dict.fromkeys(["p", "h1", "h2", "h3", "h4", "ul", "ol", "blockquote", "hr"], 2),
}
UNREAD = {"head", "script", "style", "title"}
VOID = {"br", "hr", "img", "meta", "link", "input", "col", "wbr"}


def html_to_text(page: str) -> str:
    """Return headings, paragraphs, lists and links of a page as plain text.

    What the page hides, such as a preheader, is left out.
    """
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.text()


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.gap = 0
        # Open tags within a hidden one, the hidden one first.
        self.hidden: list[str] = []
        self.links: list[tuple[str, int]] = []
        # For each open list the number of its last item; None where items have no numbers.
        self.lists: list[int | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if self.hidden or tag in UNREAD or is_hidden(values):
            self.hidden += [] if tag in VOID else [tag]
            return
        self.leave_room(tag)
        if opening := getattr(self, f"open_{tag}", None):
            opening(values)

    def handle_endtag(self, tag: str) -> None:
        if self.hidden:
            while tag in self.hidden and self.hidden.pop() != tag:
                pass
            return
        if closing := getattr(self, f"close_{tag}", None):
            closing()
        self.leave_room(tag)

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.write(re.sub(r"\s+", " ", data))

    def leave_room(self, tag: str) -> None:
        nested = tag in {"ul", "ol"} and self.lists
        self.gap = max(self.gap, 1 if nested else BREAKS.get(tag, 0))

    def write(self, text: str) -> None:
        if self.gap or not self.parts or self.parts[-1].endswith(" "):
            text = text.lstrip(" ")
        if text:
            self.parts.append("\n" * (self.gap if self.parts else 0) + text)
            self.gap = 0

    def open_br(self, values: dict[str, str]) -> None:
        self.gap += 1

    def open_hr(self, values: dict[str, str]) -> None:
        self.write("-" * 10)
        self.leave_room("hr")

    def open_img(self, values: dict[str, str]) -> None:
        if values.get("alt"):
            self.write(f"[{values['alt']}]")

    def open_ul(self, values: dict[str, str]) -> None:
        self.lists.append(None)

    def open_ol(self, values: dict[str, str]) -> None:
        self.lists.append(0)

    def close_ul(self) -> None:
        if self.lists:
            self.lists.pop()

    close_ol = close_ul

    def open_li(self, values: dict[str, str]) -> None:
        number = self.lists[-1] if self.lists else None
        if number is not None:
            number = self.lists[-1] = number + 1
        self.write("- " if number is None else f"{number}. ")
        # `write` takes away leading spaces, which here mean something.
        indent = "  " * (len(self.lists) - 1)
        self.parts[-1] = re.sub(r"^(\n*)", rf"\1{indent}", self.parts[-1])

    def open_a(self, values: dict[str, str]) -> None:
        self.links.append((values.get("href", ""), len(self.parts)))

    def close_a(self) -> None:
        """Put the address behind the text of a link, unless the text says it already."""
        if not self.links:
            return
        href, start = self.links.pop()
        label = "".join(self.parts[start:]).strip()
        address = href.removeprefix("mailto:")
        if address and label != address:
            self.write(f" ({address})" if label else address)

    def text(self) -> str:
        lines = "".join(self.parts).splitlines()
        return "\n".join(line.rstrip() for line in lines) + "\n"


def is_hidden(values: dict[str, str]) -> bool:
    return "display:none" in values.get("style", "").replace(" ", "")
