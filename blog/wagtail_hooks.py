"""Register the categories and authors of the blog in the admin."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from wagtail import hooks
from wagtail.rich_text.feature_registry import FeatureRegistry
from wagtail.snippets.models import register_snippet
from wagtail.snippets.views.chooser import SnippetChooserViewSet
from wagtail.snippets.views.snippets import SnippetViewSet, SnippetViewSetGroup

from blog.links import PageLink
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


# After Wagtail's own, whose place it takes.
@hooks.register("register_rich_text_features", order=1)
def link_pages_at_once(features: FeatureRegistry) -> None:
    features.register_link_type(PageLink)
