"""Everything that is shown or sent is there in Russian and in English."""

from __future__ import annotations

import gettext
import re
from ast import literal_eval
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core import mail
from django.utils import translation
from django.utils.timesince import timesince
from django.utils.translation import ngettext, override

from mailings.models import Attempt, Mailing

CATALOGUE = settings.BASE_DIR / "site" / "locale" / "ru" / "LC_MESSAGES" / "django.po"
ENTRY = re.compile(r'^(msgctxt|msgid|msgid_plural|msgstr(?:\[\d\])?) ((?:".*"\n?)+)', re.M)
SIGNUP = {
    "email": "new@example.com",
    "company": "Ромашка",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
}


def read_catalogue(path: Path = CATALOGUE) -> list[dict[str, str]]:
    """Return the entries of the catalogue after its head, each with its flags."""
    entries = []
    for block in path.read_text().split("\n\n")[1:]:
        parts = {name: unquote(lines) for name, lines in ENTRY.findall(block)}
        flags = re.findall(r"^#, (.*)$", block, re.M)
        entries.append({**parts, "flags": ", ".join(flags)})
    return entries


def unquote(lines: str) -> str:
    return "".join(literal_eval(line) for line in lines.splitlines())


def translations(entry: dict[str, str]) -> list[str]:
    return [text for name, text in entry.items() if name.startswith("msgstr")]


class TestCatalogue:
    def test_it_has_no_gap_and_no_guess(self):
        entries = read_catalogue()
        assert len(entries) > 500
        assert [e for e in entries if not all(translations(e))] == []
        assert [e for e in entries if "fuzzy" in e["flags"].split(", ")] == []

    def test_counts_have_three_forms(self):
        counted = [e for e in read_catalogue() if "msgid_plural" in e]
        assert counted
        assert {len(translations(e)) for e in counted} == {3}

    def test_it_is_compiled(self):
        with CATALOGUE.with_suffix(".mo").open("rb") as file:
            compiled = gettext.GNUTranslations(file)
        plain = [e for e in read_catalogue() if "msgid_plural" not in e]
        for entry in plain:
            got = (
                compiled.pgettext(entry["msgctxt"], entry["msgid"])
                if "msgctxt" in entry
                else compiled.gettext(entry["msgid"])
            )
            assert got == entry["msgstr"]


class TestWords:
    """Words that English does not tell apart, and Russian does."""

    @pytest.fixture(autouse=True)
    def russian(self):
        with override("ru"):
            yield

    @pytest.mark.parametrize(
        ("count", "words"), [(1, "1 письмо"), (2, "2 письма"), (11, "11 писем"), (21, "21 письмо")]
    )
    def test_counts(self, count, words):
        text = ngettext("%(counter)s letter", "%(counter)s letters", count)
        assert text % {"counter": count} == words

    def test_a_mailing_is_started_and_an_attempt_has_a_start(self):
        assert Mailing.Status.STARTED.label == "запущена"
        assert Attempt._meta.get_field("started_at").verbose_name == "начало"

    def test_how_long_ago(self):
        """Ours goes before Django's own, which has the wrong case for "… ago"."""
        now = datetime(2026, 5, 20, tzinfo=UTC)
        week = timesince(now - timedelta(days=7), now).replace("\xa0", " ")
        ago = "%(time_period)s ago"
        assert translation.gettext(ago) % {"time_period": week} == "1 неделю назад"


PAGES = [
    ("/", "Войти", "Log in"),
    ("/accounts/signup/", "Название компании", "Company name"),
    ("/accounts/password/reset/", "Забыли пароль?", "Forgot your password?"),
    ("/no-such-page/", "Такой страницы нет", "There is no such page"),
    ("/u/preview/", "Отписаться", "Unsubscribe"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "russian", "english"), PAGES)
class TestPublicPages:
    def test_the_browser_chooses(self, browser, address, russian, english):
        page = browser(headers={"accept-language": "ru-RU,ru;q=0.9,en;q=0.5"}).get(address).text
        assert '<html lang="ru"' in page
        assert russian in page
        assert english not in page
        page = browser(headers={"accept-language": "en"}).get(address).text
        assert '<html lang="en"' in page
        assert english in page
        assert russian not in page

    def test_the_switch_overrules_the_browser(self, browser, address, russian, english):
        reader = browser(headers={"accept-language": "en"})
        reader.post("/i18n/setlang/", {"language": "ru"})
        assert russian in reader.get(address).text
        reader.post("/i18n/setlang/", {"language": "en"})
        assert english in reader.get(address).text


@pytest.mark.django_db
class TestWorkspace:
    def test_it_speaks_the_language_of_the_user(self, browser, owner):
        person = browser(owner)
        person.post("/i18n/setlang/", {"language": "ru"})
        page = person.get("/admin/mailing/").text
        assert "Рассылки" in page
        assert "Здесь пока ничего нет." in page
        person.post("/i18n/setlang/", {"language": "en"})
        assert "There are no mailings to display." in person.get("/admin/mailing/").text

    def test_numbers_of_rows_need_no_noun(self, browser, manager, owner):
        person = browser(manager, headers={"accept-language": "ru"})
        assert "Всего: 2" in person.get("/admin/members/").text


@pytest.mark.django_db
class TestSignup:
    @pytest.mark.parametrize(
        ("language", "subject", "words"),
        [
            ("ru", "Подтвердите адрес почты", "Ссылка работает три дня."),
            ("en", "Confirm your e-mail", "The link works for three days."),
        ],
    )
    def test_the_letter_is_in_the_language_of_the_page(self, browser, language, subject, words):
        browser(headers={"accept-language": language}).post("/accounts/signup/", SIGNUP)
        [letter] = mail.outbox
        html, _type = letter.alternatives[0]
        assert letter.subject == subject
        assert words in letter.body
        assert words in html
        assert f'<html lang="{language}"' in html

    def test_errors_stand_beside_the_fields(self, browser):
        wrong = {**SIGNUP, "email": "no address", "password2": "another one"}
        reader = browser(headers={"accept-language": "ru"})
        page = reader.post("/accounts/signup/", wrong).text
        assert "Введите правильный адрес электронной почты." in page
        assert "Пароли не совпадают." in page
