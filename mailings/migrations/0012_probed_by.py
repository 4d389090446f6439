"""Which worker took the last probe of a mail server in trouble: if it dies, another makes it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0011_remainders")]

    operations = [
        migrations.AddField(
            model_name="mailserver",
            name="probed_by",
            field=models.CharField(blank=True, max_length=32),
        ),
    ]
