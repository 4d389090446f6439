"""Fill a site with many posts, fast: copies of the example posts, by statements for many rows.

    python bench/fill_posts.py 10000

adds as many posts to the blog in LANGUAGE_CODE, each with an image, an author, a category, tags and
its place in the search index. The environment says which site (see `databases.environment`). Posts share the
pictures of the example posts, so only these few are drawn, as workers do once a post is published.
"""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402
from taggit.models import Tag  # noqa: E402
from wagtail.models import Page  # noqa: E402
from wagtail.search.backends import get_search_backend  # noqa: E402

from blog.models import BlogIndexPage, BlogPage, PostTag  # noqa: E402
from blog.snippets import Category  # noqa: E402
from blog.tasks import make_pictures  # noqa: E402
from home.examples.posts import make_posts  # noqa: E402

CHUNK = 1000
TAGS = 40
DAYS = 3650


def add_posts(blog: BlogIndexPage, number: int) -> None:
    """Add copies of the posts of a blog beneath it."""
    examples = list(BlogPage.objects.child_of(blog))
    first = blog.get_children_count() + 1
    for start in range(0, number, CHUNK):
        places = range(start, min(start + CHUNK, number))
        copies = [copy_post(examples[n % len(examples)], blog, first + n) for n in places]
        with transaction.atomic():
            insert(copies)
            file_all(copies, examples)
        posts = BlogPage.objects.filter(pk__in=[copy.pk for copy in copies])
        get_search_backend().add_bulk(BlogPage, list(posts.prefetch_related("tagged_items")))
    Page.objects.filter(pk=blog.pk).update(numchild=first - 1 + number)


def copy_post(example: BlogPage, blog: BlogIndexPage, place: int) -> BlogPage:
    """Return an unsaved copy that stands at a place beneath the blog."""
    copy = clone(example)
    copy.path = Page._get_path(blog.path, blog.depth + 1, place)
    copy.slug = f"copy-{place}"
    copy.url_path = f"{blog.url_path}{copy.slug}/"
    copy.title = copy.draft_title = f"{example.title} {place}"
    copy.translation_key = uuid4()
    copy.published_on = timezone.localdate() - timedelta(days=random.randrange(1, DAYS))
    copy.shuffle = random.random()
    return copy


def clone(example: BlogPage) -> BlogPage:
    fields = {field.attname: getattr(example, field.attname) for field in BlogPage._meta.fields}
    for name in ("id", "page_ptr_id", "latest_revision_id", "live_revision_id"):
        fields[name] = None
    return BlogPage(**fields)


def insert(posts: list[BlogPage]) -> None:
    """Insert pages and posts; Django has no bulk_create for a model with a parent."""
    names = [field.attname for field in Page._meta.concrete_fields if not field.primary_key]
    pages = [Page(**{name: getattr(post, name) for name in names}) for post in posts]
    for post, page in zip(posts, Page.objects.bulk_create(pages), strict=True):
        post.pk = post.id = post.page_ptr_id = page.pk
    fields = BlogPage._meta.local_concrete_fields
    columns = ", ".join(f'"{field.column}"' for field in fields)
    values = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO blog_blogpage ({columns}) VALUES ({values})",
            [[prepare(field, post) for field in fields] for post in posts],
        )


def prepare(field: Any, post: BlogPage) -> Any:
    value = getattr(post, field.attname) if field.attname == "view_count" else None
    value = value if value is not None else field.pre_save(post, True)
    return field.get_db_prep_save(value, connection)


def file_all(posts: list[BlogPage], examples: list[BlogPage]) -> None:
    """File each post under one category and three tags."""
    tags = [Tag.objects.get_or_create(name=f"tag {n}", slug=f"tag-{n}")[0] for n in range(TAGS)]
    categories = list(Category.objects.filter(locale=examples[0].locale_id))
    PostTag.objects.bulk_create(
        PostTag(content_object_id=post.pk, tag=tag)
        for post in posts
        for tag in random.sample(tags, 3)
    )
    through = BlogPage.categories.through
    through.objects.bulk_create(
        through(blogpage_id=post.pk, category_id=random.choice(categories).pk) for post in posts
    )


def main() -> None:
    make_posts()
    for post in BlogPage.objects.live():
        make_pictures(post.pk)
    random.seed(1)  # The same blog in every run.
    language = settings.LANGUAGE_CODE
    add_posts(BlogIndexPage.objects.get(locale__language_code=language), int(sys.argv[1]))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")


if __name__ == "__main__":
    main()
