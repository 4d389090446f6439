"""Read settings from the environment; a wrong value stops the start with one line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import environ
import idna
from django.utils.encoding import iri_to_uri

BASE_DIR = Path(__file__).resolve().parents[2]
LONGEST_DELAY = 366 * 24 * 3600

Parsed = TypeVar("Parsed")


def read_file() -> None:
    """Take over what `.env` says, where the environment does not say it already.

    VESTNIK_ENV_FILE names another file; where it is empty, none is read.
    """
    path = os.environ.get("VESTNIK_ENV_FILE", ".env")
    try:
        if path:
            environ.Env.read_env(BASE_DIR / path)
    except UnicodeDecodeError:
        sys.exit(f"Vestnik cannot start: {path} is no text in UTF-8.")


def fail(name: str, problem: str) -> NoReturn:
    """End the process with one line that names the variable and what is wrong with it."""
    sys.exit(f"Vestnik cannot start: {name} {problem}")


def text(name: str, default: str = "") -> str:
    """Return the variable's text, or `default` where it is missing or empty."""
    return os.environ.get(name, "").strip() or default


def words(name: str, default: list[str]) -> list[str]:
    """Return what stands between the commas, or `default` where there is nothing."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or default


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


def number_or_none(name: str, default: int, *, low: int, high: int) -> int | None:
    """Return a whole number, `default` where it is missing, None where it is there and empty."""
    if not os.environ.get(name, "-").strip():
        return None
    return number(name, default, low=low, high=high)


def seconds_list(name: str, default: str) -> list[int]:
    """Return waiting times of at least a second, separated by commas."""
    raw = text(name, default)
    try:
        values = [int(part) for part in raw.split(",") if part.strip()]
    except ValueError:
        fail(name, f"is {raw!r}; use whole seconds separated by commas.")
    if not values or min(values) < 1 or max(values) > LONGEST_DELAY:
        fail(name, f"is {raw!r}; every delay must be from 1 to {LONGEST_DELAY} seconds.")
    return values


def choice(name: str, default: str, allowed: list[str]) -> str:
    value = text(name, default)
    if value not in allowed:
        fail(name, f"is {value!r}; use one of {', '.join(allowed)}.")
    return value


def token(name: str) -> str:
    """Return a secret that fits into a header (RFC 6750) and is not guessed, or nothing."""
    value = text(name)
    if value and not re.fullmatch(r"[A-Za-z0-9._~+/-]{16,}=*", value):
        fail(name, "must be 16 or more letters of the Latin alphabet, digits and -._~+/ signs.")
    return value


def web_address(name: str, default: str) -> str:
    """Return an http or https address in ASCII, as browsers send it, without a slash at its end."""
    value = text(name, default).rstrip("/")
    try:
        address = iri_to_uri(with_ascii_host(value))
    except ValueError:
        address = ""
    if not address:
        fail(name, f"is {value!r}; use an address such as https://mail.example.com.")
    return address


def with_ascii_host(value: str) -> str:
    """Return a web address with its host as DNS has it, or nothing where it is no such address.

    Raises `ValueError` for some that are none.
    """
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        return ""
    if parts.netloc.isascii():
        return value
    host, port = ascii_domain(parts.hostname), f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=host + port).geturl()


def ascii_domain(domain: str) -> str:
    """Return a domain as DNS has it (RFC 5891). Raises `ValueError` where it can be none."""
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()


def mailbox(name: str, default: str) -> str:
    """Return `Name <address>`, or an address, that letters may come from."""
    value = text(name, default)
    local, at, domain = parseaddr(value)[1].rpartition("@")
    if not (local and at and domain):
        fail(name, "must hold an address, such as Vestnik <news@example.com>.")
    try:
        local.encode("ascii")
        ascii_domain(domain)
    except ValueError:
        fail(name, f"holds {local}@{domain}, which not every mail server takes: use letters of "
                   "the Latin alphabet before the @, and behind it a domain.")  # fmt: skip
    return value


# --- Services: their addresses may hold a password, which no message shows ---------------------


def parse(name: str, value: str, parser: Callable[[str], Parsed]) -> Parsed:
    try:
        return parser(value)
    except ValueError:
        fail(
            name,
            "is no address: its port must be a number up to 65535, and special characters in a "
            "user name or password must be written as in %2F.",
        )


def service_address(name: str, default: str, schemes: set[str]) -> str:
    value = text(name, default)
    if value and value.partition("://")[0].lower() not in schemes:
        fail(name, f"must begin with one of {', '.join(sorted(s + '://' for s in schemes))}.")
    return value


def redis(name: str) -> str:
    """Return the address of a Redis, or nothing."""
    value = service_address(name, "", {"redis", "rediss", "unix"})
    parse(name, value, lambda address: urlsplit(address).port)
    return value


def with_time_limits(address: str) -> str:
    """Return a Redis address with limits for whoever takes no options beside it, in seconds."""
    joint = "&" if "?" in address else "?"
    return f"{address}{joint}socket_connect_timeout=2&socket_timeout=5"


def frontend_cache(name: str) -> dict[str, str]:
    """Return Wagtail's settings for a CDN or proxy to purge, or nothing."""
    value = service_address(name, "", {"http", "https", "cloudflare"})
    parts = parse(name, value, urlsplit)
    backends = "wagtail.contrib.frontend_cache.backends"
    if parts.scheme == "cloudflare":
        if not (parts.username and parts.hostname):
            fail(name, "names no token or no zone; use cloudflare://TOKEN@ZONE.")
        token = unquote(parts.username)
        zone = {"ZONEID": parts.hostname, "BEARER_TOKEN": token}
        return {"BACKEND": f"{backends}.cloudflare.CloudflareBackend", **zone}
    return {"BACKEND": f"{backends}.HTTPBackend", "LOCATION": value} if value else {}


def mail_server(name: str, default: str) -> dict[str, Any]:
    """Return Django's settings for the mail server at this address."""
    value = service_address(name, default, {"smtp", "smtp+tls", "smtp+ssl", "smtps"})
    config = parse(name, value, environ.Env.email_url_config)
    if not config["EMAIL_HOST"]:
        fail(name, "names no host; use an address such as smtp://mail.example.com:25.")
    usual = 465 if config.get("EMAIL_USE_SSL") else 587 if config.get("EMAIL_USE_TLS") else 25
    return {**config, "EMAIL_PORT": config["EMAIL_PORT"] or usual}


def database(name: str, default: str) -> dict[str, Any]:
    """Return Django's settings for this database; make the folder of one that is a file."""
    value = service_address(name, default, {"sqlite", "postgres", "postgresql", "psql"})
    config = parse(name, value, environ.Env.db_url_config)
    if not config["NAME"]:
        fail(name, "names no database; use an address such as postgres://user@host:5432/name.")
    if "sqlite" in config["ENGINE"] and config["NAME"] != ":memory:":
        config["NAME"] = str(BASE_DIR / config["NAME"])
        make_folder(name, Path(config["NAME"]).parent)
    return config


# --- Folders --------------------------------------------------------------------------------


def folder(name: str, default: Path) -> Path:
    """Return a folder that exists; make it where it does not."""
    # The same folder for every process, wherever it was started.
    return make_folder(name, BASE_DIR / text(name, str(default)))


def make_folder(name: str, path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(name, f"needs the folder {path}, which cannot be made: {error.strerror}.")
    return path
