"""What signs on is a host; it says how many of its worker processes are alive."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0004_doubts"),
    ]

    operations = [
        migrations.RenameModel(old_name="Worker", new_name="Host"),
        migrations.AddField(
            model_name="host",
            name="workers",
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
