"""Give posts of earlier days their reading time and their place among the random ones."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from django.apps.registry import Apps
from django.db import migrations

WORDS_A_MINUTE = 180


def read_posts(apps: Apps, schema_editor: object) -> None:
    BlogPage = apps.get_model("blog", "BlogPage")
    for post in BlogPage.objects.all().iterator(500):
        text = " ".join([post.lead, *find_texts([part["value"] for part in post.body.raw_data])])
        words = len(re.findall(r"\w+", re.sub(r"<[^>]*>", " ", text)))
        BlogPage.objects.filter(pk=post.pk).update(
            reading_minutes=max(1, round(words / WORDS_A_MINUTE)), shuffle=random.random()
        )


def find_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from find_texts(part)


class Migration(migrations.Migration):
    dependencies = [
        ("blog", "0002_articles"),
    ]

    operations = [
        migrations.RunPython(read_posts, migrations.RunPython.noop),
    ]
