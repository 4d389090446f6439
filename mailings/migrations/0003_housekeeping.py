"""Let django-q2 call the housekeeping every night."""

from __future__ import annotations

from datetime import timedelta

from django.apps.registry import Apps
from django.db import migrations
from django.utils import timezone

TASK = "mailings.tasks.housekeep"


def add_schedule(apps: Apps, schema_editor: object) -> None:
    """Call it at 03:17 in TIME_ZONE, when few people wait for a page."""
    at = timezone.localtime(timezone=timezone.get_default_timezone())
    at = at.replace(hour=3, minute=17, second=0, microsecond=0)
    if at <= timezone.now():
        at += timedelta(days=1)  # The same hour on the clock, whatever happens to the offset.
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        func=TASK, defaults={"name": "housekeeping", "schedule_type": "D", "next_run": at}
    )


def remove_schedule(apps: Apps, schema_editor: object) -> None:
    apps.get_model("django_q", "Schedule").objects.filter(func=TASK).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0002_engine"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [migrations.RunPython(add_schedule, remove_schedule)]
