"""The addresses of a site that runs in DEBUG."""

from __future__ import annotations

from django.urls import include, path

from config import urls

urlpatterns = [path("inbox/", include("config.inbox")), *urls.urlpatterns]
handler400, handler500 = urls.handler400, urls.handler500
