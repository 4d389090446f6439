"""What users keep (clients, messages, mailings) and what sending records (runs, the ledger).

States and who moves them:

    Mailing   created -> started -> finished       (a later start arms a finished one again)
    Attempt   running -> success | partial | failure   (only when its sums add up)
              while it runs it may be paused (`paused_at`), until somebody lets it go on
    Delivery  planned | deferred -> accepted | rejected | deferred | skipped | unknown

A run belongs to a slot of its mailing's timetable, or completes one that does (`remainder_of`):
then it goes to those who do not have the letter yet, and the timetable does not know it.

A letter that is on its way stays `planned` (or `deferred`): that it is being sent is said by its
chunk, which a worker holds, and by that worker's journal. Writing it into each row as well would
cost as much as the result itself.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import random
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.validators import validate_image_file_extension
from django.db import connection, models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from wagtail.admin.panels import FieldPanel
from wagtail.fields import StreamField
from wagtail.log_actions import log
from wagtail.models import PreviewableMixin, ReferenceIndex, RevisionMixin

from accounts.validators import validate_address, validate_line
from mailings import reasons, schedule
from mailings.blocks import LetterBlock
from mailings.smtp.protocol import Server

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from accounts.models import User


logger = logging.getLogger("vestnik.delivery")


class OwnedQuerySet(models.QuerySet):
    """Rows that belong to one user. Who may see which is decided in permissions.py alone."""

    def owned_by(self, user: User) -> OwnedQuerySet:
        return self.filter(owner=user)


class Owned(models.Model):
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="%(class)ss",
        verbose_name=_("owner"),
        editable=False,
    )

    class Meta:
        abstract = True


# --- What users keep ------------------------------------------------------------------------


class ClientQuerySet(OwnedQuerySet):
    def subscribed(self) -> ClientQuerySet:
        return self.filter(unsubscribed_at=None)

    def with_row_in(self, rows: DeliveryQuerySet) -> ClientQuerySet:
        """Return clients whom any of these rows is about; each is looked up by its unique pair."""
        return self.filter(Exists(rows.filter(client=OuterRef("pk")).order_by()))

    def without_letter(self, rows: DeliveryQuerySet) -> ClientQuerySet:
        """Return clients to whom none of these letters went.

        Nor one to their address, to a client who was deleted or got another one since: a list
        that is deleted and imported anew holds the same people.
        """
        missing = self.filter(~Exists(rows.filter(client=OuterRef("pk")).order_by()))
        gone = rows.filter(Q(client=None) | ~Q(client__email=F("email"))).order_by()
        if not gone.exists():
            return missing
        missing, gone = missing.alias(address=Lower("email")), gone.annotate(address=Lower("email"))
        # SQLite would go through all of them for each client, PostgreSQL through a large IN.
        if connection.vendor == "postgresql":
            return missing.filter(~Exists(gone.filter(address=OuterRef("address"))))
        return missing.filter(~Q(address__in=gone.values("address")))

    def getting_letters(self) -> ClientQuerySet:
        """Return clients to whom letters go: subscribed, with an address that exists."""
        return self.subscribed().filter(undeliverable_at=None)

    def undeliverable(self) -> ClientQuerySet:
        """Return clients whose address does not exist, as the mail server said."""
        return self.filter(undeliverable_at__isnull=False)

    def try_again(self) -> int:
        """Let letters go to these addresses again; return how many had been given up."""
        cleared = {"undeliverable_at": None, "undeliverable_reply": ""}
        return self.undeliverable().update(retried_at=timezone.now(), **cleared)


class ClientList(Owned):
    name = models.CharField(_("name"), max_length=150, validators=[validate_line])
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = _("client list")
        verbose_name_plural = _("client lists")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                "owner",
                Lower("name"),
                name="client_list_name_unique",
                violation_error_message=_("You already have a list with this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name


class Client(Owned):
    """A person who receives mailings. Clients never log in."""

    email = models.CharField(
        _("e-mail"), max_length=254, validators=[validate_address], help_text=_("Where letters go.")
    )
    full_name = models.CharField(
        _("full name"),
        max_length=200,
        validators=[validate_line],
        help_text=_("Letters can greet the client by it: {{ client.full_name }}."),
    )
    comment = models.TextField(
        _("comment"), blank=True, max_length=2000, help_text=_("Only you see it.")
    )
    lists = models.ManyToManyField(
        ClientList, verbose_name=_("lists"), related_name="clients", blank=True
    )
    unsubscribed_at = models.DateTimeField(_("unsubscribed"), null=True, blank=True, editable=False)
    # When the mail server said that the address does not exist, and how (see runs.py). It is not
    # tried again until the owner mends it or says so.
    undeliverable_at = models.DateTimeField(
        _("address does not exist since"), null=True, blank=True, editable=False
    )
    undeliverable_reply = models.CharField(
        _("mail server's reply"), max_length=500, blank=True, default="", db_default="",
        editable=False,
    )  # fmt: skip
    # When the owner last let it be tried again: what was said before does not count.
    retried_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    objects = ClientQuerySet.as_manager()

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering = ["full_name", "id"]
        constraints = [
            models.UniqueConstraint(
                "owner",
                Lower("email"),
                name="client_email_unique",
                violation_error_message=_("You already have a client with this e-mail."),
            )
        ]
        indexes = [
            # The list in the workspace: own rows in the order of names.
            models.Index(fields=["owner", "full_name", "id"], name="client_owner_name"),
            # Home: the number of unique addresses.
            models.Index(Lower("email"), name="client_email_lower"),
        ]

    def __str__(self) -> str:
        return self.full_name

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.unsubscribed_at is None:
            self.unsubscribed_at = Suppression.objects.moment(self.owner_id, self.email)
        if self.undeliverable_at and self.has_new_address():
            self.undeliverable_at, self.undeliverable_reply = None, ""
            if kwargs.get("update_fields") is not None:
                mark = {"undeliverable_at", "undeliverable_reply"}
                kwargs["update_fields"] = mark.union(kwargs["update_fields"])
        super().save(*args, **kwargs)

    def has_new_address(self) -> bool:
        """Return whether the address is another one than that in the database."""
        stored = Client.objects.filter(pk=self.pk).values_list("email", flat=True).first()
        return stored is not None and stored.lower() != self.email.lower()

    @property
    def gets_letters(self) -> bool:
        return self.unsubscribed_at is None and self.undeliverable_at is None

    def unsubscribe(self, address: str = "") -> None:
        """Stop all letters of the owner to this address, also if the client is added anew.

        An address that the client had once, and has no more, does not stop letters to the new one.
        """
        now, address = timezone.now(), address or self.email
        with transaction.atomic():
            Suppression.objects.add(self.owner_id, address, now)
            self.namesakes(address).filter(unsubscribed_at=None).update(unsubscribed_at=now)

    def resubscribe(self, address: str = "") -> None:
        """Take back an unsubscription, at the client's own wish."""
        address = address or self.email
        with transaction.atomic():
            Suppression.objects.remove(self.owner_id, address)
            self.namesakes(address).update(unsubscribed_at=None)

    def refuses(self, address: str) -> bool:
        """Return whether this address, which the client has or once had, gets no letters."""
        if address.lower() == self.email.lower():
            return self.unsubscribed_at is not None
        return Suppression.objects.moment(self.owner_id, address) is not None

    def namesakes(self, address: str) -> ClientQuerySet:
        """Return the owner's client who has this address now, whatever its case."""
        rows = Client.objects.alias(address=Lower("email"))
        return rows.filter(owner_id=self.owner_id, address=Lower(models.Value(address)))

    @property
    def list_names(self) -> str:
        return ", ".join(each.name for each in self.lists.all())


