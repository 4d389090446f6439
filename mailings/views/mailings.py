"""Mailings in the workspace: the listing, the form, the detail page and its switch."""

from __future__ import annotations

from typing import Any

from config.listings import search_rows
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views import View
from django.views.generic.edit import FormView
from wagtail.admin import messages
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import Column, NumberColumn, TitleColumn
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin
from wagtail.admin.views.reports import ReportView
from wagtail.admin.widgets.button import Button, HeaderButton

from accounts.models import User
from mailings import remainder, reports
from mailings.forms import SwitchOffForm, usable_keys
from mailings.models import Attempt, Client, Mailing, Message
from mailings.permissions import may_switch, sees_clients_of, sees_many_owners, visible_rows
from mailings.views import owned

SUM_LABELS = {
    name: capfirst(Attempt._meta.get_field(name).verbose_name) for name in Attempt.ALL_SUMS
}
PICKER_SIZE = 20
ATTEMPTS_PER_PAGE = 20


class MomentColumn(Column):
    """A date and time in full: Wagtail's column says how long ago, which fits the past only."""

    def get_value(self, instance: Any) -> str:
        moment = super().get_value(instance)
        return date_format(timezone.localtime(moment), "SHORT_DATETIME_FORMAT") if moment else ""


def describe_state(mailing: Mailing) -> str:
    """Return the state of a mailing of the listing; see `reports.with_pause`."""
    return gettext("paused") if mailing.is_paused else mailing.get_status_display()


class OwnerColumn(Column):
    """Whose row it is; for those who see the rows of more than one person."""

    def __init__(self, accessor: str = "owner") -> None:
        super().__init__("owner", label=_("Owner"), accessor=accessor)


# --- The listing ------------------------------------------------------------------------------


class MailingIndexView(owned.OwnedIndexView):
    def get_base_queryset(self) -> QuerySet[Mailing]:
        rows = super().get_base_queryset().select_related("message", "owner")
        return reports.with_pause(rows)

    def _get_title_column(self, field_name: str, column_class: type = TitleColumn, **kwargs: Any):
        """Lead to the detail page, which shows what a mailing does; the form is one click on."""
        column_class = self._get_title_column_class(column_class)
        return self._get_custom_column(
            field_name, column_class, get_url=self.get_inspect_url, **kwargs
        )

    @cached_property
    def columns(self) -> list[Column]:
        if not sees_many_owners(self.request.user):
            return super().columns
        return [*super().columns, OwnerColumn()]


# --- The form ---------------------------------------------------------------------------------


class ToDetailPage:
    def get_success_url(self) -> str:
        return reverse("mailing:inspect", args=[self.object.pk])


class MailingCreateView(ToDetailPage, owned.OwnedCreateView):
    pass


class MailingEditView(ToDetailPage, owned.OwnedEditView):
    @transaction.atomic
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().post(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Mailing]:
        rows = super().get_queryset()
        # Saving writes the whole row: a manager's switch or a run that opens in between must
        # not be overwritten.
        return rows.select_for_update(of=("self",)) if self.request.method == "POST" else rows


class MailingDeleteView(owned.OwnedDeleteView):
    @property
    def confirmation_message(self) -> str:
        return _("Delete this mailing? The record of its attempts is deleted with it.")


class ClientPickerView(View):
    """Find clients for the form of a mailing, by name or address."""

    def get(self, request: HttpRequest) -> JsonResponse:
        rows = visible_rows(Client, request.user).filter(owner=self.owner_id())
        rows = search_rows(rows, ("full_name", "email"), request.GET.get("q", ""))
        found = list(rows.order_by("full_name", "pk")[: PICKER_SIZE + 1])
        people = [{"id": c.pk, "name": c.full_name, "email": c.email} for c in found[:PICKER_SIZE]]
        return JsonResponse({"clients": people, "more": len(found) > PICKER_SIZE})

    def owner_id(self) -> int:
        """Return whose clients are asked for: an administrator edits mailings of others."""
        asked = usable_keys([self.request.GET.get("owner", "")])
        return asked[0] if asked else self.request.user.pk


# --- The detail page --------------------------------------------------------------------------


