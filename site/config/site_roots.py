"""Where sites lie in the tree of pages, which Wagtail remembers for an hour to tell addresses.

It forgets that when a home page gets another address, but before others can read of the change,
and where the cache is the process's own, in that process alone. Pages of all others would link
to None.
"""

from __future__ import annotations

from django.conf import settings
from wagtail.models import Site

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
