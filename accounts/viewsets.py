"""Users in the Wagtail admin, for administrators."""

from __future__ import annotations

from config.listings import ListingMixin
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from wagtail.admin.ui.tables import BulkActionsCheckboxColumn, Column, DateColumn
from wagtail.users.views import users

from accounts.forms import UserCreationForm, UserEditForm
from accounts.members import (
    SEARCH_FIELDS,
    ActivationFilter,
    activation_column,
    name_column,
    roles_column,
)
from accounts.models import User, wake_mailings


class UserFilterSet(users.UserFilterSet):
    activation = ActivationFilter()


class IndexView(ListingMixin, users.IndexView):
    search_fields = SEARCH_FIELDS

    @cached_property
    def columns(self) -> list[Column]:
        title = self._get_title_column_class(users.UserColumn)
        return [
            BulkActionsCheckboxColumn("bulk_actions", obj_type="user"),
            title(
                "email",
                label=_("E-mail"),
                accessor="email",
                sort_key="email",
                get_url=self.get_edit_url,
                classname="vs-address",
            ),
            name_column(),
            Column("company", label=_("Company"), sort_key="company"),
            roles_column(),
            activation_column(),
            DateColumn("last_login", label=_("Last login"), sort_key="last_login"),
        ]

    def get_base_queryset(self) -> QuerySet:
        return super().get_base_queryset().prefetch_related("groups").with_activation()


class EditView(users.EditView):
    @transaction.atomic
    def save_instance(self) -> User:
        user = super().save_instance()
        if user.is_active and "is_active" in self.form.changed_data:
            wake_mailings()
        return user


class UserViewSet(users.UserViewSet):
    index_view_class = IndexView
    edit_view_class = EditView
    filterset_class = UserFilterSet
    template_prefix = "accounts/users/"

    def get_form_class(self, for_update: bool = False) -> type[ModelForm]:
        return UserEditForm if for_update else UserCreationForm
