from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0008_names_of_a_pause")]

    operations = [
        migrations.AddField(
            "attempt", "breaks", models.PositiveSmallIntegerField(db_default=0, default=0)
        )
    ]
