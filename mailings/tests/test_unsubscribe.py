from __future__ import annotations

import pytest
from django.utils import timezone

from conftest import make_client, make_mailing
from mailings.models import Attempt, Client, Delivery, Suppression
from mailings.unsubscribe import make_token, read_token, unsubscribe_url

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def client(owner) -> Client:
    return make_client(owner, "marina@example.com")


@pytest.fixture
def address(client) -> str:
    attempt = Attempt.objects.create(
        mailing=make_mailing(client.owner, clients=[client]), slot=timezone.now()
    )
    return f"/u/{make_token(client.pk, attempt.pk)}/"


def is_unsubscribed(client: Client) -> bool:
    return Client.objects.get(pk=client.pk).unsubscribed_at is not None


class TestToken:
    def test_it_is_short_and_gives_the_ids_back(self):
        token = make_token(2**40, 2**41)
        assert len(token) < 60
        assert token.replace("-", "").replace("_", "").isalnum()
        assert read_token(token) == (2**40, 2**41)

    def test_it_is_different_for_every_client_and_attempt(self):
        assert len({make_token(1, 1), make_token(1, 2), make_token(2, 1)}) == 3

    @pytest.mark.parametrize(
        "change",
        [
            lambda t: "",
            lambda t: t[:-1],
            lambda t: t + "A",
            lambda t: t + "=",
            lambda t: ("B" if t[0] == "A" else "A") + t[1:],
            lambda t: t[:20] + ("B" if t[20] == "A" else "A") + t[21:],
            lambda t: "ы" + t[1:],
            lambda t: t + "\n",
            lambda t: "!" * 43,
        ],
    )
    def test_a_changed_one_is_refused(self, change):
        with pytest.raises(ValueError, match="unsubscribe token"):
            read_token(change(make_token(7, 8)))

    def test_it_depends_on_the_secret_key(self, settings):
        token = make_token(7, 8)
        settings.SECRET_KEY = "another" * 10
        with pytest.raises(ValueError, match="seal"):
            read_token(token)

    def test_one_of_an_earlier_key_is_still_read(self, settings):
        token = make_token(7, 8)
        settings.SECRET_KEY_FALLBACKS = ["older" * 10, settings.SECRET_KEY]
        settings.SECRET_KEY = "another" * 10
        assert read_token(token) == (7, 8)
        assert make_token(7, 8) != token

    def test_the_address_is_absolute(self, settings):
        settings.SITE_URL = "http://testserver"
        assert unsubscribe_url("abc") == "http://testserver/u/abc/"


class TestAsking:
    def test_get_shows_who_and_whom_and_changes_nothing(self, browser, client, address):
        response = browser().get(address)
        page = response.content.decode()
        assert response.status_code == 200
        assert "Romashka" in page
        assert "m•••@example.com" in page
        assert "marina@example.com" not in page
        assert not is_unsubscribed(client)

    @pytest.mark.parametrize("method", ["head", "options"])
    def test_neither_do_head_and_options(self, browser, client, address, method):
        assert getattr(browser(), method)(address).status_code == 200
        assert not is_unsubscribed(client)

    @pytest.mark.parametrize("method", ["put", "patch", "delete"])
    def test_other_methods_are_refused(self, browser, client, address, method):
        assert getattr(browser(), method)(address).status_code == 405
        assert not is_unsubscribed(client)

    def test_it_is_neither_stored_nor_indexed_nor_referred_to(self, browser, address):
        response = browser().get(address)
        assert "no-store" in response["Cache-Control"]
        assert "noindex" in response["X-Robots-Tag"]
        assert response["Referrer-Policy"] == "no-referrer"

    def test_it_speaks_the_language_of_the_browser(self, browser, address):
        russian = browser().get(address, headers={"Accept-Language": "ru"})
        assert russian["Content-Language"] == "ru"


class TestUnsubscribing:
    def test_one_click_needs_no_cookie_and_gives_no_redirect(self, browser, client, address):
        """RFC 8058, section 3.1: the mail program posts by itself."""
        response = browser(enforce_csrf_checks=True).post(
            address, ONE_CLICK, content_type=FORM, headers={"Accept": "*/*"}
        )
        assert response.status_code == 200
        assert not response.cookies
        assert is_unsubscribed(client)

    def test_one_click_may_come_as_multipart(self, browser, client, address):
        response = browser(enforce_csrf_checks=True).post(
            address, {"List-Unsubscribe": "One-Click"}
        )
        assert response.status_code == 200
        assert is_unsubscribed(client)

    def test_no_page_of_the_way_sets_a_cookie(self, browser, address):
        reader = browser(enforce_csrf_checks=True)
        for response in (
            reader.get(address),
            reader.post(address),
            reader.post(address + "again/"),
        ):
            assert response.status_code == 200
            assert not response.cookies

    def test_twice_is_as_good_as_once(self, browser, client, address):
        browser().post(address)
        moment = Client.objects.get(pk=client.pk).unsubscribed_at
        assert browser().post(address).status_code == 200
        assert Client.objects.get(pk=client.pk).unsubscribed_at == moment
        assert Suppression.objects.count() == 1

    def test_nobody_else_is_unsubscribed(self, browser, client, address, stranger):
        others = [make_client(client.owner, "b@example.com"), make_client(stranger, client.email)]
        browser().post(address)
        assert not any(is_unsubscribed(other) for other in others)

    def test_it_works_for_letters_of_a_blocked_company(self, browser, client, address):
        client.owner.is_active = False
        client.owner.save()
        assert browser().post(address).status_code == 200
        assert is_unsubscribed(client)

    def test_the_page_then_says_so(self, browser, client, address):
        browser().post(address)
        assert "You are unsubscribed" in browser().get(address).content.decode()

    def test_the_client_can_come_back(self, browser, client, address):
        browser().post(address)
        response = browser(enforce_csrf_checks=True).post(address + "again/")
        assert response.status_code == 200
        assert not is_unsubscribed(client)
        assert not Suppression.objects.exists()

    def test_coming_back_takes_a_post(self, browser, client, address):
        browser().post(address)
        assert browser().get(address + "again/").status_code == 302
        assert is_unsubscribed(client)


