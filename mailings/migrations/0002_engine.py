"""What the delivery engine keeps: paused runs, limits, how far a chunk was claimed."""

from __future__ import annotations

import django.db.models.deletion
import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def leave_room_on_pages(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let PostgreSQL write a result beside its row, without touching an index (HOT)."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE mailings_delivery SET (fillfactor = 42)")


def put_in_doubt_what_is_on_its_way(apps: Apps, schema_editor: object) -> None:
    """Rows were marked while they were sent; now the chunk says how far it was claimed."""
    Chunk, Delivery = apps.get_model("mailings", "Chunk"), apps.get_model("mailings", "Delivery")
    on_their_way = Delivery.objects.filter(status="sending")
    for attempt_id, pk in on_their_way.values_list("attempt_id", "pk"):
        chunks = Chunk.objects.filter(attempt=attempt_id, first_id__lte=pk, last_id__gte=pk)
        chunks.update(claimed_to=models.F("last_id"))
    on_their_way.update(status="planned")


class Migration(migrations.Migration):
    dependencies = [
        ("mailings", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200, unique=True)),
                ("value", models.FloatField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Pace",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=270, unique=True)),
                ("rate", models.FloatField(null=True)),
                ("ceiling", models.FloatField(null=True)),
                ("changed_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("halved_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("paced_until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.RemoveIndex(
            model_name="chunk",
            name="chunk_due",
        ),
        migrations.RemoveField(
            model_name="mailserver",
            name="paced_until",
        ),
        migrations.AddField(
            model_name="attempt",
            name="brake_released",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="attempt",
            name="held_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="paused"),
        ),
        migrations.AddField(
            model_name="attempt",
            name="held_reason",
            field=models.CharField(blank=True, max_length=500, verbose_name="reason"),
        ),
        migrations.AddField(
            model_name="chunk",
            name="claimed_to",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="attempt",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="mailings.attempt",
            ),
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["attempt", "due_at", "id"],
                name="chunk_due",
            ),
        ),
        migrations.RunPython(put_in_doubt_what_is_on_its_way, migrations.RunPython.noop),
        migrations.RunPython(leave_room_on_pages, migrations.RunPython.noop),
    ]
