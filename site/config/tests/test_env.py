"""A wrong value in the environment stops the start with one line that names it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

BASE_DIR = Path(settings.BASE_DIR)
SETTINGS = str(BASE_DIR / "site" / "config" / "settings.py")
SECRET = "hunter2"


@pytest.fixture
def environment(monkeypatch, tmp_path) -> pytest.MonkeyPatch:
    """Leave of the environment only what the settings need."""
    for name in (
        "DATABASE_URL",
        "REDIS_URL",
        "EMAIL_URL",
        "SITE_URL",
        "TIME_ZONE",
        "FRONTEND_CACHE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEBUG", "true")
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    return monkeypatch


def read_settings() -> dict[str, Any]:
    return runpy.run_path(SETTINGS)


WRONG = [
    ("DEBUG", "perhaps", "use true or false"),
    ("EMAIL_URL", f"smtp://u:{SECRET}@h:notaport", "port must be a number"),
    ("EMAIL_URL", f"smtp://u:{SECRET}@h:99999", "port must be a number"),
    ("EMAIL_URL", f"smtp://u:{SECRET}/x@h:25", "special characters in a user name or password"),
    ("EMAIL_URL", "smtp://", "names no host"),
    ("EMAIL_URL", "http://h:25", "must begin with one of smtp+ssl://"),
    ("DATABASE_URL", "postgres://h:port/x", "port must be a number"),
    ("DATABASE_URL", "postgres://", "names no database"),
    ("DATABASE_URL", f"postgres://u:{SECRET}@h:5432", "names no database"),
    ("DATABASE_URL", "mysql://h/x", "must begin with one of"),
    ("DATABASE_URL", "sqlite:////dev/null/x.sqlite3", "needs the folder /dev/null"),
    ("REDIS_URL", f"redis://:{SECRET}@localhost:notaport/0", "port must be a number"),
    ("REDIS_URL", "localhost:6379", "must begin with one of redis://"),
    ("FRONTEND_CACHE", "varnish:80", "must begin with one of cloudflare://"),
    ("FRONTEND_CACHE", f"cloudflare://{SECRET}", "names no token or no zone"),
    ("SITE_URL", "http://[x", "use an address such as"),
    ("SITE_URL", "http://h:port", "use an address such as"),
    ("SITE_URL", "mail.example.com", "use an address such as"),
    ("SITE_URL", "https://☃.net", "use an address such as"),
    ("DEFAULT_FROM_EMAIL", "Vestnik", "must hold an address"),
    ("DEFAULT_FROM_EMAIL", "Vestnik <news@>", "must hold an address"),
    ("DEFAULT_FROM_EMAIL", "Vestnik <новости@example.com>", "before the @"),
    ("DEFAULT_FROM_EMAIL", "Vestnik <news@☃.net>", "and behind it a domain"),
    ("VAR_DIR", "/dev/null/var", "needs the folder /dev/null/var"),
    ("MAILING_INTERVAL", "0", "use a number from 1 to 3600"),
    ("MAILING_INTERVAL", "1.5", "use a whole number"),
    ("MAILING_RATE_LIMIT", "-1", "use a number from 0.01"),
    ("MAILING_RATE_LIMIT", "nan", "use a number from 0.01"),
    ("MAILING_RETRY_DELAYS", "a", "use whole seconds separated by commas"),
    ("MAILING_RETRY_DELAYS", "60,0", "every delay must be from 1"),
    ("MAILING_RETRY_DELAYS", "9" * 25, "every delay must be from 1"),
    ("SMTP_TIMEOUT", "181", "is 181; use a number from 1 to 180"),
    ("SMTP_CONNECTIONS", "many", "use a whole number"),
    ("METRICS_TOKEN", SECRET, "must be 16 or more"),
    ("METRICS_TOKEN", f"{SECRET} {SECRET} {SECRET}", "must be 16 or more"),
    ("LOG_FORMAT", "xml", "use one of line, json"),
    ("LANGUAGE_CODE", "de", "use one of ru, en"),
    ("TIME_ZONE", "Mars", "use a name such as Europe/Moscow"),
]


class TestWrongValue:
    @pytest.mark.parametrize(("name", "value", "words"), WRONG)
    def test_is_named_in_one_line(self, environment, name, value, words):
        environment.setenv(name, value)
        with pytest.raises(SystemExit) as stopped:
            read_settings()
        told = stopped.value.code
        assert told.startswith(f"Vestnik cannot start: {name} ")
        assert words in told
        assert "\n" not in told
        assert SECRET not in told

    @pytest.mark.parametrize(
        ("name", "value"), [("EMAIL_URL", "smtp://h:port"), ("DATABASE_URL", "postgres://h:port/x")]
    )
    def test_ends_a_command_without_a_traceback(self, environment, name, value):
        environment.setenv(name, value)
        done = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=BASE_DIR,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith(f"Vestnik cannot start: {name} ")
        assert len(done.stderr.splitlines()) == 1


class TestRightValue:
    def test_empty_means_the_default(self, environment):
        """S6: the period of the schedule is a setting, by default one minute."""
        for name in ("MAILING_INTERVAL", "EMAIL_URL", "ALLOWED_HOSTS", "DATABASE_URL"):
            environment.setenv(name, "")
        found = read_settings()
        assert found["MAILING_INTERVAL"] == 60
        assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("127.0.0.1", 2525)
        assert found["ALLOWED_HOSTS"] == ["*"]
        assert found["DATABASES"]["default"]["NAME"] == str(found["VAR_DIR"] / "db.sqlite3")

    def test_a_secret_may_begin_with_a_dollar(self, environment):
        environment.setenv("SECRET_KEY", "$ecret")
        assert read_settings()["SECRET_KEY"] == "$ecret"

    @pytest.mark.parametrize(
        ("scheme", "port"), [("smtp", 25), ("smtp+tls", 587), ("smtp+ssl", 465)]
    )
    def test_a_mail_server_has_its_usual_port(self, environment, scheme, port):
        environment.setenv("EMAIL_URL", f"{scheme}://mail.example.com")
        assert read_settings()["EMAIL_PORT"] == port

    def test_the_site_has_the_address_that_browsers_send(self, environment):
        environment.setenv("DEBUG", "false")
        environment.setenv("SECRET_KEY", SECRET)
        environment.setenv("SITE_URL", "https://Почта.рф:8443/я/")
        found = read_settings()
        assert found["SITE_URL"] == "https://xn--80a1acny.xn--p1ai:8443/%D1%8F"
        assert found["ALLOWED_HOSTS"] == ["xn--80a1acny.xn--p1ai"]

    def test_letters_may_come_from_any_domain(self, environment):
        environment.setenv("DEFAULT_FROM_EMAIL", "Вестник <news@почта.рф>")
        assert read_settings()["DEFAULT_FROM_EMAIL"] == "Вестник <news@почта.рф>"

    def test_several_database_hosts(self, environment):
        environment.setenv("DATABASE_URL", "postgres://u@one:5432,two:5432/vestnik")
        assert read_settings()["DATABASES"]["default"]["HOST"] == "one,two"

    def test_any_folder(self, environment, tmp_path):
        environment.setenv("VAR_DIR", str(tmp_path / "var + ру %20?#"))
        found = read_settings()
        database = Path(found["DATABASES"]["default"]["NAME"])
        assert database == tmp_path / "var + ру %20?#" / "db.sqlite3"

    def test_a_folder_is_the_same_wherever_a_process_starts(self, environment, tmp_path):
        environment.setenv("VAR_DIR", "var")
        environment.chdir(tmp_path)
        assert read_settings()["VAR_DIR"] == BASE_DIR / "var"


class TestFile:
    """`.env`, or what VESTNIK_ENV_FILE names instead."""

    def test_it_counts_where_the_environment_says_nothing(self, environment, tmp_path):
        file = tmp_path / "my.env"
        file.write_text("MAILING_INTERVAL=5\nexport TIME_ZONE='Asia/Omsk'\nDEBUG=false\n")
        environment.setenv("VESTNIK_ENV_FILE", str(file))
        # What the file adds is taken back with the rest.
        environment.setattr(os, "environ", os.environ.copy())
        environment.setattr("environ.Env.ENVIRON", os.environ)
        found = read_settings()
        assert (found["MAILING_INTERVAL"], found["TIME_ZONE"]) == (5, "Asia/Omsk")
        assert found["DEBUG"] is True

    def test_it_must_be_text(self, environment, tmp_path):
        file = tmp_path / "my.env"
        file.write_bytes("SITE_URL=http://почта.рф".encode("cp1251"))
        environment.setenv("VESTNIK_ENV_FILE", str(file))
        with pytest.raises(SystemExit, match=r"my\.env is no text in UTF-8"):
            read_settings()

    def test_tests_read_none(self):
        assert os.environ["VESTNIK_ENV_FILE"] == ""
