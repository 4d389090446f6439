"""The three roles, as Django groups.

Under Wagtail's ownership policy `add` means: create, and edit and delete one's own rows;
`change` would open everybody's (wagtail/permission_policies/base.py). Nobody here gets
`accounts.change_user`: Wagtail's user form makes it equal to superuser.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations

ROLES = {
    "Users": [
        ("wagtailadmin", "admin", "access_admin"),
        *(
            ("mailings", model, f"add_{model}")
            for model in ("client", "clientlist", "message", "mailing", "picture")
        ),
    ],
    "Managers": [
        ("wagtailadmin", "admin", "access_admin"),
        ("mailings", "message", "view_message"),
        ("mailings", "mailing", "view_mailing"),
        ("mailings", "mailing", "stop_mailing"),
        ("accounts", "user", "block_user"),
    ],
    "Editors": [("wagtailadmin", "admin", "access_admin")],
}


def add_roles(apps: Apps, schema_editor: object) -> None:
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    ContentType = apps.get_model("contenttypes", "ContentType")
    for role, permissions in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        for app_label, model, codename in permissions:
            # Django makes the rows of new models only after the last migration.
            content_type, _ = ContentType.objects.get_or_create(app_label=app_label, model=model)
            permission, _ = Permission.objects.get_or_create(
                content_type=content_type,
                codename=codename,
                defaults={"name": codename.replace("_", " ").capitalize()},
            )
            group.permissions.add(permission)


def remove_roles(apps: Apps, schema_editor: object) -> None:
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("mailings", "0001_initial"),
        ("wagtailadmin", "0001_create_admin_access_permissions"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(add_roles, remove_roles)]
