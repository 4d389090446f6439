"""What was on the wire when a worker died.

Results reach the database in batches. Between two batches each worker keeps a file beside it:
one line when a letter's body goes out, one line when its answer has come. The lines survive the
process (not the machine), so that only letters without an answer are in doubt. A worker on
another machine finds no file and takes every letter of the dead one that was being sent as in
doubt.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from mailings.delivery.smtp import Closed
from mailings.delivery.transport import Outcome, Result


@dataclass
class Traces:
    """What a dead worker's journal tells: answers that were read, and letters without one."""

    answered: dict[int, Result] = field(default_factory=dict)
    handed_over: set[int] = field(default_factory=set)
    found: bool = False

    def add(self, entry: Any) -> None:
        if isinstance(entry, int):
            self.handed_over.add(entry)
            return
        delivery_id, outcome, code, text = entry
        self.answered[delivery_id] = Result(Outcome[outcome], code, text)


def path_of(worker: str, chunk_id: int) -> Path:
    return settings.VAR_DIR / "journal" / f"{worker}-{chunk_id}"


class Journal:
    """The journal of one worker for one chunk; written by its connection threads."""

    def __init__(self, worker: str, chunk_id: int) -> None:
        self.path = path_of(worker, chunk_id)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # The kernel lets go of the lock when the process dies: see is_abandoned. The file gets
        # its name only when it is locked, so nobody takes a new one for abandoned.
        unnamed = self.path.with_suffix(".new")
        self._file: int | None = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        unnamed.rename(self.path)

    def handed_over(self, delivery_id: int) -> None:
        """Note that a letter's body goes out now. Raises `Closed` where it cannot be noted."""
        if not self._write(b"%d\n" % delivery_id):
            raise Closed

    def answered(self, delivery_id: int, result: Result) -> None:
        line = json.dumps([delivery_id, result.outcome.name, result.code, result.text])
        self._write(line.encode() + b"\n")

    def close(self) -> None:
        """Forget everything: each line's result is in the database."""
        self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Leave the lines to whoever takes the chunk over."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def _write(self, line: bytes) -> bool:
        # A number of a closed file may belong to another file by now.
        with self._lock:
            if self._file is None:
                return False
            os.write(self._file, line)
            return True


def is_abandoned(worker: str, chunk_id: int) -> bool:
    """Return whether this machine has the worker's journal and nobody holds it any more."""
    try:
        file = os.open(path_of(worker, chunk_id), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(file)


def read_traces(worker: str, chunk_id: int) -> Traces:
    """Return what the journal of a dead worker says about a chunk."""
    try:
        lines = path_of(worker, chunk_id).read_bytes().split(b"\n")
    except FileNotFoundError:
        return Traces()
    traces = Traces(found=True)
    for line in lines[:-1]:  # A line without its end was being written.
        try:
            traces.add(json.loads(line))
        except (ValueError, KeyError, TypeError):
            # Damaged, as after a power cut: what it does not name may have gone out.
            traces.found = False
    return traces


def forget(worker: str, chunk_id: int) -> None:
    path_of(worker, chunk_id).unlink(missing_ok=True)
