"""Let a worker look every minute whether the time of a page has come."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations
from django.utils import timezone

TASK = "blog.tasks.publish_scheduled"


def add_schedule(apps: Apps, schema_editor: object) -> None:
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        func=TASK,
        defaults={
            "name": "pages by the clock",
            "schedule_type": "I",
            "minutes": 1,
            "next_run": timezone.now(),
        },
    )


def remove_schedule(apps: Apps, schema_editor: object) -> None:
    apps.get_model("django_q", "Schedule").objects.filter(func=TASK).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("blog", "0003_reading"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [migrations.RunPython(add_schedule, remove_schedule)]
