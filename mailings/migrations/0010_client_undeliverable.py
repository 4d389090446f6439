from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailings", "0009_attempt_breaks")]

    operations = [
        migrations.AddField(
            model_name="client",
            name="undeliverable_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="address does not exist since"
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="undeliverable_reply",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=500,
                verbose_name="mail server's reply",
            ),
        ),
        migrations.AddField(
            model_name="client",
            name="retried_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