class SuppressionManager(models.Manager):
    def moment(self, owner_id: int, email: str) -> datetime | None:
        """Return when this address refused the owner's letters, or None."""
        rows = self.of(owner_id, email).order_by("created_at")
        return rows.values_list("created_at", flat=True).first()

    def add(self, owner_id: int, email: str, moment: datetime) -> None:
        self.get_or_create(
            owner_id=owner_id,
            address_hash=hash_address(email, settings.SECRET_KEY),
            defaults={"created_at": moment},
        )

    def remove(self, owner_id: int, email: str) -> None:
        self.of(owner_id, email).delete()

    def of(self, owner_id: int, email: str) -> models.QuerySet[Suppression]:
        """Return the rows of an address, also those made with an earlier key."""
        keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        hashes = [hash_address(email, key) for key in keys]
        return self.filter(owner_id=owner_id, address_hash__in=hashes)


class Suppression(models.Model):
    """An address that refused an owner's letters. It outlives the client's row, so only a
    keyed hash of the address is kept."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    address_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    objects = SuppressionManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "address_hash"], name="suppression_unique")
        ]

    def __str__(self) -> str:
        return f"suppression {self.pk}"


def hash_address(email: str, key: str) -> str:
    """Return a keyed hash of an address, the same whatever its case."""
    address = b"suppression:" + email.lower().encode()
    return hmac.new(key.encode(), address, hashlib.sha256).hexdigest()


class Picture(Owned):
    """An image for letters. Users do not see the site's image library, nor each other's."""

    MAX_BYTES = 5 * 1024 * 1024
    MAX_SIDE = 1200

    title = models.CharField(
        pgettext_lazy("picture", "title"), max_length=150, validators=[validate_line]
    )
    file = models.ImageField(
        _("file"),
        upload_to="pictures/",
        validators=[validate_image_file_extension],
        width_field="width",
        height_field="height",
        help_text=_("JPEG, PNG or WebP, up to 5 MB."),
    )
    width = models.PositiveIntegerField(editable=False, default=0)
    height = models.PositiveIntegerField(editable=False, default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OwnedQuerySet.as_manager()

    class Meta:
        verbose_name = _("picture")
        verbose_name_plural = _("pictures")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.title

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        transaction.on_commit(lambda: self.file.storage.delete(self.file.name))
        return super().delete(*args, **kwargs)

    def messages(self) -> models.QuerySet[Message]:
        """Return the messages that show this picture."""
        keys = ReferenceIndex.get_references_to(self).values_list("object_id", flat=True)
        return Message.objects.owned_by(self.owner).filter(pk__in=[int(key) for key in keys])


class Message(PreviewableMixin, RevisionMixin, Owned):
    """What is written once and sent by any number of mailings."""

    subject = models.CharField(
        _("subject"),
        max_length=200,
        validators=[validate_line],
        help_text=_("May hold fields, such as {{ client.full_name }}."),
    )
    body = StreamField(LetterBlock(), verbose_name=_("body"), blank=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = OwnedQuerySet.as_manager()

    panels = [FieldPanel("subject"), FieldPanel("body")]

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["-updated_at"]

    def __str__(self) -> str:
        return self.subject

    @property
    def preview_modes(self) -> list[tuple[str, Any]]:
        return [("", _("Letter")), ("text", _("Text part"))]

    def serve_preview(self, request: HttpRequest, mode_name: str) -> HttpResponse:
        """Show the real letter, as a recipient who does not exist would get it."""
        # views -> forms -> models
        from mailings.views.messages import show_letter

        return show_letter(self, text=mode_name == "text")


def between(rows: models.QuerySet, key: str, after: int | None, until: int | None) -> Any:
    """Return the rows with keys above `after` and up to `until`, where these are given."""
    bounds = {f"{key}__gt": after, f"{key}__lte": until}
    return rows.filter(**{name: bound for name, bound in bounds.items() if bound is not None})


class MailingQuerySet(OwnedQuerySet):
    def allowed(self) -> MailingQuerySet:
        """Return mailings that nobody switched off, of owners who are not blocked."""
        return self.filter(is_active=True, owner__is_active=True)

    def active(self) -> MailingQuerySet:
        """Return mailings that will still send something."""
        return self.allowed().exclude(status=Mailing.Status.FINISHED)

    def finished(self) -> MailingQuerySet:
        return self.filter(status=Mailing.Status.FINISHED)

    def due(self, now: datetime) -> MailingQuerySet:
        return self.allowed().filter(next_run_at__lte=now).order_by("next_run_at")

    def outlived(self, now: datetime) -> MailingQuerySet:
        """Return mailings whose window has passed and that have no run at work."""
        running = Attempt.objects.filter(mailing=models.OuterRef("pk")).running()
        return (
            self.exclude(status=Mailing.Status.FINISHED)
            .filter(ends_at__lte=now)
            .exclude(models.Exists(running))
            .order_by()
        )


class Mailing(Owned):
    """A message, its audience and its timetable."""

    class Periodicity(models.TextChoices):
        ONCE = "once", _("once")
        DAILY = "daily", _("daily")
        WEEKLY = "weekly", _("weekly")
        MONTHLY = "monthly", _("monthly")

    class Status(models.TextChoices):
        CREATED = "created", pgettext_lazy("mailing", "created")
        STARTED = "started", pgettext_lazy("mailing", "started")
        FINISHED = "finished", pgettext_lazy("mailing", "finished")

    class Doubt(models.TextChoices):
        RESEND = "resend", _("send it again")
        LEAVE = "leave", _("leave it as unknown")

    name = models.CharField(
        _("name"), max_length=150, validators=[validate_line], help_text=_("Only you see it.")
    )
    message = models.ForeignKey(
        Message, on_delete=models.PROTECT, related_name="mailings", verbose_name=_("message")
    )
    all_clients = models.BooleanField(
        _("everybody"), default=False, help_text=_("All your clients at the moment of sending.")
    )
    lists = models.ManyToManyField(
        ClientList, verbose_name=_("lists"), related_name="mailings", blank=True
    )
    clients = models.ManyToManyField(
        Client, verbose_name=_("clients"), related_name="mailings", blank=True
    )
    starts_at = models.DateTimeField(_("first sending"), default=timezone.now)
    ends_at = models.DateTimeField(
        _("end"),
        null=True,
        blank=True,
        help_text=_("Nothing is sent after it. Leave it empty for no end."),
    )
    periodicity = models.CharField(
        _("periodicity"), max_length=8, choices=Periodicity, default=Periodicity.ONCE
    )
    in_doubt = models.CharField(
        _("if the mail server's answer was lost"),
        max_length=8,
        choices=Doubt,
        default=Doubt.RESEND,
        help_text=_(
            "The connection may break after a letter is handed over and before the server "
            "confirms it. Sent again, it may arrive twice; left, it may never arrive."
        ),
    )
    status = models.CharField(
        _("status"), max_length=8, choices=Status, default=Status.CREATED, editable=False
    )
    is_active = models.BooleanField(_("switched on"), default=True)
    disabled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("switched off by"),
        editable=False,
    )
    disabled_reason = models.CharField(_("reason"), max_length=500, blank=True, editable=False)
    next_run_at = models.DateTimeField(_("next run"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = MailingQuerySet.as_manager()

    class Meta:
        verbose_name = _("mailing")
        verbose_name_plural = _("mailings")
        ordering = ["-created_at", "-id"]
        permissions = [("stop_mailing", "Can switch any mailing off and on")]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")),
                name="mailing_ends_after_start",
                violation_error_message=_("The end must be later than the first sending."),
            )
        ]
        indexes = [
            # The clock, once a second: what is due.
            models.Index(
                fields=["next_run_at"], name="mailing_due", condition=Q(next_run_at__isnull=False)
            ),
            # The clock, once a second: whose window is over.
            models.Index(
                fields=["ends_at"], name="mailing_open_end", condition=~Q(status="finished")
            ),
            # The workspace: own rows, newest first.
            models.Index(fields=["owner", "-created_at"], name="mailing_owner"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, compute the next run anew and wake a worker if something may be due."""
        if kwargs.get("update_fields") is None:
            self.plan(timezone.now())
        super().save(*args, **kwargs)
        transaction.on_commit(self.wake_worker)

    def wake_worker(self) -> None:
        # tasks -> delivery -> models
        from mailings import tasks

        if self.next_run_at and self.next_run_at <= timezone.now():
            tasks.ring()

    def plan(self, now: datetime) -> None:
        """Set `next_run_at` and `status` from the timetable and the runs so far; save nothing."""
        slots = schedule.Timetable(self.starts_at, self.periodicity, self.owner.zone, self.ends_at)
        # A run that completes another was no slot's.
        own = self.attempts.of_timetable() if self.pk else Attempt.objects.none()
        last = own.aggregate(last=models.Max("slot"))["last"]
        self.next_run_at = slots.next_run(now, after=last)
        if self.next_run_at is not None:
            self.status = self.Status.STARTED if last else self.Status.CREATED
        elif self.pk and self.attempts.running().exists():
            self.status = self.Status.STARTED
        else:
            self.status = self.Status.FINISHED

    def upcoming(self, count: int) -> list[datetime]:
        """Return the next `count` moments at which this mailing will run."""
        if self.next_run_at is None:
            return []
        slots = schedule.Timetable(self.starts_at, self.periodicity, self.owner.zone, self.ends_at)
        return slots.upcoming(self.next_run_at, count)

    def audience(self, after: int | None = None, until: int | None = None) -> ClientQuerySet:
        """Return everybody whom a run opened now would count, also those who get no letter: the
        unsubscribed, and those whose address does not exist.

        Of clients with keys above `after` and up to `until` only, where these are given.
        """
        own = between(Client.objects.filter(owner_id=self.owner_id), "pk", after, until)
        if self.all_clients:
            return own
        chosen = self.clients.through.objects.filter(mailing=self)
        # As one set: for two of them, joined by OR, PostgreSQL goes through a large list once
        # for every client. Each within the bounds: else it goes through all of it.
        sets = (between(rows, "client", after, until) for rows in (chosen, self.listed()))
        one, other = (rows.values("client") for rows in sets)
        return own.filter(pk__in=one.union(other))

    def listed(self) -> models.QuerySet:
        """Return who stands in which of the mailing's lists."""
        lists = self.lists.through.objects.filter(mailing=self).values("clientlist")
        return Client.lists.through.objects.filter(clientlist__in=lists)

    def part_of_audience(self, after: int, size: int) -> int | None:
        """Return the key of a client up to whom, above `after`, about `size` recipients lie.

        None where so many are not left, or where it helps nothing to know it.
        """
        if self.all_clients:
            return None
        keys = self.listed().filter(client__gt=after).order_by("client")
        return next(iter(keys.values_list("client", flat=True)[size - 1 : size]), None)

    @property
    def is_opening(self) -> bool:
        """Return whether recipients of a run are still being planned."""
        return self.attempts.all().opening().exists()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            self.attempts.all().clear()
            return super().delete(*args, **kwargs)

    def switch_off(self, *, by: User, reason: str = "") -> None:
        """Stop the mailing at once; a run at work sends nothing more.

        Raises `PermissionError` where somebody else did so already: the owner shall not take
        the switch over and then switch on again.
        """
        if self.is_locked_for(by):
            raise PermissionError("Somebody else switched this mailing off.")
        self.is_active, self.disabled_by, self.disabled_reason = False, by, reason
        self.save(update_fields=["is_active", "disabled_by", "disabled_reason", "updated_at"])
        log(self, "mailings.switch_off", user=by, data={"reason": reason} if reason else None)

    def switch_on(self, *, by: User) -> None:
        """Let the mailing go on.

        Raises `PermissionError` where `by` is the owner and somebody else switched it off.
        """
        if self.is_locked_for(by):
            raise PermissionError("Somebody else switched this mailing off.")
        self.is_active, self.disabled_by, self.disabled_reason = True, None, ""
        self.save()
        log(self, "mailings.switch_on", user=by)
        # A run that stood still has no due slot of its own.
        from mailings import tasks

        transaction.on_commit(tasks.ring)

    def is_locked_for(self, user: User) -> bool:
        """Return whether somebody other than its owner keeps the mailing switched off."""
        by_other = self.disabled_by_id is not None and self.disabled_by_id != self.owner_id
        # A reason without a name: the account of the manager was deleted since.
        held = not self.is_active and (by_other or self.disabled_reason != "")
        return held and not user.has_perm("mailings.stop_mailing")

    def switched_off_words(self) -> str:
        """Say who switched the mailing off and why."""
        who, reason = self.disabled_by or _("A manager"), self.disabled_reason
        if reason:
            words = _("%(who)s switched this mailing off. The reason: %(reason)s")
        else:
            words = _("%(who)s switched this mailing off.")
        return words % {"who": who, "reason": reason}


