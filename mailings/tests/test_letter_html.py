"""How a letter looks: HTML that mail programs show as meant, and fields that survive."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.utils import translation
from wagtail.users.models import UserProfile

from mailings.delivery.letter import FIELDS, compose, fill, preheader, sample_values
from mailings.models import Message
from mailings.tests.test_pictures import make_picture


def letter(owner, *blocks, subject="News") -> Message:
    return Message.objects.create(owner=owner, subject=subject, body=list(blocks))


@pytest.fixture
def full(owner) -> Message:
    """A letter with every block."""
    words = (
        '<p>Dear <b>{{ client.full_name }}</b>, <a href="https://e.com/?a=1&amp;b=2">see</a></p>'
    )
    return letter(
        owner,
        ("heading", "Spring at {{ company }}"),
        ("text", words + "<ul><li>One</li><li>Two</li></ul>"),
        (
            "image",
            {"picture": make_picture(owner), "alt": "For {{ client.full_name }}", "link": ""},
        ),
        ("button", {"text": "Look", "link": "https://example.com/"}),
        ("divider", None),
    )


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, *names: str) -> list[dict[str, str]]:
        return [attrs for tag, attrs in self.found if tag in names]


class TestFields:
    @pytest.mark.parametrize("name", FIELDS)
    @pytest.mark.parametrize("form", ["{{ %s }}", "{{%s}}", "{{   %s}}", "{{\u00a0%s\u00a0}}"])
    def test_they_survive_in_text_attributes_and_subject(self, owner, name, form):
        field = form % name
        alt = {"picture": make_picture(owner), "alt": f"{field} & co", "link": ""}
        message = letter(
            owner, ("text", f"<p>A<b>{field}</b></p>"), ("image", alt), subject=f"Hi {field}!"
        )
        content = compose(message)
        assert content.subject == f"Hi {{{{ {name} }}}}!"
        assert f">{{{{ {name} }}}}</b>" in content.html
        assert f'alt="{{{{ {name} }}}} &amp; co"' in content.html
        assert f"A{{{{ {name} }}}}" in content.text

    def test_the_way_out_survives_as_an_address(self, full):
        content = compose(full)
        assert 'href="{{ unsubscribe_url }}"' in content.html
        assert "({{ unsubscribe_url }})" in content.text

    def test_values_are_escaped_in_html_only(self, full):
        values = {**sample_values(company="A & <B>"), "client.full_name": '"><i>x'}
        content = compose(full)
        page = fill(content.html, values, escape=True)
        assert "A &amp; &lt;B&gt;" in page
        assert "<i>" not in page
        assert "A & <B>" in fill(content.text, values)
        assert "{{" not in page

    def test_a_value_is_not_filled_in_again(self, full):
        values = {**sample_values(company="X"), "client.full_name": "{{ company }}"}
        assert "{{ company }}" in fill(compose(full).text, values)

    def test_what_is_no_field_does_not_stop_a_run(self, owner):
        """Forms refuse it; a message that came another way is sent as it stands."""
        content = compose(letter(owner, ("heading", "Hi {{ nobody }}"), subject="{{ x }}"))
        assert "Hi nobody" in fill(content.html, sample_values(company="X"), escape=True)
        assert content.subject == "x"

    def test_the_preheader_cuts_no_field_in_two(self, owner):
        words = "word " * 20 + "{{ client.full_name }} " * 4
        shown = preheader(letter(owner, ("text", f"<p>{words}</p>")))
        assert shown.startswith("word word")
        assert shown.count("{{") == shown.count("}}")


class TestHtml:
    def test_it_is_tables_of_at_most_600_pixels(self, full):
        page = compose(full).html
        assert not re.search(r"display:\s*(flex|grid)|position:|float:|<script|<link|<form", page)
        assert all(table["role"] == "presentation" for table in Tags(page).of("table"))
        assert "max-width:600px" in page
        assert '<table role="presentation" width="600"' in page

    def test_its_styles_are_inlined(self, full):
        page = compose(full).html
        for attrs in Tags(page).of("h1", "p", "a", "ul"):
            assert "font-" in attrs["style"] or "color" in attrs["style"]

    def test_dark_colours_are_kept_for_those_who_want_them(self, full):
        page = compose(full).html
        assert "@media (prefers-color-scheme:dark)" in page
        assert '<meta name="color-scheme" content="light dark">' in page

    def test_pictures_have_absolute_addresses_sizes_and_words(self, full):
        [picture] = Tags(compose(full).html).of("img")
        assert picture["src"].startswith("http://testserver/media/pictures/")
        assert picture["width"] == "40"
        assert re.search(r"\bwidth: ?100%", picture["style"])
        assert picture["alt"] == "For {{ client.full_name }}"

    def test_a_large_picture_fits_in(self, owner):
        picture = make_picture(owner)
        picture.width = 1200
        type(picture).objects.filter(pk=picture.pk).update(width=1200)
        image = {"picture": picture, "alt": "Cat", "link": "https://example.com/"}
        page = compose(letter(owner, ("image", image))).html
        assert Tags(page).of("img")[0]["width"] == "536"
        assert 'href="https://example.com/"' in page

    def test_a_deleted_picture_leaves_no_broken_one(self, full):
        full.body[2].value["picture"] = None
        assert not Tags(compose(full).html).of("img")

    def test_a_button_is_a_coloured_cell(self, full):
        page = compose(full).html
        assert any(cell.get("bgcolor") == "#1d4ed8" for cell in Tags(page).of("td"))
        assert Tags(page).of("a")[1]["href"] == "https://example.com/"

    def test_it_is_small(self, full):
        assert len(compose(full).html.encode()) < 10_000

    def test_what_people_type_is_no_markup(self, owner):
        message = letter(owner, ("heading", "<script>alert(1)</script>"), subject="<b>News</b>")
        page = compose(message).html
        assert "<script" not in page
        assert "<title>&lt;b&gt;News&lt;/b&gt;</title>" in page


class TestLanguage:
    """The words around a message are in the language of its owner, whoever looks."""

    def test_the_owners(self, owner, full):
        UserProfile.objects.create(user=owner, preferred_language="ru")
        with translation.override("en"):
            page = compose(Message.objects.get()).html
        assert '<html lang="ru"' in page

    def test_the_sites(self, settings, full):
        settings.LANGUAGE_CODE = "en"
        with translation.override("ru"):
            page = compose(full).html
        assert '<html lang="en"' in page
        assert "Unsubscribe from these letters" in page


class TestText:
    def test_it_reads_like_the_letter(self, full):
        assert compose(full).text == (
            "{{ company }}\n\n"
            "Spring at {{ company }}\n\n"
            "Dear {{ client.full_name }}, see (https://e.com/?a=1&b=2)\n\n"
            "- One\n- Two\n\n"
            "[For {{ client.full_name }}]\n"
            "Look (https://example.com/)\n\n"
            "----------\n\n"
            "{{ company }} sent this letter to {{ client.email }}, because the address is among "
            "its clients.\n\n"
            "Unsubscribe from these letters ({{ unsubscribe_url }})\n"
        )
