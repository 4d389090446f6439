"""`/sitemap.xml` and `/robots.txt`: what search engines may read, in every language."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Exists
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from wagtail.models import Page, Site

from config.addresses import absolute
from config.page_cache import keep
from config.privacy import open_to_all, restrictions

# Kept from search engines: what is somebody's own, and pages made of what was typed.
CLOSED = ["/admin/", "/dashboard/", "/u/", "/i18n/", "/blog/search/", "/*/blog/search/"]
MOST = 50_000  # addresses in one sitemap (https://www.sitemaps.org/protocol.html)


@require_safe
def sitemap_xml(request: HttpRequest) -> HttpResponse:
    urls = {"urlset": list_pages(request)}
    return keep(render(request, "sitemap.xml", urls, content_type="application/xml"))


def list_pages(request: HttpRequest) -> list[dict[str, Any]]:
    """Describe every page that strangers see, with its translations, by two queries."""
    pages = list(find_pages(request)[:MOST])
    languages: dict[Any, dict[str, str]] = defaultdict(dict)
    for page in pages:
        languages[page.translation_key][page.locale.language_code] = absolute(page.url)
    return [describe(page, languages[page.translation_key]) for page in pages]


def find_pages(request: HttpRequest) -> Any:
    site = Site.find_for_request(request) or Site.objects.get(is_default_site=True)
    homes = site.root_page.get_translations(inclusive=True)
    pages = Page.objects.none()
    for home in homes:
        pages |= home.get_descendants(inclusive=True)
    pages = open_to_all(pages.live()).filter(~Exists(restrictions()))
    return pages.select_related("locale").order_by("path")


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
