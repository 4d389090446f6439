"""What is done with plain text."""

from __future__ import annotations

import json

import pytest

from blog.tests.posts import make_post
from blog.text import collect_text, fit_for_xml


def test_xml_gets_nothing_that_it_cannot_hold():
    assert fit_for_xml("\x00a\x08\x0b\x0c\x1f\ud800b\udfff\ufffe\uffff") == "ab"
    assert fit_for_xml("Чай\t&\r\n😀\ufffd") == "Чай\t&\r\n😀\ufffd"


@pytest.mark.django_db
def test_a_heading_ends_like_a_sentence():
    """Else an excerpt of a search would read on from it."""
    source = "<h2>Sign your mail</h2><p>SPF says who may.</p><h3>And then?</h3><p>Wait.</p>"
    post = make_post(body=json.dumps([{"type": "text", "value": source}]))
    text = " ".join(collect_text(post.body).split())
    assert text == "Sign your mail. SPF says who may. And then? Wait."
