"""README says what is so: its tables are compared with the code."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from django.conf import settings

BASE_DIR = Path(settings.BASE_DIR)
README = (BASE_DIR / "README.md").read_text()
IDS = (
    [f"P{n}" for n in range(1, 7)]
    + [f"T{n}" for n in range(1, 6)]
    + [f"S{n}" for n in range(1, 8)]
    + [f"I{n}" for n in range(1, 8)]
)
# "P1: …" or "S6, S7: …" at the beginning of a docstring.
NAMES = re.compile(r"^((?:[PTSI]\d)(?:, [PTSI]\d)*)\b")


def files_by_requirement() -> dict[str, set[str]]:
    """Return the test files that name each requirement in a docstring of a test or its class."""
    found = defaultdict(set)
    for app in ("accounts", "blog", "home", "mailings", "site"):
        for path in (BASE_DIR / app).rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                    continue
                names = NAMES.match(ast.get_docstring(node) or "")
                for name in names[1].split(", ") if names else ():
                    found[name].add(str(path.relative_to(BASE_DIR)))
    return found


def test_every_requirement_has_a_test_and_a_line():
    found = files_by_requirement()
    rows = dict(re.findall(r"^\| ([PTSI]\d) \|.*\| (.*) \|$", README, re.MULTILINE))
    for name in IDS:
        assert found[name], f"no test names {name}"
        listed = set(re.findall(r"`([^`]+)`", rows.get(name, "")))
        assert listed, f"README has no line for {name}"
        assert listed <= found[name], f"{name}: {listed - found[name]} do not name it"


def test_every_variable_is_described():
    source = (BASE_DIR / "site/config/settings.py").read_text()
    read = set(re.findall(r'env\.(?:\w+\.)?\w+\(\s*"([A-Z_]+)"', source))
    described = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    assert read == described


def test_documented_targets_exist():
    makefile = (BASE_DIR / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
