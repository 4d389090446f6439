"""What every page of the public site has: its address, its translations, its place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.utils.functional import cached_property
from django.utils.translation import get_language
from wagtail.models import Page, PageViewRestriction
from wagtail.query import PageQuerySet

from config import private_sections, structured_data
from config.addresses import absolute
from config.page_cache import CachedPageMixin


class PublicPageQuerySet(PageQuerySet):
    def open_to_all(self) -> PageQuerySet:
        """Return what is in no private section, however many pages there are."""
        return private_sections.open_to_all(self)

    def open_now(self) -> PageQuerySet:
        """Return, of few pages, what strangers may read at the moment in which they are read.

        What was found before, page by page or by a key, may have become private meanwhile.
        """
        return self.live().filter(~private_sections.is_private())


@cache
def pages_to_serve(model: type[Page]) -> PageQuerySet:
    """Put a query together, to be copied: that takes longer than the database takes to answer it."""
    pages = model.objects.select_related("locale")
    return pages.annotate(is_private=private_sections.is_private())


class PublicPageMixin(CachedPageMixin):
    """A page in one of the languages of the site."""

    # How a page is found by its address. Wagtail asks for the page, then for the same page as
    # what it is, then for those above it and whether they are private: here it is one query.

    def route(self, request: HttpRequest, path_components: list[str]) -> Any:
        child = self.find_child(path_components[0]) if path_components else None
        if child is None:
            return super().route(request, path_components)
        child._cached_parent_obj = self
        child.trail = [*self.trail, child]
        return child.route(request, path_components[1:])

    def find_child(self, slug: str) -> Page | None:
        here = Page.objects.child_of(self).filter(slug=slug)
        for model in type(self).allowed_subpage_models():
            same = here.values("translation_key")
            child = model.find_among_translations(
                lambda page: page.slug == slug and page.is_child_of(self), same
            )
            if child:
                return child
        return None

    @classmethod
    def find_among_translations(
        cls, is_sought: Callable[[Page], bool], keys: QuerySet | list[Any]
    ) -> Page | None:
        """Return, of pages that are translations of one another, the one that is sought.

        `keys` are their translation keys: one, or a query for it. The page knows the others.
        """
        pages = list(cls.to_serve().filter(translation_key__in=keys))
        found = next(filter(is_sought, pages), None)
        if found:
            found.all_translations = pages
        return found

    @classmethod
    def to_serve(cls) -> PageQuerySet:
        """Load with a page what is always shown of it."""
        return pages_to_serve(cls).all()

    def get_view_restrictions(self) -> QuerySet[PageViewRestriction]:
        if any(page.alias_of_id for page in self.trail):
            return super().get_view_restrictions()  # Those of the source count.
        if getattr(self, "is_private", True):
            ends = private_sections.ends_of_steps(self.path)
            return PageViewRestriction.objects.filter(
                page__path__in=[self.path[:end] for end in ends]
            )
        return PageViewRestriction.objects.none()

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context(request, *args, **kwargs),
            "canonical": absolute(self.url or "/"),
            # At an address that answers in the reader's language, other languages are no others.
            "alternates": self.find_alternates() if self.is_at(request.path) else {},
            "x_default": absolute(self.x_default),
            "trail": self.trail,
            "share": self.share,
            "structured": self.describe_for_search_engines(),
        }

    def is_at(self, path: str) -> bool:
        """Return whether a path is the page's own; those of requests are decoded, addresses not."""
        return path == unquote(self.url or "")

    def serve_password_required_response(
        self, request: HttpRequest, form: Any, action_url: str
    ) -> HttpResponse:
        """Ask for the password; the head, which others are shown too, tells nothing of the page."""
        # Who opens the address of the form by itself wants to come here.
        form.initial.setdefault("return_url", self.url)
        response = super().serve_password_required_response(request, form, action_url)
        response.context_data |= dict.fromkeys(["canonical", "alternates", "share", "structured"])
        return response

    # Languages.

    @cached_property
    def public_translations(self) -> dict[str, Page]:
        """Return this page and its translations by language, as far as strangers see them."""
        private = private_sections.private_sections()
        return {
            page.locale.language_code: page
            for page in self.all_translations
            if page.live and not private_sections.lies_in(page.path, private)
        }

    @cached_property
    def all_translations(self) -> list[Page]:
        """Return this page and its translations, drafts too."""
        return list(self.get_translations(inclusive=True).select_related("locale"))

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
        above = self.get_ancestors() if self.depth > 2 else []
        return [*(page for page in above if page.depth > 1), self]

    @cached_property
    def share(self) -> dict[str, Any]:
        return {
            "type": "website",
            "title": self.seo_title or self.title,
            "description": self.search_description or self.lead,
            "image": absolute(static(f"img/share-{get_language()}.png")),
            "image_width": 1200,
            "image_height": 630,
            "image_alt": "",
        }

    def describe_for_search_engines(self, *further: tuple[str, str]) -> list[dict[str, Any]]:
        """Describe the site, and the way to this page and further to what lies within it.

        What lies within is named as `structured_data.breadcrumbs` wants it.
        """
        things = [structured_data.organization()]
        places = [(page.title, absolute(page.url)) for page in self.trail]
        places += further
        if len(places) > 1:
            things.append(structured_data.breadcrumbs(places))
        return things
