"""Who uses the service: users log in by e-mail and have no user name."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django.apps import apps
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser, Group
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from phonenumber_field.modelfields import PhoneNumberField
from wagtail.log_actions import log

USERS, MANAGERS, EDITORS = "Users", "Managers", "Editors"
ROLE_LABELS = {USERS: _("user"), MANAGERS: _("manager"), EDITORS: _("editor")}


class UserQuerySet(models.QuerySet["User"]):
    def in_role(self, role: str) -> UserQuerySet:
        return self.filter(groups__name=role)

    def with_activation(self) -> UserQuerySet:
        """Annotate each user with `activation_status`, so that rows can be filtered by it."""
        addresses = self.model._meta.get_field("emailaddress").related_model.objects
        confirmed = Exists(addresses.filter(user=OuterRef("pk"), verified=True))
        status = models.Case(
            models.When(is_active=False, then=models.Value(User.Activation.BLOCKED)),
            models.When(confirmed, then=models.Value(User.Activation.ACTIVE)),
            default=models.Value(User.Activation.UNCONFIRMED),
        )
        return self.annotate(activation_status=status)

    def blockable_by(self, user: User) -> UserQuerySet:
        """Return those whom this user may block: plain users, never colleagues or oneself."""
        if not (user.is_active and user.has_perm("accounts.block_user")):
            return self.none()
        colleagues = Group.objects.exclude(name=USERS)
        return (
            self.in_role(USERS)
            .exclude(groups__in=colleagues)
            .filter(is_superuser=False)
            .exclude(pk=user.pk)
        )

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete users with everything they own."""
        runs = apps.get_model("mailings", "Attempt").objects.filter(mailing__owner__in=self)
        with transaction.atomic():
            runs.clear()
            # A message cannot go while a mailing uses it, not even in the same stroke.
            apps.get_model("mailings", "Mailing").objects.filter(owner__in=self).delete()
            for user in self:
                user.forget_files()
            return super().delete()

    delete.queryset_only = True


class UserManager(BaseUserManager.from_queryset(UserQuerySet)):
    def get_by_natural_key(self, email: str) -> User:
        return self.get(email__iexact=email)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create an administrator; whoever may run the command needs no confirmation."""
        user = self.create_user(email, password, is_staff=True, is_superuser=True, **fields)
        user.confirm_email()
        return user


class User(AbstractUser):
    """A person or company that sends mailings, or one of the staff."""

    class Activation(models.TextChoices):
        UNCONFIRMED = "unconfirmed", _("not confirmed")
        ACTIVE = "active", pgettext_lazy("user", "active")
        BLOCKED = "blocked", _("blocked")

    username = None
    email = models.EmailField(_("e-mail"), unique=True)
    company = models.CharField(_("company"), max_length=150, blank=True)
    phone = PhoneNumberField(_("phone"), blank=True)
    avatar = models.ImageField(_("avatar"), upload_to="avatars/", blank=True)
    letters_per_minute = models.PositiveIntegerField(
        _("letters a minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("How fast this company's mailings may go out. Empty: no limit of its own."),
    )

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

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete a user with everything they own."""
        runs = apps.get_model("mailings", "Attempt").objects.filter(mailing__owner=self)
        with transaction.atomic():
            runs.clear()
            # See UserQuerySet.delete.
            self.mailings.all().delete()
            self.forget_files()
            return super().delete(*args, **kwargs)

    @property
    def activation(self) -> User.Activation:
        """Return whether this user is not confirmed yet, active or blocked."""
        if not hasattr(self, "activation_status"):
            status = User.objects.with_activation().values_list("activation_status", flat=True)
            return self.Activation(status.get(pk=self.pk))
        return self.Activation(self.activation_status)

    @property
    def role_names(self) -> str:
        """Return the roles of this user in the reader's language."""
        administrator = [gettext("administrator")] if self.is_superuser else []
        groups = [ROLE_LABELS.get(group.name, group.name) for group in self.groups.all()]
        return ", ".join(str(name) for name in administrator + groups)

    @property
    def initial(self) -> str:
        """Return the letter that stands for a user without an avatar."""
        return str(self)[:1].upper()

    @property
    def language(self) -> str:
        """Return the language chosen in the account settings, or an empty string."""
        profile = getattr(self, "wagtail_userprofile", None)
        return profile.preferred_language if profile else ""

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

    def confirm_email(self) -> None:
        """Count the mailbox as confirmed, and forget the addresses before it."""
        self.emailaddress_set.exclude(email=self.email).delete()
        self.emailaddress_set.update_or_create(
            email=self.email, defaults={"verified": True, "primary": True}
        )

    def block(self, *, by: User, reason: str = "") -> bool:
        """Keep a user out and stop their mailings; return whether that changed anything."""
        blockable = User.objects.blockable_by(by)
        if not blockable.filter(pk=self.pk, is_active=True).update(is_active=False):
            return False
        self.is_active = False
        log(instance=self, action="accounts.block", user=by, data={"reason": reason})
        return True

    def unblock(self, *, by: User) -> bool:
        """Let a user in again and their mailings go on; return whether that changed anything."""
        blockable = User.objects.blockable_by(by)
        if not blockable.filter(pk=self.pk, is_active=False).update(is_active=True):
            return False
        self.is_active = True
        log(instance=self, action="accounts.unblock", user=by)
        wake_mailings()
        return True

    def set_avatar(self, picture: ContentFile | None) -> None:
        """Replace or remove the avatar; the old file goes once the change is certain."""
        delete_on_commit(self.avatar)
        self.avatar = picture or ""
        self.save()

    def forget_files(self) -> None:
        """Delete the files of this user once the database has forgotten the user too."""
        for file in [self.avatar, *(picture.file for picture in self.pictures.all())]:
            delete_on_commit(file)


def delete_on_commit(file: models.fields.files.FieldFile) -> None:
    if not file:
        return
    storage: Storage = file.storage
    name = file.name
    transaction.on_commit(lambda: storage.delete(name))


def wake_mailings() -> None:
    """Start at once what fell due while its owner was blocked."""
    # tasks -> delivery -> models -> accounts
    from mailings import tasks

    transaction.on_commit(tasks.ring)
