"""The preview beside a message's form shows the real letter."""

from __future__ import annotations

import pytest
from django.urls import reverse

from conftest import make_message
from mailings.tests.forms import message_data, text


@pytest.fixture
def add() -> str:
    return reverse("message:preview_on_add")


DATA = message_data(("heading", "Hi {{ client.full_name }}"), text("<p>From {{ company }}</p>"))


class TestPreview:
    """T2, I2"""

    def test_it_shows_the_letter_to_somebody_who_does_not_exist(self, browser, owner, add):
        client = browser(owner)
        assert client.post(add, DATA).json() == {"is_valid": True, "is_available": True}
        page = client.get(add).text
        for words in ("Hi Anna Ivanova", "From Romashka", "anna@example.com", "/u/preview/"):
            assert words in page
        assert "{{" not in page

    def test_it_shows_the_text_part(self, browser, owner, add):
        client = browser(owner)
        client.post(add, DATA)
        response = client.get(add, {"mode": "text"})
        assert response["Content-Type"] == "text/plain; charset=utf-8"
        assert response.text.startswith("Romashka\n\nHi Anna Ivanova\n\nFrom Romashka\n")

    def test_it_shows_what_is_in_the_form_not_what_is_saved(self, browser, owner):
        message = make_message(owner, text="<p>Saved</p>")
        url = reverse("message:preview_on_edit", args=[message.pk])
        client = browser(owner)
        client.post(url, message_data(text("<p>Typed</p>")))
        assert "Typed" in client.get(url).text
        message.refresh_from_db()
        assert "Saved" in str(message.body)

    def test_names_are_escaped(self, browser, owner, add):
        owner.company = "<script>alert(1)</script>"
        owner.save()
        client = browser(owner)
        client.post(add, DATA)
        assert "<script" not in client.get(add).text

    def test_nothing_in_it_can_act(self, browser, owner, add):
        client = browser(owner)
        client.post(add, DATA)
        policy = client.get(add)["Content-Security-Policy"]
        assert policy.startswith("sandbox ")
        assert "allow-scripts" not in policy
        assert "default-src 'none'" in policy
        assert policy.endswith("img-src http://testserver")

    def test_a_wrong_field_makes_it_wait(self, browser, owner, add):
        data = message_data(text("<p>{{ wrong }}</p>"))
        assert browser(owner).post(add, data).json()["is_valid"] is False

    def test_the_company_is_the_owners(self, browser, owner, administrator):
        """P6: also when an administrator looks."""
        message = make_message(owner)
        page = browser(administrator).get(reverse("message:letter", args=[message.pk])).text
        assert "Romashka" in page

    def test_each_sees_their_own(self, browser, owner, stranger, add):
        """P6"""
        browser(owner).post(add, message_data(text("<p>zq-secret</p>")))
        assert "zq-secret" not in browser(stranger).get(add).text

    @pytest.mark.parametrize("role", ["manager", "editor", "anonymous"])
    def test_other_roles_have_none(self, request, browser, add, role):
        user = None if role == "anonymous" else request.getfixturevalue(role)
        for method in ("get", "post"):
            assert getattr(browser(user), method)(add, DATA).status_code in {302, 403}
