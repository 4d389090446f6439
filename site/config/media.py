"""Pictures of letters and pages, by the names of their files.

Documents are in the same folder of uploads, and may be anything that a browser would run, or
private: Wagtail alone hands them out, at `/documents/`, to be saved and to whom they are for.
"""

from __future__ import annotations

import posixpath

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.static import serve

WEEK = 7 * 24 * 3600  # seconds
# README tells proxies the same.
FOLDERS = {"avatars", "images", "original_images", "pictures"}


# A file that changes gets another name.
@cache_control(public=True, max_age=WEEK)
def serve_picture(request: HttpRequest, path: str) -> HttpResponse:
    path = posixpath.normpath(path).lstrip("/")
    if path.partition("/")[0] not in FOLDERS:
        raise Http404("There are no pictures here.")
    return serve(request, path, document_root=settings.MEDIA_ROOT)
