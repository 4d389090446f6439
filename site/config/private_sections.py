"""What is kept from strangers: pages in private sections, and what repeats such pages.

What lies under a home page that is not public is kept from them too (language.py): it has no address.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.db.models import (
    BooleanField,
    CharField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Left
from django.db.models.lookups import In
from django.http import HttpRequest, HttpResponse
from wagtail.models import Page, PageViewRestriction, Site

GetResponse = Callable[[HttpRequest], HttpResponse]

# What stands for the source of a home page that is not public: no path of a page.
HIDDEN = "-"

# What the request that is answered has asked already: nothing, or one set of paths.
_asked: ContextVar[list[frozenset[str]] | None] = ContextVar("asked", default=None)


class PrivateSectionsMiddleware:
    """Let a request ask but once which sections are private, unless it changes something."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in {"GET", "HEAD"}:
            return self.get_response(request)
        token = _asked.set([])
        try:
            return self.get_response(request)
        finally:
            _asked.reset(token)


# --- For many pages ---------------------------------------------------------------------------


def open_to_all(pages: QuerySet[Page]) -> Any:
    """Leave those out that lie in a private section, by the first characters of their paths.

    This asks for the sections at once. Where there is none, the query is as it was.
    """
    by_length: dict[int, list[str]] = defaultdict(list)
    for path in sorted(private_sections()):
        by_length[len(path)].append(path)
    for length, paths in by_length.items():
        pages = pages.filter(~Q(In(Left("path", length), paths)))
    return pages


def private_sections() -> frozenset[str]:
    """Return the paths of the pages that strangers see neither, nor what lies beneath them."""
    asked = _asked.get()
    if asked is None:
        return read_sections()
    if not asked:
        asked.append(read_sections())
    return asked[0]


def read_sections() -> frozenset[str]:
    """Begin with the pages that have a restriction, and go on with what repeats private ones.

    What repeats a page under a hidden home page is open where it lies.
    """
    rows = list(find_rows())
    private = {path for path, source in rows if not source}
    hidden = {path for path, source in rows if source == HIDDEN}
    aliases = {path: source for path, source in rows if source not in {"", HIDDEN}}
    found = private
    while found:
        found = {path for path, source in aliases.items() if lies_in(source, private)} - private
        private = private | found
    return frozenset(private | hidden)


def find_rows() -> QuerySet:
    """Return, by one query, the path of each page with a restriction, that of each hidden home
    page, and that of each alias with the path of what it repeats; of aliases only where there is
    a restriction at all.
    """
    restricted = PageViewRestriction.objects.values_list(
        "page__path", Value("", output_field=CharField())
    )
    hidden = hidden_homes().values_list("path", Value(HIDDEN, output_field=CharField()))
    are_some = Exists(PageViewRestriction.objects.all())
    aliases = Page.objects.filter(are_some, alias_of__isnull=False).order_by()
    return restricted.union(hidden, aliases.values_list("path", "alias_of__path"), all=True)


def hidden_homes() -> QuerySet[Page]:
    """Return the home pages that are not public, but for that of a site itself: where that is
    hidden, what lies beneath it answers nevertheless.
    """
    sites = Site.objects.order_by()
    homes = Page.objects.filter(translation_key__in=sites.values("root_page__translation_key"))
    return homes.filter(live=False).exclude(pk__in=sites.values("root_page")).order_by()


def lies_in(path: str, sections: Container[str]) -> bool:
    return any(path[:end] in sections for end in ends_of_steps(path))


def ends_of_steps(path: str) -> range:
    """Return where the paths end of the pages above a page, and its own."""
    return range(Page.steplen, len(path) + 1, Page.steplen)


# --- For few pages ----------------------------------------------------------------------------


@cache
def is_private() -> Exists:
    """Return, to be used within a query of pages, whether each of them is kept from strangers.

    It sees the moment in which the pages are read, and looks at each page: for few of them.
    An alias is as private as what it repeats. The page of a restriction is no join: SQLite would
    begin with that, at every page anew. Put together once: each page asks several times.
    """
    path = ExpressionWrapper(OuterRef("path"), output_field=CharField())
    private = Subquery(Page.objects.filter(pk=OuterRef("page")).order_by().values("path")[:1])
    source = ExpressionWrapper(OuterRef("alias_of__path"), output_field=CharField())
    rows = PageViewRestriction.objects.alias(path=path, source=source, private=private)
    return Exists(
        rows.filter(Q(path__startswith=F("private")) | Q(source__startswith=F("private")))
    )


def has_address() -> Combinable:
    """Return, to be used within a query of pages, whether the address of each leads anywhere."""
    path = ExpressionWrapper(OuterRef("path"), output_field=CharField())
    above = hidden_homes().alias(below=path).filter(below__startswith=F("path"))
    return ExpressionWrapper(Q(live=True) & ~Exists(above), output_field=BooleanField())
