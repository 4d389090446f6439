"""Attempts in the workspace: one run of a mailing, its recipients by outcome, its letter."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from config.listings import ListingMixin
from django import forms
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView, View
from django.views.generic.edit import FormView
from django_filters import ChoiceFilter
from wagtail.admin import messages
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import Column, TitleColumn
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin
from wagtail.admin.views.reports import ReportView

from mailings import remainder, reports, runs
from mailings.delivery import letter
from mailings.forms import RemainderForm
from mailings.models import Attempt, Delivery, Mailing
from mailings.permissions import (
    changeable_attempts,
    may_switch,
    sees_clients_of,
    visible_attempts,
)
from mailings.views.mailings import MomentColumn, message_url
from mailings.views.messages import show_html
from mailings.views.outcomes import OutcomeColumn
from mailings.views.public import mask

Status = Delivery.Status


class AttemptMixin:
    """Load the attempt of the address; a run of somebody else's mailing does not exist."""

    attempt: Attempt

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        attempts = self.get_attempts().select_related("mailing__owner", "message", "remainder_of")
        attempts = attempts.defer("remainder_of__html", "remainder_of__text")
        self.attempt = get_object_or_404(attempts, pk=kwargs["pk"])

    def get_attempts(self) -> QuerySet[Attempt]:
        return visible_attempts(self.request.user)

    @cached_property
    def addresses(self) -> bool:
        """Return whether this user may read the addresses of the recipients."""
        return sees_clients_of(self.request.user, self.attempt.mailing.owner)

    def show_reply(self, words: str) -> str:
        return reports.show_reply(words, addresses=self.addresses)

    def progress_context(self) -> dict[str, Any]:
        attempt = reports.describe(self.attempt, self.request.user)
        is_at_work = attempt.status == Attempt.Status.RUNNING
        return {
            "attempt": attempt,
            "trouble": reports.trouble_of(attempt.mailing) if is_at_work else None,
            **reports.completion(attempt, self.request.user),
        }


# Shown as Wagtail shows the choices of a model's field.
RADIO = {"widget": forms.RadioSelect, "empty_label": _("All")}


class DeliveryFilterSet(WagtailFilterSet):
    status = ChoiceFilter(
        label=_("Outcome"),
        # No row comes into this state any more.
        choices=[each for each in Status.choices if each[0] != Status.SENDING],
        **RADIO,
    )

    class Meta:
        model = Delivery
        fields: list[str] = []


class DoubtfulFilterSet(DeliveryFilterSet):
    """For runs with letters that may have arrived twice."""

    doubtful = ChoiceFilter(
        label=pgettext_lazy("filter", "In doubt"),
        method="only_doubtful",
        choices=[("yes", _("may have arrived twice"))],
        **RADIO,
    )

    def only_doubtful(self, rows: QuerySet[Delivery], name: str, value: str) -> QuerySet[Delivery]:
        return rows.doubtful()


class AttemptView(AttemptMixin, ListingMixin, ReportView):
    """The numbers of a run, the server's words, and what became of each recipient."""

    model = Delivery
    page_title = _("Attempt")
    header_icon = "history"
    template_name = "mailings/attempt.html"
    results_template_name = "mailings/attempt_results.html"
    search_fields = ["email"]
    export_filename = "attempt"
    list_export = [
        "email",
        "status",
        "code",
        "response",
        "tries",
        "doubts",
        "next_try_at",
        "updated_at",
    ]

    def get_base_queryset(self) -> QuerySet[Delivery]:
        return self.attempt.deliveries.order_by("pk")

    @cached_property
    def is_searchable(self) -> bool:
        # To search in what one may not read would be to read it.
        return self.addresses

    @property
    def filterset_class(self) -> type[WagtailFilterSet]:
        return DoubtfulFilterSet if self.attempt.doubtful else DeliveryFilterSet

    def get_index_url(self) -> str:
        return reverse("mailing:attempt", args=[self.attempt.pk])

    def get_index_results_url(self) -> str:
        return reverse("mailing:attempt_results", args=[self.attempt.pk])

    def get_page_subtitle(self) -> str:
        return str(self.attempt.mailing)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        mailing = self.attempt.mailing
        return [
            *self.breadcrumbs_items,
            {"url": reverse("mailing:index"), "label": _("Mailings")},
            {"url": reverse("mailing:inspect", args=[mailing.pk]), "label": str(mailing)},
            {"url": "", "label": self.page_title},
        ]

    @cached_property
    def columns(self) -> list[Column]:
        sortable = {"sort_key": "email"} if self.addresses else {}
        return [
            TitleColumn(
                "email", label=_("Recipient"), accessor=self.address, get_url=self.client_url,
                classname="vs-address", **sortable,
            ),
            OutcomeColumn("status", label=_("Outcome"), accessor="outcome", sort_key="status"),
            Column("code", label=_("Code"), sort_key="code"),
            Column(
                "response", label=_("Reply"), accessor=lambda row: self.show_reply(row.response),
                classname="vs-words",
            ),
            Column("tries", label=_("Tries"), sort_key="tries"),
            MomentColumn("next_try_at", label=_("Next try"), sort_key="next_try_at"),
        ]  # fmt: skip

    def address(self, row: Delivery) -> str:
        return row.email if self.addresses else mask(row.email)

    def client_url(self, row: Delivery) -> str | None:
        if self.addresses and row.client_id:
            return reverse("client:inspect", args=[row.client_id])
        return None

    def to_row_dict(self, item: Delivery) -> OrderedDict[str, Any]:
        row = super().to_row_dict(item)
        row["email"] = self.address(item)
        row["status"] = item.get_status_display()
        row["response"] = self.show_reply(item.response)
        return row

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        text, subject = (self.attempt.text, self.attempt.subject)
        values = sample_values(self.attempt.mailing)
        return {
            **super().get_context_data(**kwargs),
            **self.progress_context(),
            "subject": letter.fill(subject, values),
            "text": letter.fill(text, values),
            "message_url": message_url(self.attempt.message, self.request.user),
            "completed_by": self.attempt.remainders.defer("html", "text").order_by("pk"),
        }


