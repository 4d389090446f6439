from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone
from wagtail.models import ModelLogEntry
from wagtail.users.models import UserProfile

from conftest import make_client, make_mailing, make_message
from mailings.models import Attempt, ClientList, Mailing

MOSCOW = ZoneInfo("Europe/Moscow")


def local(moment: datetime) -> str:
    return moment.astimezone(MOSCOW).strftime("%Y-%m-%d %H:%M")


def ahead(**span: float) -> str:
    return local(timezone.now() + timedelta(**span))


@pytest.fixture
def client(owner):
    return make_client(owner)


@pytest.fixture
def data(owner, client):
    """What the form holds when everything is right."""
    return {
        "name": "Weekly news",
        "message": make_message(owner).pk,
        "clients": str(client.pk),
        "starts_at": ahead(hours=1),
        "ends_at": "",
        "periodicity": "weekly",
        "in_doubt": "resend",
        "is_active": "on",
    }


@pytest.fixture
def add(browser, owner, data):
    """Return a function that posts the form with some fields changed."""

    def post(user=None, **changes):
        return browser(user or owner).post(reverse("mailing:add"), {**data, **changes})

    return post


def edit(browser, user, mailing, data, **changes):
    return browser(user).post(reverse("mailing:edit", args=[mailing.pk]), {**data, **changes})


