"""How often it stayed unknown whether a letter had arrived; no million look-ups of clients."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0003_housekeeping"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="doubtful",
            field=models.PositiveIntegerField(
                db_default=0, default=0, verbose_name="may have arrived twice"
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="doubts",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, verbose_name="tries in doubt"
            ),
        ),
        migrations.AddField(
            model_name="mailserver",
            name="well_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="client",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="deliveries",
                to="mailings.client",
            ),
        ),
    ]
