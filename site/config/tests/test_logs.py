"""Lines of the log, for people and for machines."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import runpy
from datetime import datetime

import pytest
from django.conf import settings

SETTINGS = str(settings.BASE_DIR / "site" / "config" / "settings.py")


@pytest.fixture
def log(monkeypatch):
    """Return a function that gives a logger whose lines have this format, and where they go."""

    def configure(log_format: str) -> tuple[logging.Logger, io.StringIO]:
        monkeypatch.setenv("LOG_FORMAT", log_format)
        config = runpy.run_path(SETTINGS)["LOGGING"]
        stream = io.StringIO()
        handlers = {"console": {**config["handlers"]["console"], "stream": stream}}
        loggers = {"vestnik.test": config["loggers"]["vestnik"]}
        # Only this logger: the others belong to the test process.
        logging.config.dictConfig(
            {"version": 1, "disable_existing_loggers": False,
             "formatters": config["formatters"], "handlers": handlers, "loggers": loggers}
        )  # fmt: skip
        return logging.getLogger("vestnik.test"), stream

    yield configure
    logging.getLogger("vestnik.test").handlers.clear()


def only_object(stream: io.StringIO) -> dict:
    [line] = stream.getvalue().splitlines()
    return json.loads(line)


def test_json_holds_what_a_record_carries(log):
    logger, stream = log("json")
    outcomes = {"accepted": 4, "deferred": 1}
    logger.info("run %s: %s", 5, "письма\nушли", extra={"run": 5, "outcomes": outcomes})
    found = only_object(stream)
    assert datetime.fromisoformat(found.pop("time")).utcoffset() is not None
    assert found == {
        "level": "INFO",
        "logger": "vestnik.test",
        "message": "run 5: письма\nушли",
        "run": 5,
        "outcomes": outcomes,
    }
    assert "письма" in stream.getvalue()


def test_json_holds_an_exception_as_text(log):
    logger, stream = log("json")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("chunk %s", 7, extra={"worker": object()})
    found = only_object(stream)
    assert found["level"] == "ERROR"
    assert found["message"] == "chunk 7"
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: broken")


def test_line_is_for_people(log):
    logger, stream = log("")
    logger.info("run %s", 5, extra={"run": 5})
    assert stream.getvalue().endswith(" INFO vestnik.test: run 5\n")
