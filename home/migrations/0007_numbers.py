from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models
from django.utils import timezone

TASK = "home.tasks.settle_numbers"


def add_schedule(apps: Apps, schema_editor: object) -> None:
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        func=TASK,
        defaults={
            "name": "numbers of the home page",
            "schedule_type": "I",
            "minutes": 1,
            "next_run": timezone.now(),
        },
    )


def remove_schedule(apps: Apps, schema_editor: Any) -> None:
    """Take the triggers away with the tables that they write into."""
    from home.triggers import drop_triggers

    apps.get_model("django_q", "Schedule").objects.filter(func=TASK).delete()
    drop_triggers()


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0006_editors"),
        ("mailings", "0004_doubts"),
        ("django_q", "0018_task_success_index"),
    ]

    operations = [
        migrations.CreateModel(
            name="Address",
            fields=[
                ("digest", models.UUIDField(primary_key=True, serialize=False)),
                ("clients", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Change",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=16)),
                ("address", models.CharField(blank=True, max_length=254)),
                ("amount", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Total",
            fields=[
                ("name", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("value", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RunPython(add_schedule, remove_schedule),
    ]
