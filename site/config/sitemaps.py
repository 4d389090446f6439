"""`/sitemap.xml` and `/robots.txt`: what search engines may read, in every language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.core.paginator import InvalidPage, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from wagtail.models import Page, Site

from config import site_roots
from config.addresses import absolute
from config.page_cache import keep
from config.private_sections import is_private, open_to_all

# Kept from search engines: what is somebody's own, and pages made of what was typed.
CLOSED = ["/admin/", "/dashboard/", "/u/", "/i18n/", "/blog/search/", "/*/blog/search/"]
XML = "application/xml"
# Addresses in one sitemap: far fewer than the 50,000 that are allowed
# (https://www.sitemaps.org/protocol.html), so that each is made in a moment.
PART = 250


@require_safe
def sitemap_xml(request: HttpRequest) -> HttpResponse:
    """Answer with all pages, or, where they are many, with the addresses of parts of them."""
    try:
        pages = find_pages(request)
        part = Paginator(pages, PART).page(request.GET.get("page", 1))
    except InvalidPage as error:
        raise Http404(str(error)) from error
    if "page" not in request.GET and part.has_other_pages():
        address, numbers = absolute(request.path), part.paginator.page_range
        parts = {"sitemaps": [{"location": f"{address}?page={number}"} for number in numbers]}
        response = render(request, "sitemap_index.xml", parts, content_type=XML)
    else:
        described = {"urlset": describe_part(part, pages, request)}
        response = render(request, "sitemap.xml", described, content_type=XML)
    return keep(response, reads=["page"])


def find_pages(request: HttpRequest) -> QuerySet[Page]:
    """Return every page that strangers see."""
    site = site_roots.find_site(request) or Site.objects.get(is_default_site=True)
    pages = Page.objects.none()
    for home in site.root_page.get_translations(inclusive=True):
        pages |= home.get_descendants(inclusive=True)
    return open_to_all(pages.live()).order_by("path")


def describe_part(
    part: Iterable[Page], all_pages: QuerySet[Page], request: HttpRequest
) -> list[dict[str, Any]]:
    """Describe pages with their translations, in whatever part of all pages these are."""
    # They were found by their place in a list: one may have become private since.
    keys = [page.translation_key for page in part]
    pages = all_pages.filter(translation_key__in=keys).select_related("locale")
    languages: dict[Any, dict[str, str]] = defaultdict(dict)
    shown = {page.pk: page for page in pages.filter(~is_private())}
    for page in shown.values():
        code = page.locale.language_code
        languages[page.translation_key][code] = absolute(page.get_url(request))
    return [
        describe(shown[page.pk], languages[page.translation_key])
        for page in part
        if page.pk in shown
    ]


def describe(page: Page, languages: dict[str, str]) -> dict[str, Any]:
    alternates = sorted(languages.items()) if len(languages) > 1 else []
    return {
        "location": languages[page.locale.language_code],
        "lastmod": page.last_published_at,
        "alternates": [{"lang_code": code, "location": url} for code, url in alternates],
    }


@require_safe
def robots_txt(request: HttpRequest) -> HttpResponse:
    rules = ["User-agent: *", *(f"Disallow: {path}" for path in CLOSED)]
    text = "\n".join([*rules, "", f"Sitemap: {absolute('/sitemap.xml')}", ""])
    return HttpResponse(text, content_type="text/plain; charset=utf-8")
