"""Form fields in Bootstrap's clothes."""

from __future__ import annotations

from django import forms, template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()

CLASSES = (
    (forms.CheckboxInput, "form-check-input"),
    (forms.Select, "form-select"),
    (forms.Widget, "form-control"),
)


@register.filter
def control(field: BoundField) -> SafeString:
    """Render a field's widget with the class that Bootstrap expects."""
    widget = field.field.widget
    name = next(name for kind, name in CLASSES if isinstance(widget, kind))
    attrs = {"class": f"{name} is-invalid" if field.errors else name}
    # The label says what a field is; a placeholder would only repeat it.
    if "placeholder" in widget.attrs:
        attrs["placeholder"] = ""
    return field.as_widget(attrs=attrs)


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return isinstance(field.field.widget, forms.CheckboxInput)
