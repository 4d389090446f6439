"""What every listing of the admin has in common."""

from __future__ import annotations

import pytest
from django.urls import reverse

from conftest import make_client


@pytest.mark.parametrize("query", ["a " * 1200, "ы" * 5000, "( " * 1200], ids=len)
@pytest.mark.parametrize(
    "name",
    ["client:index", "client_list:index", "message:list", "mailing:index", "picture:index"],
)
def test_a_search_for_a_whole_book_is_answered(browser, owner, name, query):
    assert browser(owner).get(reverse(name), {"q": query}).status_code == 200


def test_so_is_one_for_members(browser, manager):
    assert browser(manager).get("/admin/members/", {"q": "a " * 1200}).status_code == 200


def test_a_search_looks_at_the_first_words(browser, owner):
    make_client(owner, full_name="Anna")
    found = browser(owner).get(reverse("client:index"), {"q": "anna " * 1200})
    assert len(found.context["object_list"]) == 1