def errors(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    return response.context["form"].errors


class TestCreating:
    def test_a_mailing_belongs_to_who_made_it(self, add, owner, client, data):
        """T3: first sending, end, periodicity, status, one message, many clients."""
        second = make_client(owner, "anna@example.com")
        response = add(clients=f"{client.pk},{second.pk}", ends_at=ahead(days=30))
        mailing = Mailing.objects.get()
        assert response.url == reverse("mailing:inspect", args=[mailing.pk])
        assert mailing.owner == owner
        assert mailing.message_id == data["message"]
        assert set(mailing.clients.all()) == {client, second}
        assert local(mailing.starts_at) == data["starts_at"]
        assert mailing.ends_at is not None
        assert mailing.periodicity == "weekly"
        assert mailing.status == Mailing.Status.CREATED
        assert mailing.next_run_at == mailing.starts_at

    @pytest.mark.parametrize("periodicity", ["once", "daily", "weekly", "monthly"])
    def test_every_periodicity_can_be_chosen(self, add, periodicity):
        """T3: daily, weekly, monthly; once is ours."""
        add(periodicity=periodicity)
        assert Mailing.objects.get().periodicity == periodicity

    def test_everybody_needs_no_list(self, add):
        add(clients="", all_clients="on")
        assert Mailing.objects.get().audience().count() == 1

    def test_whole_lists_can_be_chosen(self, add, owner, client):
        vip = ClientList.objects.create(owner=owner, name="VIP")
        client.lists.add(vip)
        add(clients="", lists=[vip.pk])
        assert list(Mailing.objects.get().lists.all()) == [vip]

    def test_thousands_of_clients_can_be_chosen_one_by_one(self, add, owner):
        people = [make_client(owner, f"c{n}@example.com").pk for n in range(3)]
        keys = ",".join(str(pk) for pk in [*people, *people] * 500)
        add(clients=keys)
        assert Mailing.objects.get().clients.count() == 3

    def test_times_are_those_of_the_users_own_zone(self, add, owner):
        UserProfile.objects.create(user=owner, current_time_zone="Asia/Vladivostok")
        tomorrow = (timezone.now() + timedelta(days=1)).date()
        add(starts_at=f"{tomorrow} 09:00")
        there = Mailing.objects.get().starts_at.astimezone(ZoneInfo("Asia/Vladivostok"))
        assert f"{there:%Y-%m-%d %H:%M}" == f"{tomorrow} 09:00"

    def test_the_form_names_the_zone(self, browser, owner):
        UserProfile.objects.create(user=owner, current_time_zone="Asia/Vladivostok")
        page = browser(owner).get(reverse("mailing:add")).content.decode()
        assert "Time zone: Asia/Vladivostok." in page

    def test_it_rings_a_worker_only_with_its_clients_in_place(
        self, add, owner, client, monkeypatch, django_capture_on_commit_callbacks
    ):
        """S1: a mailing saved inside its window starts at once."""
        seen = []
        monkeypatch.setattr(
            "mailings.tasks.ring", lambda: seen.append(Mailing.objects.get().clients.count())
        )
        with django_capture_on_commit_callbacks(execute=True):
            add(starts_at=ahead(minutes=-5))
        assert seen == [1]


class TestTimes:
    def test_the_end_must_follow_the_start(self, add):
        response = add(starts_at=ahead(hours=2), ends_at=ahead(hours=1))
        assert errors(response) == {"ends_at": ["The end must be later than the first sending."]}

    def test_the_end_must_not_be_the_start(self, add):
        moment = ahead(hours=2)
        assert "ends_at" in errors(add(starts_at=moment, ends_at=moment))

    def test_the_end_must_not_have_passed(self, add):
        response = add(starts_at=ahead(days=-2), ends_at=ahead(days=-1))
        assert errors(response) == {"ends_at": ["The end has already passed."]}

    def test_a_start_a_little_back_is_fine(self, add):
        assert add(starts_at=ahead(days=-30)).status_code == 302

    @pytest.mark.parametrize(
        ("start", "words"),
        [("2001-01-01 10:00", "more than a year back"), ("2099-01-01 10:00", "ten years ahead")],
    )
    def test_a_start_far_away_is_refused(self, add, start, words):
        assert words in errors(add(starts_at=start))["starts_at"][0]

    @pytest.mark.parametrize("field", ["starts_at", "ends_at"])
    @pytest.mark.parametrize(
        "moment", ["0001-01-01 00:00", "9999-12-31 23:59", "2026-02-30 10:00", "soon", "1e9"]
    )
    def test_impossible_moments_are_errors_of_the_field(self, add, field, moment):
        assert field in errors(add(**{field: moment}))
        assert not Mailing.objects.exists()


class TestAudience:
    def test_nobody_is_refused(self, add):
        assert "Choose who gets it" in errors(add(clients=""))["all_clients"][0]

    def test_everybody_is_refused_when_there_is_nobody(self, add, owner, client):
        client.delete()
        assert "no clients yet" in errors(add(clients="", all_clients="on"))["all_clients"][0]

    def test_lists_without_clients_are_refused(self, add, owner):
        empty = ClientList.objects.create(owner=owner, name="Empty")
        assert "no clients" in errors(add(clients="", lists=[empty.pk]))["lists"][0]


class TestRowsOfOthers:
    """P6: a form offers and takes own rows only."""

    @pytest.fixture
    def foreign(self, stranger):
        people = make_client(stranger, "secret@example.com", full_name="Zoya Secret")
        letters = make_message(stranger, "Secret plan")
        vip = ClientList.objects.create(owner=stranger, name="Secret list")
        people.lists.add(vip)
        return {"clients": people, "message": letters, "lists": vip}

    def test_they_are_not_offered(self, browser, owner, foreign):
        page = browser(owner).get(reverse("mailing:add")).content.decode()
        assert "Secret" not in page

    @pytest.mark.parametrize("field", ["clients", "message", "lists"])
    def test_they_are_refused_without_being_named(self, add, foreign, field):
        response = add(**{field: foreign[field].pk})
        assert "Select a valid choice" in errors(response)[field][0]
        assert "ecret" not in response.content.decode()
        assert not Mailing.objects.exists()

    @pytest.mark.parametrize("keys", ["x", "-1", "1,,2x", "9" * 30, "1e3", "½"])
    def test_keys_that_are_none_are_errors_of_the_field(self, add, keys):
        assert "clients" in errors(add(clients=keys))

    def test_a_refused_form_keeps_the_own_clients_that_were_chosen(self, add, client):
        response = add(name="")
        assert f'value="{client.pk}"' in response.content.decode()

    def test_the_search_finds_own_clients_only(self, browser, owner, client, foreign):
        found = browser(owner).get(reverse("mailing:clients"), {"q": "example.com"}).json()
        assert found == {
            "clients": [{"id": client.pk, "name": "Ivan Petrov", "email": "ivan@example.com"}],
            "more": False,
        }

    def test_nor_with_the_number_of_another_owner(self, browser, owner, stranger, foreign):
        address = reverse("mailing:clients")
        for number in (stranger.pk, "x", "", "9" * 40, "²"):
            found = browser(owner).get(address, {"q": "", "owner": number}).json()
            assert "Secret" not in str(found)

    def test_the_search_knows_cyrillic_capitals(self, browser, owner):
        make_client(owner, "anna@example.com", full_name="Анна Иванова")
        found = browser(owner).get(reverse("mailing:clients"), {"q": "иванова АННА"}).json()
        assert [each["name"] for each in found["clients"]] == ["Анна Иванова"]

    def test_the_search_shows_twenty_and_says_if_there_are_more(self, browser, owner):
        for number in range(21):
            make_client(owner, f"n{number}@example.com")
        found = browser(owner).get(reverse("mailing:clients")).json()
        assert len(found["clients"]) == 20
        assert found["more"] is True


class TestNames:
    @pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x1bb", "a\u2028b"])
    def test_control_characters_are_refused(self, add, name):
        assert "name" in errors(add(name=name))

    def test_a_name_too_long_is_refused(self, add):
        assert "name" in errors(add(name="x" * 151))

    @pytest.mark.parametrize("field", ["periodicity", "in_doubt"])
    def test_choices_that_are_none_are_refused(self, add, field):
        assert field in errors(add(**{field: "hourly"}))


class TestEditing:
    @pytest.fixture
    def mailing(self, owner, client):
        return make_mailing(owner, clients=[client])

    def test_it_saves_what_was_changed(self, browser, owner, mailing, data):
        edit(browser, owner, mailing, data, name="Monthly news", periodicity="monthly")
        mailing.refresh_from_db()
        assert (mailing.name, mailing.periodicity) == ("Monthly news", "monthly")

    def test_whom_a_run_goes_to_stays_while_it_is_opened(
        self, browser, owner, mailing, data, client
    ):
        mailing.clients.set([client])
        run = Attempt.objects.create(
            mailing=mailing, slot=timezone.now(), opening_until=timezone.now()
        )
        other = make_client(owner, "other@example.com")
        response = edit(browser, owner, mailing, data, clients=str(other.pk))
        assert "try again in a few seconds" in response.text
        assert edit(browser, owner, mailing, data, name="Renamed").status_code == 302
        run.status = "failure"
        run.save()
        assert edit(browser, owner, mailing, data, clients=str(other.pk)).status_code == 302
        assert mailing.clients.get() == other

    def test_a_finished_mailing_can_be_renamed(self, browser, owner, mailing, data):
        long_ago = timezone.now() - timedelta(days=800)
        Mailing.objects.filter(pk=mailing.pk).update(
            starts_at=long_ago, ends_at=long_ago + timedelta(days=1), status="finished"
        )
        mailing.refresh_from_db()
        times = {"starts_at": local(mailing.starts_at), "ends_at": local(mailing.ends_at)}
        response = edit(browser, owner, mailing, data, name="Old news", **times)
        assert response.status_code == 302
        mailing.refresh_from_db()
        assert (mailing.name, mailing.status) == ("Old news", Mailing.Status.FINISHED)

    def test_a_later_start_arms_a_finished_mailing_again(self, browser, owner, mailing, data):
        mailing.attempts.create(slot=mailing.starts_at, status="success")
        Mailing.objects.filter(pk=mailing.pk).update(status="finished", periodicity="once")
        edit(browser, owner, mailing, data, periodicity="once", starts_at=ahead(days=3))
        mailing.refresh_from_db()
        assert mailing.status == Mailing.Status.STARTED
        assert mailing.next_run_at == mailing.starts_at

    def test_it_stays_off_when_a_manager_switched_it_off(
        self, browser, owner, manager, mailing, data
    ):
        """P3: the owner cannot get round a manager's switch by editing."""
        mailing.switch_off(by=manager, reason="Complaints")
        response = browser(owner).get(reverse("mailing:edit", args=[mailing.pk]))
        page = response.content.decode()
        assert "Maria switched this mailing off. The reason: Complaints" in page
        assert response.context["form"].fields["is_active"].disabled
        assert edit(browser, owner, mailing, data).status_code == 302
        mailing.refresh_from_db()
        assert not mailing.is_active
        assert mailing.disabled_by == manager

    def test_nor_does_it_come_on_when_the_manager_is_gone(
        self, browser, owner, manager, mailing, data
    ):
        mailing.switch_off(by=manager, reason="Complaints")
        manager.delete()
        edit(browser, owner, mailing, data)
        mailing.refresh_from_db()
        assert not mailing.is_active

    def test_the_owner_can_switch_off_and_on_in_the_form(self, browser, owner, mailing, data):
        off = {name: value for name, value in data.items() if name != "is_active"}
        edit(browser, owner, mailing, off)
        mailing.refresh_from_db()
        assert (mailing.is_active, mailing.disabled_by) == (False, owner)
        edit(browser, owner, mailing, data)
        mailing.refresh_from_db()
        assert (mailing.is_active, mailing.disabled_by) == (True, None)

    def test_the_switch_in_the_form_leaves_the_same_trace_as_the_button(
        self, browser, owner, mailing, data
    ):
        off = {name: value for name, value in data.items() if name != "is_active"}
        for form in (off, data, data):
            edit(browser, owner, mailing, form)
        entries = ModelLogEntry.objects.filter(action__startswith="mailings.switch")
        actions = entries.order_by("pk").values_list("action", "user")
        assert list(actions) == [
            ("mailings.switch_off", owner.pk), ("mailings.switch_on", owner.pk)
        ]  # fmt: skip

    def test_nothing_is_half_saved(self, browser, owner, mailing, data, monkeypatch):
        def fail(*args, **kwargs):
            raise RuntimeError("in the middle of saving")

        monkeypatch.setattr("mailings.forms.MailingForm._save_m2m", fail)
        with pytest.raises(RuntimeError):
            edit(browser, owner, mailing, data, name="Half")
        mailing.refresh_from_db()
        assert mailing.name == "Weekly news"


def test_a_client_in_a_list_with_an_impossible_number_is_an_error(browser, owner):
    response = browser(owner).post(
        reverse("client:add"),
        {"full_name": "Anna", "email": "anna@example.com", "lists": ["9" * 30]},
    )
    assert "lists" in errors(response)
