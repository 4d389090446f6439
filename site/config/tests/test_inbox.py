"""The mailboxes of the local SMTP server."""

from __future__ import annotations

import os
from email.message import EmailMessage
from mailbox import Maildir

import pytest

pytestmark = pytest.mark.django_db


@pytest.fixture
def maildir(settings, tmp_path) -> Maildir:
    settings.VAR_DIR = tmp_path
    return Maildir(tmp_path / "mail")


def write(subject: str = "Hello", to: str = "anna@example.com") -> bytes:
    letter = EmailMessage()
    letter["Subject"] = subject
    letter["X-RcptTo"] = to
    letter.set_content("Confirm: http://testserver/confirm/1/ <b>")
    letter.add_alternative('<a href="http://testserver/confirm/1/">Confirm</a>', subtype="html")
    return letter.as_bytes()


def test_it_is_not_there_on_a_real_site(browser, maildir):
    maildir.add(write())
    assert browser().get("/inbox/").status_code == 404


@pytest.mark.urls("config.tests.urls_with_inbox")
class TestInDebug:
    def test_before_the_first_letter(self, browser, settings, tmp_path):
        settings.VAR_DIR = tmp_path
        assert "No letter has come yet." in browser().get("/inbox/").text

    def test_mailboxes_are_counted(self, browser, maildir):
        maildir.add(write(to="anna@example.com, boris@example.com"))
        maildir.add(write(to="anna@example.com"))
        html = browser().get("/inbox/").text
        assert "2 letters" in html.split("anna@example.com</span>")[1]
        assert "1 letter<" in html.split("boris@example.com</span>")[1]

    def test_mailbox_shows_the_newest_first(self, browser, maildir, tmp_path):
        for age, subject in enumerate(["Newest", "Older"]):
            file = tmp_path / "mail" / "new" / maildir.add(write(subject))
            os.utime(file, (1_800_000_000 - age,) * 2)
        maildir.add(write("Of somebody else", to="boris@example.com"))
        html = browser().get("/inbox/to/anna@example.com/").text
        assert html.index("Newest") < html.index("Older")
        assert "Of somebody else" not in html

    def test_unknown_mailbox(self, browser, maildir):
        assert browser().get("/inbox/to/nobody@example.com/").status_code == 404

    def test_letter_shows_headers_and_text(self, browser, maildir):
        key = maildir.add(write("Привет"))
        html = browser().get(f"/inbox/letter/{key}/").text
        assert "Привет" in html
        assert '<a href="http://testserver/confirm/1/"' in html
        assert "&lt;b&gt;" in html

    def test_html_part_stands_in_a_sandbox(self, browser, maildir):
        key = maildir.add(write())
        page = browser().get(f"/inbox/letter/{key}/").text
        assert f'src="/inbox/letter/{key}/html/" sandbox="allow-popups' in page
        part = browser().get(f"/inbox/letter/{key}/html/")
        assert part["Content-Security-Policy"].startswith("sandbox ")
        assert "allow-scripts" not in part["Content-Security-Policy"]
        assert '<base target="_top">' in part.text
        assert 'href="http://testserver/confirm/1/"' in part.text

    def test_source_is_shown_as_it_came(self, browser, maildir):
        letter = write()
        key = maildir.add(letter)
        response = browser().get(f"/inbox/letter/{key}/source/")
        assert response["Content-Type"].startswith("text/plain")
        assert response.content == letter

    @pytest.mark.parametrize(
        "letter",
        [
            b"",
            b"no header at all",
            b"Subject: =?utf-8?q?=ff=fe?= \xff\nX-RcptTo: \xff\xfe\n\n\xff",
            b"Subject: =?nonsense?b?!!!?=\nContent-Type: text/plain; charset=nonsense\n\n\xff",
            b"Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n"
            b"Content-Transfer-Encoding: base64\n\n!!!",
            b"Subject: a\nContent-Type: multipart/alternative\n\nno boundary",
        ],
    )
    def test_broken_letter(self, browser, maildir, letter):
        key = maildir.add(letter)
        reader = browser()
        for address in ("/inbox/", f"/inbox/letter/{key}/", f"/inbox/letter/{key}/source/"):
            assert reader.get(address).status_code == 200
        assert reader.get(f"/inbox/letter/{key}/html/").status_code in {200, 404}

    @pytest.mark.parametrize("key", ["nothing", "..", "..%2F..%2Fdb.sqlite3", "%2Fetc%2Fpasswd"])
    def test_no_other_file_is_shown(self, browser, maildir, key):
        assert browser().get(f"/inbox/letter/{key}/source/").status_code == 404
