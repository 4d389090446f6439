"""Read settings from the environment; a wrong value stops the start with one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import environ

env = environ.Env()


def fail(name: str, problem: str) -> NoReturn:
    """End the process with one line that names the variable and what is wrong with it."""
    sys.exit(f"Vestnik cannot start: {name} {problem}")


def text(name: str, default: str = "") -> str:
    """Return the variable's text, or `default` where it is missing or empty."""
    return env.str(name, default="").strip() or default


def flag(name: str, default: bool) -> bool:
    value = text(name, str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off", ""}:
        return False
    fail(name, f"is {value!r}; use true or false.")


def number(
    name: str,
    default: float | None,
    *,
    low: float,
    high: float,
    whole: bool = True,
) -> float | None:
    """Return a number between `low` and `high`, or `default` where the variable is empty."""
    raw = text(name)
    if not raw:
        return default
    try:
        value = int(raw) if whole else float(raw)
    except ValueError:
        fail(name, f"is {raw!r}; use a {'whole ' if whole else ''}number.")
    if not low <= value <= high:
        fail(name, f"is {raw}; use a number from {low} to {high}.")
    return value


def seconds_list(name: str, default: str) -> list[int]:
    """Return a comma-separated list of waiting times in seconds, each at least one."""
    raw = text(name, default)
    try:
        values = [int(part) for part in raw.split(",") if part.strip()]
    except ValueError:
        fail(name, f"is {raw!r}; use whole seconds separated by commas.")
    if not values or min(values) < 1:
        fail(name, f"is {raw!r}; every delay must be at least one second.")
    return values


def choice(name: str, default: str, allowed: list[str]) -> str:
    value = text(name, default)
    if value not in allowed:
        fail(name, f"is {value!r}; use one of {', '.join(allowed)}.")
    return value


def web_address(name: str, default: str) -> str:
    """Return an http or https address without the slash at its end."""
    value = text(name, default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        fail(name, f"is {value!r}; use an address such as https://mail.example.com.")
    return value


def service_address(name: str, default: str, schemes: set[str]) -> str:
    value = text(name, default)
    if value and urlsplit(value).scheme not in schemes:
        fail(name, f"must begin with one of {', '.join(sorted(s + '://' for s in schemes))}.")
    return value


def folder(name: str, default: Path) -> Path:
    """Return a folder that exists; make it where it does not."""
    path = Path(text(name, str(default)))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(name, f"cannot be made at {path}: {error.strerror}.")
    return path
