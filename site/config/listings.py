"""What every listing of the admin has in common: search, order, paging, export."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext
from wagtail.admin.paginator import WagtailPaginator

LONGEST_QUERY, MOST_WORDS = 200, 10


def search_rows(rows: QuerySet, fields: Iterable[str], query: str) -> QuerySet:
    """Keep the rows of which every word of the query stands in one of the fields, in any case.

    A regular expression, because SQLite's LIKE knows the case of Latin letters only. What is
    longer than any search is cut: each word makes the statement deeper, and SQLite refuses one of
    a thousand levels.
    """
    for word in query[:LONGEST_QUERY].split()[:MOST_WORDS]:
        found = Q()
        for field in fields:
            found |= Q(**{f"{field}__iregex": re.escape(word)})
        rows = rows.filter(found)
    return rows


def defuse(value: Any) -> Any:
    """Return a cell's value so that no spreadsheet program takes it for a formula, nor refuses
    it for a control character."""
    if not isinstance(value, str):
        return value
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


class CountingPaginator(WagtailPaginator):
    """Say how many rows there are in words that no language has to decline."""

    @property
    def items_count_label(self) -> str:
        return gettext("In all: %(number)s") % {"number": intcomma(self.count)}


class ListingMixin:
    """For Wagtail's listings; goes before them in the list of bases."""

    paginator_class = CountingPaginator
    # Times are exported as the reader sees them on the page: in their own zone.
    custom_value_preprocess = {
        datetime.datetime: {
            "xlsx": timezone.make_naive,
            "csv": lambda value: timezone.localtime(value).isoformat(" ", "minutes"),
        },
    }

    def order_queryset(self, queryset: QuerySet) -> QuerySet:
        """Sort equal rows by their key, so that no row is on two pages or on none."""
        rows = super().order_queryset(queryset)
        return rows.order_by(*(rows.query.order_by or rows.model._meta.ordering), "-pk")

    def search_queryset(self, queryset: QuerySet) -> QuerySet:
        return search_rows(queryset, self.search_fields or (), self.search_query)

    def preprocess_field_value(self, field: str, value: Any, export_format: str) -> Any:
        return defuse(super().preprocess_field_value(field, value, export_format))
