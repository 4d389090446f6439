"""The forms in which editors write and copy a post."""

from __future__ import annotations

from typing import Any

from wagtail.admin.forms import WagtailAdminPageForm
from wagtail.admin.forms.pages import CopyForm


class BlogPageForm(WagtailAdminPageForm):
    """Offer the categories of the language of the post."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        categories = self.fields.get("categories")
        if categories:
            locale = self.instance.locale_id or self.parent_page.locale_id
            categories.queryset = categories.queryset.filter(locale=locale)


class CopyPostForm(CopyForm):
    """Refuse for a copy or an alias the addresses that are refused for a post."""

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.page.specific_class.refuse_own_addresses("new_slug", data.get("new_slug", ""))
        return data
