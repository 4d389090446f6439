"""What every page of the public site has: its address, its translations, its place."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.functional import cached_property
from django.utils.translation import get_language
from wagtail.models import Page

from config import structured_data
from config.addresses import absolute
from config.page_cache import CachedPageMixin

SHARE_SIZE = (1200, 630)


class PublicPageMixin(CachedPageMixin):
    """A page in one of the languages of the site."""

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context(request, *args, **kwargs),
            "canonical": absolute(self.url or "/"),
            # At an address that answers in the reader's language, other languages are no others.
            "alternates": self.find_alternates() if request.path == self.url else {},
            "x_default": absolute(self.x_default),
            "trail": self.trail,
            "share": self.share,
            "structured": self.describe_for_search_engines(),
        }

    # Languages.

    @cached_property
    def public_translations(self) -> dict[str, Page]:
        """Return this page and its translations by language, as far as strangers see them."""
        pages = self.get_translations(inclusive=True).live().public().select_related("locale")
        return {page.locale.language_code: page for page in pages}

    @property
    def x_default(self) -> str:
        """Return the address for readers of any other language."""
        page = self.public_translations.get(settings.LANGUAGE_CODE, self)
        return page.url or "/"

    def find_alternates(self) -> dict[str, str]:
        """Return the addresses by language, where there are two or more."""
        found = {code: absolute(page.url) for code, page in self.public_translations.items()}
        return dict(sorted(found.items())) if len(found) > 1 else {}

    def get_address_in(self, language: str, *route: Any) -> str | None:
        """Return where this page is in another language; `route` is where within it one was."""
        page = self.public_translations.get(language)
        return page.url if page else None

    # What others are told.

    @cached_property
    def trail(self) -> list[Page]:
        """Return the pages above this one and the page itself, from the home page down."""
        return [page for page in self.get_ancestors(inclusive=True) if page.depth > 1]

    @cached_property
    def share(self) -> dict[str, Any]:
        return {
            "type": "website",
            "title": self.seo_title or self.title,
            "description": self.search_description or self.lead,
            "image": absolute(static(f"img/share-{get_language()}.png")),
            "image_alt": "",
        }

    def describe_for_search_engines(self) -> list[dict[str, Any]]:
        things = [structured_data.organization()]
        if len(self.trail) > 1:
            places = [(page.title, absolute(page.url)) for page in self.trail]
            things.append(structured_data.breadcrumbs(places))
        return things
