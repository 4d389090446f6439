"""`manage.py mailing`: send what is due, or show how the service is, from the command line."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from mailings import housekeeping, status, unsent
from mailings.delivery import dispatch
from mailings.models import Attempt, Mailing

REFRESH = 1.0  # seconds between two pictures of the state
SAMPLE = 2.0  # seconds between two readings for a rate where there is one picture only
LINE_SECONDS = 5.0  # between two lines of progress where the output is no terminal
MOST_LINES = 10  # about mailings of which something was left unsent


class Command(BaseCommand):
    help = "Open the mailings that are due and send them; print what came of it."
    # All other checks load every page of the site, which sending does not need.
    requires_system_checks = (Tags.models, Tags.caches, Tags.database)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--mailing", type=int, metavar="ID", help="only this mailing")
        parser.add_argument(
            "--watch",
            action="store_true",
            help="go on every MAILING_INTERVAL seconds until stopped",
        )
        parser.add_argument(
            "--status",
            action="store_true",
            help="send nothing; show how the service is, on a terminal until stopped",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        mailing_id = options["mailing"]
        if options["status"] and (options["watch"] or mailing_id is not None):
            raise CommandError(_("--status goes with neither --watch nor --mailing."))
        if mailing_id is not None and not Mailing.objects.filter(pk=mailing_id).exists():
            raise CommandError(_("There is no mailing %(id)s.") % {"id": mailing_id})
        self.stopped = False
        self.progress = Progress(self.stdout)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        if options["status"]:
            self.show_status()
        else:
            self.send(mailing_id, watch=options["watch"])

    def send(self, mailing_id: int | None, *, watch: bool) -> None:
        housekeeping.tidy()
        all_went_out = self.run_once(mailing_id, watch=watch)
        while watch and self.rest(settings.MAILING_INTERVAL):
            all_went_out = self.run_once(mailing_id, watch=watch)
        if not all_went_out:
            sys.exit(1)

    def stop(self, signum: int, frame: object) -> None:
        """Wait for the answers to the letters on the wire, leave the rest to the next worker."""
        self.stopped = True

    def rest(self, seconds: float) -> bool:
        """Wait for the next pass; return whether there is to be one."""
        end = time.monotonic() + seconds
        while not self.stopped and time.monotonic() < end:
            time.sleep(0.1)
        return not self.stopped

    def show_status(self) -> None:
        """Show the state in place until stopped; where the output is no terminal, once."""
        readings = status.Readings()
        if not self.stdout.isatty():
            lines = status.describe(readings, timezone.now())
            if Attempt.objects.running().exists() and self.rest(SAMPLE):
                lines = status.describe(readings, timezone.now())
            self.stdout.write("\n".join(lines))
            return
        with status.Screen(self.stdout) as screen:
            screen.show(describe_or_say_why_not(readings))
            while self.rest(REFRESH):
                screen.show(describe_or_say_why_not(readings))

    def run_once(self, mailing_id: int | None, *, watch: bool) -> bool:
        """Make one pass and print what came of it; return whether everything went out."""
        began = timezone.now()
        summary = dispatch.run_pass(
            stopping=lambda: self.stopped, mailing_id=mailing_id, progress=self.progress.show
        )
        self.progress.end()
        self.stdout.write(
            _(
                "Runs opened: %(opened)d. Accepted: %(accepted)d, rejected: %(rejected)d, "
                "to be tried again: %(deferred)d, in doubt: %(in_doubt)d."
            )
            % vars(summary)
        )
        if summary.trouble:
            words = _("The mail server takes no letters: %s") % summary.trouble
            self.stderr.write(status.plain(words))
        lines = unsent.describe(began, mailing_id)
        for line in lines[:MOST_LINES]:
            self.stderr.write(line)
        if len(lines) > MOST_LINES:
            self.stderr.write(_("… and %d more") % (len(lines) - MOST_LINES))
        # A schedule that is stopped leaves the rest to the next one; that is no failure.
        is_stopped = watch and self.stopped
        return summary.all_went_out and (is_stopped or not lines)


def describe_or_say_why_not(readings: status.Readings) -> list[str]:
    """Return the lines of the state; who watches an outage shall see its end."""
    try:
        return status.describe(readings, timezone.now())
    except DatabaseError as error:
        connection.close()
        return [status.plain(_("The database does not answer: %s") % error)]


class Progress:
    """A bar on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.shown_at = time.monotonic()
        self.open_line = False

    def show(self, attempt: Attempt) -> None:
        words = status.progress_words(attempt)
        if self.terminal:
            self.stream.write(f"\r{status.bar(attempt)} {words}\x1b[K", ending="")
            self.stream.flush()
            self.open_line = True
        elif time.monotonic() - self.shown_at >= LINE_SECONDS:
            self.shown_at = time.monotonic()
            self.stream.write(words)

    def end(self) -> None:
        if self.open_line:
            self.stream.write("")
            self.open_line = False
