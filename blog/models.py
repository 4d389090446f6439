"""The blog: a list of posts, and posts that count their readers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from config.page_cache import CachedPageMixin, is_for_everybody
from django.core.paginator import InvalidPage, Paginator
from django.core.paginator import Page as PageOfPosts
from django.db import models
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import escape
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from wagtail.admin.panels import FieldPanel
from wagtail.fields import StreamField
from wagtail.models import Page, PageManager
from wagtail.query import PageQuerySet
from wagtail.search import index

from blog.blocks import ArticleBlock

# Stands in the cached page where the number of views goes, which is new with every view.
VIEWS_MARK = mark_safe("<!--views-->")


class CounterField(models.PositiveIntegerField):
    """A number that only `update()` moves.

    Saving a row leaves it as the database has it. Otherwise every publication would put back
    the number that the revision was written with.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return super().pre_save(model_instance, add) if add else F(self.attname)


class BlogIndexPage(CachedPageMixin, Page):
    lead = models.TextField(_("lead"), blank=True, max_length=500)

    posts_per_page = 9
    max_count = 1
    parent_page_types = ["home.HomePage"]
    subpage_types = ["blog.BlogPage"]
    content_panels = [*Page.content_panels, "lead"]
    template = "blog/index.html"

    class Meta:
        verbose_name = _("blog")

    def get_cache_key(self, request: HttpRequest) -> str:
        # A number that is none ends in a 404, which is not kept.
        return f"{super().get_cache_key(request)}:{quote(request.GET.get('page', '1'))}"

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        posts = self.get_page_of_posts(request.GET.get("page", "1"))
        return {**super().get_context(request, *args, **kwargs), "posts": posts}

    def get_page_of_posts(self, number: str) -> PageOfPosts:
        posts = BlogPage.objects.child_of(self).published().with_pictures()
        try:
            return Paginator(posts, self.posts_per_page).page(number)
        except InvalidPage as error:
            raise Http404(str(error)) from error


class BlogPageQuerySet(PageQuerySet):
    def published(self) -> BlogPageQuerySet:
        """Return what every stranger may read, newest first."""
        return self.live().public().order_by("-published_on", "-pk")

    def with_pictures(self) -> BlogPageQuerySet:
        return self.select_related("image").prefetch_related("image__renditions")


class BlogPage(CachedPageMixin, Page):
    lead = models.TextField(
        _("lead"), max_length=500, help_text=_("One or two sentences, also shown in lists.")
    )
    body = StreamField(ArticleBlock(), verbose_name=_("body"))
    image = models.ForeignKey(
        "wagtailimages.Image",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("image"),
    )
    published_on = models.DateField(_("publication date"), default=timezone.localdate)
    view_count = CounterField(_("views"), default=0, editable=False)

    objects = PageManager.from_queryset(BlogPageQuerySet)()

    parent_page_types = ["blog.BlogIndexPage"]
    subpage_types: list[str] = []
    exclude_fields_in_copy = ["view_count"]
    template = "blog/post.html"
    content_panels = [
        *Page.content_panels,
        "lead",
        "image",
        "body",
        "published_on",
        FieldPanel("view_count", read_only=True),
    ]
    search_fields = [
        *Page.search_fields,
        index.SearchField("lead"),
        index.SearchField("body"),
    ]

    class Meta:
        verbose_name = _("blog post")
        verbose_name_plural = _("blog posts")

    @property
    def views(self) -> str:
        """Return the number of views in words."""
        return ngettext("%(number)s view", "%(number)s views", self.view_count) % {
            "number": number_format(self.view_count, force_grouping=True)
        }

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        views = VIEWS_MARK if is_for_everybody(request) else self.views
        return {**super().get_context(request, *args, **kwargs), "views": views}

    def serve(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.count_view(request)
        response = super().serve(request, *args, **kwargs)
        if is_for_everybody(request):
            views = escape(self.views).encode()
            response.content = response.content.replace(VIEWS_MARK.encode(), views)
        return response

    def count_view(self, request: HttpRequest) -> None:
        """Count one more view, unless nobody reads (HEAD, prefetch) or an editor looks."""
        prefetch = "prefetch" in request.headers.get("Sec-Purpose", "")
        if request.method != "GET" or prefetch or self.is_edited_by(request):
            return
        BlogPage.objects.filter(pk=self.pk).update(view_count=F("view_count") + 1)
        self.view_count += 1

    def is_edited_by(self, request: HttpRequest) -> bool:
        user = request.user
        return user.is_authenticated and self.permissions_for_user(user).can_edit()
