"""Users in the Wagtail admin, for administrators."""

from __future__ import annotations

from wagtail.users.views.users import UserViewSet as WagtailUserViewSet


class UserViewSet(WagtailUserViewSet):
    pass
