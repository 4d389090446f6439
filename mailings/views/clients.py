"""Clients and their lists in the workspace."""

from __future__ import annotations

from typing import Any

from config.listings import CountingPaginator, search_rows
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.generic import TemplateView, View
from django_filters import ChoiceFilter, ModelChoiceFilter
from wagtail.admin import messages
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import (
    BaseColumn,
    BulkActionsCheckboxColumn,
    Column,
    DateColumn,
    StatusTagColumn,
    Table,
    TitleColumn,
)
from wagtail.admin.views.bulk_action import BulkAction
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin
from wagtail.admin.views.generic.permissions import PermissionCheckedMixin
from wagtail.admin.widgets.button import Button, HeaderButton
from wagtail.log_actions import log

from mailings.forms import usable_keys
from mailings.models import Client, ClientList, Delivery
from mailings.permissions import changeable_rows, visible_rows
from mailings.reports import show_reply
from mailings.views import owned
from mailings.views.outcomes import OutcomeColumn

PER_PAGE = 20


def describe_subscription(client: Client) -> str:
    """Say in words whether letters go to this client, and why not."""
    if client.undeliverable_at is None:
        return gettext("unsubscribed") if client.unsubscribed_at else gettext("subscribed")
    if client.unsubscribed_at:
        return gettext("unsubscribed, address does not exist")
    return gettext("address does not exist")


class RowsPanelMixin:
    """Show a paged table of related rows on a detail page."""

    rows_columns: list[BaseColumn] = []

    def get_rows(self) -> QuerySet:
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        paginator = CountingPaginator(self.get_rows(), PER_PAGE)
        page = paginator.get_page(self.request.GET.get("p"))
        table = Table(self.rows_columns, page.object_list)
        pages = paginator.get_elided_page_range(page.number)
        rows = {"rows": table, "rows_page": page, "elided_page_range": pages}
        return super().get_context_data(**rows, **kwargs)


# --- Clients --------------------------------------------------------------------------------


class ClientFilterSet(WagtailFilterSet):
    lists = ModelChoiceFilter(
        label=_("List"), queryset=lambda request: visible_rows(ClientList, request.user)
    )
    subscription = ChoiceFilter(
        label=_("Subscription"),
        method="by_subscription",
        choices=[("yes", _("subscribed")), ("no", _("unsubscribed"))],
    )

    address = ChoiceFilter(
        label=_("Address"), method="by_address", choices=[("gone", _("does not exist"))]
    )

    class Meta:
        model = Client
        fields: list[str] = []

    def by_address(self, rows: QuerySet[Client], name: str, value: str) -> QuerySet[Client]:
        return rows.undeliverable()

    def by_subscription(self, rows: QuerySet[Client], name: str, value: str) -> QuerySet[Client]:
        return rows.filter(unsubscribed_at__isnull=value == "yes")


class ClientIndexView(owned.OwnedIndexView):
    def get_base_queryset(self) -> QuerySet[Client]:
        return super().get_base_queryset().prefetch_related("lists")

    @cached_property
    def offers_actions(self) -> bool:
        """Return whether there is something to tick rows for."""
        return self.permission_policy.user_has_any_permission(self.request.user, {"add", "change"})

    @cached_property
    def columns(self) -> list[BaseColumn]:
        if not self.offers_actions:
            return super().columns
        return [BulkActionsCheckboxColumn("bulk_actions", obj_type="client"), *super().columns]


class ClientCreateView(owned.OwnedCreateView):
    def get_success_message(self, instance: Client) -> str:
        if instance.unsubscribed_at:
            return gettext(
                "Client “%(name)s” is kept, but unsubscribed: this address refused your letters."
            ) % {"name": instance}
        return super().get_success_message(instance)


