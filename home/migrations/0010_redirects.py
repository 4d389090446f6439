"""Editors see and make redirects from addresses that the site had."""

from __future__ import annotations

from importlib import import_module

from django.apps.registry import Apps
from django.db import migrations

CODENAMES = ["add_redirect", "change_redirect", "delete_redirect"]


def give_rights(apps: Apps, schema_editor: object) -> None:
    get_permission = import_module("home.migrations.0002_first_pages").get_permission
    editors, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Editors")
    for codename in CODENAMES:
        editors.permissions.add(get_permission(apps, "wagtailredirects", "redirect", codename))


def take_rights(apps: Apps, schema_editor: object) -> None:
    Permission = apps.get_model("auth", "Permission")
    rights = Permission.objects.filter(
        content_type__app_label="wagtailredirects", codename__in=CODENAMES
    )
    for editors in apps.get_model("auth", "Group").objects.filter(name="Editors"):
        editors.permissions.remove(*rights)


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0009_which_posts"),
        ("wagtailredirects", "0008_add_verbose_name_plural"),
    ]

    operations = [migrations.RunPython(give_rights, take_rights)]
