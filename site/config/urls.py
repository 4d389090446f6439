"""Addresses of the whole site."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.admin.auth import require_admin_access
from wagtail.documents import urls as wagtaildocs_urls

from accounts.views import AdminAccountView
from blog.readings.request import note_reading
from config.health import healthz
from config.language import in_languages, switch_language
from config.media import serve_picture
from config.sitemaps import robots_txt, sitemap_xml
from mailings.views import public
from mailings.views.metrics import metrics

urlpatterns = [
    path("accounts/", include("accounts.urls")),
    path("dashboard/", RedirectView.as_view(pattern_name="wagtailadmin_home"), name="dashboard"),
    path("i18n/setlang/", switch_language, name="set_language"),
    path("robots.txt", robots_txt, name="robots"),
    path("sitemap.xml", sitemap_xml, name="sitemap"),
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    # One login for everything.
    path("admin/login/", RedirectView.as_view(pattern_name="account_login", query_string=True)),
    path("_util/login/", RedirectView.as_view(pattern_name="account_login", query_string=True)),
    re_path(r"^admin/password_reset/", RedirectView.as_view(pattern_name="account_reset_password")),
    path(
        "admin/account/",
        require_admin_access(AdminAccountView.as_view()),
        name="wagtailadmin_account",
    ),
    path("admin/", include(wagtailadmin_urls)),
    path("documents/", include(wagtaildocs_urls)),
    path("u/preview/", public.UnsubscribePreview.as_view(), name="unsubscribe_preview"),
    path("u/<str:token>/", public.UnsubscribeView.as_view(), name="unsubscribe"),
    path("u/<str:token>/again/", public.ResubscribeView.as_view(), name="resubscribe"),
    # No more digits than a key has.
    re_path(r"^read/(?P<pk>[0-9]{1,9})/$", note_reading, name="count_reading"),
    re_path(r"^media/(?P<path>.*)$", serve_picture),
    *([path("inbox/", include("config.inbox"))] if settings.DEBUG else []),
    *in_languages(path("", include(wagtail_urls))),
]

handler400 = "config.errors.bad_request"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"
