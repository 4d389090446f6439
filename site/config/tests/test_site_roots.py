"""Addresses of pages after a home page moved, in processes that knew its old place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.cache import cache
from django.core.management import call_command
from wagtail.models import Page, Site
from wagtail.models.sites import SITE_ROOT_PATHS_CACHE_KEY, SITE_ROOT_PATHS_CACHE_VERSION

from blog.tests.posts import make_post
from config import site_roots
from config.generations import get_generation
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


class TestAddressOfTheSite:
    """SITE_URL of a later day: whole addresses that Wagtail builds follow it after `migrate`."""

    @pytest.fixture(autouse=True)
    def new_address(self, settings):
        settings.SITE_URL = "https://news.example.com:443"

    def full_url(self) -> str | None:
        return Page.objects.get(slug="tea").full_url

    def test_the_only_site_gets_it(self):
        """Wagtail puts such addresses into letters to editors, previews and what a CDN is told."""
        make_post("Tea", slug="tea")
        assert self.full_url() == "http://testserver/blog/tea/"
        call_command("migrate", verbosity=0)
        assert self.full_url() == "https://news.example.com/blog/tea/"

    def test_running_processes_notice(self):
        before = get_generation().read()
        call_command("migrate", verbosity=0)
        assert get_generation().read() != before

    def test_nothing_changes_twice(self):
        call_command("migrate", verbosity=0)
        before = get_generation().read()
        call_command("migrate", verbosity=0)
        assert get_generation().read() == before

    def test_another_port_or_none(self, settings):
        for address, found in {
            "http://127.0.0.1:8000": ("127.0.0.1", 8000),
            "http://news.example.com/": ("news.example.com", 80),
            "https://news.example.com": ("news.example.com", 443),
        }.items():
            settings.SITE_URL = address
            call_command("migrate", verbosity=0)
            site = Site.objects.get()
            assert (site.hostname, site.port) == found

    def test_several_sites_stay_as_they_are(self):
        home = Site.objects.get().root_page
        Site.objects.create(hostname="b.example", port=80, root_page=home)
        before = list(Site.objects.values())
        call_command("migrate", verbosity=0)
        assert list(Site.objects.values()) == before
