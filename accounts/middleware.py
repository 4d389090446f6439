"""Show every page in the language and the time zone that its reader chose."""

from __future__ import annotations

from collections.abc import Callable

from config.language import language_asked_for
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation


class OwnLocaleMiddleware:
    """Activate the language and the time zone from the account settings of the user.

    Wagtail does so for its admin only. Strangers keep what LanguageMiddleware found, and so does
    everybody on pages that are in one language.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return self.get_response(request)
        profile = getattr(request.user, "wagtail_userprofile", None)
        has_own = language_asked_for(request) is not None
        if profile and profile.preferred_language and not has_own:
            translation.activate(profile.preferred_language)
            request.LANGUAGE_CODE = translation.get_language()
        with timezone.override(request.user.zone):
            return self.get_response(request)
