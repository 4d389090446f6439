"""The list of users for managers, who may block users and let them in again.

Wagtail's own user admin is no place for that: whoever may open its form may make anybody an
administrator.
"""

from __future__ import annotations

from typing import Any

import django_filters
from config.listings import ListingMixin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.generic import FormView
from wagtail.admin import messages
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.menu import MenuItem
from wagtail.admin.ui.tables import Column, DateColumn, StatusTagColumn
from wagtail.admin.views import generic
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin
from wagtail.admin.viewsets.base import ViewSet
from wagtail.admin.widgets.button import Button
from wagtail.models import ModelLogEntry
from wagtail.users.views.users import UserColumn

from accounts.forms import BlockForm
from accounts.models import User

SEARCH_FIELDS = ("email", "first_name", "last_name", "company")


def activation_column(**options: Any) -> StatusTagColumn:
    """Return the column that says who is confirmed, active or blocked."""
    return StatusTagColumn(
        "activation_status",
        label=gettext_lazy("Status"),
        accessor=lambda user: capfirst(user.activation.label),
        primary=lambda user: user.activation == User.Activation.ACTIVE,
        sort_key="activation_status",
        **options,
    )


def name_column() -> Column:
    label = pgettext_lazy("person", "Name")
    return Column("name", label=label, accessor="get_full_name", sort_key="name")


def roles_column(**options: Any) -> Column:
    return Column("roles", label=gettext_lazy("Role"), accessor="role_names", **options)


class ActivationFilter(django_filters.ChoiceFilter):
    def __init__(self, **options: Any) -> None:
        options.setdefault("label", gettext_lazy("Status"))
        options.setdefault("field_name", "activation_status")
        options.setdefault("choices", User.Activation.choices)
        super().__init__(**options)


class MemberFilterSet(WagtailFilterSet):
    activation = ActivationFilter()

    class Meta:
        model = User
        fields: list[str] = []


class BlockersOnlyMixin:
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.has_perm("accounts.block_user"):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)


class MembersView(BlockersOnlyMixin, ListingMixin, generic.IndexView):
    model = User
    page_title = gettext_lazy("Users")
    header_icon = "group"
    permission_policy = None
    any_permission_required = None
    filterset_class = MemberFilterSet
    search_fields = SEARCH_FIELDS
    default_ordering = "-date_joined"
    paginate_by = 50

    @cached_property
    def columns(self) -> list[Column]:
        title = self._get_title_column_class(UserColumn)
        return [
            title(
                "email",
                label=gettext_lazy("E-mail"),
                accessor="email",
                sort_key="email",
                classname="vs-address",
            ),
            name_column(),
            Column("company", label=gettext_lazy("Company"), sort_key="company"),
            roles_column(),
            activation_column(),
            DateColumn("date_joined", label=gettext_lazy("Joined"), sort_key="date_joined"),
        ]

    def get_base_queryset(self) -> QuerySet:
        related = User.objects.select_related("wagtail_userprofile").prefetch_related("groups")
        return related.with_activation()

    def order_queryset(self, queryset: QuerySet) -> QuerySet:
        if self.ordering in {"name", "-name"}:
            sign = self.ordering.removesuffix("name")
            return queryset.order_by(f"{sign}last_name", f"{sign}first_name", "pk")
        return super().order_queryset(queryset)

    @cached_property
    def blockable(self) -> set[int]:
        return set(User.objects.blockable_by(self.request.user).values_list("pk", flat=True))

    def get_list_more_buttons(self, instance: User) -> list[Button]:
        if instance.pk not in self.blockable:
            return []
        if instance.is_active:
            return [action_button(instance, "block", _("Block"), "lock")]
        return [action_button(instance, "unblock", _("Unblock"), "lock-open")]


def action_button(user: User, action: str, label: str, icon: str) -> Button:
    return Button(label, url=reverse(f"members:{action}", args=[user.pk]), icon_name=icon)


class MemberActionView(BlockersOnlyMixin, WagtailAdminTemplateMixin, FormView):
    """Ask before a user is blocked or let in again, and do it on POST."""

    template_name = "accounts/members/confirm.html"
    form_class = BlockForm
    header_icon = "user"
    action = "block"

    @cached_property
    def member(self) -> User:
        blockable = User.objects.blockable_by(self.request.user)
        return get_object_or_404(blockable, pk=self.kwargs["pk"])

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        members = {"url": reverse("members:index"), "label": _("Users")}
        here = {"url": "", "label": self.get_page_title(), "sublabel": self.member.email}
        return [*self.breadcrumbs_items, members, here]

    def get_page_subtitle(self) -> str:
        return self.member.email

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(member=self.member, action=self.action, **kwargs)
        context["last_block"] = last_block(self.member)
        return context


class BlockView(MemberActionView):
    page_title = gettext_lazy("Block")

    def form_valid(self, form: BlockForm) -> HttpResponse:
        self.member.block(by=self.request.user, reason=form.cleaned_data["reason"])
        text = _("%(email)s is blocked: logged out, and no mailing of theirs goes on.")
        messages.success(self.request, text % {"email": self.member.email})
        return redirect("members:index")


class UnblockView(MemberActionView):
    page_title = gettext_lazy("Unblock")
    action = "unblock"

    def form_valid(self, form: BlockForm) -> HttpResponse:
        self.member.unblock(by=self.request.user)
        text = _("%(email)s may log in again, and their mailings go on.")
        messages.success(self.request, text % {"email": self.member.email})
        return redirect("members:index")


def last_block(user: User) -> ModelLogEntry | None:
    """Return the entry of the log that says who blocked a user, when and why."""
    entries = ModelLogEntry.objects.for_instance(user).filter(action="accounts.block")
    return entries.select_related("user").order_by("-timestamp", "-pk").first()


class MembersMenuItem(MenuItem):
    def is_shown(self, request: HttpRequest) -> bool:
        """Show it to managers; administrators have the user admin in the settings."""
        return request.user.has_perm("accounts.block_user") and not request.user.is_superuser


class MemberViewSet(ViewSet):
    name = "members"
    icon = "group"
    add_to_admin_menu = True
    menu_label = gettext_lazy("Users")
    menu_name = "users"
    menu_order = 400
    menu_item_class = MembersMenuItem

    def get_urlpatterns(self) -> list[URLPattern]:
        names = {
            "index_url_name": self.get_url_name("index"),
            "index_results_url_name": self.get_url_name("index_results"),
        }
        results = MembersView.as_view(**names, results_only=True)
        return [
            path("", MembersView.as_view(**names), name="index"),
            path("results/", results, name="index_results"),
            path("<int:pk>/block/", BlockView.as_view(), name="block"),
            path("<int:pk>/unblock/", UnblockView.as_view(), name="unblock"),
        ]
