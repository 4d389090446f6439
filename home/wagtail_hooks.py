"""Put a step of the import of redirects in the place of Wagtail's."""

from __future__ import annotations

from config.redirect_import import finish_import
from django.urls import URLPattern, path
from wagtail import hooks


# Before Wagtail's own, whose place it takes.
@hooks.register("register_admin_urls", order=-1)
def add_import_url() -> list[URLPattern]:
    return [path("redirects/import/process/", finish_import, name="finish_redirects_import")]
