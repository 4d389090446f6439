"""The form in which editors write a post."""

from __future__ import annotations

from typing import Any

from wagtail.admin.forms import WagtailAdminPageForm


class BlogPageForm(WagtailAdminPageForm):
    """Offer the categories of the language of the post."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        categories = self.fields.get("categories")
        if categories:
            locale = self.instance.locale_id or self.parent_page.locale_id
            categories.queryset = categories.queryset.filter(locale=locale)
