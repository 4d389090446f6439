"""The text part, read from HTML."""

from __future__ import annotations

import pytest

from mailings.plaintext import html_to_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h1>Hi</h1><p>One</p><p>Two</p>", "Hi\n\nOne\n\nTwo\n"),
        ("<p>  One\n  two </p>", "One two\n"),
        ("<p>One<br>two<br/><br>three</p>", "One\ntwo\n\nthree\n"),
        ("<p>A &amp; &lt;b&gt;&nbsp;c</p>", "A & <b> c\n"),
        ("<p>x <b> y </b> z</p>", "x y z\n"),
        (
            "<ul><li>a</li><li>b<ol><li>c</li><li>d</li></ol></li></ul>",
            "- a\n- b\n  1. c\n  2. d\n",
        ),
        ("<ol><li>a</li></ol><p>z</p>", "1. a\n\nz\n"),
        ('<a href="https://e.com/">here</a>', "here (https://e.com/)\n"),
        ('<a href="https://e.com/">https://e.com/</a>', "https://e.com/\n"),
        ('<a href="mailto:a@e.com">a@e.com</a>', "a@e.com\n"),
        ('<a href="mailto:a@e.com">write</a>', "write (a@e.com)\n"),
        ('<a href="https://e.com/"><img src="x" alt="Cat"></a>', "[Cat] (https://e.com/)\n"),
        ('<img src="x" alt="">', "\n"),
        ("<p>a</p><hr><p>b</p>", "a\n\n----------\n\nb\n"),
        ("<table><tr><td>a</td></tr><tr><td>b</td></tr></table>", "a\nb\n"),
        ("<head><title>t</title><style>p{}</style></head><body>a</body>", "a\n"),
        ('<div style="display: none">b <i>c</i><br></div><p>a</p>', "a\n"),
        ("<!-- c --><p>a</p>", "a\n"),
        ("</a></ul><li>a</li>", "- a\n"),
        ("", "\n"),
    ],
)
def test_it_reads(page: str, text: str):
    assert html_to_text(page) == text
