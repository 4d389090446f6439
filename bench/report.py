"""What the benches say of what they measured: tables, verdicts, and a file in var/."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from databases import BASE_DIR


def print_table(lines: list[list[str]]) -> None:
    """Print lines of cells as Markdown; the first one is the heading."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    print()


def verdict(what: str, words: str, target: str, is_met: bool) -> str:
    return f"{what}: {words} (target {target}): {'met' if is_met else 'NOT MET'}"


def any_is_missed(verdicts: Iterable[str]) -> bool:
    return any(line.endswith("NOT MET") for line in verdicts)


def insist(things: list[str], setting: str) -> None:
    """End the program, with 1 and in words, where a setting leaves nothing to measure."""
    if not things:
        sys.exit(f"{setting} is empty: nothing to measure.")


def write_report(name: str, content: Any) -> Path:
    """Write what was measured as JSON; return where it lies in the project."""
    path = BASE_DIR / "var" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False))
    return path.relative_to(BASE_DIR)