class AttemptProgressView(AttemptMixin, TemplateView):
    """The part of the page that changes while the run is at work."""

    template_name = "mailings/includes/attempt_progress.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **self.progress_context()}


class AttemptLetterView(AttemptMixin, View):
    """The letter as it was sent, for the frame on the page: nothing in it may act."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        values = sample_values(self.attempt.mailing)
        return show_html(letter.fill(self.attempt.html, values, escape=True))


class GoOnView(AttemptMixin, View):
    """Let a paused run go on; nothing happens where somebody else just did so."""

    http_method_names = ["post", "options"]

    @transaction.atomic
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        mailing = self.attempt.mailing
        if not may_switch(request.user, mailing):
            raise Http404
        attempt = Attempt.objects.select_for_update().get(pk=pk)
        if reports.is_paused(attempt):
            attempt.go_on(by=request.user)
        if attempt.status == Attempt.Status.RUNNING:
            messages.success(request, gettext("The mailing goes on."))
        return redirect("mailing:inspect", mailing.pk)


class SendRemainderView(AttemptMixin, WagtailAdminTemplateMixin, FormView):
    """Show who does not have the letter of a run; POST sends it to them, by a run of its own."""

    page_title = _("Send to those who did not get it")
    header_icon = "mail"
    template_name = "mailings/send_remainder.html"
    form_class = RemainderForm
    http_method_names = ["get", "head", "post", "options"]

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.root = self.attempt.root
        self.root.mailing = self.attempt.mailing

    def get_attempts(self) -> QuerySet[Attempt]:
        return changeable_attempts(self.request.user)

    def form_valid(self, form: RemainderForm) -> HttpResponse:
        newcomers, user = form.cleaned_data["with_newcomers"], self.request.user
        try:
            run = runs.open_remainder(self.root.pk, by=user, with_newcomers=newcomers)
        except remainder.Refused as refusal:
            # Of two clicks the second one finds what the first has begun.
            run = self.root.remainders.running().defer("html", "text").first()
            if run is None:
                messages.error(self.request, refusal.words)
                return redirect("mailing:attempt", self.root.pk)
        except (Attempt.DoesNotExist, Mailing.DoesNotExist) as error:
            raise Http404 from error
        messages.success(self.request, gettext("The letters are on their way."))
        return redirect("mailing:attempt", run.pk)

    def get_page_subtitle(self) -> str:
        return str(self.root.mailing)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        mailing = self.root.mailing
        return [
            *self.breadcrumbs_items,
            {"url": reverse("mailing:index"), "label": _("Mailings")},
            {"url": reverse("mailing:inspect", args=[mailing.pk]), "label": str(mailing)},
            {"url": reverse("mailing:attempt", args=[self.root.pk]), "label": _("Attempt")},
            {"url": "", "label": _("Send")},
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mailing = self.root.mailing
        context = {
            **super().get_context_data(**kwargs),
            "root": self.root,
            "mailing": mailing,
            "message_url": message_url(mailing.message, self.request.user),
            "is_changed": self.is_message_changed(),
        }
        try:
            remainder.check(self.root, timezone.now())
            return {**context, **self.left_context()}
        except remainder.Refused as refusal:
            return {**context, "refusal": refusal.words}

    def left_context(self) -> dict[str, Any]:
        left = remainder.count_left(self.root)
        if not any(left):
            raise remainder.Refused(remainder.NOBODY_LEFT)
        return {**left._asdict(), "unknown": remainder.count_unknown(self.root)}

    def is_message_changed(self) -> bool:
        """Return whether other words go out now than those of the run."""
        message = self.root.mailing.message
        is_other = message.pk != self.root.message_id
        return is_other or message.updated_at > self.root.started_at


def sample_values(mailing: Mailing) -> dict[str, str]:
    return letter.sample_values(company=mailing.owner.sender_name)
