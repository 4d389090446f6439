"""Count the posts of an author by an index alone; it serves whatever the one of the key did."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("blog", "0005_views_by_day"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="blogpage",
            index=models.Index(fields=["author", "page_ptr"], name="posts_by_author"),
        ),
        migrations.AlterField(
            model_name="blogpage",
            name="author",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="posts",
                to="blog.author",
                verbose_name="author",
            ),
        ),
    ]
