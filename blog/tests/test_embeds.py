"""Embedded videos: what readers see of them, and who fetches them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from config.embed_providers import PROVIDERS
from django.utils import timezone
from wagtail.embeds.exceptions import EmbedNotFoundException
from wagtail.embeds.finders import get_finders
from wagtail.embeds.finders.base import EmbedFinder
from wagtail.embeds.models import Embed
from wagtail.images.models import Image, Rendition

from blog import embeds
from blog.models import BlogPage
from blog.tasks import make_pictures
from blog.tests.posts import make_post, store_embed
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db

FILM = "https://www.youtube.com/watch?v=1"
OTHER = "https://vimeo.com/2"


class Provider(EmbedFinder):
    """A site whose videos can be embedded, and which may be away."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away: set[str] = set()

    def accept(self, url: str) -> bool:
        return True

    def find_embed(self, url: str, max_width: Any = None, max_height: Any = None) -> dict[str, Any]:
        self.asked.append(url)
        if url in self.away:
            raise EmbedNotFoundException("away")
        html = f"<iframe src='{url}&new'></iframe>"
        return {"type": "video", "html": html, "width": 480, "height": 270}


@pytest.fixture
def provider(monkeypatch) -> Provider:
    provider = Provider()
    monkeypatch.setattr("wagtail.embeds.embeds.get_finders", lambda: [provider])
    return provider


def make_post_with(*addresses: str, **fields: Any) -> BlogPage:
    values = [{"title": "A film", "embed": address} for address in addresses]
    return make_post(body=json.dumps([{"type": "embed", "value": one} for one in values]), **fields)


def show(browser, post: BlogPage) -> str:
    return browser().get(post.url).text.split('class="prose"')[1].split("</article>")[0]


class TestProviders:
    @pytest.mark.parametrize(
        ("address", "endpoint"),
        [
            (FILM, "https://www.youtube.com/oembed"),
            ("https://youtu.be/1", "https://www.youtube.com/oembed"),
            (OTHER, "https://www.vimeo.com/api/oembed.json"),
            ("https://rutube.ru/video/1a2b/", "https://rutube.ru/api/oembed/"),
            ("https://soundcloud.com/band/song", "https://soundcloud.com/oembed"),
            ("http://www.collegehumor.com/video/1", None),
            ("https://rutube.ru.example.com/video/1/", None),
            ("https://example.com/?https://youtu.be/1", None),
        ],
    )
    def test_known_ones_are_asked(self, address, endpoint):
        [finder] = get_finders()
        assert finder.accept(address) == bool(endpoint)
        assert finder._get_endpoint(address) == endpoint

    def test_all_are_asked_over_tls(self):
        assert all(provider["endpoint"].startswith("https://") for provider in PROVIDERS)

    def test_what_others_gave_stays(self, browser):
        store_embed("https://www.dailymotion.com/video/1")
        assert "<template><iframe" in show(
            browser, make_post_with("https://www.dailymotion.com/video/1")
        )

    def test_others_are_links(self, browser, caplog):
        address = "https://www.dailymotion.com/video/1"
        post = make_post_with(address)
        make_pictures(post.pk)
        html = show(browser, post)
        assert f'href="{address}"' in html
        assert "<template>" not in html
        assert f"{address} cannot be embedded" in caplog.text


class TestReaders:
    def test_it_loads_nothing_by_itself(self, browser, provider):
        """What another site gives waits in a template until the reader asks for it."""
        store_embed(FILM)
        html = show(browser, make_post_with(FILM))
        before, inside = html.split("<template>")
        assert "<iframe" not in before
        assert "<iframe" in inside.split("</template>")[0]
        assert "Open at youtube.com" in html

    def test_what_is_not_stored_is_a_link(self, browser, provider):
        """Nobody waits for a provider, not even one reader."""
        html = show(browser, make_post_with(FILM))
        assert f'href="{FILM}"' in html
        assert "A film" in html
        assert "<template>" not in html
        assert "<button" not in html
        assert provider.asked == []

    def test_what_is_old_is_shown(self, browser, provider):
        store_embed(FILM, cache_until=timezone.now() - timedelta(days=1))
        assert "<template><iframe" in show(browser, make_post_with(FILM))
        assert provider.asked == []


class TestWorkers:
    def test_they_fetch_what_is_missing(self, browser, provider):
        store_embed(FILM)
        post = make_post_with(FILM, OTHER)
        make_pictures(post.pk)
        make_pictures(post.pk)
        assert provider.asked == [OTHER]
        assert show(browser, post).count("<template><iframe") == 2

    def test_they_fetch_again_what_is_old(self, browser, provider):
        store_embed(FILM, cache_until=timezone.now() - timedelta(days=1))
        post = make_post_with(FILM)
        make_pictures(post.pk)
        assert f"{FILM}&new" in show(browser, post)

    def test_provider_that_is_away_hinders_nothing(self, browser, provider, caplog):
        provider.away.add(FILM)
        store_embed(FILM, cache_until=timezone.now() - timedelta(days=1))
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        post = make_post_with(FILM, OTHER, image=picture)
        make_pictures(post.pk)
        assert Rendition.objects.exists()
        assert provider.asked == [FILM, OTHER]
        assert show(browser, post).count("<template><iframe") == 2
        assert f"{FILM} cannot be embedded" in caplog.text

    def test_time_for_a_post_has_an_end(self, provider, monkeypatch, caplog):
        monkeypatch.setattr(embeds, "SECONDS", 0.0)
        make_pictures(make_post_with(FILM).pk)
        assert not Embed.objects.exists()
        assert f"shown as a link: {FILM}" in caplog.text
