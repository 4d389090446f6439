"""A bench that measured nothing must not pass for one that met its targets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("program", "setting"),
    [("public_site.py", "BENCH_DATABASES"), ("lighthouse.py", "LIGHTHOUSE_LANGUAGES")],
)
@pytest.mark.parametrize("value", ["", " "])
def test_bench_that_is_told_to_measure_nothing_fails_in_words(tmp_path, program, setting, value):
    for tool in ("wrk", "chromium"):  # Asked for first, and never started.
        (tmp_path / tool).write_text("")
        (tmp_path / tool).chmod(0o755)
    env = {**os.environ, setting: value, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, str(Path(__file__).parent / program)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"{setting} is empty: nothing to measure." in done.stderr
    assert "Written to" not in done.stdout
