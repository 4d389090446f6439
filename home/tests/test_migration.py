"""The pages that a fresh database has."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from wagtail.models import Page, Site

from accounts.models import EDITORS, MANAGERS, USERS

pytestmark = pytest.mark.django_db


def test_site_opens_at_our_home_page():
    site = Site.objects.get()
    assert site.is_default_site
    assert site.root_page.specific_class.__name__ == "HomePage"
    assert Page.objects.filter(depth=2).count() == 1
    assert Page.find_problems() == ([], [], [], [], [])


def test_only_our_roles_are_there():
    assert set(Group.objects.values_list("name", flat=True)) == {USERS, MANAGERS, EDITORS}
