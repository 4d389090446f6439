"""Lead from an address that a page had to the one that it has.

Wagtail keeps such rows (`wagtail.contrib.redirects`), which editors see and make under *Settings →
Redirects*. Those of pages that are renamed or moved are written down here and not by Wagtail, which
cannot do so on SQLite for a thousand pages at once, nor on PostgreSQL for an address too long for
its table, and lets a draft take the old address of another page away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from django.db import transaction
from django.db.models import Q
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    HttpResponseRedirect,
)
from django.utils.encoding import iri_to_uri
from wagtail.contrib.redirects.models import Redirect
from wagtail.models import Page, Site
from wagtail.signals import page_slug_changed, post_page_move

from config.addresses import INTERFACE, first_part
from config.page_changes import at_place
from config.private_sections import has_address

BATCH = 500  # SQLite bears no more than a thousand conditions at once.
LONGEST = Redirect._meta.get_field("old_path").max_length

GetResponse = Callable[[HttpRequest], HttpResponse]


# --- Writing them down ------------------------------------------------------------------------


def watch() -> None:
    page_slug_changed.connect(slug_was_changed, dispatch_uid="keep_old_addresses")
    post_page_move.connect(page_was_moved, dispatch_uid="keep_old_addresses")


def slug_was_changed(instance: Page, instance_before: Page, **signal: Any) -> None:
    # Publishing a draft makes it seen; what it was called until then nobody knew.
    if was_seen(instance_before):
        keep_old_addresses(instance, instance_before.url_path)


def page_was_moved(instance: Page, url_path_before: str, **signal: Any) -> None:
    if was_seen(instance):
        keep_old_addresses(instance, url_path_before)


def was_seen(page: Page) -> bool:
    return page.live or page.first_published_at is not None


def keep_old_addresses(page: Page, url_path_before: str) -> None:
    """Lead from where a page and all beneath it were in the tree to where they are."""
    was, now = at_place(page, url_path_before).get_url_parts(), page.get_url_parts()
    # Where a site begins nothing changes but the name, which is in no address.
    if not was or not now or was == now:
        return
    (site, _root, old), (_site, _root, new) = was, now
    seen = Q(live=True) | Q(first_published_at__isnull=False)
    pages = page.get_descendants(inclusive=True).filter(seen).order_by("path")
    rows = [
        (pk, make_path(old, rest), make_path(new, rest))
        for pk, url_path in pages.values_list("pk", "url_path")
        for rest in [url_path[len(page.url_path) :]]
    ]
    with transaction.atomic():
        for begin in range(0, len(rows), BATCH):
            write(site, rows[begin : begin + BATCH])


def make_path(address: str, rest: str) -> str:
    return Redirect.normalise_path(unquote(address) + rest)


def write(site_id: int, rows: list[tuple[int, str, str]]) -> None:
    """Write redirects down, of pages by key with their old and new addresses.

    Who had an address last has it; what an editor wrote stays. Where a page is again, it needs none.
    """
    pages, old, new = (set(column) for column in zip(*rows, strict=True))
    is_back = Q(old_path__in=new, redirect_page__in=pages)
    known = Redirect.objects.filter(site=site_id, automatically_created=True)
    known.filter(Q(old_path__in=old) | is_back).delete()
    redirects = [
        Redirect(site_id=site_id, old_path=path, redirect_page_id=pk, automatically_created=True)
        for pk, path, _new in rows
        if len(path) <= LONGEST
    ]
    Redirect.objects.bulk_create(redirects, ignore_conflicts=True)


# --- Following them ---------------------------------------------------------------------------


class RedirectMiddleware:
    """Lead on from where no page is; the last of all middlewares, so that 404 is the site's own.

    Forms are not sent on: the browser would ask for the new address without what was typed.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_asked = request.method in {"GET", "HEAD"} and response.status_code == 404
        if not is_asked or first_part(request.path_info) in INTERFACE:
            return response
        return lead_on(request) or response


def lead_on(request: HttpRequest) -> HttpResponse | None:
    address = request.get_full_path()
    # The whole address comes first: one of another system may tell pages apart by parameters.
    paths = [Redirect.normalise_path(part) for part in (address, address.partition("?")[0])]
    found = ((row, find_target(row)) for row in find_rows(request, paths))
    redirect, target = next((pair for pair in found if pair[1]), (None, None))
    if not target or (is_here(request, target) and Redirect.normalise_path(target) in paths):
        return None
    query = request.META.get("QUERY_STRING")
    if query and redirect.redirect_page_id and redirect.old_path == paths[1]:
        target = f"{target}?{iri_to_uri(query)}"
    answer = HttpResponsePermanentRedirect if redirect.is_permanent else HttpResponseRedirect
    return answer(target)


def find_rows(request: HttpRequest, paths: list[str]) -> list[Redirect]:
    """Return the redirects from these addresses, best first.

    What an editor wrote goes before what was written by itself, and for this site before for all.
    """
    rows = Redirect.get_for_site(Site.find_for_request(request)).filter(old_path__in=paths)
    return sorted(
        rows,
        key=lambda row: (paths.index(row.old_path), row.automatically_created, row.site_id is None),
    )


def find_target(redirect: Redirect) -> str | None:
    """Return where a redirect leads, or None where that is nowhere now."""
    if not redirect.redirect_page_id:
        return redirect.link
    page = Page.objects.filter(has_address(), pk=redirect.redirect_page_id).first()
    return redirect.link if page and page.url else None


def is_here(request: HttpRequest, target: str) -> bool:
    return urlsplit(target).netloc in {"", request.get_host()}
