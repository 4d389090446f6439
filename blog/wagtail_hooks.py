"""Register the categories and authors of the blog in the admin."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from wagtail.snippets.models import register_snippet
from wagtail.snippets.views.snippets import SnippetViewSet, SnippetViewSetGroup

from blog.snippets import Author, Category


class CategoryViewSet(SnippetViewSet):
    model = Category
    icon = "folder-open-inverse"
    list_display = ["name", "slug"]
    search_fields = ["name"]
    copy_view_enabled = False


class AuthorViewSet(SnippetViewSet):
    model = Author
    icon = "user"
    list_display = ["name", "role"]
    search_fields = ["name"]
    copy_view_enabled = False


@register_snippet
class FilingGroup(SnippetViewSetGroup):
    items = [CategoryViewSet, AuthorViewSet]
    menu_label = _("Blog")
    menu_name = "blog"
    menu_icon = "doc-full-inverse"
    menu_order = 250
