"""Let workers count mailings anew every night, and index all posts once for the search by stems."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.apps.registry import Apps
from django.db import migrations
from django.utils import timezone

RECOUNT, INDEX = "home.tasks.recount_numbers", "blog.tasks.index_posts"


def add_schedules(apps: Apps, schema_editor: object) -> None:
    schedules = apps.get_model("django_q", "Schedule").objects
    tomorrow = timezone.localdate() + timedelta(days=1)
    at = timezone.make_aware(datetime.combine(tomorrow, time(3, 27)))
    schedules.get_or_create(
        func=RECOUNT,
        defaults={"name": "mailings counted anew", "schedule_type": "D", "next_run": at},
    )
    # A site without posts needs nothing: each is indexed when it is saved.
    if apps.get_model("blog", "BlogPage").objects.exists():
        defaults = {"name": "index of posts", "schedule_type": "O", "next_run": timezone.now()}
        schedules.get_or_create(func=INDEX, defaults=defaults)


def remove_schedules(apps: Apps, schema_editor: object) -> None:
    schedules = apps.get_model("django_q", "Schedule").objects
    schedules.filter(func__in=[RECOUNT, INDEX]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0007_numbers"),
        ("blog", "0004_schedule"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [migrations.RunPython(add_schedules, remove_schedules)]
