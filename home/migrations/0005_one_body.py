from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0004_two_languages"),
    ]

    operations = [
        # The way back needs something to put into the columns.
        migrations.AlterField(
            model_name="homepage",
            name="headline",
            field=models.CharField(default="", max_length=120, verbose_name="headline"),
        ),
        migrations.AlterField(
            model_name="homepage",
            name="lead",
            field=models.TextField(default="", max_length=500, verbose_name="lead"),
        ),
        migrations.RemoveField(model_name="homepage", name="headline"),
        migrations.RemoveField(model_name="homepage", name="lead"),
    ]
