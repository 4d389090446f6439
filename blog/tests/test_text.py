"""What is done with plain text."""

from __future__ import annotations

from blog.text import fit_for_xml


def test_xml_gets_nothing_that_it_cannot_hold():
    assert fit_for_xml("\x00a\x08\x0b\x0c\x1f\ud800b\udfff\ufffe\uffff") == "ab"
    assert fit_for_xml("Чай\t&\r\n😀\ufffd") == "Чай\t&\r\n😀\ufffd"
