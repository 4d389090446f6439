"""Runs that complete another: they go to those who do not have its letter yet."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0010_client_undeliverable")]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="remainder_of",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="remainders",
                to="mailings.attempt",
                verbose_name="completes",
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="with_newcomers",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