class MailingInspectView(owned.OwnedInspectView):
    def get_fields(self) -> list[str]:
        return []

    def get_owned_rows(self) -> QuerySet[Mailing]:
        return super().get_owned_rows().select_related("owner", "message", "disabled_by")

    @cached_property
    def can_edit(self) -> bool:
        return self.user_has_permission_for_instance("change", self.object)

    @cached_property
    def header_buttons(self) -> list[Button]:
        if not self.can_edit:
            return []
        return [HeaderButton(_("Edit"), url=self.get_edit_url(), icon_name="edit")]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user, mailing = self.request.user, self.object
        context = super().get_context_data(**kwargs)
        return {
            **context,
            **audience_context(mailing),
            "mailing": mailing,
            "upcoming": mailing.upcoming(5) if mailing.is_active else [],
            **self.state_context(),
            **self.runs_context(),
            "lists": mailing.lists.all() if sees_clients_of(user, mailing.owner) else [],
            "message_url": message_url(mailing.message, user),
        }

    def state_context(self) -> dict[str, Any]:
        user, mailing = self.request.user, self.object
        paused = reports.paused_run(mailing, user)
        return {
            "can_switch": may_switch(user, mailing),
            "is_locked": mailing.is_locked_for(user),
            "is_own": mailing.owner_id == user.pk,
            "paused": paused,
            "is_live": paused or reports.is_at_work(mailing),
            "trouble": reports.trouble_of(mailing),
        }

    def runs_context(self) -> dict[str, Any]:
        statistics = reports.mailing_statistics(self.object)
        to_complete = remainder.offered(self.object, timezone.now()) if self.can_edit else None
        return {
            "statistics": statistics,
            "attempts": self.get_attempts(),
            "to_complete": to_complete,
        }

    def get_attempts(self) -> Page:
        attempts = self.object.attempts.all()
        page = Paginator(attempts, ATTEMPTS_PER_PAGE).get_page(self.request.GET.get("p"))
        page.object_list = reports.described(page.object_list, self.request.user)
        return page


class MailingStateView(MailingInspectView):
    """The head of the detail page: its state and its switch, and what keeps it from sending."""

    template_name = "mailings/includes/mailing_state.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {"mailing": self.object, **self.state_context()}


class MailingRunsView(MailingInspectView):
    """The part of the detail page that changes while a run is at work."""

    template_name = "mailings/includes/mailing_runs.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {"mailing": self.object, **self.runs_context()}


def message_url(message: Message | None, user: User) -> str | None:
    """Return where the message can be read, if it is still there and the user may."""
    if message is None or not visible_rows(Message, user).filter(pk=message.pk).exists():
        return None
    return reverse("message:inspect", args=[message.pk])


def audience_context(mailing: Mailing) -> dict[str, int]:
    """Return how many clients the mailing is meant for, and who of them gets nothing, and why."""
    gone = Q(unsubscribed_at=None, undeliverable_at__isnull=False)
    return mailing.audience().aggregate(
        audience=Count("pk"),
        unsubscribed=Count("unsubscribed_at"),
        undeliverable=Count("pk", filter=gone),
    )


# --- The switch -------------------------------------------------------------------------------


class SwitchMixin(owned.OwnedRowsMixin):
    """Load and lock the mailing of the address, if this user may use its switch."""

    model = Mailing

    def load(self) -> Mailing:
        mailing = self.get_owned_row(self.kwargs["pk"])
        if not may_switch(self.request.user, mailing):
            raise PermissionDenied
        return mailing

    def get_owned_rows(self) -> QuerySet[Mailing]:
        rows = super().get_owned_rows().select_related("owner")
        return rows.select_for_update(of=("self",)) if self.request.method == "POST" else rows

    def done(self, mailing: Mailing, words: str) -> HttpResponse:
        messages.success(self.request, words)
        return redirect("mailing:inspect", mailing.pk)

    def refuse(self, mailing: Mailing) -> HttpResponse:
        messages.error(self.request, mailing.switched_off_words())
        return redirect("mailing:inspect", mailing.pk)


