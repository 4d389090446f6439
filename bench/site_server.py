"""The production server of the site, its database its own: for public_site.py and lighthouse.py."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from databases import (
    BASE_DIR,
    create_database,
    environment,
    manage,
    redis_of,
    run_sql,
    url_of,
)
from processes import family, free_port, kill, wait_for

# As README starts it.
WORKERS = 3
DATABASE = "vestnik_bench_site"


class WebServer:
    """Gunicorn with production settings; `database` is "postgres" or "sqlite"."""

    def __init__(self, database: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vestnik-bench-site-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **environment(self.folder, self.make_database(database)),
            "REDIS_URL": redis_of(database),
            "SITE_URL": self.url,
            "LANGUAGE_CODE": "ru",
        }
        self.process: subprocess.Popen | None = None
        manage(self.env, "migrate", "-v0")
        manage(self.env, "collectstatic", "--noinput", "-v0")

    def make_database(self, database: str) -> str:
        """Make an empty database; return its URL. It is gone when this process ends."""
        if database == "sqlite":
            return f"sqlite:///{self.folder / 'db.sqlite3'}"
        url = url_of(DATABASE)
        create_database(url)
        drop = f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)'
        atexit.register(run_sql, url, drop)
        return url

    @property
    def static(self) -> Path:
        return self.folder / "static"

    def fill(self, posts: int) -> None:
        """Add the example data, and as many posts."""
        manage(self.env, "seed")
        if posts:
            self.run("bench/fill_posts.py", str(posts))

    def run(self, *command: str) -> str:
        """Run a script of ours on this site; return what it prints."""
        done = subprocess.run(
            [sys.executable, *command], cwd=BASE_DIR, env=self.env, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def start(self, application: str = "config.wsgi", *, workers: int = WORKERS) -> None:
        paths = [str(BASE_DIR / "site"), str(BASE_DIR / "bench"), str(BASE_DIR)]
        with (self.folder / "gunicorn.log").open("a") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--chdir", "site", application),
                    *("--workers", str(workers), "--bind", f"127.0.0.1:{self.port}"),
                ],
                cwd=BASE_DIR,
                env={**self.env, "PYTHONPATH": os.pathsep.join(paths)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        atexit.register(self.stop)
        wait_for(lambda: self.status("/robots.txt") == 200, "the site answers")

    def stop(self) -> None:
        if self.process:
            members = family(self.process.pid)
            self.process.terminate()
            try:
                self.process.wait(30)
            finally:
                kill(members)
            self.process = None

    def pids(self) -> list[int]:
        return family(self.process.pid) if self.process else []

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (names in small letters) and body of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("GET", path, headers=names)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            connection.close()

    def status(self, path: str) -> int | None:
        try:
            return self.get(path)[0]
        except (OSError, HTTPException):
            return None
