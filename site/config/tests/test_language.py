"""The language switch."""

from __future__ import annotations

import pytest
from wagtail.users.models import UserProfile

pytestmark = pytest.mark.django_db

SWITCH = "/i18n/setlang/"


def language_of(html: str) -> str:
    return html.split('<html lang="')[1][:2]


def test_stranger_stays_on_the_page(browser):
    reader = browser(enforce_csrf_checks=True)
    page = "http://testserver/blog/?page=1"
    response = reader.post(SWITCH, {"language": "ru"}, headers={"Referer": page})
    assert response["Location"] == page
    assert language_of(reader.get("/blog/").text) == "ru"


def test_user_takes_the_language_along(browser, owner):
    browser(owner).post(SWITCH, {"language": "ru"})
    assert UserProfile.get_for_user(owner).preferred_language == "ru"
    assert language_of(browser(owner).get("/").text) == "ru"


@pytest.mark.parametrize("language", ["", "xx", "ru; drop", "de"])
def test_unknown_language_changes_nothing(browser, owner, language):
    reader = browser(owner)
    assert reader.post(SWITCH, {"language": language}).status_code == 302
    assert language_of(reader.get("/").text) == "en"


def test_get_changes_nothing(browser):
    reader = browser()
    reader.get(SWITCH, {"language": "ru"})
    assert language_of(reader.get("/").text) == "en"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:1"])
def test_it_leads_to_no_other_site(browser, target):
    data = {"language": "ru", "next": target}
    response = browser().post(SWITCH, data, headers={"Referer": target})
    assert response["Location"] == "/"
