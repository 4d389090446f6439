"""Keep users and managers out of the site's images and documents.

Wagtail's migrations let every group that may enter the admin choose from them, and on a fresh
database they meet the groups of 0002_roles.
"""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations

GROUPS = ["Users", "Managers"]
LIBRARIES = ["wagtailimages", "wagtaildocs"]


def close_libraries(apps: Apps, schema_editor: object) -> None:
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    GroupCollectionPermission = apps.get_model("wagtailcore", "GroupCollectionPermission")
    opened = Permission.objects.filter(content_type__app_label__in=LIBRARIES)
    for group in Group.objects.filter(name__in=GROUPS):
        group.permissions.remove(*opened)
        GroupCollectionPermission.objects.filter(group=group, permission__in=opened).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_roles"),
        ("wagtailcore", "0094_alter_page_locale"),
        ("wagtaildocs", "0011_add_choose_permissions"),
        ("wagtailimages", "0023_add_choose_permissions"),
    ]

    # Nothing to take back: the rights were an accident of the order of migrations.
    operations = [migrations.RunPython(close_libraries, migrations.RunPython.noop)]
