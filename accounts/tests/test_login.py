from __future__ import annotations

import pytest
from django.contrib.auth import authenticate

from accounts.models import User
from conftest import PASSWORD, make_client

URL = "/accounts/login/"

pytestmark = pytest.mark.django_db


def log_in(person, email, password=PASSWORD, **extra):
    return person.post(URL, {"login": email, "password": password, **extra})


def is_logged_in(person) -> bool:
    return person.get("/accounts/profile/").status_code == 200


class TestLogin:
    @pytest.mark.parametrize("email", ["owner@example.com", " Owner@Example.COM "])
    def test_a_user_logs_in_by_e_mail_and_lands_in_the_workspace(self, browser, owner, email):
        """P1: users log in by e-mail, in any letter case."""
        person = browser()
        assert log_in(person, email).url == "/dashboard/"
        assert is_logged_in(person)
        assert person.get("/dashboard/").url == "/admin/"

    def test_a_client_has_no_way_to_log_in(self, browser, owner):
        """P2: clients are not users and never log in."""
        client = make_client(owner, "client@example.com")
        assert not User.objects.filter(email=client.email).exists()
        assert not hasattr(client, "password")
        response = log_in(browser(), client.email)
        assert response.status_code == 200
        assert response.context["form"].errors

    def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(self, browser, owner):
        known = log_in(browser(), owner.email, "wrong").context["form"].errors
        unknown = log_in(browser(), "nobody@example.com", "wrong").context["form"].errors
        assert known == unknown
        assert known

    def test_it_goes_on_where_the_visitor_wanted_to_be(self, browser, owner):
        response = browser().post(
            URL, {"login": owner.email, "password": PASSWORD, "next": "/accounts/profile/"}
        )
        assert response.url == "/accounts/profile/"

    def test_it_never_leads_to_another_site(self, browser, owner):
        response = log_in(browser(), owner.email, next="https://evil.example.com/")
        assert response.url == "/dashboard/"


class TestAttempts:
    def test_failed_attempts_are_limited_even_for_the_right_password(self, browser, owner):
        person = browser()
        for _ in range(5):
            log_in(person, owner.email, "wrong")
        response = log_in(person, owner.email)
        assert "Too many failed login attempts" in str(response.context["form"].errors)
        assert not is_logged_in(person)

    def test_a_flood_from_one_place_is_refused_with_a_page_of_ours(self, browser, settings):
        settings.ACCOUNT_RATE_LIMITS = {"login": "2/m/ip"}
        for _ in range(2):
            log_in(browser(), "nobody@example.com", "wrong")
        response = log_in(browser(), "nobody@example.com", "wrong")
        assert response.status_code == 429
        assert "Too many attempts" in response.content.decode()


class TestLogout:
    def test_it_needs_a_post(self, browser, owner):
        person = browser(owner)
        assert person.get("/accounts/logout/").status_code == 200
        assert is_logged_in(person)
        assert person.post("/accounts/logout/").url == "/"
        assert not is_logged_in(person)

    def test_logging_out_in_the_admin_lands_on_our_page(self, browser, owner):
        person = browser(owner)
        assert person.post("/admin/logout/").url == URL
        assert not is_logged_in(person)


class TestOneLoginForEverything:
    @pytest.mark.parametrize("address", ["/admin/login/", "/_util/login/"])
    def test_wagtails_log_in_leads_to_ours(self, browser, address):
        assert browser().get(f"{address}?next=/admin/pages/").url == f"{URL}?next=/admin/pages/"
        assert browser().post(address).url == URL

    @pytest.mark.parametrize("rest", ["", "done/", "confirm/MQ/abc-def/", "complete/"])
    def test_wagtails_password_reset_leads_to_ours(self, browser, rest):
        response = browser().get(f"/admin/password_reset/{rest}")
        assert response.url == "/accounts/password/reset/"

    def test_the_admin_sends_strangers_to_our_log_in(self, browser):
        assert browser().get("/admin/").url == f"{URL}?next=/admin/"

    def test_wagtails_account_page_offers_neither_names_nor_e_mail_nor_password(
        self, browser, owner
    ):
        response = browser(owner).get("/admin/account/")
        names = [
            panel.name for panels in response.context["panels_by_tab"].values() for panel in panels
        ]
        assert names == ["theme"]
        assert "/accounts/profile/" in response.content.decode()

    def test_wagtails_account_page_saves_nothing_else(self, browser, owner):
        browser(owner).post(
            "/admin/account/",
            {
                "name_email-first_name": "Changed",
                "name_email-email": "changed@example.com",
                "password-new_password1": "another horse battery",
                "theme-theme": "dark",
                "theme-contrast": "system",
                "theme-density": "default",
            },
        )
        owner.refresh_from_db()
        assert (owner.first_name, owner.email) == ("Olga", "owner@example.com")
        assert owner.check_password(PASSWORD)
        assert owner.wagtail_userprofile.theme == "dark"

    def test_strangers_do_not_see_wagtails_account_page(self, browser):
        assert browser().get("/admin/account/").url == f"{URL}?next=/admin/account/"


class TestBlocked:
    def test_a_blocked_user_cannot_log_in(self, browser, owner):
        """P3: a blocked user is kept out."""
        User.objects.filter(pk=owner.pk).update(is_active=False)
        person = browser()
        assert log_in(person, owner.email).url == "/accounts/inactive/"
        assert not is_logged_in(person)
        assert authenticate(email=owner.email, password=PASSWORD) is None
        assert "blocked" in person.get("/accounts/inactive/").content.decode()