class ClientEditView(owned.OwnedEditView):
    @transaction.atomic
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().post(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Client]:
        rows = super().get_queryset()
        # Saving writes the whole row: what a run learns of the address in between must not be
        # overwritten.
        return rows.select_for_update(of=("self",)) if self.request.method == "POST" else rows


class ClientDeleteView(owned.OwnedDeleteView):
    @property
    def confirmation_message(self) -> str:
        return gettext(
            "The client leaves all your lists and mailings. What was sent stays in the reports."
        )


class ClientInspectView(RowsPanelMixin, owned.OwnedInspectView):
    template_name = "mailings/client.html"
    rows_columns = [
        TitleColumn(
            "mailing",
            label=_("Mailing"),
            accessor="attempt.mailing.name",
            get_url=lambda row: reverse("mailing:inspect", args=[row.attempt.mailing_id]),
        ),
        OutcomeColumn("status", label=_("Status"), accessor="outcome"),
        Column(
            "reply",
            label=_("Reply"),
            accessor=lambda row: show_reply(row.response),
            classname="vs-words",
        ),
        DateColumn("updated_at", label=_("Time")),
    ]

    def get_rows(self) -> QuerySet[Delivery]:
        own = Delivery.objects.filter(client=self.object, attempt__mailing__owner=self.object.owner)
        return own.select_related("attempt__mailing").order_by("-pk")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        state = describe_subscription(self.object)
        reply = show_reply(self.object.undeliverable_reply)
        return super().get_context_data(state=state, reply=reply, **kwargs)

    def get_lists_display_value(self) -> str:
        return self.object.list_names or "-"

    @cached_property
    def header_more_buttons(self) -> list[Button]:
        return [*super().header_more_buttons, self.subscription_button]

    @property
    def subscription_button(self) -> Button:
        if self.object.unsubscribed_at:
            label, name, icon = _("Subscribe again"), "client:resubscribe", "undo"
        else:
            label, name, icon = _("Unsubscribe"), "client:unsubscribe", "circle-xmark"
        return Button(label, url=reverse(name, args=[self.object.pk]), icon_name=icon, priority=40)


class SubscriptionView(
    owned.OwnedLookupMixin, PermissionCheckedMixin, WagtailAdminTemplateMixin, TemplateView
):
    """Ask before a client's subscription is changed by hand; POST changes it."""

    row_actions = frozenset({"change"})
    permission_required = "change"
    model = Client
    header_icon = "user"
    template_name = "mailings/client_subscription.html"
    log_action = ""

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.pk = kwargs["pk"]
        self.object = self.get_object()

    def get_page_subtitle(self) -> str:
        return str(self.object)

    def get_success_url(self) -> str:
        return reverse("client:inspect", args=[self.object.pk])

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [
            *self.breadcrumbs_items,
            {"url": reverse("client:index"), "label": _("Clients")},
            {"url": self.get_success_url(), "label": str(self.object)},
            {"url": "", "label": self.page_title},
        ]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.change()
        log(self.object, self.log_action, user=request.user)
        messages.success(request, self.success_message % {"name": self.object})
        return redirect(self.get_success_url())


class ClientUnsubscribeView(SubscriptionView):
    page_title = _("Unsubscribe")
    log_action = "mailings.unsubscribe"
    question = _("No more letters of yours will go to this address, not even if it is added anew.")
    success_message = _("“%(name)s” gets no more letters.")

    def change(self) -> None:
        self.object.unsubscribe()


class ClientResubscribeView(SubscriptionView):
    page_title = _("Subscribe again")
    log_action = "mailings.resubscribe"
    question = _(
        "This person refused your letters. Subscribe them again only if they asked you for it."
    )
    success_message = _("“%(name)s” gets your letters again.")

    def change(self) -> None:
        self.object.resubscribe()


