"""What the product talks to during a measurement: mail servers, and a database and Redis that
may be killed without hurting anybody else on the machine."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from processes import answers, cpu_seconds, free_port, listens, wait_for

HERE = Path(__file__).parent
# Debian keeps them off the PATH.
POSTGRES_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Taken(NamedTuple):
    """A letter that the receiver took over; `time` is Unix time, `size` bytes."""

    number: int
    time: float
    size: int
    recipient: str
    message_id: str


class Sink:
    """smtp-sink, which takes everything over and counts it."""

    counts_only = True

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.counters = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the sink
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command = ["smtp-sink", *user, "-c", "-4", "-m", "512", *options]
        self.process = subprocess.Popen(
            [*command, f"127.0.0.1:{self.port}", "1024"], stdout=self.counters
        )
        atexit.register(self.process.kill)
        wait_for(lambda: answers("127.0.0.1", self.port), "smtp-sink answers")

    @property
    def taken(self) -> int:
        """Return how many letters have come in."""
        fd = self.counters.fileno()
        # The offset of the file is the sink's own.
        end = os.pread(fd, 4096, max(os.fstat(fd).st_size - 4096, 0))
        numbers = re.findall(rb"mesg=(\d+)", end)
        return int(numbers[-1]) if numbers else 0

    def cpu(self) -> float:
        return cpu_seconds([self.process.pid])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        atexit.unregister(self.process.kill)


class Receiver:
    """receiver.py as a process, and its log, read as it grows."""

    counts_only = False

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="vestnik-receiver-"))
        self.path = self.folder / "letters.log"
        command = [sys.executable, str(HERE / "receiver.py"), "--port", str(self.port)]
        self.process = subprocess.Popen([*command, "--log", str(self.path), *options])
        atexit.register(self.process.kill)
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        # A connection to try it would be the first of those that it allows.
        wait_for(lambda: listens(self.port), "the receiver listens")
        self.file = self.path.open("rb")
        self.rest = b""
        self.letters: list[Taken] = []
        self.read: set[int] = set()  # numbers of letters whose reply was certainly read
        self.goodbyes: Counter[str] = Counter()
        # Unix times, with the domain, the recipient or the stage.
        self.complaints: list[tuple[float, str]] = []
        self.data: list[tuple[float, str]] = []
        self.bodies: list[tuple[float, str]] = []
        self.cut_at: list[tuple[float, str]] = []
        kept = (self.complaints, self.data, self.bodies, self.cut_at)
        self._moments = dict(zip("TDSC", kept, strict=True))

    def look(self) -> None:
        """Read what the log has gained."""
        lines = (self.rest + self.file.read()).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            kind, first, *fields = line.decode("utf-8", "replace").split("\t")
            if kind == "L":
                moment, size, recipient, name = fields
                self.letters.append(Taken(int(first), float(moment), int(size), recipient, name))
            elif kind == "R":
                self.read.add(int(first))
            elif kind in self._moments:
                self._moments[kind].append((float(fields[0]), first))
            else:
                self.goodbyes[first] += 1

    @property
    def cuts(self) -> Counter[str]:
        """Return how many connections were cut at each stage."""
        return Counter(stage for _moment, stage in self.cut_at)

    @property
    def taken(self) -> int:
        """Return how many letters have come in."""
        self.look()
        return len(self.letters)

    def kept(self, number: int) -> bytes:
        """Return the bytes of one of the letters that `--keep` keeps."""
        return Path(f"{self.path}.{number}.eml").read_bytes()

    def cpu(self) -> float:
        return cpu_seconds([self.process.pid])

    def stop(self) -> None:
        """End the process; what it logged is read to the end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.look()
        self.file.close()
        shutil.rmtree(self.folder)


def has_sink() -> bool:
    return bool(shutil.which("smtp-sink"))


def rate_receiver() -> Sink | Receiver:
    """Return the receiver for rates: smtp-sink, or ours where it is missing."""
    return Sink() if has_sink() else Receiver()


# --- A database and Redis of our own ----------------------------------------------------------


def postgres_program(name: str) -> str | None:
    folders = os.pathsep.join(map(str, POSTGRES_FOLDERS))
    return shutil.which(name, path=folders) or shutil.which(name)


class Postgres:
    """A PostgreSQL cluster in a folder and on a port of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="vestnik-postgres-"))
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        self.data = self.folder / "data"
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8")
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self.start = ("pg_ctl", "-w", "-D", str(self.data), "-l", str(self.folder / "log"))
        self.start = (*self.start, "-o", settings)
        self._run(*self.start, "start")
        atexit.register(self.stop)

    @staticmethod
    def can_run() -> bool:
        """Return whether the programs are there, and a user to run them."""
        with contextlib.suppress(KeyError):
            pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
            return bool(postgres_program("initdb") and postgres_program("pg_ctl"))
        return False

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/vestnik"

    def restart(self) -> None:
        """Let it crash, as after a power cut, and start it again."""
        self._run(*self.start, "-m", "immediate", "restart")

    def stop(self) -> None:
        if self.folder.exists():
            self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [postgres_program(program) or program, *args],
            check=True,
            user=self.user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


class Redis:
    """A Redis on a port of its own that keeps nothing: killed, it forgets the queue."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        atexit.register(self.stop)
        self._start()

    @staticmethod
    def can_run() -> bool:
        return bool(shutil.which("redis-server"))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no", "--dir", tempfile.gettempdir()],
            stdout=subprocess.DEVNULL,
        )
        wait_for(lambda: answers("127.0.0.1", self.port), "Redis answers")

    def restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
