"""The blog: lists of posts, and posts that count their readers."""

from __future__ import annotations

import random
from typing import Any

from config import structured_data
from config.addresses import absolute
from config.page_cache import is_for_everybody, keep
from config.public_pages import PublicPageMixin, PublicPageQuerySet
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.paginator import InvalidPage, Paginator
from django.core.paginator import Page as PageOfPosts
from django.db import models
from django.db.models import (
    Count,
    Exists,
    F,
    OuterRef,
    Subquery,
    prefetch_related_objects,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.forms import CheckboxSelectMultiple
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey, ParentalManyToManyField
from taggit.models import Tag, TaggedItemBase
from wagtail.admin.panels import FieldPanel, InlinePanel, MultiFieldPanel, PageChooserPanel
from wagtail.contrib.routable_page.models import RoutablePageMixin, path, re_path
from wagtail.fields import StreamField
from wagtail.images.shortcuts import get_rendition_or_not_found
from wagtail.models import Orderable, Page, PageManager
from wagtail.search import index

from blog import feeds, search
from blog.blocks import ArticleBlock
from blog.dating import date_first_publication
from blog.forms import BlogIndexForm, BlogPageForm, CopyPostForm
from blog.loading import images_of, load_listed_sizes, load_sizes
from blog.paging import PostsByKey
from blog.readings.models import DailyViews, Reading, Salt, today
from blog.snippets import Author, Category, Filed
from blog.text import collect_text, count_minutes

RELATED = 3
LIKEST = ("-alike", "-published_on", "-pk")
# Models of this app that have files of their own.
__all__ = ["Author", "Category", "DailyViews", "Reading", "Salt"]
FRESH = 100  # of the newest posts, among which related ones are looked for


def random_place() -> float:
    return random.random()


def count_rows(rows: models.QuerySet, of: str) -> Combinable:
    """Return, within a query, how many rows of a subquery belong to the row outside."""
    counted = rows.order_by().values(of).annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted), 0)


def some_row(rows: models.QuerySet) -> Combinable:
    """Return, within a query, the key of any of these rows, to ask whether there is one.

    The database stops at the first. For Exists() PostgreSQL may go through all posts.
    """
    return Subquery(rows.order_by().values("pk")[:1])


