"""Who uses the service: users log in by e-mail and have no user name."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from phonenumber_field.modelfields import PhoneNumberField

USERS, MANAGERS, EDITORS = "Users", "Managers", "Editors"


class UserQuerySet(models.QuerySet["User"]):
    def in_role(self, role: str) -> UserQuerySet:
        return self.filter(groups__name=role)


class UserManager(BaseUserManager.from_queryset(UserQuerySet)):
    def get_by_natural_key(self, email: str) -> User:
        return self.get(email__iexact=email)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person or company that sends mailings, or one of the staff."""

    class Activation(models.TextChoices):
        UNCONFIRMED = "unconfirmed", _("not confirmed")
        ACTIVE = "active", _("active")
        BLOCKED = "blocked", _("blocked")

    username = None
    email = models.EmailField(_("e-mail"), unique=True)
    company = models.CharField(_("company"), max_length=150, blank=True)
    phone = PhoneNumberField(_("phone"), blank=True)
    avatar = models.ImageField(_("avatar"), upload_to="avatars/", blank=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    class Meta(AbstractUser.Meta):
        permissions = [("block_user", "Can block and unblock users")]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique",
                violation_error_message=_("A user with this e-mail already exists."),
            )
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.company or self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """Return the time zone chosen in the account settings, or the site's own."""
        profile = getattr(self, "wagtail_userprofile", None)
        if profile and profile.current_time_zone:
            return zoneinfo.ZoneInfo(profile.current_time_zone)
        return timezone.get_default_timezone()

    @property
    def sender_name(self) -> str:
        """Return the name that stands in the From line of this user's letters."""
        return self.company or self.get_full_name()
