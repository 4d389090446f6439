from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("mailings", "0007_chunk_taken_at")]

    operations = [
        migrations.RenameField("attempt", "held_at", "paused_at"),
        migrations.RenameField("attempt", "held_reason", "paused_for"),
    ]
