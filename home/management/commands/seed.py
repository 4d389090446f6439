"""Fill the database with example data."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from home.examples.mailings import make_mailings
from home.examples.people import PASSWORD, PEOPLE, make_people
from home.examples.posts import make_posts


class Command(BaseCommand):
    help = (
        "Adds example users of every role, clients, messages, mailings (one is due at once) and "
        "blog posts. What is there already stays as it is; running it twice adds nothing."
    )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        made = {"users": make_people(), **make_mailings(), "blog posts": make_posts()}
        added = ", ".join(f"{number} {name}" for name, number in made.items())
        self.stdout.write(f"Added {added}.")
        self.show_logins()

    def show_logins(self) -> None:
        if not settings.DEBUG:
            self.stdout.write(
                "Nobody can log in as the example users until they get a password: "
                "manage.py changepassword user@example.com"
            )
            return
        self.stdout.write(f"Logins, each with the password {PASSWORD}:")
        for person in PEOPLE:
            self.stdout.write(f"  {person.email:<22}{person.title}")
