"""What editors need beside their pages: categories, authors, translations and approval.

Wagtail comes with one workflow, whose approval was for a group that this site does not have. It
asks for a second editor here.
"""

from __future__ import annotations

from importlib import import_module

from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations

RIGHTS = [
    *(
        ("blog", model, f"{action}_{model}")
        for model in ("category", "author")
        for action in ("add", "change", "delete")
    ),
    ("simple_translation", "simpletranslation", "submit_translation"),
]
NAMES = {
    "en": ("Second pair of eyes", "Another editor reads it"),
    "ru": ("Вторая пара глаз", "Читает другой редактор"),
}


def give_rights(apps: Apps, schema_editor: object) -> None:
    get_permission = import_module("home.migrations.0002_first_pages").get_permission
    editors, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Editors")
    for right in RIGHTS:
        editors.permissions.add(get_permission(apps, *right))


def take_rights(apps: Apps, schema_editor: object) -> None:
    Permission = apps.get_model("auth", "Permission")
    for app_label, _model, codename in RIGHTS:
        for permission in Permission.objects.filter(
            content_type__app_label=app_label, codename=codename
        ):
            permission.group_set.clear()


def open_workflow(apps: Apps, schema_editor: object) -> None:
    editors, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Editors")
    workflow_name, task_name = NAMES[settings.LANGUAGE_CODE[:2]]
    for task in apps.get_model("wagtailcore", "GroupApprovalTask").objects.filter(groups=None):
        task.groups.add(editors)
        apps.get_model("wagtailcore", "Workflow").objects.filter(
            name="Moderators approval", workflow_tasks__task=task.pk
        ).update(name=workflow_name)
        if task.name == "Moderators approval":
            task.name = task_name
            task.save(update_fields=["name"])


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0005_one_body"),
        ("blog", "0003_reading"),
        ("simple_translation", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(give_rights, take_rights),
        migrations.RunPython(open_workflow, migrations.RunPython.noop),
    ]
