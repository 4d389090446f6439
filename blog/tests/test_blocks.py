"""What a post can be made of."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from wagtail.images.models import Image

from blog.blocks import CallBlock
from blog.models import BlogPage
from blog.tests.posts import make_post
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def picture() -> Image:
    return Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))


def show(browser, kind: str, value: Any) -> str:
    post = make_post(body=json.dumps([{"type": kind, "value": value}]))
    html = browser().get(post.url).text
    return html.split('class="prose"')[1].split("</article>")[0]


def as_image(picture: Image, alt: str = "A calm sea") -> dict[str, Any]:
    return {"image": picture.pk, "alt_text": alt, "decorative": False}


class TestImage:
    def test_it_has_a_caption_and_a_text_for_who_cannot_see_it(self, browser, picture):
        html = show(browser, "image", {"image": as_image(picture), "caption": "In May"})
        assert 'alt="A calm sea"' in html
        assert "<figcaption>In May</figcaption>" in html

    def test_it_comes_in_modern_formats_and_sizes(self, browser, picture):
        html = show(browser, "image", {"image": as_image(picture), "caption": ""})
        assert 'type="image/avif"' in html
        assert re.search(r"480x?\d*\S*\.webp 480w", html)
        assert "sizes=" in html
        assert re.search(r'<img[^>]* width="480"', html)
        assert re.search(r'<img[^>]* height="270"', html)

    def test_image_from_before_captions_stays(self, browser, picture):
        """Posts and their revisions held the image alone."""
        assert 'alt="A calm sea"' in show(browser, "image", as_image(picture))

    def test_image_from_before_survives_editing(self, picture):
        post = make_post(body=json.dumps([{"type": "image", "value": as_image(picture)}]))
        post.save_revision().publish()
        [block] = BlogPage.objects.get(pk=post.pk).body.raw_data
        assert block["value"] == {"image": as_image(picture), "caption": ""}


def test_gallery(browser, picture):
    pictures = [{"image": as_image(picture, alt), "caption": alt} for alt in ("One", "Two")]
    html = show(browser, "gallery", {"pictures": pictures})
    assert html.count("<figure>") == 2
    assert 'alt="Two"' in html


def test_code_is_shown_as_it_is(browser):
    html = show(browser, "code", {"code": "a < b\n  c", "title": "x.py"})
    assert "<code>a &lt; b\n  c</code>" in html
    assert "x.py" in html


def test_table_has_heads_and_a_caption(browser):
    table = {
        "caption": "Replies",
        "columns": [
            {"type": "text", "heading": "Code"},
            {"type": "number", "heading": "Share"},
        ],
        "rows": [{"values": ["250", "97.5"]}],
    }
    html = show(browser, "table", table)
    assert "<caption>Replies</caption>" in html
    assert '<th scope="col">Code</th>' in html
    assert '<td class="number">97.5</td>' in html


class TestCallToAction:
    value = {"title": "Try it", "text": "", "button": "Go", "page": None, "address": ""}

    def test_to_signing_up(self, browser):
        html = show(browser, "call", {**self.value, "target": "signup"})
        assert 'href="/accounts/signup/">Go</a>' in html

    def test_who_is_logged_in_is_led_to_the_workspace(self, browser, owner):
        post = make_post(
            body=json.dumps([{"type": "call", "value": {**self.value, "target": "signup"}}])
        )
        assert 'href="/dashboard/"' in browser(owner).get(post.url).text.split("prose")[1]

    def test_to_a_page(self, browser):
        other = make_post("Other")
        html = show(browser, "call", {**self.value, "target": "page", "page": other.pk})
        assert 'href="/blog/other/">Go</a>' in html

    def test_to_an_address(self, browser):
        value = {**self.value, "target": "address", "address": "https://example.com/"}
        assert 'href="https://example.com/">Go</a>' in show(browser, "call", value)

    @pytest.mark.parametrize("target", ["page", "address"])
    def test_it_must_lead_somewhere(self, target):
        block = CallBlock()
        with pytest.raises(ValidationError):
            block.clean(block.to_python({**self.value, "target": target}))

    @pytest.mark.parametrize("address", ["javascript:alert(1)", "//evil.example", "example.com"])
    def test_it_leads_to_no_odd_place(self, address):
        block = CallBlock()
        value = {**self.value, "target": "address", "address": address}
        with pytest.raises(ValidationError):
            block.clean(block.to_python(value))