class TestAddressThatChanged:
    """The letter went to marina@; its owner has given the client another address since."""

    @pytest.fixture
    def address(self, client) -> str:
        attempt = Attempt.objects.create(
            mailing=make_mailing(client.owner, clients=[client]), slot=timezone.now()
        )
        Delivery.objects.create(attempt=attempt, client=client, email=client.email)
        return f"/u/{make_token(client.pk, attempt.pk)}/"

    def change(self, client: Client, email: str = "new@example.com") -> None:
        client.email = email
        client.save()

    def test_the_page_shows_the_address_of_the_letter(self, browser, client, address):
        self.change(client)
        page = browser().get(address).text
        assert "m•••@example.com" in page
        assert "n•••@example.com" not in page

    def test_the_old_one_is_unsubscribed_and_not_the_new_one(self, browser, client, address):
        self.change(client)
        assert "You are unsubscribed" in browser().post(address).text
        assert "You are unsubscribed" in browser().get(address).text
        assert not is_unsubscribed(client)
        assert Suppression.objects.moment(client.owner_id, "marina@example.com")
        assert not Suppression.objects.moment(client.owner_id, "new@example.com")

    def test_the_old_one_gets_no_letters_once_it_is_back(self, browser, client, address):
        self.change(client)
        browser().post(address)
        assert is_unsubscribed(make_client(client.owner, "Marina@example.com"))

    def test_whoever_has_the_old_one_now_is_unsubscribed(self, browser, client, address):
        self.change(client)
        other = make_client(client.owner, "MARINA@example.com")
        browser().post(address)
        assert is_unsubscribed(other)
        assert not is_unsubscribed(client)

    def test_the_old_one_can_come_back_alone(self, browser, client, address):
        self.change(client)
        client.unsubscribe()
        browser().post(address)
        assert "You are subscribed again" in browser().post(address + "again/").text
        assert "Unsubscribe?" in browser().get(address).text
        assert is_unsubscribed(client)

    def test_another_case_is_no_other_address(self, browser, client, address):
        self.change(client, "MARINA@Example.com")
        browser().post(address)
        assert is_unsubscribed(client)


class TestNewSecretKey:
    def change_key(self, settings) -> None:
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another" * 10

    def test_an_address_still_refuses_letters(self, client, settings):
        client.unsubscribe()
        client.delete()
        self.change_key(settings)
        assert is_unsubscribed(make_client(client.owner, "marina@example.com"))

    def test_it_can_still_come_back(self, client, settings):
        client.unsubscribe()
        self.change_key(settings)
        client.resubscribe()
        assert not Suppression.objects.exists()

    def test_links_of_letters_sent_before_still_work(self, browser, client, address, settings):
        self.change_key(settings)
        assert browser().post(address).status_code == 200
        assert is_unsubscribed(client)


class TestWrongLinks:
    @pytest.mark.parametrize("suffix", ["", "again/"])
    @pytest.mark.parametrize("method", ["get", "post", "head"])
    def test_a_wrong_token_is_a_404(self, browser, client, address, method, suffix):
        wrong = address[:-2] + ("A/" if address[-2] != "A" else "B/")
        assert getattr(browser(), method)(wrong + suffix).status_code == 404
        assert not is_unsubscribed(client)

    @pytest.mark.parametrize("token", ["x", "%00", "%D1%8B", "a" * 5000, "..%2f"])
    def test_garbage_is_never_a_500(self, browser, db, token):
        assert browser().get(f"/u/{token}/").status_code in {400, 404}

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_client_deleted_meanwhile_gets_a_friendly_page(
        self, browser, client, address, method
    ):
        client.delete()
        response = getattr(browser(), method)(address)
        assert response.status_code == 200
        assert "no longer on this sender" in response.content.decode()

    def test_the_preview_unsubscribes_nobody(self, browser, client):
        response = browser().get("/u/preview/")
        assert response.status_code == 200
        assert "This is a sample" in response.content.decode()
        assert browser().post("/u/preview/").status_code == 405