class ClientTryAgainView(owned.OwnedRowsMixin, View):
    """Let letters go again to an address that did not exist, as the mail server had said."""

    http_method_names = ["post", "options"]
    row_actions = frozenset({"change"})
    model = Client

    @transaction.atomic
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        client = self.get_owned_row(pk)
        if Client.objects.filter(pk=client.pk).try_again():
            log(client, "mailings.try_again", user=request.user)
        words = gettext("The next mailing to “%(name)s” tries this address again.")
        messages.success(request, words % {"name": client})
        return redirect("client:inspect", client.pk)


class ClientBulkTryAgain(BulkAction):
    """The same for several clients: of those that were ticked, or of all that the listing shows."""

    models = [Client]
    display_name = _("Try again")  # There is room for two words.
    action_type = "try_again"
    aria_label = _("Try the addresses of the selected clients again")
    template_name = "mailings/clients_try_again.html"
    NAMED = 20  # clients on the page that asks

    def get_own(self) -> QuerySet[Client]:
        return changeable_rows(Client, self.request.user)

    def get_queryset(self, model: type[Client], object_ids: list[Any]) -> list[Client]:
        """Return what was ticked; keys of others' clients are as if they did not exist."""
        rows = list(self.get_own().filter(pk__in=usable_keys(object_ids)))
        if object_ids and not rows:
            raise Http404
        return rows

    def get_all_objects_in_listing_query(self, parent_id: str | None) -> list[int]:
        query = self.request.GET
        rows = ClientFilterSet(query, queryset=self.get_own(), request=self.request).qs
        rows = search_rows(rows, ("full_name", "email"), query.get("q", ""))
        return list(rows.undeliverable().values_list("pk", flat=True))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        gone = [each["item"] for each in context["items"] if each["item"].undeliverable_at]
        return {**context, "gone": gone[: self.NAMED], "count": len(gone)}

    def execute_action(self, objects: list[Client], **kwargs: Any) -> tuple[int, int]:
        gone = [client for client in objects if client.undeliverable_at]
        count = Client.objects.filter(pk__in=[client.pk for client in gone]).try_again()
        for client in gone:
            log(client, "mailings.try_again", user=self.request.user)
        return count, 0

    def get_success_message(self, num_parent_objects: int, num_child_objects: int) -> str:
        return ngettext(
            "%(count)d address is tried again by the next mailing to it.",
            "%(count)d addresses are tried again by the next mailing to them.",
            num_parent_objects,
        ) % {"count": num_parent_objects}


# --- Lists ----------------------------------------------------------------------------------


class ClientListIndexView(owned.OwnedIndexView):
    def get_base_queryset(self) -> QuerySet[ClientList]:
        subscribed = Count("clients", filter=Q(clients__unsubscribed_at=None))
        return super().get_base_queryset().annotate(size=Count("clients"), subscribed=subscribed)


class ClientListInspectView(RowsPanelMixin, owned.OwnedInspectView):
    template_name = "mailings/client_list.html"
    rows_columns = [
        TitleColumn(
            "full_name",
            label=_("Full name"),
            get_url=lambda client: reverse("client:inspect", args=[client.pk]),
        ),
        Column("email", label=_("E-mail")),
        StatusTagColumn(
            "subscription",
            label=_("Subscription"),
            accessor=describe_subscription,
            primary=lambda client: client.gets_letters,
        ),
    ]

    def get_rows(self) -> QuerySet[Client]:
        return self.object.clients.filter(owner=self.object.owner)

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        url = f"{reverse('client:index')}?lists={self.object.pk}"
        return [HeaderButton(_("Search and export"), url=url, icon_name="search")]


class ClientListDeleteView(owned.OwnedDeleteView):
    @property
    def confirmation_message(self) -> str:
        count = self.object.mailings.count()
        stay = gettext("The clients of this list stay.")
        if not count:
            return stay
        warning = ngettext(
            "%(count)d mailing goes to this list and will no longer reach them by it.",
            "%(count)d mailings go to this list and will no longer reach them by it.",
            count,
        )
        return f"{stay} {warning % {'count': count}}"
