"""The generation of finished pages: what changes when one of them would look otherwise.

All processes see the same one, at once: with Redis a random word there, without it the state of a
file in VAR_DIR, to which each change adds a byte.
"""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from config.redis_link import AwayError, Link, get_link

logger = logging.getLogger("vestnik.web")

NAME = "vestnik:pages:generation"


class FileGeneration:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str | None:
        """Return the generation, or None where no file can be made."""
        try:
            if not self.path.exists():
                self.grow()
            state = os.stat(self.path)
        except OSError:
            return None
        # The size alone would begin anew with a new file.
        return f"{state.st_ino}.{state.st_ctime_ns}.{state.st_size}"

    def change(self) -> None:
        try:
            self.grow()
        except OSError as error:
            # On a full disk there is no room for a byte, but for another time.
            logger.warning("%s: %s", self.path, error)
            with suppress(OSError):
                os.utime(self.path)

    def grow(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, b".")
        finally:
            os.close(descriptor)


class RedisGeneration:
    def __init__(self, link: Link) -> None:
        self.link = link
        # Whether a change may not have reached Redis: of this process, or of one before it.
        self.is_doubtful = True

    def read(self) -> str | None:
        """Return the generation, or None where there is none to rely on."""
        try:
            if self.is_doubtful:
                self.renew()
            word = self.ask()
            if word is None:
                self.renew()
                word = self.ask()
        except AwayError:
            self.is_doubtful = True
            return None
        return word

    def ask(self) -> str | None:
        word = self.link.ask(lambda client: client.get(NAME))
        return word and word.decode()

    def change(self) -> None:
        try:
            self.renew()
        except AwayError:
            self.is_doubtful = True
            logger.warning("Redis did not learn of a change; pages may be old for half a minute.")

    def renew(self) -> None:
        word = secrets.token_hex(8)
        self.link.ask(lambda client: client.set(NAME, word), insists=True)
        self.is_doubtful = False


_generations: dict[str, FileGeneration | RedisGeneration] = {}


def get_generation() -> FileGeneration | RedisGeneration:
    key = settings.REDIS_URL or str(settings.VAR_DIR)
    if key not in _generations:
        link = get_link()
        file = Path(settings.VAR_DIR) / "pages.generation"
        _generations[key] = RedisGeneration(link) if link else FileGeneration(file)
    return _generations[key]
