"""Settings of the tests: English, fast passwords, nothing of a running site's data."""

from __future__ import annotations

import os
import tempfile

os.environ.update(
    DEBUG="false",
    SECRET_KEY="tests-only-" + "x" * 50,
    SITE_URL="http://testserver",
    LANGUAGE_CODE="en",
    TIME_ZONE="Europe/Moscow",
    VAR_DIR=tempfile.mkdtemp(prefix="vestnik-tests-"),
)

from config.settings import *  # noqa: F403
from config.settings import STATIC_ROOT, STORAGES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# WhiteNoise warns in every test of a folder that only collectstatic makes.
STATIC_ROOT.mkdir(exist_ok=True)
