from __future__ import annotations

import pytest
from django.urls import reverse
from wagtail.models import ModelLogEntry

from conftest import make_client, make_mailing
from mailings.models import Mailing


@pytest.fixture
def mailing(owner) -> Mailing:
    return make_mailing(owner, clients=[make_client(owner)])


def switch(browser, user, mailing, way, method="post", **data):
    address = reverse(f"mailing:switch_{way}", args=[mailing.pk])
    return getattr(browser(user), method)(address, data)


def state(mailing) -> tuple[bool, str | None, str]:
    mailing = Mailing.objects.get(pk=mailing.pk)
    by = mailing.disabled_by
    return mailing.is_active, by and by.email, mailing.disabled_reason


ON = (True, None, "")


def page(browser, user, mailing) -> str:
    return browser(user).get(reverse("mailing:inspect", args=[mailing.pk])).content.decode()


class TestOwner:
    def test_switches_off_and_on_with_one_click(self, browser, owner, mailing):
        response = switch(browser, owner, mailing, "off")
        assert response.url == reverse("mailing:inspect", args=[mailing.pk])
        assert state(mailing) == (False, owner.email, "")
        switch(browser, owner, mailing, "on")
        assert state(mailing) == ON

    def test_sees_the_button_that_fits(self, browser, owner, mailing):
        off, on = (reverse(f"mailing:switch_{way}", args=[mailing.pk]) for way in ("off", "on"))
        assert f'action="{off}"' in page(browser, owner, mailing)
        mailing.switch_off(by=owner)
        assert f'action="{on}"' in page(browser, owner, mailing)

    @pytest.mark.parametrize("way", ["off", "on"])
    def test_cannot_do_it_by_a_mere_link(self, browser, owner, mailing, way):
        assert switch(browser, owner, mailing, way, "get").status_code == 405
        assert state(mailing) == ON

    def test_goes_on_at_once_if_something_is_due(
        self, browser, owner, mailing, monkeypatch, django_capture_on_commit_callbacks
    ):
        mailing.switch_off(by=owner)
        rings = []
        monkeypatch.setattr("mailings.tasks.ring", lambda: rings.append(1))
        with django_capture_on_commit_callbacks(execute=True):
            switch(browser, owner, mailing, "on")
        assert rings


class TestManager:
    """P3: a manager switches mailings off; the owner sees who did and why, and is bound by it."""

    def test_is_asked_for_a_reason(self, browser, manager, mailing):
        response = switch(browser, manager, mailing, "off", "get")
        assert response.status_code == 200
        assert 'name="reason"' in response.content.decode()
        assert state(mailing) == ON

    @pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "a\nb"])
    def test_must_give_a_proper_one(self, browser, manager, mailing, reason):
        response = switch(browser, manager, mailing, "off", reason=reason)
        assert response.status_code == 400
        assert response.context["form"].errors["reason"]
        assert state(mailing) == ON

    def test_switches_off_and_on(self, browser, manager, mailing):
        switch(browser, manager, mailing, "off", reason="Complaints")
        assert state(mailing) == (False, manager.email, "Complaints")
        switch(browser, manager, mailing, "on")
        assert state(mailing) == ON

    def test_may_switch_on_what_the_owner_switched_off(self, browser, owner, manager, mailing):
        mailing.switch_off(by=owner)
        switch(browser, manager, mailing, "on")
        assert state(mailing) == ON

    def test_leaves_a_trace(self, browser, manager, mailing):
        switch(browser, manager, mailing, "off", reason="Complaints")
        entry = ModelLogEntry.objects.get(action="mailings.switch_off")
        assert entry.user == manager
        assert entry.data["reason"] == "Complaints"

    def test_cannot_do_it_by_a_mere_link(self, browser, manager, mailing):
        mailing.switch_off(by=manager, reason="Complaints")
        assert switch(browser, manager, mailing, "on", "get").status_code == 405
        assert not state(mailing)[0]


class TestOwnerOfALockedMailing:
    @pytest.fixture(autouse=True)
    def held(self, mailing, manager):
        mailing.switch_off(by=manager, reason="Complaints <b>")

    def test_sees_who_did_it_and_why(self, browser, owner, mailing):
        text = page(browser, owner, mailing)
        assert "Maria switched this mailing off. The reason: Complaints &lt;b&gt;" in text
        assert "Only a manager can switch it on again." in text
        assert reverse("mailing:switch_on", args=[mailing.pk]) not in text

    def test_cannot_switch_it_on(self, browser, owner, manager, mailing):
        switch(browser, owner, mailing, "on")
        assert state(mailing) == (False, manager.email, "Complaints <b>")

    def test_nor_by_switching_it_off_first(self, browser, owner, manager, mailing):
        switch(browser, owner, mailing, "off")
        switch(browser, owner, mailing, "on")
        assert state(mailing) == (False, manager.email, "Complaints <b>")

    def test_is_told_so(self, browser, owner, mailing):
        reader = browser(owner)
        response = reader.post(reverse("mailing:switch_on", args=[mailing.pk]), follow=True)
        assert "Maria switched this mailing off" in str(list(response.context["messages"])[0])


@pytest.mark.parametrize("way", ["off", "on"])
@pytest.mark.parametrize("method", ["get", "post"])
class TestOthers:
    def test_strangers_find_nothing(self, browser, stranger, mailing, way, method):
        """P6: somebody else's row answers 404."""
        response = switch(browser, stranger, mailing, way, method, reason="x")
        assert response.status_code in {404, 405}
        assert state(mailing) == ON

    def test_editors_find_nothing(self, browser, editor, mailing, way, method):
        response = switch(browser, editor, mailing, way, method, reason="x")
        assert response.status_code in {404, 405}
        assert state(mailing) == ON

    def test_anonymous_readers_are_led_to_the_login(self, browser, mailing, way, method):
        assert "/accounts/login/" in switch(browser, None, mailing, way, method).url
        assert state(mailing) == ON


def test_the_buttons_carry_a_csrf_token(browser, owner, mailing):
    reader = browser(owner, enforce_csrf_checks=True)
    response = reader.post(reverse("mailing:switch_off", args=[mailing.pk]))
    assert response.status_code == 403
    assert state(mailing) == ON
