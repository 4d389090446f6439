"""Who may do what with rows that users own: one policy, asked by every view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db.models import Model, QuerySet
from wagtail.permission_policies import OwnershipPermissionPolicy
from wagtail.permissions import policy_registry, register_permission_policy

from accounts.models import User

if TYPE_CHECKING:
    from mailings.models import Mailing

# Whoever may do one of these with a row may see it.
SEE = frozenset({"change", "view"})


class OwnedModelPolicy(OwnershipPermissionPolicy):
    """Owners work on their own rows; the `view` permission opens all rows for reading.

    Under Wagtail's OwnershipPermissionPolicy the `add` permission means: create, and edit and
    delete one's own. It knows no `view`, which is what managers have.
    """

    def user_has_permission(self, user: User, action: str) -> bool:
        if action == "view":
            return self._views_all(user) or super().user_has_permission(user, "change")
        return super().user_has_permission(user, action)

    def user_has_any_permission(self, user: User, actions: Iterable[str]) -> bool:
        return any(self.user_has_permission(user, action) for action in actions)

    def user_has_any_permission_for_instance(
        self, user: User, actions: Iterable[str], instance: Model
    ) -> bool:
        if "view" in actions:
            if self._views_all(user):
                return True
            actions = {*actions, "change"}
        return super().user_has_any_permission_for_instance(user, actions, instance)

    def user_has_permission_for_instance(self, user: User, action: str, instance: Model) -> bool:
        return self.user_has_any_permission_for_instance(user, {action}, instance)

    def instances_user_has_any_permission_for(self, user: User, actions: Iterable[str]) -> QuerySet:
        if "view" in actions:
            if self._views_all(user):
                return self.model._default_manager.all()
            actions = {*actions, "change"}
        return super().instances_user_has_any_permission_for(user, actions)

    def instances_user_has_permission_for(self, user: User, action: str) -> QuerySet:
        return self.instances_user_has_any_permission_for(user, {action})

    def _views_all(self, user: User) -> bool:
        return user.is_active and user.has_perm(self._get_permission_name("view"))


def visible_rows(model: type[Model], user: User) -> QuerySet:
    """Return the rows of an owned model that the user may see."""
    policy = policy_registry.get_by_type(model)
    return policy.instances_user_has_any_permission_for(user, SEE)


def visible_attempts(user: User) -> QuerySet:
    """Return the runs of the mailings that the user may see."""
    from mailings.models import Attempt, Mailing

    return Attempt.objects.filter(mailing__in=visible_rows(Mailing, user))


def changeable_rows(model: type[Model], user: User) -> QuerySet:
    """Return the rows of an owned model that the user may change."""
    policy = policy_registry.get_by_type(model)
    return policy.instances_user_has_permission_for(user, "change")


def changeable_attempts(user: User) -> QuerySet:
    """Return the runs of the mailings that the user may change."""
    from mailings.models import Attempt, Mailing

    return Attempt.objects.filter(mailing__in=changeable_rows(Mailing, user))


def sees_clients_of(user: User, owner: User) -> bool:
    """Return whether the user may read the addresses of this owner's clients."""
    from mailings.models import Client

    policy = policy_registry.get_by_type(Client)
    return policy.user_has_any_permission_for_instance(user, SEE, Client(owner=owner))


def may_add(user: User, model: type[Model]) -> bool:
    """Return whether the user keeps rows of this kind; then they are the user's own."""
    return policy_registry.get_by_type(model).user_has_permission(user, "add")


def has_workspace(user: User) -> bool:
    """Return whether the user has mailings, or sees those of others."""
    from mailings.models import Mailing

    return policy_registry.get_by_type(Mailing).user_has_any_permission(user, {"add", "view"})


def sees_many_owners(user: User) -> bool:
    """Return whether rows need a word about whose they are."""
    return user.has_perm("mailings.view_mailing")


def may_switch(user: User, mailing: Mailing) -> bool:
    """Return whether the user may use the switch: the owner's own, or a manager's."""
    if user.has_perm("mailings.stop_mailing"):
        return True
    return user.pk == mailing.owner_id and user.has_perm("mailings.add_mailing")


def register() -> None:
    """Register the policies; called before anything asks for one (`AppConfig.ready`)."""
    from mailings.models import Client, ClientList, Mailing, Message, Picture

    for model in (Client, ClientList, Mailing, Message, Picture):
        register_permission_policy(model, OwnedModelPolicy(model, owner_field_name="owner"))
