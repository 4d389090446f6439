"""Register the categories and authors of the blog, and the report of its views, in the admin."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern, path, re_path, reverse
from django.utils.translation import gettext_lazy as _
from wagtail import hooks
from wagtail.admin.auth import user_has_any_page_permission
from wagtail.admin.menu import MenuItem
from wagtail.rich_text.feature_registry import FeatureRegistry
from wagtail.snippets.models import register_snippet
from wagtail.snippets.views.chooser import SnippetChooserViewSet
from wagtail.snippets.views.snippets import SnippetViewSet, SnippetViewSetGroup

from blog.links import DocumentLink, PageLink
from blog.reports import PostViewsReport, ViewsReport
from blog.snippets import Author, Category


class ChooserViewSet(SnippetChooserViewSet):
    """A chooser that makes nothing: it has no form for it, and Wagtail's address for it fails."""

    def get_urlpatterns(self) -> list[Any]:
        return [one for one in super().get_urlpatterns() if one.name != "create"]


class FiledViewSet(SnippetViewSet):
    chooser_viewset_class = ChooserViewSet
    search_fields = ["name"]
    copy_view_enabled = False


class CategoryViewSet(FiledViewSet):
    model = Category
    icon = "folder-open-inverse"
    list_display = ["name", "slug"]


class AuthorViewSet(FiledViewSet):
    model = Author
    icon = "user"
    list_display = ["name", "role"]


@register_snippet
class FilingGroup(SnippetViewSetGroup):
    items = [CategoryViewSet, AuthorViewSet]
    menu_label = _("Blog")
    menu_name = "blog"
    menu_icon = "doc-full-inverse"
    menu_order = 250


# --- Views ------------------------------------------------------------------------------------


class ViewsMenuItem(MenuItem):
    def is_shown(self, request: HttpRequest) -> bool:
        return user_has_any_page_permission(request.user)


@hooks.register("register_reports_menu_item")
def add_views_report() -> MenuItem:
    return ViewsMenuItem(
        _("Views"), reverse("views_report"), name="views", icon_name="view", order=100
    )


@hooks.register("register_admin_urls")
def add_views_urls() -> list[URLPattern]:
    whole, one = ViewsReport.as_view, PostViewsReport.as_view
    return [
        path("reports/views/", whole(), name="views_report"),
        path("reports/views/results/", whole(results_only=True), name="views_report_results"),
        # No more digits than a key has.
        re_path(r"^reports/views/(?P<pk>[0-9]{1,9})/$", one(), name="post_views_report"),
        re_path(
            r"^reports/views/(?P<pk>[0-9]{1,9})/results/$",
            one(results_only=True),
            name="post_views_report_results",
        ),
    ]


# After Wagtail's own, whose place it takes.
@hooks.register("register_rich_text_features", order=1)
def link_at_once(features: FeatureRegistry) -> None:
    features.register_link_type(PageLink)
    features.register_link_type(DocumentLink)
