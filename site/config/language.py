"""Which language a page is in, and the switch between languages.

Pages of the blog and the home page have a language each, which their address tells: nothing
before it is the default language (LANGUAGE_CODE), `/en/…` or `/ru/…` is the other. Two doors, `/`
and `/blog/` (but `/blog/?page=2` is none), and everything that is no page of Wagtail answer in the
language of the reader: the one chosen last, kept in a cookie or the account, else what the browser
asks for.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.middleware.locale import LocaleMiddleware
from django.urls import LocalePrefixPattern, URLResolver
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt
from wagtail.models import Page, Site, get_page_models
from wagtail.users.models import UserProfile
from wagtail.views import serve

from config import site_roots
from config.addresses import INTERFACE, first_part, is_door
from config.private_sections import open_to_all

ROUTE = "_wagtail_route_for_request"  # where Wagtail looks for a page that is found already


# --- Addresses --------------------------------------------------------------------------------


def is_prefix(part: str) -> bool:
    return part != settings.LANGUAGE_CODE and part in dict(settings.LANGUAGES)


def without_language(path: str) -> str:
    """Return a path, which begins with no slash, without the language before it, if there is one.

    A language alone is an address that lacks its slash, and leads to the one that has it.
    """
    part, slash, rest = path.partition("/")
    return rest if slash and is_prefix(part) else path


def language_of_address(path: str, query: str = "") -> str | None:
    """Return the language that an address has by itself, or None where the reader's counts."""
    part = first_part(path)
    if is_prefix(part):
        return part
    return None if is_door(path, query) or part in INTERFACE else settings.LANGUAGE_CODE


def language_asked_for(request: HttpRequest) -> str | None:
    # Not request.GET, which refuses what is too much: the pages that say so ask for the language.
    return language_of_address(request.path_info, request.META.get("QUERY_STRING", ""))


def language_of_reader(request: HttpRequest) -> str:
    return translation.get_language_from_request(request)


def find_language(request: HttpRequest) -> str:
    return language_asked_for(request) or language_of_reader(request)


class LanguagePattern(LocalePrefixPattern):
    """Take the language off the front of an address, whatever language is active.

    Django's own pattern knows but the prefix of the active language, and a door has none.
    """

    def __init__(self) -> None:
        super().__init__(prefix_default_language=False)

    def match(self, path: str) -> tuple[str, tuple[()], dict[str, Any]]:
        return without_language(path), (), {}


def in_languages(*patterns: Any) -> list[URLResolver]:
    return [URLResolver(LanguagePattern(), list(patterns))]


def use_language(request: HttpRequest, language: str) -> None:
    translation.activate(language)
    request.LANGUAGE_CODE = translation.get_language()


class LanguageMiddleware(LocaleMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        use_language(request, find_language(request))

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if view is serve:
            # A database that is away is met again by the view, whose errors are answered for.
            with suppress(DatabaseError):
                find_route(request, kwargs.get("path", args[0] if args else ""))

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if language_asked_for(request) is None:
            patch_vary_headers(response, ("Accept-Language",))
        response.headers.setdefault("Content-Language", translation.get_language())
        return response


# --- From the address to the page -------------------------------------------------------------


def find_route(request: HttpRequest, path: str) -> Any:
    """Return, and keep for Wagtail, the page at a path without language, or None.

    Wagtail asks for the language, the home page in it and the same as what it is; here that is
    one query. Where the home page of a language is not public, Wagtail takes that of the site: at
    a door in the language it has, but nobody is shown it as `/en/…`, which says another.
    """
    site = site_roots.find_site(request)
    if site and not hasattr(request, ROUTE) and is_ours(site.root_page):
        home = find_home(site, translation.get_language())
        if home:
            setattr(request, ROUTE, find_in(home, request, path))
        elif is_prefix(first_part(request.path_info)):
            setattr(request, ROUTE, None)
        else:
            use_language(request, site.root_page.locale.language_code)
    return Page.route_for_request(request, path)


def is_ours(home: Page) -> bool:
    # All at once: each kind of page would be asked for by itself, once in a process.
    ContentType.objects.get_for_models(*get_page_models())
    return hasattr(home.specific_class, "to_serve")


def find_home(site: Site, language: str) -> Page | None:
    return site.root_page.specific_class.find_among_translations(
        lambda page: page.live and page.locale.language_code == language,
        [site.root_page.translation_key],
    )


def find_in(home: Page, request: HttpRequest, path: str) -> Any:
    try:
        return home.route(request, [part for part in path.split("/") if part])
    except Http404:
        return None


# --- The switch -------------------------------------------------------------------------------


# Pages for strangers are cached and shared, so their form can hold no token. A forged post
# could change the language of a page and nothing else.
@csrf_exempt
def switch_language(request: HttpRequest) -> HttpResponse:
    """Remember the language and go back to the page the form was on, in that language.

    It is kept in a cookie, and in the account of a user who is logged in.
    """
    address, language = find_way_back(request), request.POST.get("language")
    if language not in dict(settings.LANGUAGES):
        return HttpResponseRedirect(address)
    response = HttpResponseRedirect(translate_address(request, address, language))
    remember(request, response, language)
    return response


def find_way_back(request: HttpRequest) -> str:
    hosts = {request.get_host()}
    for address in (request.POST.get("next"), request.headers.get("Referer")):
        if address and url_has_allowed_host_and_scheme(address, hosts, request.is_secure()):
            return address
    return "/"


def remember(request: HttpRequest, response: HttpResponse, language: str) -> None:
    if request.user.is_authenticated:
        profile = UserProfile.get_for_user(request.user)
        profile.preferred_language = language
        profile.save(update_fields=["preferred_language"])
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 24 * 3600,
        secure=request.is_secure(),
        samesite="Lax",
    )


def translate_address(request: HttpRequest, address: str, language: str) -> str:
    """Return the address of the same page in another language, or of the nearest above it."""
    parts = urlsplit(address)
    current = language_of_address(parts.path, parts.query)
    if current in {None, language}:
        return address
    with translation.override(current):
        route = find_page_at(request, unquote(parts.path))
    if route is None:
        # Most likely an error page.
        return address if current == settings.LANGUAGE_CODE else "/"
    found = find_translation(route, language)
    query = QueryDict(parts.query)
    return f"{found}?{urlencode({'q': query['q']})}" if "q" in query else found


def find_page_at(request: HttpRequest, path: str) -> Any:
    # No database looks for NUL, and PostgreSQL refuses to.
    if "\x00" in path:
        return None
    return Page.route_for_request(request, without_language(path.lstrip("/")))


def find_translation(route: Any, language: str) -> str:
    page, args, kwargs = route
    address = page.specific.get_address_in(language, *args)
    if address:
        return address
    for above in page.get_ancestors().order_by("-depth"):
        translations = above.get_translations().live().filter(locale__language_code=language)
        translated = open_to_all(translations).first()
        if translated:
            return translated.url
    return "/"
