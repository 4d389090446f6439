"""Begin posts with the day of TIME_ZONE, not of the editor's own; the table stays as it is."""

from __future__ import annotations

from django.db import migrations, models

import blog.readings.models


class Migration(migrations.Migration):
    dependencies = [
        ("blog", "0006_posts_by_author"),
    ]

    operations = [
        migrations.AlterField(
            model_name="blogpage",
            name="published_on",
            field=models.DateField(
                default=blog.readings.models.today,
                help_text="Unless you change it, the day on which the post is first published.",
                verbose_name="publication date",
            ),
        ),
    ]
