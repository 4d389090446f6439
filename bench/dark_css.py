"""`make css`: the dark colours once more, for browsers that run no script.

A page is dark where its script says so (`data-bs-theme`). Without scripts the preference of the system
alone can count, and a rule within `@media` is another rule: so what Bootstrap and our own styles say of
dark stands in a file of its own, which only a browser without scripts loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

STATIC = Path(__file__).resolve().parents[1] / "site" / "static"
BOOTSTRAP = STATIC / "vendor" / "bootstrap-5.3.9" / "bootstrap.used.min.css"
OWN = STATIC / "css" / "site.css"
RESULT = STATIC / "css" / "dark-without-script.css"
HEAD = "/* Made of site.css and Bootstrap by `make css`. */\n"
DARK, LIGHT = '[data-bs-theme="dark"]', '[data-bs-theme="light"]'
# The selector of what our styles say of both themes, over Bootstrap.
BOTH = f":root, {LIGHT}, {DARK}"


def rules(css: str) -> Iterator[tuple[str, str]]:
    """Yield selectors, or the heads of at-rules, with what stands between their braces."""
    css, start, depth = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL), 0, 0
    for found in re.finditer(r"[{}]", css):
        depth += 1 if found[0] == "{" else -1
        if (found[0], depth) == ("{", 1):
            head, inside = css[start : found.start()], found.end()
        elif depth == 0:
            yield (
                " ".join(head.split()).replace("[data-bs-theme=dark]", DARK),
                css[inside : found.start()],
            )
            start = found.end()


def declarations(body: str) -> list[tuple[str, str]]:
    """Return names and values; a semicolon may stand in quotes."""
    parts = re.findall(r"""((?:[^;"']|"[^"]*"|'[^']*')+)""", body)
    pairs = [part.partition(":") for part in parts if ":" in part]
    return [(name.strip(), value.strip()) for name, _colon, value in pairs]


def as_rule(selector: str, pairs: list[tuple[str, str]]) -> str:
    return f"{selector.replace(DARK, LIGHT)}{{{';'.join(f'{name}:{value}' for name, value in pairs)}}}\n"


def build() -> str:
    own = list(rules(OWN.read_text()))
    over = {name for head, body in own if head == BOTH for name, _value in declarations(body)}
    parts = [HEAD]
    for head, body in rules(BOOTSTRAP.read_text()):
        if head.startswith(DARK):
            pairs = [pair for pair in declarations(body) if pair[0] not in over]
            parts.append(as_rule(head, pairs))
    for head, body in own:
        if head.startswith(DARK):
            parts.append(as_rule(head, declarations(body)))
        elif head.startswith("@media (prefers"):
            within = [as_rule(one, declarations(text)) for one, text in rules(body) if DARK in one]
            parts += [f"{head}{{{''.join(within)}}}\n"] if within else []
    return "".join(parts)


if __name__ == "__main__":
    RESULT.write_text(build())