class CounterField(models.PositiveIntegerField):
    """A number that only `update()` moves.

    Saving a row leaves it as the database has it. Otherwise every publication would put back
    the number that the revision was written with.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return super().pre_save(model_instance, add) if add else F(self.attname)


# --- Lists --------------------------------------------------------------------------------------


class BlogIndexPage(PublicPageMixin, RoutablePageMixin, Page):
    lead = models.TextField(_("lead"), blank=True, max_length=500)

    objects = PageManager.from_queryset(PublicPageQuerySet)()

    posts_per_page = 9
    max_count_per_parent = 1
    parent_page_types = ["home.HomePage"]
    subpage_types = ["blog.BlogPage"]
    content_panels = [*Page.content_panels, "lead"]
    base_form_class = BlogIndexForm
    template = "blog/index.html"

    class Meta:
        verbose_name = _("blog")

    # Addresses beneath the blog's own, whose first parts no post can have.

    OWN_ADDRESSES = ("category", "author", "tag", "search", "feed")

    def find_child(self, slug: str) -> Page | None:
        return None if slug in self.OWN_ADDRESSES else super().find_child(slug)

    @path("")
    def all_posts(self, request: HttpRequest) -> HttpResponse:
        return self.render_list(request, self.get_posts(), "")

    @path("category/<slug:slug>/")
    def posts_in_category(self, request: HttpRequest, slug: str) -> HttpResponse:
        category = self.find_filed_or_404(Category, slug)
        filed = BlogPage.categories.through.objects.filter(
            category__translation_key=category.translation_key
        )
        posts = self.get_posts(filed.values("blogpage"))
        return self.render_list(request, posts, "category", category)

    @path("author/<slug:slug>/")
    def posts_by_author(self, request: HttpRequest, slug: str) -> HttpResponse:
        author = self.find_filed_or_404(Author, slug)
        written = BlogPage.objects.filter(author__translation_key=author.translation_key)
        posts = self.get_posts(written.order_by().values("pk"))
        return self.render_list(request, posts, "author", author)

    @re_path(r"^tag/(?P<slug>[-\w]+)/$")
    def posts_with_tag(self, request: HttpRequest, slug: str) -> HttpResponse:
        tag = get_object_or_404(Tag, slug=slug)
        return self.render_list(request, self.get_posts_with(tag), "tag", tag)

    @path("search/")
    def found_posts(self, request: HttpRequest) -> HttpResponse:
        query = search.clean(request.GET.get("q", ""))
        # With the text, from which the excerpts are cut.
        cards = BlogPage.objects.for_cards()
        found = search.Found(BlogPage.list_pages_of(self), cards, query) if query else []
        posts = self.get_page_of(found, request.GET.get("page", "1"))
        load_listed_sizes(post.image for post in posts)
        search.add_excerpts(posts, query)
        return self.render(
            request,
            template="blog/search.html",
            context_overrides={
                "query": query,
                "posts": posts,
                "too_common": bool(query) and found.are_too_common,
                # Search engines shall not have what was typed, and nobody passes it on.
                **dict.fromkeys(["canonical", "alternates", "share", "structured"]),
            },
        )

    @path("feed/")
    def rss(self, request: HttpRequest) -> HttpResponse:
        return feeds.rss(self)

    @path("feed/atom/")
    def atom(self, request: HttpRequest) -> HttpResponse:
        return feeds.atom(self)

    def get_posts(self, filed: models.QuerySet | None = None) -> PostsByKey:
        """Return the posts that strangers may read, or those of them whose keys a query finds."""
        return PostsByKey(BlogPage.list_pages_of(self), BlogPage.objects.for_lists(), filed)

    def get_posts_with(self, tag: Tag) -> PostsByKey:
        return self.get_posts(PostTag.objects.filter(tag=tag).values("content_object"))

    def get_newest(self, number: int) -> list[BlogPage]:
        """Return the newest posts with their authors."""
        cards = BlogPage.objects.for_lists().select_related("author")
        return PostsByKey(BlogPage.list_pages_of(self), cards)[:number]

    def render_list(
        self, request: HttpRequest, posts: PostsByKey, kind: str, thing: Any = None
    ) -> HttpResponse:
        page_of_posts = self.get_page_of(posts, request.GET.get("page", "1"))
        # A tag or an author without posts has no page; an empty blog says that it is empty.
        if kind in {"tag", "author"} and not page_of_posts.paginator.count:
            raise Http404("Nothing is filed under this.")
        load_listed_sizes([*(post.image for post in page_of_posts), getattr(thing, "photo", None)])
        address = self.get_list_address(kind, thing)
        number = page_of_posts.number
        lists = {
            "posts": page_of_posts,
            "kind": kind,
            "thing": thing,
            "categories": self.get_categories(),
            "canonical": absolute(address) + (f"?page={number}" if number > 1 else ""),
        }
        if kind:
            lists |= self.describe_list(kind, thing)
        if number > 1:
            # The same page in another language holds other posts, if it is there at all.
            lists["alternates"] = {}
        return self.render(request, context_overrides=lists)

    def get_page_of(self, posts: Any, number: str) -> PageOfPosts:
        try:
            page = Paginator(posts, self.posts_per_page).page(number)
        except InvalidPage as error:
            raise Http404(str(error)) from error
        page.numbers = list(page.paginator.get_elided_page_range(page.number, on_each_side=1))
        return page

    def get_list_address(self, kind: str, thing: Any) -> str:
        return f"{self.url}{kind}/{thing.slug}/" if kind else self.url

    def get_categories(self) -> models.QuerySet[Category]:
        """Return the categories that have something to read."""
        posts = BlogPage.objects.live().open_to_all().filter(categories=OuterRef("pk"))
        here = Category.objects.filter(locale=self.locale_id)
        return here.alias(post=some_row(posts)).filter(post__isnull=False)

    def describe_list(self, kind: str, thing: Any) -> dict[str, Any]:
        """Return what the head of a list says of it, instead of what it says of the whole blog."""
        title = f"#{thing.name}" if kind == "tag" else thing.name
        own_words = [getattr(thing, name, "") for name in ("lead", "about", "role")]
        general = gettext("All posts: %(name)s") % {"name": title}
        address = absolute(self.get_list_address(kind, thing))
        alternates = self.find_list_alternates(kind, thing)
        return {
            "alternates": alternates,
            "x_default": alternates.get(settings.LANGUAGE_CODE, address),
            "share": {
                **self.share,
                "title": title,
                "description": next(filter(None, own_words), general),
            },
            "structured": self.describe_for_search_engines((title, address)),
        }

    # Translations of such addresses.

    def find_list_alternates(self, kind: str, thing: Any) -> dict[str, str]:
        languages = self.public_translations
        found = {code: self.find_list_in(code, kind, thing) for code in languages}
        found = {code: absolute(address) for code, address in found.items() if address}
        return dict(sorted(found.items())) if len(found) > 1 else {}

    def find_list_in(self, language: str, kind: str, thing: Any) -> str | None:
        blog = self.public_translations[language]
        if blog.pk == self.pk:
            return self.get_list_address(kind, thing)
        there = thing.listed.get(blog.locale_id) if isinstance(thing, Filed) else None
        return blog.get_list_address(kind, there) if there else None

    def find_filed(self, model: type[Filed], slug: str) -> Filed | None:
        """Return a category or an author by the address of the list here, by one query.

        It knows by locale which of its translations have a list (`listed`).
        """
        here = model.objects.filter(locale=self.locale_id, slug=slug)
        things = model.objects.filter(translation_key__in=here.values("translation_key"))
        if model is Author:
            # Without any posts an author has no list.
            things = things.select_related("photo").annotate(some_post=self.find_post_by_author())
        things = {thing.locale_id: thing for thing in things}
        found = things.get(self.locale_id)
        if found:
            found.listed = {
                locale: thing
                for locale, thing in things.items()
                if getattr(thing, "some_post", True)
            }
        return found

    @staticmethod
    def find_post_by_author() -> Combinable:
        """Return, within a query of authors, some post of each in the language of its row.

        A post may name the same author as written down in another language. It is looked for last:
        there may be many posts in that language, to look through for one in this.
        """
        posts = BlogPage.objects.live().open_to_all().filter(locale=OuterRef("locale"))
        own = posts.filter(author=OuterRef("pk"))
        others = posts.filter(author__translation_key=OuterRef("translation_key"))
        return Coalesce(some_row(own), some_row(others))

    def find_filed_or_404(self, model: type[Filed], slug: str) -> Filed:
        found = self.find_filed(model, slug)
        if found is None:
            raise Http404("Nothing is filed here.")
        return found

    def get_address_in(self, language: str, *route: Any) -> str | None:
        """Return the same list in another language, else the whole blog in it."""
        address = super().get_address_in(language)
        if address is None or not route:
            return address
        view, _args, kwargs = route
        if view.__name__ == "found_posts":
            return f"{address}search/"
        if view.__name__ == "posts_with_tag":
            blog = self.public_translations[language]
            tag = Tag.objects.filter(**kwargs).first()
            is_there = tag and blog.get_posts_with(tag).count()
            return blog.get_list_address("tag", tag) if is_there else address
        models_by_view = {"posts_in_category": Category, "posts_by_author": Author}
        model = models_by_view.get(view.__name__)
        thing = model and self.find_filed(model, **kwargs)
        kind = "category" if model is Category else "author"
        return (thing and self.find_list_in(language, kind, thing)) or address

    # What is kept for strangers.

    kept_by = ["page"]

    def serve(
        self,
        request: HttpRequest,
        view: Any = None,
        args: Any = None,
        kwargs: Any = None,
    ) -> HttpResponse:
        name = getattr(view, "__name__", "")
        if name not in {"found_posts", "rss", "atom"}:
            return super().serve(request, view, args, kwargs)
        response = view(request, *(args or []), **(kwargs or {}))
        # Nobody asks twice for the same words.
        is_kept = name != "found_posts" and is_for_everybody(request)
        return keep(response) if is_kept else response

    def find_lists_of(self, post: BlogPage) -> list[str]:
        """Return the addresses of the lists, and the feeds, that show a post."""
        kinds = [("category", thing) for thing in post.categories.all()]
        kinds += [("tag", tag) for tag in post.tags.all()]
        kinds += [("author", post.listed_author)] if post.listed_author else []
        feeds = [f"{self.url}feed/", f"{self.url}feed/atom/"]
        return [*feeds, *(self.get_list_address(*kind) for kind in kinds)]


# --- Posts --------------------------------------------------------------------------------------


class BlogPageQuerySet(PublicPageQuerySet):
    def published(self) -> BlogPageQuerySet:
        """Return what every stranger may read, newest first."""
        return self.live().open_to_all().newest_first()

    def among(self, pages: PublicPageQuerySet) -> BlogPageQuerySet:
        """Return the posts whose pages these are.

        Sorted by an index, the database looks along it at one page after the other, and reads of
        the posts, whose rows are long, but what the index holds.
        """
        return self.filter(Exists(pages.filter(pk=OuterRef("pk"))))

    def newest_first(self) -> BlogPageQuerySet:
        return self.order_by("-published_on", "-pk")

    def load(self, keys: list[int]) -> list[BlogPage]:
        """Return posts in the order of their keys, as far as strangers may still read them."""
        found = self.open_now().in_bulk(keys)
        return [found[key] for key in keys if key in found]

    def for_cards(self) -> BlogPageQuerySet:
        """Load what a card shows, but for the sizes of images (loading.py)."""
        return self.select_related("image").prefetch_related("categories")

    def for_lists(self) -> BlogPageQuerySet:
        """Load what a card shows, and not the text."""
        return self.for_cards().defer_streamfields()

    def some_keys(self, number: int) -> list[int]:
        """Return the keys of a few posts at random, by a search in an index, however many.

        From a random place on; where few lie behind it, as many as are missing from the start.
        """
        place = random_place()
        keys = self.order_by("shuffle").values("pk")
        parts = [keys.filter(shuffle__gte=place)[:number], keys.filter(shuffle__lt=place)[:number]]
        rows = self.model.objects.order_by().values_list("pk", "shuffle")
        behind, start = (rows.filter(pk__in=part) for part in parts)
        found = sorted(behind.union(start), key=lambda row: (row[1] < place, row[1]))
        return [key for key, _shuffle in found[:number]]


class PostTag(TaggedItemBase):
    content_object = ParentalKey(
        "blog.BlogPage", on_delete=models.CASCADE, related_name="tagged_items"
    )


class BlogPage(PublicPageMixin, Page):
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
        help_text=_("Stands above the text, in lists and where the post is shared."),
    )
    published_on = models.DateField(
        _("publication date"),
        default=today,
        help_text=_("Unless you change it, the day on which the post is first published."),
    )
    author = models.ForeignKey(
        Author,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="posts",
        db_index=False,  # There is `posts_by_author`.
        verbose_name=_("author"),
    )
    categories = ParentalManyToManyField(
        Category, blank=True, related_name="posts", verbose_name=_("categories")
    )
    tags = ClusterTaggableManager(through=PostTag, blank=True, verbose_name=_("tags"))
    reading_minutes = models.PositiveSmallIntegerField(
        _("minutes to read"), default=1, editable=False
    )
    view_count = CounterField(_("views"), default=0, editable=False)
    # Where the post stands in the order from which the home page picks at random.
    shuffle = models.FloatField(default=random_place, editable=False)

    objects = PageManager.from_queryset(BlogPageQuerySet)()

    base_form_class = BlogPageForm
    copy_form_class = CopyPostForm
    parent_page_types = ["blog.BlogIndexPage"]
    subpage_types: list[str] = []
    exclude_fields_in_copy = ["view_count", "shuffle"]
    template = "blog/post.html"
    # What a search gives the posts that it found (search.py); cards ask each post for them.
    marked_title = excerpt = ""
    content_panels = [
        *Page.content_panels,
        "lead",
        "image",
        "body",
        MultiFieldPanel(
            [
                "published_on",
                "author",
                FieldPanel("categories", widget=CheckboxSelectMultiple),
                "tags",
            ],
            heading=_("Filing"),
        ),
        InlinePanel("chosen_posts", heading=_("Related posts"), label=_("post"), max_num=RELATED),
        FieldPanel("view_count", read_only=True),
    ]
    search_fields = [
        *Page.search_fields,
        index.SearchField("lead"),
        index.SearchField("body"),
        index.SearchField("stems"),
        index.FilterField("published_on"),
    ]

    class Meta:
        verbose_name = _("blog post")
        verbose_name_plural = _("blog posts")
        indexes = [
            # Lists: newest first.
            models.Index(fields=["-published_on", "-page_ptr"], name="newest_posts"),
            # Lists of authors: how many posts there are, without the long rows of posts.
            models.Index(fields=["author", "page_ptr"], name="posts_by_author"),
            # Home page: a few posts from a random place on.
            models.Index(fields=["shuffle"], name="shuffled_posts"),
        ]

    def clean(self) -> None:
        super().clean()
        self.refuse_own_addresses("slug", self.slug)

    @staticmethod
    def refuse_own_addresses(field: str, slug: str) -> None:
        if slug in BlogIndexPage.OWN_ADDRESSES:
            words = _("The blog itself has a page at this address: choose another one.")
            raise ValidationError({field: words})

    def save(self, *args: Any, **kwargs: Any) -> None:
        fields = kwargs.get("update_fields")
        if fields is None or "body" in fields:
            self.reading_minutes = count_minutes(f"{self.lead} {collect_text(self.body)}")
        if self._state.adding and self.alias_of_id:
            # Wagtail leaves out nothing when it makes an alias.
            self.view_count, self.shuffle = 0, random_place()
        elif fields is None:
            date_first_publication(self)
        super().save(*args, **kwargs)

    def with_content_json(self, content: dict[str, Any]) -> BlogPage:
        """Keep the own place also where an alias takes over what its source says."""
        page = super().with_content_json(content)
        page.shuffle = self.shuffle
        return page

    @property
    def stems(self) -> str:
        """Return the stems of all words, which is what searches look for."""
        return search.stems_to_index(f"{self.title} {self.lead} {collect_text(self.body)}")

    @property
    def views(self) -> str:
        """Return the number of views in words."""
        return ngettext("%(number)s view", "%(number)s views", self.view_count) % {
            "number": number_format(self.view_count, force_grouping=True)
        }

    @property
    def reading_time(self) -> str:
        return ngettext("%(number)s minute", "%(number)s minutes", self.reading_minutes) % {
            "number": number_format(self.reading_minutes)
        }

    # Read once for a page that names them in several places.

    @cached_property
    def listed_author(self) -> Author | None:
        """Return the author as written down in the language of the post, whose list is there."""
        author = self.author
        if author is None or author.locale_id == self.locale_id:
            return author
        return author.in_locale(self.locale_id)

    @cached_property
    def own_tags(self) -> list[Tag]:
        return list(self.tags.all())

    @cached_property
    def own_categories(self) -> list[Category]:
        return list(self.categories.all())

    @classmethod
    def list_pages(cls) -> PublicPageQuerySet:
        """Return, as rows of pages, the posts that strangers may read."""
        kind = ContentType.objects.get_for_model(cls)
        return PublicPageQuerySet(Page).filter(content_type=kind).live().open_to_all()

    @classmethod
    def list_pages_of(cls, blog: Page) -> PublicPageQuerySet:
        """Return those beneath a blog: as `child_of`, by a range, for which there is an index."""
        paths = blog._get_children_path_interval(blog.path)
        return cls.list_pages().filter(depth=blog.depth + 1, path__range=paths)

    @classmethod
    def to_serve(cls) -> BlogPageQuerySet:
        return super().to_serve().select_related("image", "author__photo")

    def get_related_posts(self) -> list[BlogPage]:
        """Return what the editors chose, filled up with what shares most tags and categories.

        That is looked for among the newest posts: with all of them the page would take the
        longer the more there are.
        """
        posts = BlogPage.objects.exclude(pk=self.pk)
        cards = posts.published().open_now().defer_streamfields().select_related("image")
        pages = self.list_pages_of(self.get_parent())
        newest = posts.among(pages).newest_first().values("pk")[:FRESH]
        alike = posts.filter(pk__in=newest).annotate(alike=self.count_alike())
        alike = alike.order_by(*LIKEST).values("pk")[: RELATED * 2]
        if "chosen_posts" in getattr(self, "_cluster_related_objects", {}):
            # A preview shows what is not saved yet.
            related = cards.load([row.post_id for row in self.chosen_posts.all()])
            found = cards.filter(pk__in=alike).annotate(alike=self.count_alike())
            related += [post for post in found.order_by(*LIKEST) if post not in related]
            return related[:RELATED]
        rows = ChosenPost.objects.filter(page=self.pk)
        this = rows.filter(post=OuterRef("pk"))
        # As one set: with OR PostgreSQL would go through all posts.
        likest = posts.filter(pk__in=alike).order_by().values("pk")
        keys = rows.order_by().values("post").union(likest)
        found = cards.filter(pk__in=keys).annotate(
            is_chosen=Exists(this),
            place=Subquery(this.values("sort_order")[:1]),
            alike=self.count_alike(),
        )
        return list(found.order_by("-is_chosen", "place", *LIKEST)[:RELATED])

    def count_alike(self) -> Combinable:
        """Return, within a query of posts, how many tags and categories each shares with this one."""
        tags = PostTag.objects.filter(content_object=self.pk).values("tag")
        shared_tags = PostTag.objects.filter(content_object=OuterRef("pk"), tag__in=tags)
        filed = BlogPage.categories.through.objects
        categories = filed.filter(blogpage=self.pk).values("category")
        shared = filed.filter(blogpage=OuterRef("pk"), category__in=categories)
        return count_rows(shared_tags, "content_object") + count_rows(shared, "blogpage")

    def load_at_once(self) -> None:
        """Load by one query each the categories and the sizes of images of all that is shown."""
        prefetch_related_objects([self, *self.related], "categories")
        pictures = [self.image, self.author and self.author.photo, *images_of(self.body)]
        load_sizes([*pictures, *(post.image for post in self.related)])

    @cached_property
    def related(self) -> list[BlogPage]:
        return self.get_related_posts()

    def get_context(self, request: HttpRequest, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.load_at_once()
        return {
            **super().get_context(request, *args, **kwargs),
            "views": self.views,
            "is_counted": self.live and not getattr(request, "is_preview", False),
            "blog": self.trail[-2],
            "categories": self.own_categories,
            "tags": self.own_tags,
            "related": self.related,
        }

    @cached_property
    def share(self) -> dict[str, Any]:
        share = {
            **super().share,
            "type": "article",
            "published": self.published_on.isoformat(),
            "tags": [tag.name for tag in self.own_tags],
        }
        if self.image:
            picture = get_rendition_or_not_found(self.image, "fill-1200x630|format-jpeg")
            share |= {
                "image": absolute(picture.url),
                # Less than asked for where the image is smaller.
                "image_width": picture.width,
                "image_height": picture.height,
                "image_alt": self.image.description,
            }
        return share

    def describe_for_search_engines(self) -> list[dict[str, Any]]:
        posting = structured_data.blog_posting(self)
        return [*super().describe_for_search_engines(), posting]


class ChosenPost(Orderable):
    """A post that the editors recommend beneath another one."""

    page = ParentalKey(BlogPage, on_delete=models.CASCADE, related_name="chosen_posts")
    post = models.ForeignKey(
        BlogPage, on_delete=models.CASCADE, related_name="+", verbose_name=_("post")
    )

    panels = [PageChooserPanel("post", "blog.BlogPage")]
