"""Addresses of pages after a home page moved, in processes that knew its old place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.cache import cache
from wagtail.models import Site
from wagtail.models.sites import SITE_ROOT_PATHS_CACHE_KEY, SITE_ROOT_PATHS_CACHE_VERSION

from blog.tests.posts import make_post
from config import site_roots
from home.models import HomePage

pytestmark = pytest.mark.django_db

PLACE = {"key": SITE_ROOT_PATHS_CACHE_KEY, "version": SITE_ROOT_PATHS_CACHE_VERSION}


@contextmanager
def another_process() -> Iterator[None]:
    """Do something elsewhere: this process goes on with what it knew, if it had a cache of its own."""
    Site.get_site_root_paths()
    known = cache.get(**PLACE)
    yield
    cache.set(value=known, **PLACE)


def move_home() -> None:
    home = HomePage.objects.get(locale__language_code="en")
    home.slug = "moved"
    home.save()


def move_home_elsewhere(browser, capture) -> None:
    browser().get("/blog/")
    with another_process(), capture(execute=True):
        move_home()


@pytest.mark.parametrize("address", ["/blog/", "/blog/tea/", "/blog/feed/"])
def test_strangers_get_whole_addresses(browser, django_capture_on_commit_callbacks, address):
    make_post("Tea")
    move_home_elsewhere(browser, django_capture_on_commit_callbacks)
    html = browser().get(address).text
    assert "/blog/tea/" in html
    assert "None" not in html


@pytest.mark.parametrize("address", ["/blog/", "/blog/search/?q=tea"])
def test_so_do_others_without_redis(
    browser, owner, settings, tmp_path, django_capture_on_commit_callbacks, address
):
    settings.REDIS_URL, settings.VAR_DIR = "", tmp_path
    make_post("Tea")
    move_home_elsewhere(browser, django_capture_on_commit_callbacks)
    html = browser(owner).get(address).text
    assert "/blog/tea/" in html
    assert "None" not in html


def test_what_is_learned_is_what_wagtail_would_learn():
    home = HomePage.objects.get(locale__language_code="en")
    blog = home.get_children().get()
    for number, (host, port, root) in enumerate(
        [("b.example", 443, blog), ("a.example", 80, home), ("c.example", 8000, home)]
    ):
        Site.objects.create(hostname=host, port=port, root_page=root, site_name=f"{number}")
    site_roots.forget()
    wagtails = Site.get_site_root_paths()
    assert len({path.site_id for path in wagtails}) == 4
    assert site_roots.read() == wagtails


def test_it_is_learned_by_one_query(rf, django_assert_num_queries):
    request = rf.get("/")
    site_roots.forget()
    with django_assert_num_queries(2):
        site = site_roots.find_site(request)
    with django_assert_num_queries(0):
        assert site == Site.find_for_request(request)
        assert Site.get_site_root_paths()


def test_what_was_read_before_the_commit_is_forgotten(django_capture_on_commit_callbacks):
    """A cache that processes share is filled by one that does not see the change yet."""
    with django_capture_on_commit_callbacks(execute=True), another_process():
        move_home()
    assert cache.get(**PLACE) is None


def test_nothing_is_forgotten_without_a_change():
    site_roots.keep_up("one")
    cache.set(value=[], **PLACE)
    for generation in ("one", None):  # None: Redis is away.
        site_roots.keep_up(generation)
        assert cache.get(**PLACE) == []
    site_roots.keep_up("another")
    assert cache.get(**PLACE) is None
