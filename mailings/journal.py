"""What was on the wire when a worker died.

Results reach the database in batches. Until then each worker keeps them in a file beside it, a
slot a letter: taken when the letter's body goes out, filled when its answer has come, free again
when the answer is in the database. The file is mapped into memory, so a note costs no system call
and still survives the process. It survives the machine, too, but perhaps not whole: what it does
not say after another boot is no evidence. With JOURNAL_SYNC it is: each letter is on the disk
before it goes out.

So only letters without an answer are in doubt. A worker on another machine finds no file and
takes every letter that the dead one had claimed and not recorded as in doubt.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from django.conf import settings

from mailings.delivery.transport import Outcome, Result

logger = logging.getLogger("vestnik.delivery")

SLOTS, SLOT_BYTES = 2048, 256
HEADER_BYTES = 256  # the boot in which the file was made, or that each note of it was synced
SYNCED = b"synced"
UNNAMED, LONG_AGO = ".new", 3600  # a file without its name yet; seconds after which it is left over
EMPTY, HANDED_OVER, ANSWERED = range(3)
# State, outcome, reply code (0: none), length of the text in bytes, id of the delivery.
SLOT = struct.Struct("<BBHHQ")
TEXT_BYTES = SLOT_BYTES - SLOT.size
OUTCOMES = list(Outcome)
ACCEPTED = OUTCOMES.index(Outcome.ACCEPTED)


class Full(Exception):
    """No slot is free: results must be recorded first."""


@dataclass
class Traces:
    """What a dead worker's journal tells: answers that were read, and letters without one."""

    answered: dict[int, Result] = field(default_factory=dict)
    handed_over: set[int] = field(default_factory=set)
    # Whether a letter that it does not name was surely not begun.
    is_whole: bool = False


class Journal:
    """The journal of one worker. Raises `OSError` where no file of its size can be made."""

    def __init__(self, worker: str) -> None:
        self.path = path_of(worker)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The kernel lets go of the lock when the process dies: see is_abandoned. The file gets
        # its name only when it is locked, so nobody takes a new one for abandoned.
        unnamed = self.path.with_suffix(UNNAMED)
        self._file = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            size = HEADER_BYTES + SLOTS * SLOT_BYTES
            # Without room on the disk a write into the map would kill the process.
            os.posix_fallocate(self._file, 0, size)
            self._map = mmap.mmap(self._file, size)
        except OSError:
            os.close(self._file)
            unnamed.unlink()
            raise
        header = SYNCED if settings.JOURNAL_SYNC else boot()
        self._map[: len(header)] = header
        unnamed.rename(self.path)
        if settings.JOURNAL_SYNC:
            sync_names(self.path.parent)
        # The slot that was freed last is taken first: few pages are ever touched.
        self._free = list(range(HEADER_BYTES, size, SLOT_BYTES))[::-1]

    def handed_over(self, delivery_id: int) -> int:
        """Note that a letter's body goes out now; return its slot.

        Raises `Full`, and `OSError` where the disk does not take the note.
        """
        if not self._free:
            raise Full
        slot = self._free.pop()
        SLOT.pack_into(self._map, slot, EMPTY, 0, 0, 0, delivery_id)
        # The state comes last: a process that dies before it has noted nothing.
        self._map[slot] = HANDED_OVER
        if settings.JOURNAL_SYNC:
            self._map.flush()
        return slot

    def answered(self, slot: int, delivery_id: int, result: Result) -> None:
        """Note what became of the letter."""
        text = result.text.encode()[:TEXT_BYTES]
        start = slot + SLOT.size
        self._map[start : start + len(text)] = text
        outcome = result.outcome
        place = ACCEPTED if outcome is Outcome.ACCEPTED else OUTCOMES.index(outcome)
        SLOT.pack_into(
            self._map, slot, HANDED_OVER, place, result.code or 0, len(text), delivery_id
        )
        self._map[slot] = ANSWERED

    def recorded(self, slot: int) -> None:
        """Free the slot: the answer is in the database."""
        self._map[slot] = EMPTY
        self._free.append(slot)

    def close(self) -> None:
        """Forget everything: each result is in the database."""
        self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Leave the notes to whoever takes the chunks over."""
        self._map.close()
        os.close(self._file)


def sync_names(folder: Path) -> None:
    """Let a file that was just named keep its name through a loss of power."""
    names = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(names)
    finally:
        os.close(names)


def path_of(worker: str) -> Path:
    return settings.VAR_DIR / "journal" / worker


@cache
def boot() -> bytes:
    """Return a name of this start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()[:HEADER_BYTES]
    except OSError:
        return b"unknown"


def is_abandoned(worker: str) -> bool:
    """Return whether this machine has the worker's journal and nobody holds it any more.

    One that cannot be read, perhaps that of another user, is left alone: the lease runs out.
    """
    try:
        file = os.open(path_of(worker), os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(file)
    except (FileNotFoundError, BlockingIOError):
        return False
    except OSError as error:
        warn_once(worker, str(error))
        return False
    return True


def read_traces(worker: str) -> Traces:
    """Return what the journal of a dead worker says; one that cannot be read is not whole."""
    try:
        content = path_of(worker).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return Traces()
    except OSError as error:
        warn_once(worker, str(error))
        return Traces()
    is_trusted = content.startswith((boot(), SYNCED))
    is_whole = is_trusted and len(content) == HEADER_BYTES + SLOTS * SLOT_BYTES
    traces = Traces(is_whole=is_whole)
    for slot in range(HEADER_BYTES, len(content) - SLOT_BYTES + 1, SLOT_BYTES):
        state, place, code, length, delivery_id = SLOT.unpack_from(content, slot)
        if state == HANDED_OVER:
            traces.handed_over.add(delivery_id)
        elif state == ANSWERED and place < len(OUTCOMES):
            start = slot + SLOT.size
            text = content[start : start + length].decode("utf-8", "ignore")
            traces.answered[delivery_id] = Result(OUTCOMES[place], code or None, text)
    return traces


def forget(worker: str) -> None:
    """Delete the journal of a worker that holds no chunk any more."""
    if not worker:
        return
    try:
        path_of(worker).unlink(missing_ok=True)
    except OSError as error:
        warn_once(worker, str(error))


@lru_cache(maxsize=1000)  # Workers and the clock come by every second.
def warn_once(worker: str, words: str) -> None:
    """Log what is wrong with a journal, once in the life of a process."""
    logger.warning("the journal of worker %s: %s", worker, words)


def names() -> list[str]:
    """Return the workers whose journals lie on this machine."""
    return [path.name for path in files() if path.suffix != UNNAMED]


def forget_unnamed() -> None:
    """Delete what is left of workers that died before their journal had its name."""
    for path in files():
        with suppress(OSError):
            if path.suffix == UNNAMED and path.stat().st_mtime < time.time() - LONG_AGO:
                path.unlink()


def files() -> list[Path]:
    try:
        return list((settings.VAR_DIR / "journal").iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        warn_once("(all)", str(error))
        return []
