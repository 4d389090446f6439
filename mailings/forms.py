"""Forms of what users keep: own rows only, and every complaint beside the field it is about."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from wagtail.admin.forms.models import WagtailAdminModelForm

from mailings.models import OwnedQuerySet


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
