"""What each role finds in the sidebar, and that what is not there does not open either."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from conftest import make_client, make_user
from mailings.middleware import SHARED


def menu(client) -> list[str]:
    """Return the names in the sidebar as its script gets them."""
    page = client.get("/admin/").text
    props = re.search(r'id="wagtail-sidebar-props"[^>]*>(.*?)</script>', page, re.DOTALL)[1]
    modules = {module["_type"].split(".")[-1]: module for module in json.loads(props)["modules"]}
    items = [item["_args"][0]["name"] for item in modules["MainMenuModule"]["_args"][0]]
    return items + ["search"] * ("SearchModule" in modules)


class TestSidebar:
    """I2, I3, P4: each role's menu shows what that role uses and nothing else."""

    def test_user(self, browser, owner):
        assert menu(browser(owner)) == [
            "clients",
            "client-lists",
            "pictures",
            "messages",
            "mailings",
            "finished-mailings",
            "help",
        ]

    def test_manager(self, browser, manager):
        names = ["messages", "mailings", "finished-mailings", "users", "help"]
        assert menu(browser(manager)) == names

    def test_editor(self, browser, editor):
        names = ["explorer", "blog", "images", "documents", "reports", "settings", "help", "search"]
        assert menu(browser(editor)) == names

    def test_administrator(self, browser, administrator):
        assert {"explorer", "clients", "mailings", "settings"} <= set(menu(browser(administrator)))

    def test_it_says_whose_house_this_is(self, browser, owner):
        """I2"""
        page = browser(owner).get("/admin/").text
        logo = re.search(r"<template data-wagtail-sidebar-branding-logo>(.*?)</template>", page)[1]
        assert "Vestnik" in logo

    def test_help_is_not_about_the_machinery(self, browser, owner, editor):
        assert "editor-guide" not in browser(owner).get("/admin/").text
        assert "editor-guide" in browser(editor).get("/admin/").text


CLOSED = [
    "/admin/pages/",
    "/admin/pages/1/",
    "/admin/images/",
    "/admin/images/chooser/",
    "/admin/documents/",
    "/admin/documents/chooser/",
    "/admin/snippets/",
    "/admin/reports/site-history/",
    "/admin/reports/site-history/results/",
    "/admin/reports/locked/",
    "/admin/reports/aging-pages/",
    "/admin/reports/workflow/",
    "/admin/choose-page/",
    "/admin/choose-page/1/",
    "/admin/choose-page/search/",
    "/admin/choose-page/chosen-multiple/",
    "/admin/choose-page/external-link/",
    "/admin/tag-autocomplete/",
    "/admin/collections/",
    "/admin/workflows/list/",
    "/admin/sites/",
    "/admin/users/",
    "/admin/groups/",
    "/admin/api/main/pages/",
    "/admin/api/main/images/",
    "/admin/failwhale/",
    "/admin/editing-sessions/ping/mailings/message/1/1/",
    "/admin/bulk/wagtailcore/page/delete/?id=1",
]


class TestClosed:
    """P6: hidden is not forbidden, so each address is asked by itself."""

    @pytest.mark.parametrize("role", ["owner", "manager"])
    @pytest.mark.parametrize("url", CLOSED)
    def test_pages_of_the_site_are_closed(self, request, browser, role, url):
        client = browser(request.getfixturevalue(role))
        for method in ("get", "post"):
            response = getattr(client, method)(url)
            closed = response.status_code in {403, 404}
            assert closed or (response.status_code, response.headers["Location"]) == (
                302,
                "/admin/",
            )

    def test_scripts_are_told_by_the_status(self, browser, owner):
        headers = {"x-requested-with": "XMLHttpRequest"}
        assert browser(owner).get("/admin/choose-page/", headers=headers).status_code == 403

    def test_an_address_that_there_is_not_is_not_found(self, browser, owner):
        assert browser(owner).get("/admin/no-such-page/").status_code == 404

    def test_and_says_so_in_our_words(self, browser, owner):
        page = browser(owner).get("/admin/no-such-page/").text
        assert "There is no such page" in page
        assert "Wagtail admin" not in page

    def test_the_log_of_everybody_is_for_administrators(self, browser, editor, administrator):
        url = reverse("wagtailadmin_reports:site_history")
        assert browser(editor).get(url).status_code == 302
        assert browser(administrator).get(url).status_code == 200

    @pytest.mark.parametrize("url", ["/admin/pages/3/", "/admin/images/", "/admin/choose-page/"])
    def test_editors_work_as_before(self, browser, editor, url):
        """P4"""
        assert browser(editor).get(url).status_code == 200

    def test_somebody_without_a_role_opens_nothing(self, browser, db):
        nobody = make_user("nobody@example.com", role=None)
        for url in ("/admin/", "/admin/client/", "/admin/choose-page/", "/admin/images/"):
            assert browser(nobody).get(url).status_code in {302, 403}


def plain_addresses(
    patterns: list[Any], prefix: str = "", names: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yield name and address of every pattern that takes no argument."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = (*names, pattern.namespace) if pattern.namespace else names
            yield from plain_addresses(pattern.url_patterns, prefix + str(pattern.pattern), inner)
        elif isinstance(pattern, URLPattern) and pattern.name:
            url = f"/{prefix}{pattern.pattern}"
            if not re.search(r"[<(]", url):
                yield ":".join((*names, pattern.name)), url


def test_only_what_is_listed_opens_for_a_user(browser, owner, stranger):
    """P6: a page that a new version of Wagtail brings is closed until somebody opens it here."""
    make_client(stranger, "zq@example.com", full_name="zq-secret")
    client = browser(owner)
    client.raise_request_exception = False
    ours = ("client:", "client_list:", "picture:", "picture_chooser:", "message:", "mailing:")
    seen = 0
    for name, url in plain_addresses(get_resolver().url_patterns):
        if not url.startswith("/admin/") or "logout" in url:
            continue
        response = client.get(url)
        content = b"".join(response) if response.streaming else response.content
        assert b"zq-secret" not in content, name
        assert response.status_code != 200 or name in SHARED or name.startswith(ours), name
        seen += 1
    assert seen > 80
