"""Settings of the tests: English, fast passwords, nothing of a running site's data."""

from __future__ import annotations

import os
import tempfile
from urllib.parse import urlsplit

# Tests run in several processes (pytest-xdist); each has a Redis database of its own, none of
# them the one that a site would use.
WORKER_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
if os.environ.get("REDIS_URL"):
    redis_url = urlsplit(os.environ["REDIS_URL"])
    os.environ["REDIS_URL"] = redis_url._replace(path=f"/{8 + WORKER_NUMBER}").geturl()
os.environ.update(
    DEBUG="false",
    VESTNIK_ENV_FILE="",
    SECRET_KEY="tests-only-" + "x" * 50,
    SITE_URL="http://testserver",
    LANGUAGE_CODE="en",
    TIME_ZONE="Europe/Moscow",
    VAR_DIR=tempfile.mkdtemp(prefix="vestnik-tests-"),
)

from config.settings import *  # noqa: E402, F403
from config.settings import STATIC_ROOT, STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# WhiteNoise warns in every test of a folder that only collectstatic makes.
STATIC_ROOT.mkdir(exist_ok=True)
READINGS_SETTLE_BY_THEMSELVES = False
