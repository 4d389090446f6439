"""Keep finished pages for strangers, and answer for them before anything else is asked.

Only what everybody may see is kept: views say so with `keep`. A request with the cookie of a
session or of a message goes by, and so does everything that is not one of a few addresses. All
that is kept belongs to a generation (`generations.py`), which every change of what pages show
raises (`page_changes.py`). docs/public-site.md tells how all of it fits together.
"""

from __future__ import annotations

import gzip
import logging
import pickle
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from django.utils.translation import get_language_from_request

from config import site_roots
from config.addresses import INTERFACE, first_part, is_door
from config.generations import get_generation
from config.redis_link import AwayError, get_link

# How old the numbers of a page may be: with the ten seconds until a reading is counted, and the
# time that a CDN keeps the page, less than a minute.
SECONDS = 30
CDN_SECONDS = 15
LARGEST_STORE = 64 * 1024 * 1024  # bytes of pages in one process
MOST_PLACES = 1000  # with variants
LOCAL_HOSTS = ("127.0.0.1", "localhost")
# In Redis; the number is that of the form of `Kept`.
KEY = "vestnik:page:1:{}"
MESSAGES_COOKIE = "messages"  # of Django's storage in cookies, which is tried first
NUMBER = re.compile(r"[1-9][0-9]{0,5}")
# Named, and not with the weight that forbids it (RFC 9110, 12.4.2).
GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)
# Other addresses of the interface are never kept; see config/urls.py.
NEVER = INTERFACE - {"sitemap.xml"}
# What answers say anew, or what belongs to one answer alone.
OWN_HEADERS = {"cache-control", "content-encoding", "content-length", "etag", "set-cookie"}

logger = logging.getLogger("vestnik.web")

GetResponse = Callable[[HttpRequest], HttpResponse]


# --- What views say ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Terms:
    """On which terms an answer may be kept."""

    reads: Collection[str] = ()
    variants: int = 1


def keep(response: HttpResponse, *, reads: Collection[str] = (), variants: int = 1) -> HttpResponse:
    """Allow to keep an answer that holds nothing of the person who asks; return it.

    `reads`: parameters of the address that it depends on; only `page` is known.
    `variants`: how many answers, each as good as the others, are kept at the same address.
    """
    response.terms = Terms(reads, variants)
    return response


def is_for_everybody(request: HttpRequest) -> bool:
    """Return whether the answer to this request holds nothing of the person who asks."""
    return (
        request.method in {"GET", "HEAD"}
        and not getattr(request, "is_preview", False)
        and not request.user.is_authenticated
        and not len(get_messages(request))
    )


