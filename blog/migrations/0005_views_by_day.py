"""Count views by visitor and day."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("blog", "0004_schedule"),
    ]

    operations = [
        migrations.CreateModel(
            name="Salt",
            fields=[
                ("day", models.DateField(primary_key=True, serialize=False)),
                ("value", models.BinaryField(max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name="DailyViews",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(verbose_name="day")),
                ("views", models.PositiveIntegerField(default=0, verbose_name="views")),
                (
                    "post",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="daily_views",
                        to="blog.blogpage",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="views_by_day")],
                "constraints": [
                    models.UniqueConstraint(fields=("post", "day"), name="one_sum_a_day")
                ],
            },
        ),
        migrations.CreateModel(
            name="Reading",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField()),
                ("visitor", models.UUIDField()),
                ("network", models.UUIDField()),
                (
                    "post",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="blog.blogpage",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["day", "post", "network"], name="readings_of_network")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "post", "visitor"), name="one_view_a_day"
                    )
                ],
            },
        ),
    ]
