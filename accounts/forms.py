"""Forms of the account pages."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class SignupDetailsForm(forms.Form):
    """What sign-up asks besides e-mail and password (allauth mixes it into its own form)."""

    company = forms.CharField(label=_("Company name"), max_length=150)

    def signup(self, request: HttpRequest, user: User) -> None:
        user.company = self.cleaned_data["company"]
        user.save(update_fields=["company"])
