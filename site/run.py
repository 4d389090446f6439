"""`make run`: everything a newcomer needs, started together and stopped together.

The web server, the workers (`manage.py qcluster`) and, unless EMAIL_URL names a mail server, a
local one that keeps what it gets in a Maildir, which /inbox/ shows.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NoReturn

from config import env
from config.lifeline import STOP_PATIENCE, end_with_parent

PYTHON = sys.executable
KILL_SECONDS = 10  # for `qcluster` to kill workers that hang
# SIGHUP: the terminal was closed.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# The signals that asked for the end. No Event: setting one within a handler may wait for ever on
# the lock that the interrupted code holds.
asked_to_stop: list[int] = []


def fail(problem: str) -> NoReturn:
    sys.exit(f"Vestnik cannot start: {problem}")


# --- What is set, and whether it will do ------------------------------------------------------


def require_debug() -> None:
    if not env.flag("DEBUG", True):
        fail("DEBUG is false, but `make run` is for development. README says how production runs.")
    os.environ["DEBUG"] = "true"


def read_port(name: str, default: int) -> int:
    """Return a port of this machine on which nothing listens."""
    port = int(env.number(name, default, low=1, high=65535) or default)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            fail(f"port {port}: {error.strerror}. Free it, or set {name} to another port.")
    return port


def make_var_dir() -> Path:
    path = env.folder("VAR_DIR", env.BASE_DIR / "var")
    probe = path / f".probe-{os.getpid()}"
    try:
        for part in ("cur", "new", "tmp"):
            (path / "mail" / part).mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        fail(f"the folder {path} cannot be written: {error.strerror}.")
    return path


# --- Processes --------------------------------------------------------------------------------


def start(*command: str) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches this process alone, which then stops the others.
    return subprocess.Popen(
        [PYTHON, *command], cwd=env.BASE_DIR, start_new_session=True, preexec_fn=end_with_parent
    )


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask all to stop and wait until they have; kill who does not.

    `qcluster` is waited for longer than it waits for its workers: they have a process group of
    their own, which only it can kill.
    """
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_PATIENCE + KILL_SECONDS
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def manage(*args: str) -> None:
    """Run a command to its end, or end with it."""
    process = start("manage.py", *args)
    while process.poll() is None and not asked_to_stop:
        time.sleep(0.05)
    if asked_to_stop:
        stop([process])
        print("Stopped before everything was ready.")
        sys.exit(0)
    if process.returncode:
        sys.exit(process.returncode)


def prepare(var_dir: Path) -> None:
    """Bring the database up to date, and fill a new one with examples."""
    print("Preparing the database …", flush=True)
    manage("migrate", "-v0")
    marker = var_dir / "seeded"
    if not marker.exists():
        manage("seed")
        marker.touch()


def start_mail_server(port: int, var_dir: Path) -> subprocess.Popen[bytes]:
    mailbox = ("aiosmtpd.handlers.Mailbox", str(var_dir / "mail"))
    return start("-m", "aiosmtpd", "-n", "-u", "-l", f"127.0.0.1:{port}", "-c", *mailbox)


def run_until_stopped(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait until a signal comes or one process ends, then stop all; return the exit code."""
    ended = []
    while not ended and not asked_to_stop:
        time.sleep(0.2)
        ended = [process for process in processes if process.poll() is not None]
    stop(processes)
    for process in ended:
        print(f"Vestnik stopped: {' '.join(process.args[1:4])} ended by itself.", file=sys.stderr)
    return 1 if ended else 0


# --- Words ------------------------------------------------------------------------------------


def answers(port: int) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/accounts/login/")
        return bool(connection.getresponse().status)
    except (OSError, HTTPException):
        return False


def announce(port: int, site_url: str, has_inbox: bool) -> None:
    """Say where the site is as soon as it answers."""
    while not answers(port):
        time.sleep(0.2)
    address = f"http://127.0.0.1:{port}"
    lines = ["", f"  Vestnik is up: {address}/"]
    if site_url != address:
        lines.append(f"  Links in letters lead to {site_url}/")
    if has_inbox:
        lines.append(f"  Letters it sent:  {address}/inbox/")
    lines += [
        "  Log in with password vestnik-demo as user@example.com, manager@example.com,",
        "  editor@example.com or admin@example.com",
        "  Ctrl-C stops everything.",
    ]
    print("\n".join([*lines, ""]), flush=True)


def main() -> int:
    for number in STOP_SIGNALS:
        signal.signal(number, lambda number, _frame: asked_to_stop.append(number))
    env.read_file()
    require_debug()
    port, var_dir = read_port("PORT", 8000), make_var_dir()
    site_url = env.web_address("SITE_URL", f"http://127.0.0.1:{port}")
    os.environ.update(VAR_DIR=str(var_dir), SITE_URL=site_url)
    has_mail_server = bool(env.text("EMAIL_URL"))
    if not has_mail_server:
        smtp_port = read_port("SMTP_PORT", 2525)
        if smtp_port == port:
            fail(f"PORT and SMTP_PORT are both {port}.")
        os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{smtp_port}"
    prepare(var_dir)
    processes = [
        start("manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"),
        start("manage.py", "qcluster"),
    ]
    if not has_mail_server:
        processes.append(start_mail_server(smtp_port, var_dir))
    words = (port, site_url, not has_mail_server)
    threading.Thread(target=announce, args=words, daemon=True).start()
    return run_until_stopped(processes)


if __name__ == "__main__":
    sys.exit(main())
