"""Who reads what: views by post, and of a post by day, for those who write."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import django_filters
from config.addresses import absolute
from config.listings import ListingMixin
from django.db.models import F, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, TruncMonth
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from wagtail.admin.auth import permission_denied, user_has_any_page_permission
from wagtail.admin.filters import DateRangePickerWidget, WagtailFilterSet
from wagtail.admin.ui.tables import Column, NumberColumn, TitleColumn
from wagtail.admin.views.reports import ReportView
from wagtail.admin.widgets.button import HeaderButton
from wagtail.models import Locale

from blog.models import BlogPage
from blog.readings.models import DailyViews, today

DAYS = 30  # that are shown where no others are asked for
EARLIEST = datetime.date(2000, 1, 1)  # no view is older, and counting back from it works
LONGEST = 3660  # days that one chart shows
MOST_BARS = 92  # days; what is longer is shown by months


# --- The chart --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Period:
    start: datetime.date
    end: datetime.date

    @classmethod
    def chosen(cls, bounds: slice | None) -> Period:
        """Return what the form says, with the last days for what it leaves open."""
        start, end = (getattr(bounds, name, None) for name in ("start", "stop"))
        end = as_day(end) or max(today(), as_day(start) or today())
        end = max(end, EARLIEST)
        start = as_day(start) or end - datetime.timedelta(days=DAYS - 1)
        start, end = min(start, end), max(start, end)
        return cls(max(start, end - datetime.timedelta(days=LONGEST)), end)

    @property
    def is_long(self) -> bool:
        return (self.end - self.start).days >= MOST_BARS

    def units(self) -> list[datetime.date]:
        """Return the days, or the first days of the months, from start to end."""
        if not self.is_long:
            length = (self.end - self.start).days + 1
            return [self.start + datetime.timedelta(days=number) for number in range(length)]
        months = range(
            self.start.year * 12 + self.start.month - 1, self.end.year * 12 + self.end.month
        )
        return [datetime.date(month // 12, month % 12 + 1, 1) for month in months]


def as_day(value: datetime.date | None) -> datetime.date | None:
    return value.date() if isinstance(value, datetime.datetime) else value


@dataclass(frozen=True)
class Bar:
    label: str
    views: int
    x: int
    height: int  # in hundredths of the highest

    @property
    def y(self) -> int:
        return 100 - self.height


def draw(period: Period, rows: QuerySet[DailyViews]) -> dict[str, Any]:
    """Return what the chart shows: views by day, or by month where the period is long."""
    rows = rows.filter(day__range=(period.start, period.end)).order_by()
    unit = TruncMonth("day") if period.is_long else F("day")
    sums = dict(rows.annotate(unit=unit).values_list("unit").annotate(number=Sum("views")))
    style = "YEAR_MONTH_FORMAT" if period.is_long else "SHORT_DATE_FORMAT"
    highest = max(sums.values(), default=0)
    bars = [
        Bar(
            date_format(day, style),
            sums.get(day, 0),
            number * 10,
            -(-100 * sums.get(day, 0) // highest) if highest else 0,
        )
        for number, day in enumerate(period.units())
    ]
    return {
        "bars": bars,
        "width": 10 * len(bars),
        "highest": highest,
        "total": sum(sums.values()),
        "by_month": period.is_long,
        "first": bars[0].label,
        "last": bars[-1].label,
    }


# --- The reports ------------------------------------------------------------------------------


class ForEditors:
    """A report for everybody who has a part in the pages of the site."""

    header_icon = "view"
    results_template_name = "blog/views_results.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not user_has_any_page_permission(request.user):
            return permission_denied(request)
        return super().dispatch(request, *args, **kwargs)

    @cached_property
    def period(self) -> Period:
        form = self.filters.form
        return Period.chosen(form.cleaned_data.get("day") if form.is_valid() else None)


class DayFilterSet(WagtailFilterSet):
    day = django_filters.DateFromToRangeFilter(
        label=_("Days"), widget=DateRangePickerWidget, method="leave"
    )

    def leave(self, rows: QuerySet, name: str, value: slice) -> QuerySet:
        """Keep all posts: the days say of which views the sums are."""
        return rows


class PostFilterSet(DayFilterSet):
    locale = django_filters.ModelChoiceFilter(
        label=_("Language"), queryset=Locale.objects.all(), empty_label=_("All")
    )

    class Meta:
        model = BlogPage
        fields: list[str] = []


class ViewsReport(ForEditors, ListingMixin, ReportView):
    """Views of all posts in some days."""

    model = BlogPage
    page_title = _("Views")
    index_url_name = "views_report"
    index_results_url_name = "views_report_results"
    filterset_class = PostFilterSet
    is_searchable = True
    search_fields = ["title"]
    default_ordering = "-period_views"
    export_filename = "views"
    list_export = ["title", "locale", "published_on", "period_views", "view_count", "address"]
    export_headings = {
        "title": _("Title"),
        "locale": _("Language"),
        "period_views": _("Views in these days"),
        "view_count": _("Views in all"),
        "address": _("Address"),
    }
    columns = [
        TitleColumn("title", label=_("Title"), url_name="post_views_report", sort_key="title"),
        NumberColumn("period_views", label=_("Views in these days"), sort_key="period_views"),
        NumberColumn("view_count", label=_("Views in all"), sort_key="view_count"),
        Column("locale", label=_("Language")),
        Column(
            "published_on",
            label=_("Published"),
            accessor=lambda post: date_format(post.published_on, "SHORT_DATE_FORMAT"),
            sort_key="published_on",
        ),
    ]

    def get_base_queryset(self) -> QuerySet[BlogPage]:
        sums = (
            DailyViews.objects.filter(post=OuterRef("pk"))
            .filter(day__range=(self.period.start, self.period.end))
            .order_by()
            .values("post")
            .annotate(number=Sum("views"))
            .values("number")
        )
        posts = BlogPage.objects.filter(first_published_at__isnull=False).defer_streamfields()
        return posts.select_related("locale").annotate(
            period_views=Coalesce(Subquery(sums, output_field=IntegerField()), 0)
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = self.object_list.order_by().values("pk")
        rows = DailyViews.objects.all()
        if self.is_filtering or self.is_searching:
            rows = rows.filter(post__in=found)
        return {**super().get_context_data(**kwargs), "chart": draw(self.period, rows)}

    def get_filtered_queryset(self) -> QuerySet[BlogPage]:
        posts = super().get_filtered_queryset()
        if self.is_export:
            for post in posts:
                post.address = absolute(post.url or "")
        return posts


class PostFilterByDay(WagtailFilterSet):
    class Meta:
        model = DailyViews
        fields = ["day"]


class PostViewsReport(ForEditors, ListingMixin, ReportView):
    """Views of one post, day by day."""

    model = DailyViews
    page_title = _("Views")
    filterset_class = PostFilterByDay
    default_ordering = "-day"
    export_filename = "views-of-a-post"
    list_export = ["day", "views"]
    columns = [
        Column(
            "day",
            label=capfirst(_("day")),
            accessor=lambda row: date_format(row.day, "DATE_FORMAT"),
            sort_key="day",
        ),
        NumberColumn("views", label=_("Views"), sort_key="views"),
    ]

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.post_id = kwargs["pk"]

    @cached_property
    def shown(self) -> BlogPage:
        post = get_object_or_404(BlogPage.objects.defer_streamfields(), pk=self.post_id)
        if post.first_published_at is None and not self.can_edit(post):
            raise Http404("Nobody has published this.")
        return post

    def can_edit(self, post: BlogPage) -> bool:
        return post.permissions_for_user(self.request.user).can_edit()

    def get_index_url(self) -> str:
        return reverse("post_views_report", args=[self.post_id])

    def get_index_results_url(self) -> str:
        return reverse("post_views_report_results", args=[self.post_id])

    def get_page_subtitle(self) -> str:
        return self.shown.title

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [
            *self.breadcrumbs_items,
            {"url": reverse("views_report"), "label": self.page_title},
            {"url": "", "label": self.shown.title},
        ]

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        if not self.can_edit(self.shown):
            return []
        address = reverse("wagtailadmin_pages:edit", args=[self.post_id])
        return [HeaderButton(_("Edit"), url=address, icon_name="edit")]

    def get_base_queryset(self) -> QuerySet[DailyViews]:
        return self.shown.daily_views.all()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        chart = draw(self.period, self.shown.daily_views.all())
        return {**super().get_context_data(**kwargs), "chart": chart}