class CachedPageMixin:
    """A page that is kept for strangers."""

    # For `keep`.
    kept_by: Collection[str] = ()
    kept_variants = 1

    def serve(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().serve(request, *args, **kwargs)
        if is_for_everybody(request):
            keep(response, reads=self.kept_by, variants=self.kept_variants)
        return response


# --- Where an answer is kept ------------------------------------------------------------------


class Place(NamedTuple):
    """All that the answer to a stranger depends on."""

    scheme: str
    host: str
    path: str
    language: str  # at addresses where the reader's counts
    page: str

    @property
    def name(self) -> str:
        return blake2b("\0".join(self).encode(), digest_size=16).hexdigest()


def find_place(request: HttpRequest) -> Place | None:
    """Return where the answer to this request is kept, or None where none may be."""
    # Wagtail's previews go the whole way as requests for the page that they show.
    if request.method not in {"GET", "HEAD"} or hasattr(request, "is_dummy"):
        return None
    path, host = request.path_info, request.META.get("HTTP_HOST", "")
    if first_part(path) in NEVER or is_somebodys(request):
        return None
    if host not in find_hosts(settings.SITE_URL, *settings.ALLOWED_HOSTS):
        return None
    query = request.META.get("QUERY_STRING", "")
    page = request.GET.get("page") if query else None
    if page is not None and not NUMBER.fullmatch(page):
        return None
    language = get_language_from_request(request) if is_door(path, query) else ""
    return Place(request.scheme, host, path, language, page or "")


@lru_cache(maxsize=8)
def find_hosts(site_url: str, *allowed: str) -> frozenset[str]:
    """Return the hosts whose pages are kept, each as browsers write it.

    Django answers to many spellings of a host: with any port, in capitals, with a dot behind.
    Each would be a place of its own, and whoever thinks of many fills the store.
    """
    site = urlsplit(site_url)
    names = {*LOCAL_HOSTS, *(host.lower() for host in allowed if host.strip("*.") == host)}
    with_port = {f"{name}:{site.port}" for name in names} if site.port else set()
    # Who speaks HTTP/1.0 may name none.
    return frozenset({"", site.netloc.lower(), *names, *with_port})


def is_somebodys(request: HttpRequest) -> bool:
    if "HTTP_COOKIE" not in request.META:
        return False
    return settings.SESSION_COOKIE_NAME in request.COOKIES or MESSAGES_COOKIE in request.COOKIES


# --- What is kept -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished answer, ready to go out."""

    headers: dict[str, str]
    body: bytes
    zipped: bytes
    etag: str
    variants: int
    until: float = field(default_factory=lambda: time.time() + SECONDS)

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.until

    @property
    def size(self) -> int:
        return len(self.body) + len(self.zipped) + 1000


def finish(place: Place, response: HttpResponse, terms: Terms) -> Kept:
    patch_vary_headers(response, ("Cookie", "Accept-Encoding"))
    headers = {name: value for name, value in response.items() if name.lower() not in OWN_HEADERS}
    # The language of a door, and the posts of a page with variants, are for the site to say.
    asks_always = bool(place.language) or terms.variants > 1
    headers["Cache-Control"] = (
        f"public, max-age=0, must-revalidate, s-maxage={CDN_SECONDS}"
        if settings.FRONTEND_CACHE and not asks_always
        else "public, no-cache"
    )
    body = response.content
    # The date in the head of gzip would make equal pages different.
    zipped = gzip.compress(body, 6, mtime=0)
    # Weak: the same for the page and its compressed form.
    etag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
    return Kept({**headers, "ETag": etag}, body, zipped, etag, terms.variants)


class Store:
    """Finished pages: the latest ones in this process, and in Redis for the others."""

    def __init__(self) -> None:
        self.guard = Lock()
        self.size = 0
        self.pages: OrderedDict[str, Kept] = OrderedDict()
        # How many variants there are at a place, where there is more than one.
        self.variants: dict[str, int] = {}
        # When this process rendered one of these last.
        self.rendered_at: dict[str, float] = {}

    def clear(self) -> None:
        with self.guard:
            self.size = 0
            self.pages.clear()
            self.variants.clear()
            self.rendered_at.clear()

    def find(self, generation: str, place_name: str, variant: int) -> Kept | None:
        """Return what is kept and not too old, of whatever process."""
        kept = self.find_here(generation, place_name, variant)
        return kept or self.fetch(f"{generation}:{place_name}:{variant}")

    def find_here(self, generation: str, place_name: str, variant: int) -> Kept | None:
        kept = self.pages.get(f"{generation}:{place_name}:{variant}")
        return kept if kept and kept.is_fresh else None

    def fetch(self, name: str) -> Kept | None:
        """Take over what another process rendered."""
        link = get_link()
        if link is None:
            return None
        try:
            content = link.ask(lambda client: client.get(KEY.format(name)))
        except AwayError:
            return None
        if content is None:
            return None
        try:
            kept = pickle.loads(content)
        except Exception:  # Whatever pickle makes of bytes that another release wrote.
            logger.exception("A page in Redis cannot be read and is rendered again: %s", name)
            return None
        if not kept.is_fresh:
            return None
        self.put_here(name, kept)
        return kept

    def put(self, generation: str, place_name: str, variant: int, kept: Kept) -> None:
        name = f"{generation}:{place_name}:{variant}"
        self.put_here(name, kept)
        if kept.variants > 1:
            self.rendered_at[place_name] = time.monotonic()
        link = get_link()
        if link:
            content = pickle.dumps(kept)
            with suppress(AwayError):
                link.ask(lambda client: client.set(KEY.format(name), content, ex=SECONDS))

    def put_here(self, name: str, kept: Kept) -> None:
        with self.guard:
            old = self.pages.pop(name, None)
            self.size += kept.size - (old.size if old else 0)
            self.pages[name] = kept
            # What is oldest goes first, whatever its generation.
            while self.size > LARGEST_STORE:
                self.size -= self.pages.popitem(last=False)[1].size
            if kept.variants > 1:
                if len(self.variants) >= MOST_PLACES:
                    self.variants.clear()
                    self.rendered_at.clear()
                self.variants[name.split(":")[1]] = kept.variants


store = Store()


# --- The answers ------------------------------------------------------------------------------


class PageCacheMiddleware:
    """Answer strangers from the store; the first of all middlewares."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.compressor = GZipMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        place = find_place(request)
        if place is None:
            site_roots.keep_up_by_itself()
            return self.go_by(request)
        generation = get_generation().read()
        site_roots.keep_up(generation)
        if generation is None:
            return self.render(request, place)
        name = place.name
        variant = choose(request, generation, name)
        kept = store.find(generation, name, variant)
        if kept:
            return answer(request, kept)
        return self.render(request, place, lambda kept: store.put(generation, name, variant, kept))

    def go_by(self, request: HttpRequest) -> HttpResponse:
        """Answer as if there were no store, and let nobody else keep the answer."""
        response = self.get_response(request)
        if not response.has_header("Cache-Control") and is_html(response):
            response["Cache-Control"] = "private, no-cache"
        return response

    def render(
        self, request: HttpRequest, place: Place, put: Callable[[Kept], None] = lambda kept: None
    ) -> HttpResponse:
        """Let the page be rendered, and keep it if its view allows that."""
        with asking_for_all(request):
            response = self.go_by(request)
        terms = getattr(response, "terms", None)
        # The same page under many addresses would push others out.
        is_known = terms is not None and not (place.page and "page" not in terms.reads)
        if not is_known or not is_plain(response):
            return self.compressor.process_response(request, response)
        kept = finish(place, response, terms)
        put(kept)
        return answer(request, kept)


@contextmanager
def asking_for_all(request: HttpRequest) -> Iterator[None]:
    """Let views make the whole answer, uncompressed, also for one who asks for its head."""
    method, accepted = request.method, request.META.pop("HTTP_ACCEPT_ENCODING", None)
    request.method = "GET"
    try:
        yield
    finally:
        request.method = method
        if accepted is not None:
            request.META["HTTP_ACCEPT_ENCODING"] = accepted


def choose(request: HttpRequest, generation: str, place_name: str) -> int:
    """Return which variant of a place to show.

    Somebody who comes again (the browser says that a person goes there) gets another than they
    have; a program that asks whether its copy is good gets that copy, if it is.
    """
    count = store.variants.get(place_name, 1)
    if count == 1:
        return 0
    variants = range(count)
    fresh = {variant: store.find_here(generation, place_name, variant) for variant in variants}
    if tags := request.META.get("HTTP_IF_NONE_MATCH"):
        theirs = [variant for variant in variants if is_theirs(fresh[variant], tags)]
        if theirs and request.META.get("HTTP_SEC_FETCH_MODE") != "navigate":
            return theirs[0]
        variants = [variant for variant in variants if variant not in theirs] or variants
    # One variant is rendered after the other: readers would wait for all of them at once.
    ready = [variant for variant in variants if fresh[variant]]
    is_pause = time.monotonic() - store.rendered_at.get(place_name, 0.0) < SECONDS / count / 2
    return random.choice(ready if ready and is_pause else variants)


def is_theirs(kept: Kept | None, tags: str) -> bool:
    return kept is not None and matches(kept.etag, tags)


def matches(etag: str, tags: str) -> bool:
    """Compare weakly, as If-None-Match asks (RFC 9110, 13.1.2)."""
    if tags.strip() == "*":
        return True
    plain = etag.removeprefix("W/")
    return any(tag.removeprefix("W/") == plain for tag in parse_etags(tags))


def is_html(response: HttpResponse) -> bool:
    return response.get("Content-Type", "").startswith("text/html")


def is_plain(response: HttpResponse) -> bool:
    return response.status_code == 200 and not response.streaming and not response.cookies


def answer(request: HttpRequest, kept: Kept) -> HttpResponse:
    tags = request.META.get("HTTP_IF_NONE_MATCH")
    if tags and matches(kept.etag, tags):
        # What RFC 9110, 15.4.5 asks for, and no more.
        names = ("Cache-Control", "Content-Language", "ETag", "Vary")
        headers = {name: kept.headers[name] for name in names if name in kept.headers}
        response = HttpResponse(status=304, headers=headers)
        del response["Content-Type"]
        return response
    body, headers = kept.body, kept.headers
    if GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", "")):
        body, headers = kept.zipped, {**headers, "Content-Encoding": "gzip"}
    headers = {**headers, "Content-Length": str(len(body))}
    return HttpResponse(b"" if request.method == "HEAD" else body, headers=headers)
