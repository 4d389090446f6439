"""Admin views of rows that a user owns: whatever key an address holds, only rows that the policy
opens to this user are found; all others answer 404.

Wagtail's generic views ask for rights per model only, so every one that loads a row is limited
here. The mixins serve snippets as well, whose views are classes of their own.
"""

from __future__ import annotations

from typing import Any

from config.listings import ListingMixin, search_rows
from django import forms
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from wagtail.admin.filters import MultipleUserFilter, UserModelMultipleChoiceField
from wagtail.admin.forms.choosers import BaseFilterForm
from wagtail.admin.views import generic
from wagtail.admin.views.generic import chooser, history, usage
from wagtail.permission_policies import BasePermissionPolicy
from wagtail.permissions import policy_registry

from mailings.forms import UsableKeysMixin, usable_keys
from mailings.permissions import SEE


class OwnedRowsMixin:
    """Offer and accept only the rows on which the current user may do one of `row_actions`."""

    row_actions = SEE

    @cached_property
    def permission_policy(self) -> BasePermissionPolicy:
        return policy_registry.get_by_type(self.model)

    def get_owned_rows(self) -> QuerySet:
        return self.permission_policy.instances_user_has_any_permission_for(
            self.request.user, self.row_actions
        )

    def get_owned_row(self, pk: Any) -> Model:
        try:
            return get_object_or_404(self.get_owned_rows(), pk=unquote(str(pk)))
        except ValueError as error:
            raise Http404 from error


# --- Listings -------------------------------------------------------------------------------


class OwnedIndexMixin(OwnedRowsMixin, ListingMixin):
    def get_base_queryset(self) -> QuerySet:
        return self.get_owned_rows()


class OwnedIndexView(OwnedIndexMixin, generic.IndexView):
    pass


# --- One row --------------------------------------------------------------------------------


class SameMomentMixin:
    """Answer with the form where another request took a unique value since it was checked."""

    def form_valid(self, form: forms.ModelForm) -> HttpResponse:
        try:
            return super().form_valid(form)
        except IntegrityError:
            form.full_clean()
            if self.is_valid(form):
                raise
            return self.form_invalid(form)


class OwnedCreateMixin(SameMomentMixin):
    """Make rows that belong to the current user."""

    def get_initial_form_instance(self) -> Model:
        return self.model(owner=self.request.user)


class OwnedCreateView(OwnedCreateMixin, generic.CreateView):
    pass


class OwnedEditMixin(SameMomentMixin, OwnedRowsMixin):
    row_actions = frozenset({"change"})

    def get_queryset(self) -> QuerySet:
        return self.get_owned_rows()


class OwnedEditView(OwnedEditMixin, generic.EditView):
    pass


class OwnedDeleteMixin(OwnedRowsMixin):
    row_actions = frozenset({"delete"})

    def get_queryset(self) -> QuerySet:
        return self.get_owned_rows()

    def get_usage_url(self) -> None:
        """Count no references: what uses a row is said in words of ours, where it matters."""


class OwnedDeleteView(OwnedDeleteMixin, generic.DeleteView):
    pass


class OwnedLookupMixin(OwnedRowsMixin):
    """For views that load their row by `get_object` alone: inspect, compare, old revisions."""

    def get_object(self, queryset: QuerySet | None = None) -> Model:
        return self.get_owned_row(self.pk)


class OwnedInspectView(OwnedLookupMixin, generic.InspectView):
    def get_page_title(self) -> str:
        return capfirst(self.model._meta.verbose_name)


class OwnedRecordMixin(OwnedRowsMixin):
    """For views that list what belongs to one row: its history, its usage."""

    row_actions = frozenset({"change"})

    def get_base_object_queryset(self) -> QuerySet:
        return self.get_owned_rows()


class UsersField(UsableKeysMixin, UserModelMultipleChoiceField):
    pass


class UsersFilter(MultipleUserFilter):
    field_class = UsersField


class OwnedHistoryFilterSet(history.HistoryFilterSet):
    user = UsersFilter(
        label=history.HistoryFilterSet.declared_filters["user"].label,
        widget=forms.CheckboxSelectMultiple,
    )


class OwnedHistoryMixin(OwnedRecordMixin):
    filterset_class = OwnedHistoryFilterSet


class OwnedHistoryView(OwnedHistoryMixin, history.HistoryView):
    pass


class OwnedUsageView(OwnedRecordMixin, usage.UsageView):
    pass


# --- Choosers -------------------------------------------------------------------------------


class OwnedChooserMixin(OwnedRowsMixin):
    """Limit a chooser's view, and close it to those who have nothing to choose from."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.permission_policy.user_has_any_permission(request.user, {"add", "view"}):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get_object_list(self) -> QuerySet:
        return self.get_owned_rows()

    def get_object(self, pk: str) -> Model:
        return self.get_owned_row(pk)

    def get_objects(self, pks: list[str]) -> QuerySet:
        return self.get_owned_rows().filter(pk__in=usable_keys(pks))


class OwnedCreationFormMixin:
    def get_creation_form_kwargs(self) -> dict[str, Any]:
        owned = self.model(owner=self.request.user)
        return {**super().get_creation_form_kwargs(), "instance": owned}


class SearchForm(BaseFilterForm):
    q = forms.CharField(
        label=_("Search"),
        required=False,
        widget=forms.TextInput(attrs={"placeholder": _("Search")}),
    )

    def filter(self, rows: QuerySet) -> QuerySet:
        self.search_query = self.cleaned_data["q"]
        self.is_searching = bool(self.search_query)
        return search_rows(rows, ["title"], self.search_query)


class OwnedChooseView(OwnedCreationFormMixin, OwnedChooserMixin, chooser.ChooseView):
    filter_form_class = SearchForm


class OwnedChooseResultsView(OwnedCreationFormMixin, OwnedChooserMixin, chooser.ChooseResultsView):
    filter_form_class = SearchForm


class OwnedChosenView(OwnedChooserMixin, chooser.ChosenView):
    pass


class OwnedChosenMultipleView(OwnedChooserMixin, chooser.ChosenMultipleView):
    pass


class OwnedChooserCreateView(OwnedCreationFormMixin, OwnedChooserMixin, chooser.CreateView):
    """Make a row that belongs to the current user, from within a chooser."""
