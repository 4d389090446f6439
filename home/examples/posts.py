"""Blog posts of the example data, in both languages."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.utils import timezone
from wagtail.images.models import Image
from wagtail.models import Locale

from blog.models import BlogIndexPage, BlogPage
from blog.readings.models import DailyViews
from blog.snippets import Author, Category, Filed
from home.examples import texts_en, texts_ru
from home.examples.pictures import draw_picture
from home.examples.post import Post

DAYS_OF_VIEWS = 90  # after its publication in which a post was read

POSTS = {"ru": texts_ru.POSTS, "en": texts_en.POSTS}

CATEGORIES = {
    "letters": {
        "ru": {"name": "Письма", "lead": "Как писать так, чтобы письмо открыли и дочитали."},
        "en": {"name": "Letters", "lead": "How to write what people open and read to the end."},
    },
    "delivery": {
        "ru": {"name": "Доставка", "lead": "Что происходит с письмом после кнопки «Отправить»."},
        "en": {"name": "Delivery", "lead": "What becomes of a letter after you press “Send”."},
    },
}
AUTHORS = {
    "olga": {
        "ru": {
            "name": "Ольга Ветрова",
            "role": "Редактор блога",
            "about": "Пишет о письмах и правит чужие. До Вестника десять лет вела рассылки "
            "книжного магазина.",
        },
        "en": {
            "name": "Olga Vetrova",
            "role": "Editor of the blog",
            "about": "Writes about letters and mends those of others. Before Vestnik she kept "
            "the mailings of a bookshop for ten years.",
        },
    },
    "pavel": {
        "ru": {
            "name": "Павел Громов",
            "role": "Отвечает за доставку",
            "about": "Читает ответы почтовых серверов и объясняет их людям.",
        },
        "en": {
            "name": "Pavel Gromov",
            "role": "Looks after delivery",
            "about": "Reads the replies of mail servers and explains them to people.",
        },
    },
}


def make_posts() -> int:
    """Publish the posts that are not there yet, by their slugs; return how many."""
    return sum(make_posts_in(language, posts) for language, posts in POSTS.items())


def make_posts_in(language: str, posts: list[Post]) -> int:
    blog = BlogIndexPage.objects.filter(locale__language_code=language).first()
    if blog is None:
        return 0
    known = set(blog.get_children().values_list("slug", flat=True))
    new = [post for post in posts if post.slug not in known]
    for post in new:
        publish(blog, post)
    return len(new)


def publish(blog: BlogIndexPage, post: Post) -> None:
    page = BlogPage(
        slug=post.slug,
        title=post.title,
        lead=post.lead,
        body=json.dumps([as_block(*block) for block in post.body]),
        image=get_image(post),
        author=get_filed(Author, AUTHORS[post.author], post.author, blog.locale),
        published_on=timezone.localdate() - timedelta(days=post.days_ago),
        view_count=post.views,
    )
    original = BlogPage.objects.filter(slug=post.translates).first() if post.translates else None
    if original:
        page.translation_key = original.translation_key
    blog.add_child(instance=page)
    category = get_filed(Category, CATEGORIES[post.category], post.category, blog.locale)
    page.categories.set([category])
    page.tags.set(post.tags)
    page.save_revision().publish()
    share_out(page)


def share_out(page: BlogPage) -> None:
    """Share out the views of a post over days: most of them soon, fewer at weekends."""
    days = [page.published_on + timedelta(days=number) for number in range(DAYS_OF_VIEWS)]
    days = [day for day in days if day <= timezone.localdate()]
    weights = [(1 if day.weekday() < 5 else 0.5) / (number + 3) for number, day in enumerate(days)]
    whole, done, last = sum(weights), 0.0, 0
    for day, weight in zip(days, weights, strict=True):
        done += weight
        until = round(page.view_count * done / whole)
        if until > last:
            DailyViews.objects.create(post=page, day=day, views=until - last)
        last = until


def as_block(kind: str, value: Any) -> dict[str, Any]:
    if kind == "quote":
        text, _, author = value.partition(" — ")
        return {"type": "quote", "value": {"text": text, "author": author}}
    return {"type": kind, "value": value}


def get_filed(
    model: type[Filed], texts: dict[str, dict[str, str]], slug: str, locale: Locale
) -> Filed:
    """Return a category or an author in a language, as a translation of the one in the other."""
    found = model.objects.filter(slug=slug, locale=locale).first()
    if found:
        return found
    other = model.objects.filter(slug=slug).first()
    links = {"translation_key": other.translation_key} if other else {}
    return model.objects.create(slug=slug, locale=locale, **links, **texts[locale.language_code])


def get_image(post: Post) -> Image:
    """Return the picture of a post; a translation shares that of the original."""
    slug = post.translates or post.slug
    original = next(other for other in texts_ru.POSTS if other.slug == slug)
    image = Image.objects.filter(title=original.title).first()
    if image is None:
        file = draw_picture(texts_ru.POSTS.index(original), f"{slug}.jpg")
        image = Image.objects.create(title=original.title, file=file)
    return image
