"""Processes on this machine: which belong together, what they cost, whether they answer."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
ESTABLISHED, LISTENING = "01", "0A"  # states in /proc/net/tcp


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, the oldest first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def clean_up_on_sigterm() -> None:
    """Let SIGTERM end this program as Ctrl-C does: with what it started stopped and removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def in_session(session: int) -> list[int]:
    """Return the processes of a session, also those whose parents are gone."""
    done = subprocess.run(["pgrep", "-s", str(session)], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def kill(pids: list[int]) -> None:
    """SIGKILL processes, those that are gone already left alone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def cpu_seconds(pids: list[int]) -> float:
    """Return the user and system seconds of processes and of their children that ended."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def memory_mb(pid: int, name: str = "VmRSS") -> float | None:
    """Return a process's memory in MB: `VmRSS` now, `VmHWM` at its peak; None if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = re.search(rf"{name}:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else None


def pids_named(*names: str) -> list[int]:
    """Return the processes of these names."""
    pattern = "|".join(names)
    done = subprocess.run(["pgrep", "-x", pattern], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def connected(port: int, pids: list[int]) -> list[int]:
    """Return those of the processes that have a connection to a port of this machine."""
    wanted = f":{port:04X}"
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(wanted) and fields[3] == ESTABLISHED:
            inodes.add(f"socket:[{fields[9]}]")
    return [pid for pid in pids if inodes & _files_of(pid)]


def _files_of(pid: int) -> set[str]:
    links = set()
    with contextlib.suppress(OSError):  # The process ends as we look.
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                links.add(os.readlink(entry.path))
    return links


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def answers(host: str, port: int) -> bool:
    """Return whether something takes connections there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def listens(port: int) -> bool:
    """Return whether a process of this machine listens there; no connection is made."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == LISTENING:
            return True
    return False


def wait_for(condition: Callable[[], Any], what: str, patience: float = 60) -> Any:
    """Return the first true value of `condition`; raise after `patience` seconds without one."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience} s in vain: {what}")
        time.sleep(0.05)
    return value
