"""What is done with plain text."""

from __future__ import annotations

import json

import pytest
from wagtail.images.models import Image

from blog.models import BlogPage
from blog.tests.posts import get_blog, make_post
from blog.text import collect_text, collect_text_alone, fit_for_xml
from home.examples.pictures import draw_picture


def test_xml_gets_nothing_that_it_cannot_hold():
    assert fit_for_xml("\x00a\x08\x0b\x0c\x1f\ud800b\udfff\ufffe\uffff") == "ab"
    assert fit_for_xml("Чай\t&\r\n😀\ufffd") == "Чай\t&\r\n😀\ufffd"


@pytest.mark.django_db
def test_words_are_the_same_without_what_is_shown_beside_them(django_assert_num_queries):
    picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))

    def show(**image: object) -> dict[str, object]:
        return {"image": {"image": picture.pk, **image}, "caption": "A wave"}

    spoken, silent = show(alt_text="Foam", decorative=False), show(alt_text="No", decorative=True)
    call = {"title": "Try it", "text": "Now", "button": "Go", "address": "", "target": "page"}
    table = {
        "caption": "Replies",
        "columns": [{"type": "text", "heading": "Code"}],
        "rows": [{"values": ["250"]}],
    }
    blocks = [
        {"type": "text", "value": "<p>Write <b>shorter</b>.</p>"},
        {"type": "image", "value": spoken},
        {"type": "image", "value": spoken["image"]},  # As it was kept once.
        {"type": "gallery", "value": {"pictures": [spoken, silent]}},
        {"type": "quote", "value": {"text": "Less is more.", "author": "Mies"}},
        {"type": "table", "value": table},
        {"type": "call", "value": {**call, "page": get_blog().pk}},
    ]
    body = BlogPage(body=json.dumps(blocks)).body
    with django_assert_num_queries(0):
        alone = collect_text_alone(body)
    assert "Foam" in alone
    assert alone.split() == collect_text(body).split()


@pytest.mark.django_db
def test_a_heading_ends_like_a_sentence():
    """Else an excerpt of a search would read on from it."""
    source = "<h2>Sign your mail</h2><p>SPF says who may.</p><h3>And then?</h3><p>Wait.</p>"
    post = make_post(body=json.dumps([{"type": "text", "value": source}]))
    text = " ".join(collect_text(post.body).split())
    assert text == "Sign your mail. SPF says who may. And then? Wait."
