"""Forms of what users keep: own rows only, and every complaint beside the field it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.files.base import ContentFile
from django.db.models import Count, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from wagtail.admin.forms.models import WagtailAdminModelForm

from accounts.pictures import clean_picture
from accounts.validators import normalise_address, validate_line
from mailings.blocks import check_fields
from mailings.delivery.letter import compose
from mailings.models import Client, ClientList, Mailing, OwnedQuerySet, Picture


def usable_keys(keys: Iterable[Any]) -> list[int]:
    """Return those of the keys, as a browser sent them, that a row may have.

    A number too large for the database would raise instead of finding nothing.
    """
    return [int(key) for key in map(str, keys) if re.fullmatch(r"[0-9]{1,18}", key)]


class UsableKeysMixin:
    """For a field that chooses rows by key: one that no row can have is an error like another."""

    def _check_values(self, value: Iterable[str]) -> QuerySet:
        for key in value:
            if not usable_keys([key]):
                message, params = self.error_messages["invalid_pk_value"], {"pk": key}
                raise forms.ValidationError(message, code="invalid_pk_value", params=params)
        return super()._check_values(value)


class RowsField(UsableKeysMixin, forms.ModelMultipleChoiceField):
    pass


class OwnedModelForm(WagtailAdminModelForm):
    """Edit a row with an owner, whom no form field holds.

    Choices of related rows are limited to those of the same owner.
    """

    # The field that is unique together with the owner.
    unique_field: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            rows = getattr(field, "queryset", None)
            if isinstance(rows, OwnedQuerySet):
                field.queryset = rows.owned_by(self.instance.owner)

    def _get_validation_exclusions(self) -> set[str]:
        # Django skips constraints that hold a field which the form has not.
        return super()._get_validation_exclusions() - {"owner"}

    def _post_clean(self) -> None:
        super()._post_clean()
        # A constraint on an expression such as Lower(...) names no field.
        if self.unique_field and self.has_error(NON_FIELD_ERRORS):
            errors = self._errors.pop(NON_FIELD_ERRORS)
            self.add_error(self.unique_field, forms.ValidationError(errors.as_data()))


class ClientForm(OwnedModelForm):
    unique_field = "email"

    class Meta(OwnedModelForm.Meta):
        widgets = {"lists": forms.CheckboxSelectMultiple}
        field_classes = {"lists": RowsField}

    def clean_email(self) -> str:
        return normalise_address(self.cleaned_data["email"])

    def clean_comment(self) -> str:
        for line in self.cleaned_data["comment"].splitlines():
            validate_line(line.replace("\t", " "))
        return self.cleaned_data["comment"]


class ClientListForm(OwnedModelForm):
    unique_field = "name"


class PictureForm(OwnedModelForm):
    """Add a picture. Its file stays as it is afterwards, for letters that were sent show it."""

    class Meta:
        model = Picture
        fields = ["title", "file"]
        # The model's own field would show a link to what is stored already.
        widgets = {"file": forms.FileInput(attrs={"accept": "image/jpeg,image/png,image/webp"})}

    def clean_file(self) -> ContentFile:
        upload = self.cleaned_data["file"]
        return clean_picture(upload, max_bytes=Picture.MAX_BYTES, max_side=Picture.MAX_SIDE)


class PictureTitleForm(OwnedModelForm):
    class Meta:
        model = Picture
        fields = ["title"]


class MessageForm(OwnedModelForm):
    """A message with all its fields known, which every mail program shows in full."""

    # Gmail cuts letters at 102 KB; filled-in fields need some of them.
    MAX_SIZE = 98_000
    PICTURE_INPUT = re.compile(r"body-\d+-value-picture")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound:
            self.drop_foreign_pictures()

    def drop_foreign_pictures(self) -> None:
        """Take the keys of others' pictures out of the data: a form that is shown again would
        tell their titles."""
        keys = {name: self.data[name] for name in self.data if self.PICTURE_INPUT.fullmatch(name)}
        own = Picture.objects.owned_by(self.instance.owner)
        found = own.filter(pk__in=usable_keys(keys.values()))
        allowed = {"", *map(str, found.values_list("pk", flat=True))}
        if foreign := [name for name, key in keys.items() if key not in allowed]:
            self.data = self.data.copy()
            self.data.update(dict.fromkeys(foreign, ""))

    def clean_subject(self) -> str:
        check_fields(self.cleaned_data["subject"])
        return self.cleaned_data["subject"]

    def _post_clean(self) -> None:
        super()._post_clean()
        if not self.errors and len(compose(self.instance).html.encode()) > self.MAX_SIZE:
            self.add_error("body", _("The letter is too long: mail programs would cut its end."))


# --- Mailings ---------------------------------------------------------------------------------


class ClientPicker(forms.Widget):
    """Choose clients by searching for them: a list of all would hold thousands.

    The chosen ones travel in a single input, separated by commas.
    """

    template_name = "mailings/widgets/client_picker.html"
    # Whose clients are searched; an administrator edits mailings of others.
    owner_id: int

    class Media:
        js = ["mailings/picker.js"]

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        return [pk for pk in data.get(name, "").split(",") if pk]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, None, attrs)
        # `choices` holds own rows only, so a foreign key typed in is shown to nobody.
        chosen = self.choices.queryset.filter(pk__in=usable_keys(value or []))
        context["keys"] = ",".join(str(row.pk) for row in chosen)
        return {**context, "chosen": chosen, "owner_id": self.owner_id}

    def _render(self, template_name: str, context: dict[str, Any], renderer: Any = None) -> str:
        # Django's own form renderer does not look into the site's templates.
        return render_to_string(template_name, context)


class ClientListsField(RowsField):
    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, obj: ClientList) -> str:
        return ngettext("%(name)s: %(count)d client", "%(name)s: %(count)d clients", obj.size) % {
            "name": obj.name,
            "count": obj.size,
        }


class MailingForm(OwnedModelForm):
    """A mailing: what is sent, to whom, and when. Times are those of the person at the form."""

    lists = ClientListsField(
        label=_("Lists"),
        queryset=ClientList.objects.annotate(size=Count("clients")),
        required=False,
    )
    clients = RowsField(
        label=_("Clients, one by one"),
        queryset=Client.objects.all(),
        widget=ClientPicker,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["clients"].widget.owner_id = self.instance.owner_id
        zone = timezone.get_current_timezone_name()
        self.fields["starts_at"].help_text = _(
            "Time zone: %(zone)s. A moment that has passed means: at once. A finished mailing "
            "with a later start begins anew."
        ) % {"zone": zone}
        self.fields["message"].empty_label = _("Choose a message")
        if not self.fields["message"].queryset.exists():
            self.fields["message"].help_text = _("You have no messages yet. Write one first.")
        if not self.fields["lists"].queryset.exists():
            self.fields["lists"].help_text = _("You have no lists yet.")
        if self.instance.pk is None:
            self.initial["starts_at"] = timezone.localtime().replace(second=0, microsecond=0)
        elif self.instance.is_locked_for(self.for_user):
            self.hold()

    def hold(self) -> None:
        """Show the switch without letting it be used: somebody else switched the mailing off."""
        self.fields["is_active"].disabled = True
        self.fields["is_active"].help_text = self.instance.switched_off_words()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.clean_times()
        self.clean_audience()
        return cleaned

    def clean_times(self) -> None:
        """Refuse new times that make no sense; old ones may lie in the past by now."""
        if not (self.moved("starts_at") or self.moved("ends_at")):
            return
        now = timezone.now()
        starts_at, ends_at = (self.cleaned_data.get(name) for name in ("starts_at", "ends_at"))
        if starts_at and starts_at < now - timedelta(days=366):
            self.add_error("starts_at", _("The first sending lies more than a year back."))
        elif starts_at and starts_at > now + timedelta(days=3653):
            self.add_error("starts_at", _("The first sending lies more than ten years ahead."))
        elif starts_at and ends_at and ends_at <= starts_at:
            self.add_error("ends_at", _("The end must be later than the first sending."))
        elif ends_at and ends_at <= now:
            self.add_error("ends_at", _("The end has already passed."))
        elif ends_at and ends_at > now + timedelta(days=2 * 3653):
            self.add_error("ends_at", _("The end lies more than twenty years ahead."))

    def moved(self, name: str) -> bool:
        """Return whether a moment was changed; the form knows no seconds."""
        old, new = getattr(self.old, name), self.cleaned_data.get(name)
        return self.instance.pk is None or (old and old.replace(second=0, microsecond=0)) != new

    @cached_property
    def old(self) -> Mailing:
        """Return the mailing as it is stored; Django overwrites the instance while cleaning."""
        return Mailing.objects.get(pk=self.instance.pk) if self.instance.pk else Mailing()

    def clean_audience(self) -> None:
        if "lists" in self.errors or "clients" in self.errors:
            return
        chosen = {"all_clients", "lists", "clients"}
        if self.instance.pk and chosen & set(self.changed_data) and self.old.is_opening:
            # A run goes to those who were chosen when it began.
            self.add_error(
                None,
                _("The recipients of a run are being put together: try again in a few seconds."),
            )
        lists, clients = self.cleaned_data["lists"], self.cleaned_data["clients"]
        own = self.fields["clients"].queryset
        if self.cleaned_data.get("all_clients"):
            if not own.exists():
                self.add_error("all_clients", _("You have no clients yet."))
        elif clients:
            return
        elif not lists:
            self.add_error(
                "all_clients", _("Choose who gets it: everybody, some lists, or single clients.")
            )
        elif not own.filter(lists__in=lists).exists():
            self.add_error("lists", _("There are no clients in what you chose."))

    def save(self, commit: bool = True) -> Mailing:
        """Save; who used the switch is kept and logged as where a button was pressed."""
        mailing = super().save(commit)
        if commit and "is_active" in self.changed_data:
            switch = mailing.switch_on if mailing.is_active else mailing.switch_off
            switch(by=self.for_user)
        return mailing


class RemainderForm(forms.Form):
    """Whether those who came into the audience after a run get its letter as well."""

    with_newcomers = forms.BooleanField(
        required=False,
        initial=True,
        help_text=_("They were not among the recipients of that run."),
    )


class SwitchOffForm(forms.Form):
    """What somebody who switches off a mailing of somebody else tells its owner."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        validators=[validate_line],
        help_text=_("The owner of the mailing reads it."),
    )
