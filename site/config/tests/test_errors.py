"""Pages for what went wrong, and input that is refused before any view."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from conftest import make_user

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
LOGIN = "/accounts/login/"


def test_unknown_address(browser):
    response = browser().get("/no-such-page/")
    assert response.status_code == 404
    assert "There is no such page" in response.text


def test_missing_csrf_token(browser):
    response = browser(enforce_csrf_checks=True).post(LOGIN, {"login": "a@example.com"})
    assert response.status_code == 403
    assert "The form has expired" in response.text


def test_forbidden(browser):
    """Nobody has access to the admin without a role."""
    response = browser(make_user("new@example.com", None)).get("/admin/pages/")
    assert response.status_code == 403
    assert "You may not do that" in response.text
    assert "Your account has no right to see this page." in response.text
    assert "ask the administrator" in response.text


def test_mistake_of_ours(browser, monkeypatch):
    def fail(self, request):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("home.models.HomePage.serve", fail)
    response = browser(raise_request_exception=False).get("/")
    assert response.status_code == 500
    assert "Something went wrong" in response.text
    assert "secret detail" not in response.text


class TestBrokenInput:
    def check(self, response) -> None:
        assert response.status_code == 400
        assert "The request could not be read" in response.text

    @pytest.mark.parametrize("address", ["/?q=%00", "/blog/%00/", "/%00"])
    def test_nul_in_the_address(self, browser, address):
        self.check(browser().get(address))

    @pytest.mark.parametrize("body", [b"login=%00", b"login=a\x00b", b"%00=a"])
    def test_nul_in_a_form(self, browser, body):
        self.check(browser().post(LOGIN, body, content_type=FORM))

    @pytest.mark.parametrize(
        "body", [b"login=%ff%fe", b"login=\xff", "login=Привет".encode("cp1251")]
    )
    def test_form_that_is_not_utf8(self, browser, body):
        self.check(browser().post(LOGIN, body, content_type=FORM))

    @pytest.mark.parametrize("value", [b"a\x00b", b"\xff\xfe"])
    def test_multipart_field_that_is_no_text(self, browser, value):
        body = (
            b'--x\r\nContent-Disposition: form-data; name="login"\r\n\r\n'
            + value
            + b"\r\n--x--\r\n"
        )
        self.check(browser().post(LOGIN, body, content_type="multipart/form-data; boundary=x"))

    def test_multipart_that_is_damaged(self, browser):
        self.check(browser().post(LOGIN, b"rubbish", content_type="multipart/form-data"))

    def test_plain_text_in_other_alphabets_passes(self, browser):
        response = browser().post(LOGIN, {"login": "почта+1@пример.рф", "password": "%00 100%"})
        assert response.status_code == 200

    @pytest.mark.parametrize("length", ["abc", "5, 5", "-1", "+5", "1_0", "9" * 5000, "٣"])
    def test_length_that_is_no_number(self, browser, length):
        self.check(browser().get("/", CONTENT_LENGTH=length))

    def test_post_to_an_address_without_its_last_slash(self, browser):
        assert browser().post("/documents/abc/abc").status_code in {301, 404}

    def test_file_may_hold_anything(self, browser):
        file = SimpleUploadedFile("a.bin", b"\x00\xff\xfe")
        assert browser().post(LOGIN, {"login": "a@example.com", "file": file}).status_code == 200


class TestTooMuch:
    def check(self, response) -> None:
        assert response.status_code == 413
        assert "That is too much at once" in response.text

    def test_form(self, browser, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        self.check(browser().post(LOGIN, b"login=" + b"a" * 1000, content_type=FORM))

    def test_multipart_form(self, browser, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
        self.check(browser().post(LOGIN, {"login": "a" * 1000}))

    def test_files(self, browser, monkeypatch):
        monkeypatch.setattr("config.middleware.LARGEST_POST", 1000)
        file = SimpleUploadedFile("a.bin", b"a" * 1000)
        self.check(browser().post("/no-such-page/", {"file": file}))

    def test_number_of_fields(self, browser, settings):
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 10
        self.check(browser().post(LOGIN, {f"field{n}": "" for n in range(11)}))
