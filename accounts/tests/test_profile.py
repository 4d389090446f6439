from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.models import User

URL = "/accounts/profile/"
FORM = {
    "first_name": "Ольга",
    "last_name": "Иванова",
    "company": "Ромашка",
    "phone": "8 (912) 345-67-89",
    "language": "ru",
    "time_zone": "Asia/Yekaterinburg",
}

pytestmark = pytest.mark.django_db


class TestProfile:
    def test_it_saves_what_users_say_about_themselves(self, browser, owner):
        """P1: users have a phone, names and a company; the phone is stored as E.164."""
        response = browser(owner).post(URL, FORM)
        assert response.url == URL
        owner = User.objects.get(pk=owner.pk)
        assert (owner.first_name, owner.last_name, owner.company) == ("Ольга", "Иванова", "Ромашка")
        assert owner.phone.as_e164 == "+79123456789"
        assert User.objects.filter(phone="+79123456789").exists()
        assert owner.language == "ru"
        assert str(owner.zone) == "Asia/Yekaterinburg"

    def test_strangers_are_asked_to_log_in(self, browser):
        assert browser().get(URL).url == f"/accounts/login/?next={URL}"
        assert browser().post(URL, FORM).url == f"/accounts/login/?next={URL}"

    def test_it_is_always_ones_own(self, browser, owner, stranger):
        """P6: users touch only what is their own."""
        browser(stranger).post(f"{URL}?pk={owner.pk}", {**FORM, "pk": owner.pk, "id": owner.pk})
        owner.refresh_from_db()
        assert owner.company == "Romashka"

    def test_nothing_else_can_be_set(self, browser, owner):
        browser(owner).post(
            URL, {**FORM, "is_superuser": "on", "email": "x@example.com", "groups": "2"}
        )
        owner.refresh_from_db()
        assert not owner.is_superuser
        assert owner.email == "owner@example.com"
        assert owner.groups.count() == 1

    def test_the_company_limit_is_shown_and_stays_as_it_is(self, browser, owner):
        reader = browser(owner)
        assert "a minute" not in reader.get(URL).content.decode()
        User.objects.filter(pk=owner.pk).update(letters_per_minute=600)
        assert "up to 600 letters a minute" in reader.get(URL).content.decode()
        reader.post(URL, {**FORM, "letters_per_minute": "1000000"})
        owner.refresh_from_db()
        assert owner.letters_per_minute == 600

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("first_name", "Olga\nBcc: everybody@example.com"),
            ("last_name", "bell\x07"),
            ("company", "x" * 151),
            ("company", "Romashka\u2028second line"),
            ("phone", "12"),
            ("phone", "+7 000 000-00-00"),
            ("phone", "not a phone"),
            ("language", "xx"),
            ("time_zone", "Mars/Olympus"),
            ("time_zone", "../../etc/passwd"),
        ],
    )
    def test_an_error_stands_beside_its_field_and_nothing_is_saved(
        self, browser, owner, field, value
    ):
        response = browser(owner).post(URL, {**FORM, field: value})
        assert list(response.context["form"].errors) == [field]
        owner = User.objects.get(pk=owner.pk)
        assert (owner.first_name, owner.company, owner.language) == ("Olga", "Romashka", "")

    def test_everything_may_be_empty(self, browser, owner):
        reader = browser(owner)
        reader.post(URL, FORM)
        assert reader.post(URL, dict.fromkeys(FORM, "")).status_code == 302
        owner = User.objects.get(pk=owner.pk)
        assert (owner.first_name, owner.last_name, owner.company) == ("", "", "")
        assert not owner.phone
        assert owner.language == ""
        assert owner.zone == timezone.get_default_timezone()


class TestOwnLocale:
    @pytest.mark.parametrize("address", [URL, "/admin/account/"])
    def test_pages_and_admin_speak_the_chosen_language(self, browser, owner, address):
        person = browser(owner, headers={"accept-language": "en"})
        assert 'lang="en' in person.get(address).content.decode()
        person.post(URL, FORM)
        assert 'lang="ru"' in person.get(address).content.decode()

    def test_without_a_choice_the_browser_decides(self, browser, owner):
        person = browser(owner, headers={"accept-language": "ru"})
        assert 'lang="ru"' in person.get(URL).content.decode()
        assert 'lang="ru"' in person.get("/admin/account/").content.decode()

    def test_the_next_visitor_is_not_served_in_the_language_of_the_last(self, browser, owner):
        person = browser(owner)
        person.post(URL, FORM)
        person.get(URL)
        assert 'lang="en"' in browser().get("/accounts/login/").content.decode()