class SwitchOnView(SwitchMixin, View):
    http_method_names = ["post", "options"]

    @transaction.atomic
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        mailing = self.load()
        try:
            mailing.switch_on(by=request.user)
        except PermissionError:
            return self.refuse(mailing)
        return self.done(mailing, gettext("The mailing is switched on."))


class SwitchOffView(SwitchMixin, WagtailAdminTemplateMixin, FormView):
    """Switch off at once for the owner; others are asked for a reason first."""

    template_name = "mailings/mailing_switch_off.html"
    page_title = _("Switch off")
    header_icon = "calendar-check"
    form_class = SwitchOffForm

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.mailing = self.load()
        if self.is_own:
            return HttpResponseNotAllowed(["POST"])
        return super().get(request)

    @transaction.atomic
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        self.mailing = self.load()
        return self.switch("") if self.is_own else super().post(request)

    @property
    def is_own(self) -> bool:
        return self.mailing.owner_id == self.request.user.pk

    def form_valid(self, form: SwitchOffForm) -> HttpResponse:
        return self.switch(form.cleaned_data["reason"])

    def form_invalid(self, form: SwitchOffForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=400)

    def switch(self, reason: str) -> HttpResponse:
        try:
            self.mailing.switch_off(by=self.request.user, reason=reason)
        except PermissionError:
            return self.refuse(self.mailing)
        return self.done(self.mailing, gettext("The mailing is switched off."))

    def get_page_subtitle(self) -> str:
        return str(self.mailing)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [
            *self.breadcrumbs_items,
            {"url": reverse("mailing:index"), "label": _("Mailings")},
            {"url": reverse("mailing:inspect", args=[self.mailing.pk]), "label": str(self.mailing)},
            {"url": "", "label": self.page_title},
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(mailing=self.mailing, **kwargs)


# --- Finished mailings ------------------------------------------------------------------------


class FinishedFilterSet(WagtailFilterSet):
    class Meta:
        model = Mailing
        fields = ["periodicity"]


class FinishedMailingsView(owned.OwnedIndexMixin, ReportView):
    """What mailings that are over have brought."""

    model = Mailing
    page_title = _("Finished mailings")
    header_icon = "tasks"
    index_url_name = "mailing:finished"
    index_results_url_name = "mailing:finished_results"
    any_permission_required = ["add", "change", "view"]
    is_searchable = True
    search_fields = ["name", "message__subject"]
    filterset_class = FinishedFilterSet
    default_ordering = "-last_run_at"
    export_filename = "finished-mailings"
    list_export = ["name", "message", "get_periodicity_display", "runs", "last_run_at", *SUM_LABELS]
    export_headings = {
        "get_periodicity_display": _("Periodicity"),
        "runs": _("Runs"),
        "last_run_at": _("Last run"),
        **SUM_LABELS,
    }

    def get_base_queryset(self) -> QuerySet[Mailing]:
        rows = super().get_base_queryset().finished().select_related("message", "owner")
        return reports.with_sums(rows)

    @cached_property
    def columns(self) -> list[Column]:
        columns = [
            TitleColumn("name", label=_("Name"), url_name="mailing:inspect", sort_key="name"),
            Column("message", label=_("Message"), sort_key="message__subject"),
            Column("get_periodicity_display", label=_("Periodicity"), sort_key="periodicity"),
            NumberColumn("runs", label=_("Runs"), sort_key="runs"),
            MomentColumn("last_run_at", label=_("Last run"), sort_key="last_run_at"),
            *(NumberColumn(name, label=SUM_LABELS[name], sort_key=name) for name in self.sums()),
        ]
        return [*columns, OwnerColumn()] if sees_many_owners(self.request.user) else columns

    @cached_property
    def no_results_message(self) -> str:
        if self.is_searching or self.is_filtering:
            return super().no_results_message
        return gettext("No mailing has finished yet.")

    def sums(self) -> tuple[str, ...]:
        """Return which sums are shown: hardly ever may a letter have arrived twice."""
        mailings = self.get_owned_rows().finished()
        is_any = Attempt.objects.filter(mailing__in=mailings, doubtful__gt=0).exists()
        return Attempt.ALL_SUMS if is_any else Attempt.SUMS
