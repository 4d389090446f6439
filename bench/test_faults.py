"""What `make bench` and `make bench-faults` say of a run must be true, above all what must not be."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import faults
import load
from faults import FaultReport
from harness import Run
from servers import Taken


@pytest.fixture(autouse=True)
def few_letters(monkeypatch) -> None:
    monkeypatch.setattr(faults, "LETTERS", 3)
    for name in ("KILLS", "RESTARTS"):
        monkeypatch.setattr(faults, name, 0)
    monkeypatch.setattr(faults, "CUTS", {})


def make_run(**fields) -> Run:
    sums = {"planned": 3, "accepted": 3, "rejected": 0, "skipped": 0, "unknown": 0}
    rest = {"status": "success", "started_at": None, "finished_at": None}
    return Run(id=1, **{**sums, **rest, **fields})


def log_of(*recipients: int, read: tuple[int, ...] = ()) -> SimpleNamespace:
    """Return a receiver's log: letters to c1@example.com and so on, in this order."""
    letters = [
        Taken(number, float(number), 100, f"c{n}@example.com", f"<{n}@x>")
        for number, n in enumerate(recipients, 1)
    ]
    return SimpleNamespace(
        letters=letters,
        read=set(read),
        cut_at=[],
        look=lambda: None,
        counts_only=False,
    )


def judge(log: SimpleNamespace, *, run: Run | None = None, **states: tuple[str, int]) -> list[str]:
    """Compare a log with a ledger of three accepted letters; return what must not be."""
    ledger = {f"c{n}@example.com": states.get(f"c{n}", ("accepted", 0)) for n in (1, 2, 3)}
    report = FaultReport("sqlite", 1)
    faults.compare(run or make_run(), ledger, log, report)
    return report.problems()


def test_every_letter_once_is_well():
    assert judge(log_of(1, 2, 3)) == []


def test_a_letter_that_never_came_is_lost():
    assert judge(log_of(1, 3)) == ["1 letters are lost"]


def test_whoever_was_skipped_is_not_lost_but_given_up():
    run = make_run(accepted=2, skipped=1, status="partial")
    assert judge(log_of(1, 3), run=run, c2=("skipped", 0)) == ["1 were given up"]


def test_doubts_may_be_left_where_the_mailing_says_so(monkeypatch):
    run = make_run(accepted=2, unknown=1, status="partial")
    assert judge(log_of(1, 3), run=run, c2=("unknown", 1)) == ["1 were given up"]
    monkeypatch.setattr(faults, "DOUBT", "leave")
    assert judge(log_of(1, 3), run=run, c2=("unknown", 1)) == []


def test_what_was_to_happen_must_have_happened(monkeypatch):
    monkeypatch.setattr(faults, "RESTARTS", 1)
    monkeypatch.setattr(faults, "CUTS", {"mail": 0.1, "dot": 0.1})
    report = FaultReport("postgres", 1, restarts={"PostgreSQL": 1}, cuts={"mail": 2})
    report.adds_up = True
    words = ["1 of 2 restarts happened", "nothing was cut at dot"]
    assert report.problems() == words
    report.restarts["Redis"], report.cuts["dot"] = 1, 1
    assert report.problems() == []


def test_a_double_in_doubt_may_be():
    assert judge(log_of(1, 2, 3, 2), c2=("accepted", 1)) == []


def test_a_double_that_the_ledger_does_not_know_of_may_not_be():
    assert judge(log_of(1, 2, 3, 2)) == ["1 arrived twice and are not in doubt"]


def test_a_double_after_an_answer_that_was_read_may_not_be():
    found = judge(log_of(1, 2, 3, 2, read=(2,)), c2=("accepted", 1))
    assert found == ["1 arrived again after their reply was read"]


def test_no_double_may_be_where_doubts_are_left(monkeypatch):
    monkeypatch.setattr(faults, "DOUBT", "leave")
    found = judge(log_of(1, 2, 3, 2), c2=("accepted", 1))
    assert found == ["1 arrived twice although letters in doubt are left"]


def test_a_letter_to_somebody_else():
    assert judge(log_of(1, 2, 3, 4)) == ["1 arrived that nobody planned"]


@pytest.mark.parametrize(
    "run", [make_run(status="running"), make_run(accepted=2), make_run(planned=4)]
)
def test_a_run_that_does_not_add_up(run):
    assert judge(log_of(1, 2, 3), run=run) == ["the ledger does not add up"]


@pytest.mark.parametrize(
    ("recipients", "lost", "doubled"),
    [((1, 2, 3), 0, 0), ((1, 3), 1, 0), ((1, 2, 3, 3), 0, 1), ((1, 3, 3), 1, 1)],
)
def test_the_bench_counts_by_the_log(recipients, lost, doubled):
    assert load.compare(log_of(*recipients), make_run(), 3) == (lost, doubled)


def test_the_bench_counts_what_a_sink_counted():
    def sink(taken: int) -> SimpleNamespace:
        return SimpleNamespace(counts_only=True, taken=taken)

    assert load.compare(sink(3), make_run(), 3) == (0, 0)
    assert load.compare(sink(2), make_run(), 3) == (1, 0)
    assert load.compare(sink(4), make_run(), 3) == (0, 1)


def test_a_standstill_lasts_from_letter_to_letter():
    log = log_of(1, 2, 3)  # They come in the first three seconds.
    log.letters.append(Taken(4, 50.0, 100, "c4@example.com", "<4@x>"))
    log.cut_at[:] = [(0.5, "mail"), (30.0, "hello"), (51.0, "dot")]
    happened = [(10.0, "a worker")]
    assert faults.longest_standstill(happened, log) == (47.0, "a cut at hello")
    log.cut_at.clear()
    assert faults.longest_standstill(happened, log) == (47.0, "a worker")
    assert faults.longest_standstill([], log) == (47.0, "nothing")
