"""Every public page, and how a person comes to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.core import mail
from django.http import HttpResponse
from django.test import Client as Browser
from django.utils import translation
from wagtail.documents.models import Document
from wagtail.models import Collection, CollectionViewRestriction, PageViewRestriction

from accounts.adapter import AccountAdapter
from accounts.models import User
from accounts.tests.letters import link_in
from accounts.tests.test_signup import FORM
from accounts.tests.test_signup import URL as SIGNUP
from blog.tests.posts import make_post
from conftest import PASSWORD, make_client, make_user
from home.examples.pictures import draw_picture
from mailings.unsubscribe import make_token

LOGIN, RESET = "/accounts/login/", "/accounts/password/reset/"
# Beneath the home page of a language.
STRANGERS = [
    "",
    "blog/",
    "blog/everything/",
    "blog/?page=2",
    "blog/category/advice/",
    "blog/author/anna/",
    "blog/tag/tea/",
    "blog/search/",
    "blog/search/?q=tea",
    "blog/search/?q=zebra",
]
INTERFACE = [
    LOGIN,
    SIGNUP,
    "/accounts/confirm-email/",
    "/accounts/confirm-email/nonsense/",
    RESET,
    f"{RESET}done/",
    f"{RESET}key/1-nonsense/",
    f"{RESET}key/done/",
    "/accounts/inactive/",
    "/u/preview/",
    "/no-such-page/",
    "/?q=%00",
]
USERS = [
    "/accounts/profile/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/reauthenticate/",
    "/accounts/logout/",
    "/",
]


def action_of(response: HttpResponse) -> str:
    """Return where the form for a password is sent."""
    return re.search(r'action="([^"]*authenticate_with_password[^"]*)"', response.text)[1]


# What each letter in templates/emails/account is called.
SUFFIX = "_message.html"
LETTERS = sorted(
    path.name.removesuffix(SUFFIX)
    for path in (settings.BASE_DIR / "templates/emails/account").glob(f"*{SUFFIX}")
)


class Visits:
    """What people are answered where no address alone leads to the page, in one language."""

    def __init__(self, language: str, settings: Any) -> None:
        self.language, self.settings = language, settings

    def __iter__(self) -> Iterator[tuple[str, HttpResponse]]:
        yield from self.log_in()
        yield from self.confirm()
        yield from self.reset()
        yield from self.change()
        yield from self.unsubscribe()
        yield from self.name_the_password()
        yield from self.be_refused()
        yield from self.read_letters()

    def sit_down(self, user: User | None = None, **options: Any) -> Browser:
        desk = Browser(headers={"Accept-Language": self.language}, **options)
        if user:
            desk.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return desk

    def log_in(self) -> Iterator[tuple[str, HttpResponse]]:
        yield "login-refused", self.sit_down().post(LOGIN, {"login": "a@example.com"})
        yield "signup-refused", self.sit_down().post(SIGNUP, {"email": "a", "password1": "1"})

    def confirm(self) -> Iterator[tuple[str, HttpResponse]]:
        desk = self.sit_down()
        desk.post(SIGNUP, FORM)
        link = link_in(mail.outbox.pop())
        yield "confirm", desk.get(link)
        other = make_user("other@example.com")
        EmailAddress.objects.create(user=other, email=FORM["email"].lower(), verified=True)
        yield "confirm-taken", desk.get(link)

    def reset(self) -> Iterator[tuple[str, HttpResponse]]:
        make_user("lost@example.com")
        desk = self.sit_down()
        desk.post(RESET, {"email": "lost@example.com"})
        form = desk.get(link_in(mail.outbox.pop())).url
        yield "reset", desk.get(form)
        yield "reset-refused", desk.post(form, {"password1": "1", "password2": "2"})

    def change(self) -> Iterator[tuple[str, HttpResponse]]:
        desk = self.sit_down(make_user("moving@example.com"))
        desk.post("/accounts/reauthenticate/", {"password": PASSWORD})
        desk.post("/accounts/email/", {"action_add": "", "email": "fresh@example.com"})
        yield "email-waits", desk.get("/accounts/email/")
        keyless = make_user("keyless@example.com")
        keyless.set_unusable_password()
        keyless.save()
        yield "password-set", self.sit_down(keyless).get("/accounts/password/set/")

    def unsubscribe(self) -> Iterator[tuple[str, HttpResponse]]:
        client = make_client(make_user("tea@example.com", company="Romashka"))
        desk, link = self.sit_down(), f"/u/{make_token(client.pk, 1)}/"
        yield "unsubscribe", desk.get(link)
        yield "unsubscribed", desk.post(link)
        yield "subscribed-again", desk.post(f"{link}again/")
        client.delete()
        yield "unsubscribe-gone", desk.get(link)

    def name_the_password(self) -> Iterator[tuple[str, HttpResponse]]:
        post = make_post("Secret", self.language, slug="secret")
        by_password = {"restriction_type": "password", "password": "sesame"}
        PageViewRestriction.objects.create(page=post, **by_password)
        desk = self.sit_down()
        asked = desk.get(post.url)
        yield "password", asked
        wrong = {"password": "wrong", "return_url": post.url}
        yield "password-refused", desk.post(action_of(asked), wrong)
        secret = Collection.get_first_root_node().add_child(name="Secret")
        CollectionViewRestriction.objects.create(collection=secret, **by_password)
        document = Document(title="Plan", collection=secret, file=draw_picture(1, "plan.jpg"))
        document.save()
        yield "password-document", desk.get(document.url)

    def be_refused(self) -> Iterator[tuple[str, HttpResponse]]:
        without_role = self.sit_down(make_user("new@example.org", None))
        yield "403", without_role.get("/admin/pages/")
        yield "403-csrf", self.sit_down(enforce_csrf_checks=True).post(LOGIN)
        self.settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
        hasty = self.sit_down()
        hasty.post(LOGIN, {"login": "a@example.com", "password": "1"})
        yield "429", hasty.post(LOGIN, {"login": "a@example.com", "password": "1"})

    def read_letters(self) -> Iterator[tuple[str, HttpResponse]]:
        """The letters of the service, as a program for mail shows them."""
        link = "http://testserver/accounts/confirm-email/MQ:1w2x3y:abcdefghijklmnopqrstuvwxyz/"
        context = {
            "site_url": self.settings.SITE_URL,
            **dict.fromkeys(["activate_url", "password_reset_url", "signup_url"], link),
            **dict.fromkeys(["email", "deleted_email", "from_email"], "olga@example.com"),
            "to_email": "olga.petrova@example.com",
        }
        for name in LETTERS:
            with translation.override(self.language):
                letter = AccountAdapter().render_mail(
                    f"account/email/{name}", "olga@example.com", context
                )
            yield f"letter-{name}", HttpResponse(letter.alternatives[0][0])
