"""Large runs are opened in steps."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0005_hosts"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="audience_to",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="opening_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
