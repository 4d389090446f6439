"""How django-allauth behaves here."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as allauth_context
from config.addresses import absolute
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import tasks
from accounts.models import User
from accounts.validators import validate_address


class AccountAdapter(DefaultAccountAdapter):
    def clean_email(self, email: str) -> str:
        if len(email) > User._meta.get_field("email").max_length:
            raise ValidationError(_("Enter a valid e-mail address."), code="email")
        validate_address(email)
        return email

    def confirm_email(self, request: HttpRequest, email_address: Any) -> bool:
        """Refuse an address at which somebody else signed up meanwhile, confirmed or not.

        allauth looks only for confirmed ones and would run into the unique key of users.
        """
        others = User.objects.exclude(pk=email_address.user_id)
        if others.filter(email__iexact=email_address.email).exists():
            template = "account/messages/email_confirmation_failed.txt"
            self.add_message(request, messages.ERROR, template, {"email": email_address.email})
            return False
        return super().confirm_email(request, email_address)

    def render_mail(
        self,
        template_prefix: str,
        email: str | list[str],
        context: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> EmailMessage:
        """Render a letter from templates/emails/account/ in the language of its reader."""
        prefix = template_prefix.replace("account/email/", "emails/account/", 1)
        user = context.get("user")
        language = (user.language if user else "") or translation.get_language()
        headers = {"Auto-Submitted": "auto-generated", **(headers or {})}
        with translation.override(language):
            return super().render_mail(prefix, email, context, headers)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a letter now, or hand it to the queue where the mail server does not take it."""
        request = allauth_context.request
        context = {
            "request": request,
            "email": email,
            "site_url": settings.SITE_URL,
            "password_reset_url": absolute(reverse("account_reset_password")),
            **context,
        }
        letter = self.render_mail(template_prefix, email, context)
        if not tasks.send_or_postpone(letter):
            text = _("The mail server does not answer just now, so the letter may take a while.")
            self.add_message(request, messages.WARNING, message=text)
            request.letter_waits = True

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Keep back that a letter was sent where it was not."""
        sent = message_template == "account/messages/email_confirmation_sent.txt"
        if not (sent and getattr(request, "letter_waits", False)):
            super().add_message(request, level, message_template, *args, **kwargs)