# --- What sending records -------------------------------------------------------------------


class AttemptQuerySet(models.QuerySet):
    def running(self) -> AttemptQuerySet:
        return self.filter(status=Attempt.Status.RUNNING)

    def of_timetable(self) -> AttemptQuerySet:
        """Return runs that were opened for a slot."""
        return self.filter(remainder_of=None)

    def remainders(self) -> AttemptQuerySet:
        """Return runs that complete another."""
        return self.filter(remainder_of__isnull=False)

    def may_go(self, now: datetime) -> AttemptQuerySet:
        """Return runs whose letters may go out."""
        allowed = self.running().filter(
            mailing__is_active=True, mailing__owner__is_active=True, paused_at=None
        )
        return allowed.filter(Q(mailing__ends_at=None) | Q(mailing__ends_at__gt=now))

    def window_over(self, now: datetime) -> AttemptQuerySet:
        """Return runs of which nothing more is sent: what is left is skipped."""
        return self.running().filter(mailing__ends_at__lte=now)

    def with_free_chunk(self, now: datetime) -> AttemptQuerySet:
        """Return runs that a worker could work on, in the order in which they have their turn.

        Companies share the workers: first comes who has the fewest chunks in hands, then who
        has waited longest since its last letter.
        """
        owner = "mailing__owner"
        leased = Chunk.objects.filter(
            leased_until__gte=now, attempt__mailing__owner=models.OuterRef(owner)
        )
        hands = leased.values("attempt__" + owner).annotate(n=models.Count("pk")).values("n")
        same_owner = Attempt.objects.running().filter(mailing__owner=models.OuterRef(owner))
        last = models.Max("last_attempt_at")
        served_at = same_owner.order_by().values(owner).annotate(at=last).values("at")
        free = Chunk.objects.free(now).filter(attempt=models.OuterRef("pk"))
        turns = ("hands", "served_at", "last_attempt_at")
        return (
            self.filter(models.Exists(free))
            .annotate(hands=models.Subquery(hands), served_at=models.Subquery(served_at))
            .order_by(*(F(name).asc(nulls_first=True) for name in turns), "pk")
        )

    def opening(self) -> AttemptQuerySet:
        """Return runs of which recipients are still to be planned."""
        return self.running().filter(opening_until__isnull=False)

    def opening_left(self, now: datetime) -> AttemptQuerySet:
        """Return runs of which only a part is planned, and nobody is at it any more."""
        return self.running().filter(opening_until__lte=now)

    def clear(self) -> None:
        """Delete the ledgers of these runs, which are about to be deleted, and plan nothing more.

        In the order in which workers lock rows, chunks first and runs last, so that neither waits
        for the other crosswise. To be called in the transaction that deletes the runs.
        """
        chunks = Chunk.objects.filter(attempt__in=self.values("pk")).order_by("pk")
        # Twice: who planned more of a run meanwhile held a chunk of it.
        for _time in range(2):
            for _chunk in chunks.select_for_update(of=("self",)).values_list("pk").iterator():
                pass
        rows = Delivery.objects.filter(attempt__in=self.values("pk")).order_by()
        rows._raw_delete(rows.db)
        self.opening().update(opening_until=None)

    def sums(self) -> dict[str, int]:
        """Return planned, accepted, rejected, skipped and unknown, added up over all rows."""
        return self.aggregate(**{name: models.Sum(name, default=0) for name in Attempt.SUMS})


