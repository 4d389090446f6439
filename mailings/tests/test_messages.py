"""Messages in the workspace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from conftest import make_mailing, make_message
from mailings.models import Message
from mailings.tests.forms import button, image, message_data, text, text_with_link
from mailings.tests.test_pictures import make_picture


def block_errors(response) -> dict[int, str]:
    """Return the complaints beside the blocks, by their number."""
    [error] = response.context["form"].errors["body"].as_data()
    return {number: flat(each) for number, each in error.block_errors.items()}


def flat(error) -> str:
    parts = getattr(error, "block_errors", None)
    if parts:
        return " ".join(f"{name}: {flat(each)}" for name, each in parts.items())
    return " ".join(error.messages)


def draft(block: dict[str, Any]) -> str:
    """Return a text of one block as an editor, or somebody who plays one, would send it."""
    plain = {"key": "a", "text": "Hello", "type": "unstyled", "depth": 0}
    plain |= {"inlineStyleRanges": [], "entityRanges": []}
    return json.dumps({"blocks": [plain | block], "entityMap": {}})


UNREADABLE = [
    pytest.param("{", id="no JSON"),
    pytest.param("[1]", id="another JSON"),
    pytest.param("[" * 5000, id="brackets within brackets"),
    pytest.param('{"blocks": 3}', id="no blocks"),
    pytest.param(draft({"text": "\ud800"}), id="half of a surrogate pair"),
    pytest.param(
        draft({"entityRanges": [{"key": 7, "offset": 0, "length": 1}]}), id="unknown entity"
    ),
    pytest.param(draft({"type": "unordered-list-item", "depth": 10**9}), id="deep list"),
    pytest.param(draft({"type": "unordered-list-item", "depth": -1}), id="list above the text"),
]


class TestOwner:
    """T2, P6: a user keeps messages: subject and body."""

    def test_it_writes_a_message(self, browser, owner):
        data = message_data(("heading", "Hello"), text("<p>Good day</p>"), ("divider", ""))
        assert browser(owner).get(reverse("message:add")).status_code == 200
        assert browser(owner).post(reverse("message:add"), data).status_code == 302
        message = Message.objects.get()
        assert (message.owner, message.subject) == (owner, "News")
        assert [block.block_type for block in message.body] == ["heading", "text", "divider"]

    def test_it_edits_a_message(self, browser, owner):
        message = make_message(owner)
        url = reverse("message:edit", args=[message.pk])
        assert browser(owner).get(url).status_code == 200
        assert browser(owner).post(url, message_data(subject="Other")).status_code == 302
        message.refresh_from_db()
        assert message.subject == "Other"

    def test_it_deletes_a_message(self, browser, owner):
        message = make_message(owner)
        url = reverse("message:delete", args=[message.pk])
        assert browser(owner).get(url).status_code == 200
        assert browser(owner).post(url).status_code == 302
        assert not Message.objects.exists()

    def test_its_page_shows_mailings_and_statistics(self, browser, owner):
        message = make_message(owner)
        make_mailing(owner, message=message, name="Spring news")
        page = browser(owner).get(reverse("message:inspect", args=[message.pk])).text
        assert "Spring news" in page
        assert "Nothing has been sent yet." in page

    def test_it_lists_finds_and_sorts(self, browser, owner):
        for subject in ("Весна", "Лето"):
            make_message(owner, subject)
        found = browser(owner).get(reverse("message:list"), {"q": "ВЕС"})
        assert [row.subject for row in found.context["object_list"]] == ["Весна"]
        rows = browser(owner).get(reverse("message:list"), {"ordering": "-subject"})
        assert [row.subject for row in rows.context["object_list"]] == ["Лето", "Весна"]

    def test_it_exports(self, browser, owner, stranger):
        make_message(owner, "=Весна")
        make_message(stranger, "Secret")
        response = browser(owner).get(reverse("message:list"), {"export": "csv"})
        lines = response.getvalue().decode().splitlines()
        assert lines[0] == "Subject,Mailings,Created,Changed"
        assert lines[1].startswith("'=Весна,0,")
        assert len(lines) == 2

    def test_a_picture_of_ones_own_can_be_shown(self, browser, owner):
        picture = make_picture(owner)
        browser(owner).post(reverse("message:add"), message_data(image(picture)))
        assert Message.objects.get().body[0].value["picture"] == picture
        assert list(picture.messages()) == [Message.objects.get()]


class TestForm:
    @pytest.mark.parametrize(
        ("subject", "complaint"),
        [
            ("", "This field is required."),
            ("x" * 201, "Ensure this value has at most 200"),
            ("News\r\nBcc: x@example.com", "Line breaks and control characters"),
            ("Hi {{ client.ful_name }}", "This is no field: client.ful_name."),
            ("Hi {{ client.full_name", "This is no field: {{."),
            ("Hi {{ a }} {{ b }}", "These are no fields: a, b."),
        ],
    )
    def test_it_complains_beside_the_subject(self, browser, owner, subject, complaint):
        response = browser(owner).post(reverse("message:add"), message_data(subject=subject))
        [message] = response.context["form"].errors["subject"]
        assert message.startswith(complaint)
        assert not Message.objects.exists()

    def test_a_complaint_names_the_fields(self, browser, owner):
        data = message_data(subject="Hi {{ name }}")
        page = browser(owner).post(reverse("message:add"), data).text
        for name in ("client.full_name", "client.email", "company", "unsubscribe_url"):
            assert f"{{{{ {name} }}}}" in page

    @pytest.mark.parametrize(
        ("block", "complaint"),
        [
            (("heading", "Hi {{ x }}"), "This is no field: x."),
            (("heading", ""), "This field is required."),
            (("heading", "h" * 151), "Ensure this value has at most 150"),
            (text("<p>Hi {{ client.<b>full_name</b> }}</p>"), "This is no field:"),
            (text("<p>Hi {{ client.full_name }</p>"), "This is no field:"),
            (text("<p>Hi client.full_name }}</p>"), "This is no field: }}."),
            (text_with_link("tel:+7495"), "Begin the link"),
            (text_with_link("#here"), "Begin the link"),
            (
                text_with_link("https://example.com/{{ client.email }}"),
                "A link cannot hold fields.",
            ),
            (button("Go {{ x }}"), "text: This is no field: x."),
            (button("Go", "https://example.com/?to={{client.email}}"), "link: A link cannot hold"),
            (button("Go", "ftp://example.com/"), "link: Begin the link"),
            (button("Go", "javascript:alert(1)"), "link: Enter a valid URL."),
            (button("Go", ""), "link: This field is required."),
            (button(""), "text: This field is required."),
        ],
    )
    def test_it_complains_beside_the_block(self, browser, owner, block, complaint):
        data = message_data(text("<p>Fine</p>"), block)
        response = browser(owner).post(reverse("message:add"), data)
        [(number, message)] = block_errors(response).items()
        assert number == 1
        assert message.startswith(complaint)
        assert not Message.objects.exists()

    def test_a_picture_needs_a_description(self, browser, owner):
        data = message_data(image(make_picture(owner), alt=""))
        response = browser(owner).post(reverse("message:add"), data)
        assert block_errors(response) == {0: "alt: This field is required."}

    @pytest.mark.parametrize(
        "html",
        [
            "<p>Dear {{ client.full_name }}, {{client.email}} of {{   company }}</p>",
            "<p><b>{{ client.full_name }}</b></p>",
            "<p>{ curly } braces, 100 % fine: }{ </p>",
        ],
    )
    def test_known_fields_are_accepted(self, browser, owner, html):
        response = browser(owner).post(reverse("message:add"), message_data(text(html)))
        assert response.status_code == 302

    @pytest.mark.parametrize("url", ["https://example.com/?a=1&b=2", "mailto:me@example.com"])
    def test_links_to_the_web_and_to_mail_are_accepted(self, browser, owner, url):
        data = message_data(text_with_link(url))
        assert browser(owner).post(reverse("message:add"), data).status_code == 302

    @pytest.mark.parametrize("html", ["<p></p>", "<p> </p>", ""])
    def test_an_empty_text_is_refused(self, browser, owner, html):
        response = browser(owner).post(reverse("message:add"), message_data(text(html)))
        assert "body" in response.context["form"].errors

    def test_an_empty_body_is_refused(self, browser, owner):
        data = message_data(subject="News") | {"body-count": "0"}
        response = browser(owner).post(reverse("message:add"), data)
        assert "body" in response.context["form"].errors

    @pytest.mark.parametrize(
        "data",
        [
            {"subject": "News"},
            {"subject": "News", "body-count": "x"},
            {"subject": "News", "body-count": "3"},
            message_data(("image", {"picture": "x", "alt": "", "link": ""})),
            message_data(("text", "{")),
            message_data(("text", '{"blocks": 3}')),
            message_data(("text", "[]")),
        ],
    )
    def test_data_that_no_form_sends_is_refused(self, browser, owner, data):
        response = browser(owner).post(reverse("message:add"), data)
        assert response.status_code == 200
        assert "body" in response.context["form"].errors

    @pytest.mark.parametrize("content", UNREADABLE)
    def test_a_text_that_no_editor_sends_is_refused_beside_it(self, browser, owner, content):
        data = message_data(text("<p>Fine</p>"), ("text", content))
        response = browser(owner).post(reverse("message:add"), data)
        assert block_errors(response) == {1: "This text could not be read. Please write it again."}
        fine, _refused = response.context["form"]["body"].value()
        assert "Fine" in fine.value.source
        assert not Message.objects.exists()

    @pytest.mark.parametrize("content", UNREADABLE)
    def test_a_text_that_no_editor_sends_is_not_previewed(self, browser, owner, content):
        url = reverse("message:preview_on_add")
        response = browser(owner).post(url, message_data(("text", content)))
        assert response.json() == {"is_valid": False, "is_available": False}

    def test_lists_within_lists_are_accepted(self, browser, owner):
        data = message_data(("text", draft({"type": "unordered-list-item", "depth": 4})))
        assert browser(owner).post(reverse("message:add"), data).status_code == 302

    def test_a_letter_that_programs_would_cut_is_refused(self, browser, owner):
        data = message_data(text("<p>" + "long " * 20_000 + "</p>"))
        response = browser(owner).post(reverse("message:add"), data)
        assert response.context["form"].errors["body"] == [
            "The letter is too long: mail programs would cut its end."
        ]

    def test_a_picture_of_somebody_else_is_neither_kept_nor_named(self, browser, owner, stranger):
        """P6"""
        secret = make_picture(stranger, "zq-secret")
        response = browser(owner).post(reverse("message:add"), message_data(image(secret)))
        assert block_errors(response) == {0: "picture: This field is required."}
        assert "zq-secret" not in response.text

    def test_nothing_is_saved_without_being_told(self, browser, owner):
        """A mailing sends what is saved, so the editor does not save by itself."""
        page = browser(owner).get(reverse("message:edit", args=[make_message(owner).pk]))
        assert not page.context["autosave_enabled"]


class TestLinkChooser:
    def test_it_takes_web_addresses_of_this_site_as_they_are(self, browser, owner):
        data = {"external-link-chooser-url": "http://localhost/"}
        result = browser(owner).post(reverse("message:web_link"), data).json()["result"]
        assert result["url"] == "http://localhost/"
        assert "id" not in result

    @pytest.mark.parametrize("url", ["/admin/", "ftp://example.com/", "https://e.com/{{company}}"])
    def test_it_refuses_other_links(self, browser, owner, url):
        data = {"external-link-chooser-url": url}
        step = browser(owner).post(reverse("message:web_link"), data).json()["step"]
        assert step == "external_link"

    @pytest.mark.parametrize("data", [{}, {"external-link-chooser-url": " "}])
    def test_it_asks_again_where_there_is_none(self, browser, owner, data):
        answer = browser(owner).post(reverse("message:web_link"), data).json()
        assert answer["step"] == "external_link"
        assert "This field is required." in answer["html"]

    def test_it_takes_mail_addresses(self, browser, owner):
        data = {"email-link-chooser-email_address": "me@example.com"}
        result = browser(owner).post(reverse("message:mail_link"), data).json()["result"]
        assert result["url"] == "mailto:me@example.com"

    @pytest.mark.parametrize("name", ["message:web_link", "message:mail_link"])
    def test_only_for_those_who_write(self, browser, owner, manager, editor, name):
        assert browser(owner).get(reverse(name)).json()["html"]
        for user in (manager, editor):
            assert browser(user).get(reverse(name)).status_code in {302, 403}


class TestDeletion:
    def test_a_message_that_a_mailing_uses_stays(self, browser, owner):
        message = make_message(owner)
        make_mailing(owner, message=message, name="Spring news")
        url = reverse("message:delete", args=[message.pk])
        assert "Mailing “Spring news” uses it." in browser(owner).get(url).text
        response = browser(owner).post(url)
        assert response.status_code == 409
        assert "Mailing “Spring news” uses it." in response.text
        assert Message.objects.exists()

    def test_several_at_once(self, browser, owner):
        rows = [make_message(owner, f"News {n}") for n in range(2)]
        url = reverse("wagtail_bulk_action", args=["mailings", "message", "delete"])
        query = "?" + "&".join(f"id={row.pk}" for row in rows)
        assert "News 1" in browser(owner).get(url + query).text
        browser(owner).post(url + query)
        assert not Message.objects.exists()

    def test_several_at_once_of_which_one_is_used(self, browser, owner):
        rows = [make_message(owner, f"News {n}") for n in range(2)]
        make_mailing(owner, message=rows[0], name="Spring news")
        url = reverse("wagtail_bulk_action", args=["mailings", "message", "delete"])
        query = "?" + "&".join(f"id={row.pk}" for row in rows) + f"&next={reverse('message:list')}"
        page = browser(owner).post(url + query, follow=True)
        assert "Mailing “Spring news” uses it." in page.text
        assert Message.objects.count() == 2

    def test_several_at_once_spares_and_hides_those_of_others(self, browser, owner, stranger):
        """P6"""
        own, foreign = make_message(stranger, "Mine"), make_message(owner, "zq-secret")
        url = reverse("wagtail_bulk_action", args=["mailings", "message", "delete"])
        for query in (f"?id={own.pk}&id={foreign.pk}", "?id=all"):
            assert "zq-secret" not in browser(stranger).get(url + query).text
        browser(stranger).post(f"{url}?id=all")
        assert list(Message.objects.all()) == [foreign]
        assert browser(stranger).post(f"{url}?id={foreign.pk}").status_code == 404

    @pytest.mark.parametrize("role", ["manager", "editor"])
    def test_several_at_once_is_for_owners(self, request, browser, owner, role):
        message = make_message(owner, "zq-secret")
        url = reverse("wagtail_bulk_action", args=["mailings", "message", "delete"])
        user = request.getfixturevalue(role)
        for method in ("get", "post"):
            response = getattr(browser(user), method)(f"{url}?id={message.pk}")
            assert response.status_code in {302, 403, 404}
            assert "zq-secret" not in response.content.decode()
        assert Message.objects.exists()


@pytest.fixture
def versions(browser, owner) -> Message:
    """A message with two versions."""
    browser(owner).post(reverse("message:add"), message_data(subject="zq-first"))
    message = Message.objects.get()
    browser(owner).post(
        reverse("message:edit", args=[message.pk]), message_data(subject="zq-second")
    )
    message.refresh_from_db()
    return message


def version_urls(message: Message) -> dict[str, str]:
    """Return every address that holds the key of a message."""
    first, second = message.revisions.order_by("pk").values_list("pk", flat=True)
    names = ["edit", "delete", "inspect", "usage", "history", "history_results", "letter"]
    urls = {name: reverse(f"message:{name}", args=[message.pk]) for name in names}
    urls["preview_on_edit"] = reverse("message:preview_on_edit", args=[message.pk])
    urls["view"] = reverse("message:revisions_view", args=[message.pk, first])
    urls["revert"] = reverse("message:revisions_revert", args=[message.pk, first])
    urls["compare"] = reverse("message:revisions_compare", args=[message.pk, first, second])
    return urls


class TestVersions:
    def test_each_save_leaves_one(self, browser, owner, versions):
        assert versions.revisions.count() == 2
        page = browser(owner).get(version_urls(versions)["history"]).text
        assert "Compare with previous version" in page

    def test_old_ones_can_be_seen_and_compared(self, browser, owner, versions):
        urls = version_urls(versions)
        assert "<!DOCTYPE html>" in browser(owner).get(urls["view"]).text
        page = browser(owner).get(urls["compare"]).text
        assert "zq-first" in page.replace('<span class="deletion">', "")

    def test_an_old_one_can_be_taken_back(self, browser, owner, versions):
        url = version_urls(versions)["revert"]
        assert "zq-first" in browser(owner).get(url).text
        browser(owner).post(url, message_data(subject="zq-first"))
        versions.refresh_from_db()
        assert versions.subject == "zq-first"


KEYED = [
    "edit",
    "delete",
    "inspect",
    "usage",
    "history",
    "history_results",
    "letter",
    "preview_on_edit",
    "view",
    "revert",
    "compare",
]


class TestOthers:
    @pytest.mark.parametrize("view", KEYED)
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_stranger_finds_nothing(self, browser, stranger, versions, view, method):
        """P6"""
        before = Message.objects.values().get()
        data = message_data(subject="Mine now")
        response = getattr(browser(stranger), method)(version_urls(versions)[view], data)
        assert response.status_code in {404, 405}
        assert "zq-" not in response.content.decode()
        assert Message.objects.values().get() == before

    def test_listings_hold_own_rows(self, browser, stranger, versions):
        """P6"""
        for name in ("message:list", "message:list_results"):
            for query in ({}, {"q": "zq"}):
                assert "zq-second" not in browser(stranger).get(reverse(name), query).text

    @pytest.mark.parametrize("view", ["inspect", "letter"])
    def test_a_manager_reads(self, browser, manager, versions, view):
        """P3: a manager sees messages…"""
        assert browser(manager).get(version_urls(versions)[view]).status_code == 200
        assert "zq-second" in browser(manager).get(reverse("message:list")).text

    @pytest.mark.parametrize("view", sorted(set(KEYED) - {"inspect", "letter"}))
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_manager_changes_nothing(self, browser, manager, versions, view, method):
        """P3: … and cannot change them, by address neither."""
        before = Message.objects.values().get()
        data = message_data(subject="Mine now")
        response = getattr(browser(manager), method)(version_urls(versions)[view], data)
        assert response.status_code in {302, 403, 404, 405}
        assert Message.objects.values().get() == before

    def test_a_manager_cannot_add(self, browser, manager):
        """P3"""
        assert "Add message" not in browser(manager).get(reverse("message:list")).text
        for name in ("message:add", "message:preview_on_add"):
            assert browser(manager).post(reverse(name), message_data()).status_code in {302, 403}
        assert not Message.objects.exists()

    @pytest.mark.parametrize("role", ["editor", "anonymous"])
    @pytest.mark.parametrize("view", [*KEYED, "list", "add", "preview_on_add"])
    def test_editors_and_visitors_see_nothing(self, request, browser, versions, view, role):
        user = None if role == "anonymous" else request.getfixturevalue(role)
        url = version_urls(versions)[view] if view in KEYED else reverse(f"message:{view}")
        response = browser(user).get(url)
        assert response.status_code in {302, 403, 404}
        assert "zq-" not in response.content.decode()
