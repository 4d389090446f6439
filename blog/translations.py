"""File a translated post under the translations of its categories and its author."""

from __future__ import annotations

from typing import Any

from wagtail.signals import copy_for_translation_done

from blog.dating import is_undated
from blog.models import BlogPage
from blog.readings.models import today


def file_translation(sender: type, source_obj: Any, target_obj: Any, **signal: Any) -> None:
    """Where a category or an author has no translation yet, the translated post has none.

    It keeps the day of a post that was published; that of a draft is none.
    """
    post = target_obj
    if not isinstance(post, BlogPage) or post.alias_of_id:
        return
    there = [category.in_locale(post.locale_id) for category in post.categories.all()]
    post.categories.set([category for category in there if category])
    post.author = post.author and post.author.in_locale(post.locale_id)
    if source_obj.first_published_at is None and is_undated(source_obj):
        post.published_on = today()
    post.save()
    post.save_revision(changed=False)


def watch() -> None:
    copy_for_translation_done.connect(file_translation, dispatch_uid="file_translation")
