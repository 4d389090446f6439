"""Users of every role in the example data."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from wagtail.users.models import UserProfile

from accounts.models import EDITORS, MANAGERS, USERS, User

PASSWORD = "vestnik-demo"


@dataclass(frozen=True)
class Person:
    email: str
    role: str | None
    first_name: str
    last_name: str
    company: str = ""
    phone: str = ""

    @property
    def title(self) -> str:
        return self.role or "Administrator"


PEOPLE = [
    Person("user@example.com", USERS, "Ольга", "Смирнова", "Чайная лавка", "+74951234567"),
    Person("partner@example.com", USERS, "Тимур", "Гайсин", "Веломастерская «Спица»"),
    Person("manager@example.com", MANAGERS, "Мария", "Орлова"),
    Person("editor@example.com", EDITORS, "Егор", "Лебедев"),
    Person("admin@example.com", None, "Анна", "Карпова"),
]


def make_people() -> int:
    """Create the users who are not there yet, by their addresses; return how many."""
    known = set(User.objects.values_list("email", flat=True))
    new = [person for person in PEOPLE if person.email not in known]
    # Everybody may read this password: outside DEBUG nobody can log in with it.
    password = make_password(PASSWORD if settings.DEBUG else None)
    for person in new:
        make_person(person, password)
    return len(new)


def make_person(person: Person, password: str) -> None:
    user = User.objects.create(
        email=person.email,
        password=password,
        first_name=person.first_name,
        last_name=person.last_name,
        company=person.company,
        phone=person.phone,
        is_superuser=person.role is None,
        is_staff=person.role is None,
    )
    if person.role:
        user.groups.add(Group.objects.get(name=person.role))
    if person.company:
        # Its letters are in Russian, and the words that we put beneath them are in this language.
        UserProfile.objects.create(user=user, preferred_language="ru")
    user.confirm_email()
