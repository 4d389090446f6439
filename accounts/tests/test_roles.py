from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from wagtail.models import GroupCollectionPermission

from accounts.models import EDITORS, MANAGERS, USERS, User
from conftest import make_user

pytestmark = pytest.mark.django_db

roles = import_module("accounts.migrations.0002_roles")


def permissions(role: str) -> set[str]:
    rows = Group.objects.get(name=role).permissions.values_list(
        "content_type__app_label", "codename"
    )
    return {".".join(row) for row in rows}


class TestPermissions:
    def test_a_user_works_on_what_is_their_own(self):
        """P6: under the ownership policy `add` is the right to one's own rows only."""
        assert permissions(USERS) == {
            "wagtailadmin.access_admin",
            "mailings.add_client",
            "mailings.add_clientlist",
            "mailings.add_message",
            "mailings.add_mailing",
            "mailings.add_picture",
        }

    def test_a_manager_looks_blocks_and_switches_off(self):
        """P3: a manager sees mailings, blocks users, switches mailings off, and edits nothing."""
        assert permissions(MANAGERS) == {
            "wagtailadmin.access_admin",
            "mailings.view_message",
            "mailings.view_mailing",
            "mailings.stop_mailing",
            "accounts.block_user",
        }

    def test_an_editor_has_nothing_to_do_with_mailings_and_users(self):
        """P4: editors write the blog and the home page."""
        own = permissions(EDITORS)
        assert "wagtailadmin.access_admin" in own
        assert not [name for name in own if name.startswith(("mailings.", "accounts."))]

    @pytest.mark.parametrize("role", [USERS, MANAGERS, EDITORS])
    def test_nobody_but_an_administrator_may_change_users(self, role):
        """P5: the right to change users amounts to that of an administrator in Wagtail."""
        assert not permissions(role) & {
            "accounts.add_user",
            "accounts.change_user",
            "accounts.delete_user",
            "auth.change_group",
        }

    @pytest.mark.parametrize("role", [USERS, MANAGERS])
    def test_the_images_and_documents_of_the_site_are_the_editors(self, role):
        rows = GroupCollectionPermission.objects.filter(group__name=role)
        assert not rows.exists()


class TestMigration:
    def test_it_can_be_taken_back_and_done_again(self):
        before = {role: permissions(role) for role in roles.ROLES}
        roles.remove_roles(apps, None)
        assert not Group.objects.filter(name__in=roles.ROLES).exists()
        roles.add_roles(apps, None)
        assert {role: set(before[role]) & permissions(role) for role in roles.ROLES} == {
            role: permissions(role) for role in roles.ROLES
        }

    def test_doing_it_twice_changes_nothing(self):
        before = {role: permissions(role) for role in roles.ROLES}
        roles.add_roles(apps, None)
        assert {role: permissions(role) for role in roles.ROLES} == before


class TestActivation:
    def test_the_status_follows_confirmation_and_blocking(self):
        """P1: a user is not confirmed, active or blocked."""
        fresh = User.objects.create_user("fresh@example.com")
        assert fresh.activation == User.Activation.UNCONFIRMED
        fresh.confirm_email()
        assert fresh.activation == User.Activation.ACTIVE
        User.objects.filter(pk=fresh.pk).update(is_active=False)
        assert fresh.activation == User.Activation.BLOCKED

    def test_rows_can_be_filtered_by_it(self, owner):
        fresh = User.objects.create_user("fresh@example.com")
        blocked = make_user("blocked@example.com", is_active=False)
        found = {
            status: User.objects.with_activation().get(activation_status=status)
            for status in User.Activation
        }
        assert found == {"unconfirmed": fresh, "active": owner, "blocked": blocked}
        assert found["blocked"].activation == User.Activation.BLOCKED

    def test_an_administrator_made_on_the_command_line_may_log_in(self):
        assert User.objects.create_superuser("root@example.com", "x").activation == "active"
