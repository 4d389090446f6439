"""The health page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from mailings.models import Host

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return Host.objects.create(name="host", workers=2)


@pytest.fixture
def signed_in(browser, owner):
    return browser(owner, raise_request_exception=False)


@pytest.fixture
def no_database(monkeypatch):
    def refuse():
        raise OperationalError("password of db.internal: 123")

    monkeypatch.setattr(connection, "ensure_connection", refuse)


@pytest.fixture
def no_redis(settings):
    backends = {
        "default": "config.caches.SturdyRedisCache",
        "strict": "django.core.cache.backends.redis.RedisCache",
    }
    # Nobody listens on port 1.
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {
        name: {"BACKEND": backend, "LOCATION": settings.REDIS_URL}
        for name, backend in backends.items()
    }


def test_all_is_well(browser, host):
    response = browser().get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "cache": "ok", "worker": "ok"}
    assert "no-store" in response["Cache-Control"]


def test_host_is_silent(browser, host):
    Host.objects.update(seen_at=timezone.now() - timedelta(seconds=31))
    response = browser().get("/healthz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "unavailable",
        "database": "ok",
        "cache": "ok",
        "worker": "no host has been seen for 30 seconds",
    }


def test_host_lives_without_workers(browser, host):
    """The guardian of the workers is there, but none of them could start."""
    Host.objects.update(workers=0)
    response = browser().get("/healthz")
    assert response.status_code == 503
    assert response.json()["worker"] == "none is alive"


def test_one_host_with_workers_is_enough(browser, host):
    Host.objects.create(name="other", workers=0)
    assert browser().get("/healthz").status_code == 200


def test_database_is_down(browser, no_database):
    response = browser().get("/healthz")
    assert response.status_code == 503
    assert response.json()["database"] == "does not answer"
    assert response.json()["worker"] == "unknown"
    assert response.json()["cache"] == "ok"
    assert "db.internal" not in response.text


def test_redis_is_down(browser, host, no_redis):
    response = browser().get("/healthz")
    assert response.status_code == 503
    assert response.json()["cache"] == "does not answer"
    assert response.json()["database"] == "ok"
    assert "127.0.0.1" not in response.text


def test_database_is_down_for_one_who_is_logged_in(signed_in, no_database):
    """The session cannot be read, and the page answers all the same."""
    response = signed_in.get("/healthz")
    assert response.status_code == 503
    assert response.json()["database"] == "does not answer"


def test_it_only_reads(browser):
    assert browser().post("/healthz").status_code == 405


class TestPagesMeanwhile:
    """The site says so with 503, in words, whatever part asked for what is away."""

    def check(self, response) -> None:
        assert response.status_code == 503
        assert "The service is away for a moment" in response.text
        assert response["Retry-After"] == "30"
        assert "db.internal" not in response.text

    def test_view_without_database(self, browser, no_database):
        self.check(browser().get("/"))

    def test_session_without_database(self, signed_in, no_database):
        self.check(signed_in.get("/"))

    def test_page_without_redis(self, browser, no_redis):
        """I5: the site goes on, only slower; see test_page_cache.py."""
        assert browser().get("/").status_code == 200

    def test_in_the_language_of_the_reader(self, browser, no_database):
        response = browser().get("/", headers={"Accept-Language": "ru"})
        assert '<html lang="ru"' in response.text
