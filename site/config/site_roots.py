"""Where sites lie in the tree of pages, which Wagtail remembers for an hour to tell addresses.

It forgets that when a home page gets another address, but before others can read of the change,
and where the cache is the process's own, in that process alone. Pages of all others would link
to None.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.apps import apps as all_apps
from django.apps.registry import Apps
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from wagtail.models import Site
from wagtail.models.sites import (
    SITE_ROOT_PATHS_CACHE_KEY,
    SITE_ROOT_PATHS_CACHE_VERSION,
    SiteRootPath,
)

from config.generations import get_generation

# The generation of pages (generations.py) by which this process knows where sites lie.
_known = ""


def forget() -> None:
    Site.clear_site_root_paths_cache()


def keep_up(generation: str | None) -> None:
    """Forget what is known from another generation than this one."""
    global _known
    if generation is not None and generation != _known:
        forget()
        _known = generation


def keep_up_by_itself() -> None:
    """Do so where nothing else is asked for the generation; with Redis all share what one forgot."""
    if not settings.REDIS_URL:
        keep_up(get_generation().read())


# --- Learning it ------------------------------------------------------------------------------

PLACE = {"key": SITE_ROOT_PATHS_CACHE_KEY, "version": SITE_ROOT_PATHS_CACHE_VERSION}
SECONDS = 3600  # As Wagtail does.
# The home pages of each site in all languages, in the order in which Wagtail looks at them.
ROOTS = """
SELECT site.id, home.url_path, site.hostname, site.port, locale.language_code
  FROM wagtailcore_site site
  JOIN wagtailcore_page root ON root.id = site.root_page_id
  JOIN wagtailcore_page home ON home.translation_key = root.translation_key
  JOIN wagtailcore_locale locale ON locale.id = home.locale_id
 ORDER BY root.url_path DESC, site.is_default_site DESC, site.hostname, site.id, home.path
"""


def find_site(request: HttpRequest) -> Site | None:
    """Return the site that is asked for, and learn where all of them lie, if that is not known.

    Wagtail would ask for the sites, and then for the home pages of each.
    """
    if cache.get(**PLACE) is None:
        cache.set(value=read(), timeout=SECONDS, **PLACE)
    return Site.find_for_request(request)


def read() -> list[SiteRootPath]:
    with connection.cursor() as cursor:
        cursor.execute(ROOTS)
        return [
            SiteRootPath(pk, path, Site(hostname=hostname, port=port).root_url, language)
            for pk, path, hostname, port, language in cursor.fetchall()
        ]


# --- Their address ----------------------------------------------------------------------------


def follow_site_url(using: str, apps: Apps = all_apps, **signal: Any) -> None:
    """Give the only site the address of the settings (SITE_URL), after every `migrate`.

    Wagtail builds whole addresses of it: in letters to editors, for previews and for a CDN to
    purge. Where there are several sites, somebody has said which is where.
    """
    address = urlsplit(settings.SITE_URL)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        sites = apps.get_model("wagtailcore", "Site").objects.using(using)
    except LookupError:
        return  # Taken back to before there was any.
    if sites.count() == 1 and sites.exclude(hostname=address.hostname, port=port).update(
        hostname=address.hostname, port=port
    ):
        forget()
        get_generation().change()
