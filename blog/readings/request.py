"""Who reads a post: the small request that its page sends when somebody sees it.

`POST /read/<id>/` comes from the script of the page, `GET` from the image of a browser without
scripts. Whether it counts, the answer does not tell.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from datetime import date
from functools import lru_cache
from hashlib import blake2b, sha256
from urllib.parse import urlsplit
from uuid import UUID

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from wagtail.admin.auth import user_has_any_page_permission

from blog.readings import timer, waiting
from blog.readings.models import Salt, today
from blog.readings.settle import Line

logger = logging.getLogger("vestnik.web")

# What one address may add in a minute, in each process; more is taken for a flood.
MOST_A_MINUTE = 600
MOST_ADDRESSES = 20_000
LONGEST_AGENT = 1000
# How robots that no list knows yet call themselves; Cubot makes telephones.
ROBOT = re.compile(r"(?<!cu)bot\b|crawler|spider", re.IGNORECASE)
# The smallest picture there is: one transparent point.
POINT = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)


# Pages are cached and shared, so they hold no token. Requests of other sites are not counted.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
def note_reading(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep a line saying that the sender reads this post, if it is one of those who count."""
    if request.META.get("CONTENT_LENGTH") not in {None, "", "0"}:
        return HttpResponse(status=413)
    if request.method == "GET" and not is_from_here(request):
        raise Http404("There is a picture only for the page of a post.")
    address = find_address(request)
    if address and is_reader(request) and not floods.is_over(address):
        try:
            waiting.add(str(describe(address, request.headers["User-Agent"], pk)))
        except OSError as error:
            logger.error("A reading could not be kept: %s", error)
            return HttpResponse(status=503)
        timer.soon()
    if request.method == "GET":
        return HttpResponse(POINT, content_type="image/gif")
    return HttpResponse(status=204)


# --- Who counts -------------------------------------------------------------------------------


def is_reader(request: HttpRequest) -> bool:
    """Return whether a person sent this from a page of ours that they look at."""
    return (
        is_from_here(request)
        and not is_prefetch(request)
        and not is_crawler(request.headers.get("User-Agent", ""))
        and not is_editor(request)
    )


def is_from_here(request: HttpRequest) -> bool:
    """Return whether a page of this site asks; browsers say so and scripts cannot change it.

    https://www.w3.org/TR/fetch-metadata/; browsers before 2023 say it by Origin or Referer. An image
    could be put into a page of anybody's, so its browser must say it in the newer way.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if request.method == "GET":
        return site == "same-origin" and request.headers.get("Sec-Fetch-Dest") == "image"
    if site:
        return site == "same-origin"
    source = request.headers.get("Origin") or request.headers.get("Referer") or ""
    try:
        return urlsplit(source).netloc == request.get_host()
    except ValueError:
        return False


def is_prefetch(request: HttpRequest) -> bool:
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
    return any("prefetch" in purpose or "prerender" in purpose for purpose in purposes)


@lru_cache(maxsize=4096)
def is_crawler(agent: str) -> bool:
    if not agent:
        return True
    # Its list takes 2 MB, which no worker needs.
    from crawleruseragents import is_crawler

    agent = agent[:LONGEST_AGENT]
    return bool(ROBOT.search(agent)) or is_crawler(agent, case_sensitive=False)


def is_editor(request: HttpRequest) -> bool:
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return request.user.is_authenticated and user_has_any_page_permission(request.user)


def find_address(request: HttpRequest) -> str | None:
    """Return the visitor's address as log-in attempts know it (TRUSTED_PROXIES)."""
    try:
        address = ipaddress.ip_address(get_adapter().get_client_ip(request))
    except (PermissionDenied, ImproperlyConfigured, ValueError):
        return None
    # A socket for both kinds shows IPv4 as ::ffff:192.0.2.1, all of them in one /64.
    return str(getattr(address, "ipv4_mapped", None) or address)


class Floods:
    """How often each address asked in this minute."""

    def __init__(self) -> None:
        self.minute, self.numbers = 0, {}

    def is_over(self, address: str) -> bool:
        """Note one more; return whether that is too much, from this address or from all."""
        minute = int(time.monotonic() // 60)
        if minute != self.minute:
            self.minute, self.numbers = minute, {}
        network = network_of(address)
        if network not in self.numbers and len(self.numbers) >= MOST_ADDRESSES:
            return True
        self.numbers[network] = self.numbers.get(network, 0) + 1
        return self.numbers[network] > MOST_A_MINUTE


floods = Floods()


# --- What is kept of a visitor ----------------------------------------------------------------


def describe(address: str, agent: str, post: int) -> Line:
    """Return the line for a reading; address and agent cannot be found from it."""
    day = today()
    key = make_key(read_salt(day))
    agent = agent[:LONGEST_AGENT]
    return Line(
        day=day,
        post=post,
        visitor=digest(key, "visitor", str(post), address, agent),
        network=digest(key, "network", str(post), network_of(address)),
    )


def network_of(address: str) -> str:
    """Return what one customer of a provider has: an IPv4 address, a /64 of IPv6 (RFC 6177)."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def digest(key: bytes, *parts: str) -> UUID:
    # No part holds the separator: an agent comes last, and headers hold no NUL.
    content = "\0".join(parts).encode()
    return UUID(bytes=blake2b(content, key=key, digest_size=16).digest())


def make_key(salt: bytes) -> bytes:
    """Mix in the secret of the site: a copy of the database alone tells nobody anything."""
    return sha256(settings.SECRET_KEY.encode() + salt).digest()


def read_salt(day: date) -> bytes:
    """Return the salt of a day, the same in all processes; the first to ask makes it."""
    if _salt.get("day") != day:
        Salt.objects.bulk_create(
            [Salt(day=day, value=secrets.token_bytes(32))], ignore_conflicts=True
        )
        _salt.update(day=day, value=bytes(Salt.objects.get(day=day).value))
    return _salt["value"]


# The salt of the day; that of the day before goes as soon as somebody asks.
_salt: dict[str, object] = {}
