"""Forms of the account pages and of the user admin."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as allauth_forms
from django import forms
from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from wagtail.admin.localization import (
    get_available_admin_languages,
    get_available_admin_time_zones,
)
from wagtail.users.forms import UserCreationForm as WagtailUserCreationForm
from wagtail.users.forms import UserEditForm as WagtailUserEditForm
from wagtail.users.models import UserProfile

from accounts.models import USERS, User
from accounts.pictures import clean_picture
from accounts.validators import validate_line

AVATAR_BYTES = 5 * 1024 * 1024
AVATAR_SIDE = 512


class LineField(forms.CharField):
    """One line of text that may become part of a mail header."""

    default_validators = [validate_line]


def name_field(field: str, **options: Any) -> LineField:
    model_field = User._meta.get_field(field)
    options.setdefault("required", False)
    label = capfirst(model_field.verbose_name)
    return LineField(label=label, max_length=model_field.max_length, **options)


class OwnWordsMixin:
    """Call things in allauth's forms what the rest of the site calls them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        words = {
            "login": _("E-mail"),
            "email": _("E-mail"),
            "remember": _("Stay logged in"),
            "password2": _("The password once more"),
        }
        for name in words.keys() & self.fields.keys():
            self.fields[name].label = words[name]
        if "password1" in self.fields:
            self.fields["password1"].help_text = _(
                "At least 8 characters, not only digits, and nothing that is easily guessed."
            )


class LoginForm(OwnWordsMixin, allauth_forms.LoginForm):
    pass


class AddEmailForm(OwnWordsMixin, allauth_forms.AddEmailForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("New e-mail")


class ResetPasswordForm(OwnWordsMixin, allauth_forms.ResetPasswordForm):
    pass


class ResetPasswordKeyForm(OwnWordsMixin, allauth_forms.ResetPasswordKeyForm):
    pass


class ChangePasswordForm(OwnWordsMixin, allauth_forms.ChangePasswordForm):
    pass


class SetPasswordForm(OwnWordsMixin, allauth_forms.SetPasswordForm):
    pass


class SignupForm(OwnWordsMixin, allauth_forms.SignupForm):
    """Sign-up by e-mail, with the company's name; all rows of the new user or none."""

    company = LineField(
        label=_("Company name"),
        max_length=150,
        help_text=_("Your clients will see it as the sender of your letters."),
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ["email", "company", "password1", "password2"]

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        try:
            return super().try_save(request)
        except IntegrityError:
            # Somebody took the address after it was checked.
            self.account_already_exists = True
            return super().try_save(request)

    @transaction.atomic
    def save(self, request: HttpRequest) -> User:
        return super().save(request)

    def signup(self, request: HttpRequest, user: User) -> None:
        user.company = self.cleaned_data["company"]
        user.save(update_fields=["company"])
        user.groups.add(Group.objects.get(name=USERS))
        UserProfile.objects.create(user=user, preferred_language=get_language())


class ProfileForm(forms.ModelForm):
    """What users say about themselves, and how they want to see the site."""

    first_name = name_field("first_name")
    last_name = name_field("last_name")
    company = name_field(
        "company", help_text=_("Your clients see it as the sender of your letters.")
    )
    picture = forms.FileField(
        label=_("Avatar"),
        required=False,
        help_text=_("JPEG, PNG or WebP, up to 5 MB."),
        widget=forms.FileInput(attrs={"accept": "image/jpeg,image/png,image/webp"}),
    )
    language = forms.ChoiceField(label=_("Language"), required=False)
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        help_text=_("The times of your mailings are entered and shown in it."),
    )

    class Meta:
        model = User
        fields = ["first_name", "last_name", "company", "phone"]
        help_texts = {"phone": _("With the country code, such as +7 912 345-67-89.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.profile = UserProfile.get_for_user(self.instance)
        self.offer("language", get_available_admin_languages(), self.profile.preferred_language)
        zones = [(zone, zone.replace("_", " ")) for zone in get_available_admin_time_zones()]
        self.offer("time_zone", zones, self.profile.current_time_zone)

    def offer(self, field: str, choices: list[tuple[str, str]], chosen: str) -> None:
        default = {"language": _("As in the browser"), "time_zone": _("As on the whole site")}
        self.fields[field].choices = [("", default[field]), *choices]
        self.fields[field].initial = chosen

    def clean_picture(self) -> ContentFile | None:
        upload: UploadedFile | None = self.cleaned_data["picture"]
        if upload is None:
            return None
        return clean_picture(upload, max_bytes=AVATAR_BYTES, max_side=AVATAR_SIDE)

    @transaction.atomic
    def save(self, commit: bool = True) -> User:
        user = super().save()
        if self.cleaned_data["picture"]:
            user.set_avatar(self.cleaned_data["picture"])
        self.profile.preferred_language = self.cleaned_data["language"]
        self.profile.current_time_zone = self.cleaned_data["time_zone"]
        self.profile.save(update_fields=["preferred_language", "current_time_zone"])
        return user


class BlockForm(forms.Form):
    reason = LineField(
        label=_("Reason"),
        required=False,
        max_length=300,
        help_text=_("Only managers and administrators see it."),
    )


# --- The user admin of administrators -------------------------------------------------------

OWN_FIELDS = {"company", "phone", "letters_per_minute"}


class OwnFieldsMixin:
    """Save a user and, in step with it, the address that allauth counts as confirmed."""

    @transaction.atomic
    def save(self, commit: bool = True) -> User:
        user = super().save(commit)
        if commit and "email" in self.changed_data:
            user.confirm_email()
        return user


class UserCreationForm(OwnFieldsMixin, WagtailUserCreationForm):
    first_name = name_field("first_name")
    last_name = name_field("last_name")
    company = name_field("company")

    class Meta(WagtailUserCreationForm.Meta):
        fields = WagtailUserCreationForm.Meta.fields | OWN_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["groups"].initial = Group.objects.filter(name=USERS)


class UserEditForm(OwnFieldsMixin, WagtailUserEditForm):
    first_name = name_field("first_name")
    last_name = name_field("last_name")
    company = name_field("company")

    class Meta(WagtailUserEditForm.Meta):
        fields = WagtailUserEditForm.Meta.fields | OWN_FIELDS
