"""A bench that measured nothing must not pass for one that met its targets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from table import Row, summaries, verdicts


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


def rate_row(**fields) -> Row:
    well = {"cpu_workers": 0.05, "cpu_database": 0.02, "worker_peak_mb": 100.0}
    well |= {"worker_growth_mb": 1.0, "planned": 100_000, "accepted": 100_000}
    well |= {"lost": 0, "doubled": 0, "share": 0.9, "django": 1000.0, "rate": 20_000.0}
    return Row("Vestnik, postgres", 100_000, kind="rate", **{**well, **fields})


def missed(row: Row) -> list[str]:
    return [line for line in verdicts([row]) if line.endswith("NOT MET")]


def test_a_run_in_which_all_is_well():
    assert missed(rate_row()) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"accepted": 99_999}, "accepted 99,999 (target 100,000)"),
        ({"accepted": 99_999, "planned": 99_999}, "accepted 99,999 (target 100,000)"),
        ({"lost": 1}, "lost 1, doubled 0"),
        ({"doubled": 1}, "lost 0, doubled 1"),
        ({"share": 0.69}, "rate 0.69 x smtp-source"),
        ({"django": 2000.0}, "rate 10.0 x Django's"),
        ({"cpu_workers": 0.09}, "0.110 CPU-s per 1,000"),
        ({"cpu_database": None}, "that of the database NOT MEASURED"),
        ({"worker_peak_mb": 121.0}, "121 MB at its peak"),
        ({"worker_growth_mb": 11.0}, "grew by 11.0 MB"),
        ({"worker_growth_mb": None}, "its growth NOT MEASURED"),
    ],
)
def test_what_is_wrong_with_a_run_is_said(fields, words):
    (line,) = missed(rate_row(**fields))
    assert words in line


def test_targets_are_counted_by_their_names():
    """One run lacks a line in the middle: the others stay what they are."""
    runs = [
        ["a, 9 letters: rate 0.8: met", "a, 9 letters: grew by 1.0: met", "b: took 2: met"],
        ["a, 9 letters: rate 0.6: NOT MET", "b: took 3: met"],
    ]
    assert summaries(runs) == [
        "met in 1 of 2: a, 9 letters: rate 0.6",
        "met in 1 of 2: a, 9 letters: grew by 1.0",
        "met in 2 of 2: b: took 3",
    ]
