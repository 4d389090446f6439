"""Switch the language of the interface."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.i18n import set_language
from wagtail.users.models import UserProfile


# Pages for strangers are cached and shared, so their form can hold no token. A forged post
# could change the language of a page and nothing else.
@csrf_exempt
def switch_language(request: HttpRequest) -> HttpResponse:
    """Remember the language in a cookie, and in the account of a user who is logged in.

    Without `next` in the form the reader comes back to the page the form was on.
    """
    language = request.POST.get("language")
    if request.user.is_authenticated and language in dict(settings.LANGUAGES):
        profile = UserProfile.get_for_user(request.user)
        profile.preferred_language = language
        profile.save(update_fields=["preferred_language"])
    return set_language(request)