class Attempt(models.Model):
    """One run of a mailing: when it was, whether it worked, what the mail server said."""

    class Status(models.TextChoices):
        RUNNING = "running", _("at work")
        SUCCESS = "success", _("success")
        PARTIAL = "partial", _("partial success")
        FAILURE = "failure", _("failure")

    # What a run adds up to: the first is the sum of the others once it is done.
    SUMS = ("planned", "accepted", "rejected", "skipped", "unknown")
    # And those of the accepted ones that deserve a second look.
    ALL_SUMS = (*SUMS, "doubtful")

    mailing = models.ForeignKey(
        Mailing, on_delete=models.CASCADE, related_name="attempts", verbose_name=_("mailing")
    )
    message = models.ForeignKey(
        Message,
        null=True,
        on_delete=models.SET_NULL,
        related_name="attempts",
        verbose_name=_("message"),
    )
    slot = models.DateTimeField(_("planned for"))
    # The run of a slot that this one completes: its own slot is the moment it was asked for.
    remainder_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="remainders",
        verbose_name=_("completes"),
    )
    # It goes also to those who came into the audience since.
    with_newcomers = models.BooleanField(default=False, db_default=False)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    last_attempt_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.RUNNING)
    server_response = models.TextField(_("mail server's reply"), blank=True)
    planned = models.PositiveIntegerField(pgettext_lazy("letters", "planned"), default=0)
    accepted = models.PositiveIntegerField(_("accepted"), default=0)
    rejected = models.PositiveIntegerField(_("rejected"), default=0)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    unknown = models.PositiveIntegerField(_("unknown"), default=0)
    # Of the accepted ones: those that may have arrived more than once (see Delivery.doubts).
    doubtful = models.PositiveIntegerField(_("may have arrived twice"), default=0, db_default=0)
    # Paused by the engine, for a reason of ours (the end of reasons.py).
    paused_at = models.DateTimeField(_("paused"), null=True, blank=True)
    paused_for = models.CharField(_("reason"), max_length=500, blank=True)
    # How often its letters put the mail server out of order, since one of them was taken.
    breaks = models.PositiveSmallIntegerField(default=0, db_default=0)
    # Not paused for many refusals: somebody let it go on in spite of them, or it completes a run
    # most of whose recipients were refused before.
    brake_released = models.BooleanField(default=False)
    # A large run is planned in steps (runs.py), and sent meanwhile: up to this client. Whoever is
    # at it has so long for the next step; both are empty when everybody is planned.
    audience_to = models.BigIntegerField(null=True, blank=True)
    opening_until = models.DateTimeField(null=True, blank=True)
    # The message as it was when the run opened.
    subject = models.CharField(_("subject"), max_length=400, blank=True)
    html = models.TextField(blank=True)
    text = models.TextField(blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["-started_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["mailing", "slot"], name="attempt_one_per_slot"),
            models.CheckConstraint(
                condition=Q(status="running")
                | Q(planned=F("accepted") + F("rejected") + F("skipped") + F("unknown")),
                name="attempt_adds_up",
            ),
        ]
        indexes = [
            # The clock, once a second: runs at work.
            models.Index(
                fields=["started_at"], name="attempt_running", condition=Q(status="running")
            ),
            # The dashboard of a manager: the last attempts of everybody.
            models.Index(fields=["-started_at", "-id"], name="attempt_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.mailing} {self.slot:%Y-%m-%d %H:%M}"

    @property
    def root(self) -> Attempt:
        """Return the run of a slot that this one completes, or itself."""
        return self.remainder_of or self

    def chain(self) -> AttemptQuerySet:
        """Return the run of the slot and all that complete it, the newest first."""
        root = self.remainder_of_id or self.pk
        return Attempt.objects.filter(Q(pk=root) | Q(remainder_of=root))

    def audience(self, after: int | None = None, until: int | None = None) -> ClientQuerySet:
        """Return everybody whom this run plans, of clients with keys in a range if it is given.

        `may_have_it` says who may have the letter already: that doubt stays, whatever comes now.
        """
        if self.remainder_of_id is None:
            return self.mailing.audience(after, until).annotate(may_have_it=models.Value(False))
        chain = self.chain().exclude(pk=self.pk)
        unknown = Delivery.objects.filter(attempt__in=chain, status=Delivery.Status.UNKNOWN)
        doubt = Exists(unknown.filter(client=OuterRef("pk")).order_by())
        left = self.left_over(chain, newcomers=self.with_newcomers).annotate(may_have_it=doubt)
        return between(left, "pk", after, until)

    def left_over(self, chain: AttemptQuerySet, *, newcomers: bool) -> ClientQuerySet:
        """Return who of the mailing's audience, as it is now, wants the letter and lacks it.

        With newcomers also those of whom no run of the chain has a row. Whoever may have the
        letter does not lack it, unless the mailing's owner wants such letters sent again.
        """
        have = [Delivery.Status.ACCEPTED]
        if self.mailing.in_doubt == Mailing.Doubt.LEAVE:
            have.append(Delivery.Status.UNKNOWN)
        rows = Delivery.objects.filter(attempt__in=list(chain.values_list("pk", flat=True)))
        # Letters to addresses that do not exist would only be skipped.
        wanting = self.mailing.audience().getting_letters()
        missing = wanting.without_letter(rows.filter(status__in=have))
        return missing if newcomers else missing.with_row_in(rows)

    @property
    def done(self) -> int:
        return self.accepted + self.rejected + self.skipped + self.unknown

    def note_reply(self, words: str) -> None:
        """Show the mail server's words, or why none were said, at the run."""
        Attempt.objects.filter(pk=self.pk).update(server_response=words)

    def forgive_breaks(self) -> None:
        """Take in that a letter of the run was taken: it was not these that broke connections."""
        Attempt.objects.filter(pk=self.pk).update(breaks=0)
        self.breaks = 0

    def pause(self, reason: str, words: str, now: datetime) -> None:
        """Pause the run; nothing more of it is sent until `go_on`. Others are not touched.

        `reason` is one of reasons.py, `words` are the mail server's.
        """
        rows = Attempt.objects.running().filter(pk=self.pk, paused_at=None)
        if rows.update(paused_at=now, paused_for=reason, server_response=words):
            logger.warning("run %s is paused: %s %s", self.pk, reason, words)
        self.paused_at, self.paused_for, self.server_response = now, reason, words

    def go_on(self, *, by: User) -> None:
        """Let a paused run go on at once, although many letters were refused."""
        # tasks -> delivery -> models
        from mailings import tasks

        now = timezone.now()
        with transaction.atomic():
            # Of such letters the next break is a try that is used up.
            self.breaks = int(self.paused_for == reasons.BREAKS_CONNECTIONS)
            self.paused_at, self.paused_for, self.brake_released = None, "", True
            self.save(update_fields=["paused_at", "paused_for", "brake_released", "breaks"])
            self.chunks.filter(due_at__gt=now).update(due_at=now)
            log(self.mailing, "mailings.go_on", user=by)
        transaction.on_commit(tasks.ring)


class DeliveryQuerySet(models.QuerySet):
    def doubtful(self) -> DeliveryQuerySet:
        """Return accepted letters that may have arrived more than once."""
        return self.filter(status=Delivery.Status.ACCEPTED, doubts__gt=0)


class Delivery(models.Model):
    """What happened to one recipient of one run: the ledger."""

    class Status(models.TextChoices):
        PLANNED = "planned", _("planned")
        SENDING = "sending", _("being sent")  # in rows of earlier versions only
        DEFERRED = "deferred", _("will be tried again")
        ACCEPTED = "accepted", _("accepted")
        REJECTED = "rejected", _("rejected")
        SKIPPED = "skipped", _("skipped")
        UNKNOWN = "unknown", _("unknown")

    OPEN = (Status.PLANNED, Status.SENDING, Status.DEFERRED)

    # The unique pair is the index by attempt as well. The database is not asked a million times
    # whether the run and its clients exist, which took more time than writing the rows: the run
    # cannot be deleted while rows are added (runs.Opening), and a client deleted then leaves a key of
    # nobody behind, which is treated as no client (numbers are not given away twice).
    attempt = models.ForeignKey(
        Attempt,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
    )
    client = models.ForeignKey(
        Client,
        null=True,
        on_delete=models.SET_NULL,
        related_name="deliveries",
        db_constraint=False,
    )
    email = models.CharField(_("e-mail"), max_length=254)
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.PLANNED)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    # After so many of these tries nobody knows whether the letter had arrived: an accepted one
    # with doubts may have come more than once.
    doubts = models.PositiveSmallIntegerField(_("tries in doubt"), default=0, db_default=0)
    next_try_at = models.DateTimeField(_("next try"), null=True, blank=True)
    code = models.PositiveSmallIntegerField(_("code"), null=True, blank=True)
    response = models.CharField(_("mail server's reply"), max_length=500, blank=True)
    updated_at = models.DateTimeField(_("changed"), default=timezone.now)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["id"]
        # No index holds the status: PostgreSQL then writes a result without touching one.
        constraints = [
            models.UniqueConstraint(fields=["attempt", "client"], name="delivery_one_per_client")
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"

    @property
    def is_doubtful(self) -> bool:
        """Return whether this accepted letter may have arrived twice (see Attempt.doubtful)."""
        return self.status == self.Status.ACCEPTED and self.doubts > 0

    @property
    def outcome(self) -> str:
        """Return the status in words, with what is to be known of an accepted letter."""
        if self.is_doubtful:
            return gettext("accepted, may have arrived twice")
        return self.get_status_display()


class ChunkQuerySet(models.QuerySet):
    def free(self, now: datetime) -> ChunkQuerySet:
        """Return chunks that are due and that nobody holds."""
        return self.filter(Q(leased_until=None) | Q(leased_until__lt=now), due_at__lte=now)


class Chunk(models.Model):
    """Neighbouring deliveries of a run, up to 2,000: what one worker takes at a time.

    `due_at` says when there is something to do in it, None when all its rows are final. A
    worker holds it while `leased_until` lies ahead; a dead worker's lease simply runs out.
    """

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="chunks")
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    due_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=40, blank=True)
    leased_until = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)  # by the holder
    # Rows above this key were not begun by the holder; 0: none was.
    claimed_to = models.BigIntegerField(default=0)

    objects = ChunkQuerySet.as_manager()

    class Meta:
        indexes = [
            # Workers look for a run's next chunk; finished ones leave the index.
            models.Index(
                fields=["attempt", "due_at", "id"],
                name="chunk_due",
                condition=Q(due_at__isnull=False),
            ),
            # The clock, once a second: whose holder died?
            models.Index(
                fields=["leased_until"],
                name="chunk_leased",
                condition=Q(leased_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"chunk {self.pk} of attempt {self.attempt_id}"


class MailServerQuerySet(models.QuerySet):
    def current(self) -> MailServerQuerySet:
        """Return the one that letters go to; what was known of a former one stays in its row."""
        return self.filter(name=Server.from_settings().name)


class MailServer(models.Model):
    """What all workers know of the mail server: whether it answers, and when to try it again."""

    # Waits between two probes, in seconds; the last one repeats. A server that is started anew is
    # back soon.
    PROBE_DELAYS = (5, 5, 10, 20, 40, 80, 160, 300)
    # Time for one worker to make the probe before another may; and time to begin with it, after
    # which another may where the first holds nothing any more: it died, or was told to stop.
    PROBE_TIME, PROBE_START = timedelta(seconds=60), timedelta(seconds=3)
    # A run that puts the server out of order so many times, while letters of others are taken and
    # none of its own is, must not stop everybody any more.
    MOST_BREAKS = 3
    TROUBLE_FIELDS = ("trouble_since", "next_try_at", "probed_by", "failures", "response")

    name = models.CharField(max_length=200, unique=True)
    well_at = models.DateTimeField(null=True, blank=True)  # a letter was last taken, to a second
    trouble_since = models.DateTimeField(null=True, blank=True)
    next_try_at = models.DateTimeField(null=True, blank=True)
    probed_by = models.CharField(max_length=32, blank=True)  # the worker that took the last probe
    failures = models.PositiveIntegerField(default=0)
    response = models.CharField(max_length=500, blank=True)

    objects = MailServerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name

    def take_probe(self, worker: str, now: datetime) -> bool:
        """Return whether `worker` may send now; in trouble, take the right to the next probe."""
        if self.trouble_since is None:
            return True
        probe = MailServer.objects.filter(pk=self.pk, next_try_at=self.next_try_at)
        taken = {"next_try_at": now + self.PROBE_TIME, "probed_by": worker}
        if not self.may_be_tried(now) or not probe.update(**taken):
            return False
        self.next_try_at, self.probed_by = now + self.PROBE_TIME, worker
        return True

    def may_be_tried(self, now: datetime) -> bool:
        """Return whether the server is well, or the next probe is due."""
        if self.trouble_since is None:
            return True
        # A probe further ahead than any wait was set by a clock that was wrong.
        is_ahead = now < self.next_try_at < now + timedelta(minutes=10)
        return not is_ahead or self._is_probe_forsaken(now)

    def _is_probe_forsaken(self, now: datetime) -> bool:
        """Return whether whoever took the probe has nothing in hand with which to make it."""
        if not self.probed_by or now < self.next_try_at - self.PROBE_TIME + self.PROBE_START:
            return False
        return not Chunk.objects.filter(worker=self.probed_by, leased_until__gte=now).exists()

    @transaction.atomic
    def report_trouble(
        self, words: str, now: datetime, broken_by: Collection[int] = (), *, worker: str = ""
    ) -> None:
        """Stop all workers until the next probe; each probe that fails makes the wait longer.

        `broken_by` are the runs whose letters broke the connections, if that is the trouble. Where
        they do so again and again, they are paused, and nobody is stopped. Of one outage the first
        report counts, and then those of whoever made the probe: the other workers meet it too, with
        letters that were on their way.
        """
        self.refresh_from_db(from_queryset=MailServer.objects.select_for_update())
        if self.trouble_since is not None and worker != self.probed_by:
            return
        # In trouble their letters are probes: that those fail says nothing of the runs.
        if broken_by and self.trouble_since is None:
            runs = Attempt.objects.filter(pk__in=broken_by)
            runs.update(breaks=F("breaks") + 1)
            bad = list(runs.filter(breaks__gte=self.MOST_BREAKS).defer("html", "text"))
            for run in bad:
                run.pause(reasons.BREAKS_CONNECTIONS, words, now)
            if len(bad) == len(broken_by):
                return
        delay = self.PROBE_DELAYS[min(self.failures, len(self.PROBE_DELAYS) - 1)]
        self.failures += 1
        self.trouble_since = self.trouble_since or now
        # Jitter: many hosts shall not probe in the same second.
        self.next_try_at = now + timedelta(seconds=delay * random.uniform(0.8, 1.2))
        self.response, self.probed_by = words[:500], ""
        self.save(update_fields=self.TROUBLE_FIELDS)
        logger.warning("mail server %s: %s", self.name, words)

    def report_success(self) -> None:
        logger.info("mail server %s is well again", self.name, extra={"server": self.name})
        self.trouble_since = self.next_try_at = None
        self.failures, self.response, self.probed_by = 0, "", ""
        self.save(update_fields=self.TROUBLE_FIELDS)


class Pace(models.Model):
    """How fast letters of one kind may go out, over all workers and hosts, and how far the
    letters that were given away reach into the future (the generic cell rate algorithm).

    `name` says of which kind: "service", "company:<id of the owner>", "domain:<name>". The first
    two have their rate from a setting and from the owner's account. A domain has a row only
    while it asks for fewer letters: `rate` halves each time it does, and grows slowly up to
    `ceiling`, the rate at which it first complained; then the row goes.
    """

    # A worker that comes this much late for its letters has not lost them.
    CREDIT = timedelta(seconds=0.5)
    # Complaints about letters that were on the way already count once.
    HALVE_PAUSE = timedelta(seconds=3)
    GROW_PAUSE, GROWTH = timedelta(seconds=20), 1.25
    SLOWEST = 1 / 30  # letters a second
    LONGEST_WAIT = timedelta(minutes=10)

    name = models.CharField(max_length=270, unique=True)
    rate = models.FloatField(null=True)
    ceiling = models.FloatField(null=True)
    changed_at = models.DateTimeField(default=timezone.now)
    halved_at = models.DateTimeField(default=timezone.now)
    paced_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def reserve(
        cls, limits: Mapping[str, float], count: int, now: datetime, ahead: float = 0.0
    ) -> datetime:
        """Take `count` letters out of every limit (name: letters a second), or out of none.

        Return when they may go out. If that is more than `ahead` seconds from now, nothing was
        taken. Who takes places ahead stands in a queue: nobody is always too late.
        """
        with transaction.atomic():
            rows = cls._locked(limits)
            paced = [row._next_slot(count / limits[row.name], now) for row in rows]
            if max(paced) <= now + timedelta(seconds=ahead):
                for row, start in zip(rows, paced, strict=True):
                    row.paced_until = start + timedelta(seconds=count / limits[row.name])
                    row.save(update_fields=["paced_until"])
        return max(paced)

    @classmethod
    def give_back(cls, limits: Mapping[str, float], count: int) -> None:
        """Put letters that were reserved and not sent back into every limit."""
        for name in sorted(limits):
            unused = timedelta(seconds=count / limits[name])
            cls.objects.filter(name=name).update(paced_until=F("paced_until") - unused)

    @classmethod
    def book(cls, domain: str, count: int, now: datetime) -> tuple[datetime, float]:
        """Give `count` letters to a slow domain their places in its queue.

        Return when the first may go out and how many seconds lie between two of them. Nobody
        gets a place further ahead than LONGEST_WAIT: by then the domain may take more.
        """
        with transaction.atomic():
            row = cls.objects.select_for_update().filter(name=f"domain:{domain}").first()
            if row is None or row.rate is None:
                return now, 0.0
            start = max(row.paced_until or now, now - cls.CREDIT)
            near = max((now + cls.LONGEST_WAIT - start).total_seconds(), 0.0)
            row.paced_until = start + timedelta(seconds=min(count / row.rate, near))
            row.save(update_fields=["paced_until"])
            return start, 1 / row.rate

    @classmethod
    def _locked(cls, names: Iterable[str]) -> list[Pace]:
        names = sorted(names)
        rows = cls.objects.select_for_update().filter(name__in=names).order_by("name")
        if len(found := list(rows)) < len(names):
            cls.objects.bulk_create((cls(name=name) for name in names), ignore_conflicts=True)
            found = list(rows.all())
        return found

    def _next_slot(self, step: float, now: datetime) -> datetime:
        """Return when letters that take `step` seconds may go out."""
        paced = self.paced_until if self.is_credible(step, now) else now
        # Too far behind: nothing was sent.
        return max(paced, now - max(self.CREDIT, timedelta(seconds=step)))

    def is_credible(self, step: float, now: datetime) -> bool:
        """Return whether letters that take `step` seconds could reach so far ahead.

        If not, somebody's clock was wrong.
        """
        ahead = timedelta(seconds=max(2 * step, 60))
        return self.paced_until is not None and self.paced_until <= now + ahead

    @classmethod
    def slow_domains(cls) -> dict[str, Pace]:
        """Return the domains that ask for fewer letters, the slowest first."""
        rows = cls.objects.filter(name__startswith="domain:", rate__isnull=False).order_by("rate")
        return {row.name.removeprefix("domain:"): row for row in rows}

    @classmethod
    def halve(cls, domain: str, observed: float, now: datetime) -> None:
        """Let the domain have half as many letters; at first half of what was `observed`."""
        start = max(observed, 2 * cls.SLOWEST)
        fields = {"rate": start / 2, "ceiling": start, "halved_at": now, "changed_at": now}
        with transaction.atomic():
            row, is_new = cls.objects.select_for_update().get_or_create(
                name=f"domain:{domain}", defaults=fields
            )
            if not is_new and now - row.halved_at >= cls.HALVE_PAUSE:
                row.rate = max(row.rate / 2, cls.SLOWEST)
                # The places that were given away are given anew, further apart.
                row.halved_at = row.changed_at = row.paced_until = now
                row.save()

    @classmethod
    def grow(cls, domains: Iterable[str], now: datetime) -> None:
        """Let domains that have taken letters without complaint have some more."""
        names = [f"domain:{domain}" for domain in domains]
        rested = cls.objects.filter(name__in=names, changed_at__lte=now - cls.GROW_PAUSE)
        rested.update(rate=F("rate") * cls.GROWTH, changed_at=now)
        cls.objects.filter(name__in=names, rate__gte=F("ceiling")).delete()


class HostQuerySet(models.QuerySet):
    def alive(self, now: datetime) -> HostQuerySet:
        return self.filter(seen_at__gt=now - timedelta(seconds=30))

    def speaker(self, now: datetime) -> str | None:
        """Return the name of the one host that speaks for all: it has been there longest."""
        return self.alive(now).order_by("pk").values_list("name", flat=True).first()


class Host(models.Model):
    """A `qcluster` that says every few seconds that it lives, and how many of its workers do."""

    name = models.CharField(max_length=100, unique=True)
    workers = models.PositiveSmallIntegerField(default=0)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)

    objects = HostQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Counter(models.Model):
    """A number added up over all workers (see metrics.py).

    Those of metrics only grow. Housekeeping keeps moments here, and its lease, which do not.
    """

    name = models.CharField(max_length=200, unique=True)
    value = models.FloatField(default=0)

    def __str__(self) -> str:
        return self.name
