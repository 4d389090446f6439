"""The forms in which editors write and copy a post."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from wagtail.admin.forms import WagtailAdminPageForm
from wagtail.admin.forms.pages import CopyForm

from blog.readings.models import today

BLOG_SLUG = "blog"  # So templates have it, without a query.


class BlogIndexForm(WagtailAdminPageForm):
    """Refuse another address: the header and footer of every page lead to this one."""

    def clean_slug(self) -> str:
        if self.cleaned_data["slug"] not in ("", BLOG_SLUG):
            words = _("The blog keeps its address “%(slug)s”: every page of the site links to it.")
            raise ValidationError(words % {"slug": BLOG_SLUG})
        return BLOG_SLUG


class BlogPageForm(WagtailAdminPageForm):
    """Offer the categories of the language of the post, and refuse a day to come.

    The model does not refuse it: posts that once got such a day must be saved and moved.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        categories = self.fields.get("categories")
        if categories:
            locale = self.instance.locale_id or self.parent_page.locale_id
            categories.queryset = categories.queryset.filter(locale=locale)

    def clean_published_on(self) -> date | None:
        day = self.cleaned_data["published_on"]
        if day and day > today():
            words = _(
                "This day is yet to come. To publish the post later, leave the day as it is "
                "and set a schedule under “Status”."
            )
            raise ValidationError(words)
        return day


class CopyPostForm(CopyForm):
    """Refuse for a copy or an alias the addresses that are refused for a post."""

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self.page.specific_class.refuse_own_addresses("new_slug", data.get("new_slug", ""))
        return data
