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
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

BASE_DIR = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
STOP_SECONDS = 15  # after that, whoever still runs is killed


def fail(problem: str) -> NoReturn:
    sys.exit(f"Vestnik cannot start: {problem}")


def read_port(name: str, default: int) -> int:
    value = os.environ.get(name, "") or str(default)
    if not value.isdigit() or not 0 < int(value) < 65536:
        fail(f"{name} is {value!r}; use a port number.")
    return int(value)


def require_free(port: int, name: str) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            fail(f"port {port} is busy. Stop what uses it, or set {name} to another port.")


def make_var_dir() -> Path:
    path = Path(os.environ.get("VAR_DIR") or BASE_DIR / "var")
    probe = path / f".probe-{os.getpid()}"
    try:
        (path / "mail").mkdir(parents=True, exist_ok=True)
        for part in ("cur", "new", "tmp"):
            (path / "mail" / part).mkdir(exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        fail(f"the folder {path} cannot be written: {error.strerror}.")
    return path


def has_own_mail_server() -> bool:
    """Return whether the environment or .env names a mail server."""
    if os.environ.get("EMAIL_URL"):
        return True
    env_file = BASE_DIR / ".env"
    lines = env_file.read_text().splitlines() if env_file.exists() else []
    return any(line.strip().removeprefix("export ").startswith("EMAIL_URL=") for line in lines)


def manage(*args: str) -> None:
    done = subprocess.run([PYTHON, "manage.py", *args], cwd=BASE_DIR)
    if done.returncode:
        sys.exit(done.returncode)


def start(*command: str) -> subprocess.Popen[bytes]:
    # A group of its own: Ctrl-C reaches this process alone, which then stops the others.
    return subprocess.Popen([PYTHON, *command], cwd=BASE_DIR, start_new_session=True)


def announce(address: str, seeded: bool, has_inbox: bool) -> None:
    """Say where the site is as soon as it answers."""
    while True:
        try:
            urlopen(address + "/accounts/login/", timeout=5).close()
            break
        except (URLError, OSError):
            time.sleep(0.2)
    lines = ["", f"  Vestnik is up: {address}/"]
    if has_inbox:
        lines.append(f"  Letters it sent:  {address}/inbox/")
    if seeded:
        lines.append(
            "  Log in with password vestnik-demo as user@example.com, manager@example.com,"
        )
        lines.append("  editor@example.com or admin@example.com")
    print("\n".join([*lines, "  Ctrl-C stops everything.", ""]), flush=True)


def run_until_stopped(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait until a signal comes or one process ends, then stop all; return the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_args: stopping.set())
    while not stopping.wait(0.3):
        if any(process.poll() is not None for process in processes):
            break
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return 0 if stopping.is_set() else 1


def main() -> int:
    os.environ.setdefault("DEBUG", "true")
    port, smtp_port = read_port("PORT", 8000), read_port("SMTP_PORT", 2525)
    var_dir = make_var_dir()
    os.environ["VAR_DIR"] = str(var_dir)
    own_mail_server = has_own_mail_server()
    require_free(port, "PORT")
    if not own_mail_server:
        require_free(smtp_port, "SMTP_PORT")
        os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{smtp_port}"
    address = os.environ.setdefault("SITE_URL", f"http://127.0.0.1:{port}")
    print("Preparing the database …", flush=True)
    manage("migrate", "-v0")
    marker = var_dir / "seeded"
    if not marker.exists():
        manage("seed")
        marker.touch()
    processes = [
        start("manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"),
        start("manage.py", "qcluster"),
    ]
    if not own_mail_server:
        mailbox = ("aiosmtpd.handlers.Mailbox", str(var_dir / "mail"))
        listen = f"127.0.0.1:{smtp_port}"
        processes.append(start("-m", "aiosmtpd", "-n", "-u", "-l", listen, "-c", *mailbox))
    announcer = (address, marker.exists(), not own_mail_server)
    threading.Thread(target=announce, args=announcer, daemon=True).start()
    return run_until_stopped(processes)


if __name__ == "__main__":
    sys.exit(main())
