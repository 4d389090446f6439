from __future__ import annotations

from datetime import datetime, timedelta
from io import BytesIO
from zoneinfo import ZoneInfo

import pytest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from openpyxl import load_workbook
from wagtail.users.models import UserProfile

from conftest import make_client, make_mailing, make_message
from mailings.models import Attempt, ClientList, Mailing


@pytest.fixture
def mailing(owner) -> Mailing:
    return make_mailing(owner, name="Spring sale", clients=[make_client(owner)])


def listing(browser, user, **query):
    return browser(user).get(reverse("mailing:index"), query)


def names(response) -> list[str]:
    assert response.status_code == 200
    return [mailing.name for mailing in response.context["object_list"]]


def detail(browser, user, mailing) -> str:
    response = browser(user).get(reverse("mailing:inspect", args=[mailing.pk]))
    assert response.status_code == 200
    return response.content.decode()


class TestListing:
    """T3: the list of mailings, with search, filters, sorting, paging and export."""

    def test_it_shows_own_mailings(self, browser, owner, stranger, mailing):
        """P6: and nobody else's."""
        make_mailing(stranger, name="Winter sale")
        assert names(listing(browser, owner)) == ["Spring sale"]

    def test_it_shows_what_matters(self, browser, owner, mailing):
        page = listing(browser, owner).content.decode()
        for words in ("Spring sale", "News", "created", "once", "Switched on"):
            assert words in page

    @pytest.mark.parametrize("query", ["spring", "SPRING sale", "news"])
    def test_search_finds_by_name_and_message(self, browser, owner, mailing, query):
        make_mailing(owner, name="Other", message=make_message(owner, "Bye"))
        assert names(listing(browser, owner, q=query)) == ["Spring sale"]

    def test_search_knows_cyrillic_capitals(self, browser, owner):
        make_mailing(owner, name="Весенняя распродажа")
        assert names(listing(browser, owner, q="ВЕСЕННЯЯ")) == ["Весенняя распродажа"]

    @pytest.mark.parametrize(
        "query",
        [{"status": "created"}, {"periodicity": "weekly"}, {"is_active": "true"}],
    )
    def test_filters(self, browser, owner, query):
        make_mailing(owner, name="Wanted", periodicity="weekly")
        other = make_mailing(owner, name="Other")
        Mailing.objects.filter(pk=other.pk).update(status="finished", is_active=False)
        assert names(listing(browser, owner, **query)) == ["Wanted"]

    @pytest.mark.parametrize(
        "column", ["name", "status", "periodicity", "next_run_at", "is_active"]
    )
    def test_sorting(self, browser, owner, column):
        make_mailing(owner, name="B")
        make_mailing(owner, name="A")
        forward = names(listing(browser, owner, ordering=column))
        backward = names(listing(browser, owner, ordering=f"-{column}"))
        assert sorted(forward) == sorted(backward) == ["A", "B"]
        if column == "name":
            assert forward == ["A", "B"]

    def test_paging(self, browser, owner):
        message = make_message(owner)
        for number in range(51):
            make_mailing(owner, name=f"M{number}", message=message)
        first, second = names(listing(browser, owner)), names(listing(browser, owner, p=2))
        assert (len(first), len(second)) == (50, 1)
        assert not set(first) & set(second)

    def test_csv_holds_own_rows_in_local_time(self, browser, owner, stranger):
        make_mailing(stranger, name="Winter sale")
        start = datetime(2030, 5, 1, 9, 30, tzinfo=ZoneInfo("Europe/Moscow"))
        make_mailing(owner, name="Spring sale", starts_at=start)
        response = listing(browser, owner, export="csv")
        text = b"".join(response.streaming_content).decode()
        assert "Spring sale" in text
        assert "2030-05-01 09:30+03:00" in text
        assert "Winter" not in text

    def test_xlsx_holds_own_rows_in_local_time(self, browser, owner):
        start = datetime(2030, 5, 1, 9, 30, tzinfo=ZoneInfo("Europe/Moscow"))
        make_mailing(owner, name="=1+1", starts_at=start)
        response = listing(browser, owner, export="xlsx")
        cells = [
            cell.value
            for row in load_workbook(BytesIO(b"".join(response.streaming_content))).active
            for cell in row
        ]
        assert "'=1+1" in cells
        assert datetime(2030, 5, 1, 9, 30) in cells

    def test_a_title_leads_to_the_detail_page(self, browser, owner, mailing):
        address = reverse("mailing:inspect", args=[mailing.pk])
        assert f'href="{address}"' in listing(browser, owner).content.decode()


class TestDetail:
    def test_it_counts_who_gets_it(self, browser, owner, mailing):
        for number in range(3):
            mailing.clients.add(make_client(owner, f"c{number}@example.com"))
        gone = make_client(owner, "gone@example.com")
        mailing.clients.add(gone)
        gone.unsubscribe()
        page = detail(browser, owner, mailing)
        assert "5 clients" in page
        assert "1 of them has unsubscribed" in page

    def test_it_counts_members_of_lists_once(self, browser, owner, mailing):
        vip = ClientList.objects.create(owner=owner, name="VIP")
        mailing.lists.add(vip)
        mailing.clients.get().lists.add(vip)
        page = detail(browser, owner, mailing)
        assert "1 client\n" in page
        assert "VIP" in page

    def test_it_shows_the_next_five_runs_in_the_readers_zone(self, browser, owner):
        """S3: a mailing repeats with its periodicity."""
        UserProfile.objects.create(user=owner, current_time_zone="Asia/Vladivostok")
        start = timezone.now().replace(hour=2, minute=15, second=0, microsecond=0)
        mailing = make_mailing(owner, starts_at=start + timedelta(days=2), periodicity="daily")
        page = detail(browser, owner, mailing)
        assert page.count("12:15 p.m.</li>") == 5
        assert "Asia/Vladivostok" in page

    def test_a_mailing_that_is_over_has_no_next_run(self, browser, owner, mailing):
        Mailing.objects.filter(pk=mailing.pk).update(status="finished", next_run_at=None)
        assert "None: the mailing is over" in detail(browser, owner, mailing)

    def test_it_shows_the_attempts_and_their_sums(self, browser, owner, mailing):
        """T4, S4: the log of attempts and the statistics over all of them."""
        for day, words in enumerate(["250 queued", "550 no such user"]):
            Attempt.objects.create(
                mailing=mailing, slot=timezone.now() - timedelta(days=day), status="partial",
                planned=50, accepted=44, rejected=3, skipped=2, unknown=1, server_response=words,
            )  # fmt: skip
        page = detail(browser, owner, mailing)
        assert "250 queued" in page
        assert "550 no such user" in page
        assert "partial success" in page
        assert "Accepted: 88" in page
        assert "Rejected: 6" in page
        assert "88 %" in page
        for attempt in mailing.attempts.all():
            assert reverse("mailing:attempt", args=[attempt.pk]) in page

    def test_the_attempts_are_paged(self, browser, owner, mailing):
        start = timezone.now()
        Attempt.objects.bulk_create(
            Attempt(mailing=mailing, slot=start - timedelta(days=n), status="success")
            for n in range(25)
        )
        address = reverse("mailing:inspect", args=[mailing.pk])
        pages = [browser(owner).get(address, {"p": p}).context["attempts"] for p in (1, 2)]
        assert [len(page.object_list) for page in pages] == [20, 5]

    def test_a_run_at_work_refreshes_itself(self, browser, owner, mailing):
        run = Attempt.objects.create(mailing=mailing, slot=timezone.now(), planned=4, accepted=1)
        address = reverse("mailing:runs", args=[mailing.pk])
        assert f'data-refresh="{address}' in detail(browser, owner, mailing)
        Attempt.objects.filter(pk=run.pk).update(accepted=4, status="success")
        fragment = browser(owner).get(address).content.decode()
        assert "Accepted: 4" in fragment
        assert "data-refresh" not in fragment
        assert "<html" not in fragment

    def test_words_of_ours_are_translated(self, browser, owner, mailing, monkeypatch):
        monkeypatch.setattr("mailings.reports.gettext", lambda words: words.upper())
        Attempt.objects.create(
            mailing=mailing, slot=timezone.now(), status="failure",
            server_response="There was nobody to send it to.",
        )  # fmt: skip
        assert "THERE WAS NOBODY TO SEND IT TO." in detail(browser, owner, mailing)

    def test_what_servers_say_is_never_markup(self, browser, owner, mailing):
        Attempt.objects.create(
            mailing=mailing, slot=timezone.now(), status="failure",
            server_response="550 <script>alert(1)</script>",
        )  # fmt: skip
        page = detail(browser, owner, mailing)
        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)" in page


class TestDeleting:
    """T3: full CRUD."""

    def test_it_asks_first(self, browser, owner, mailing):
        response = browser(owner).get(reverse("mailing:delete", args=[mailing.pk]))
        assert "record of its attempts" in response.content.decode()
        assert Mailing.objects.exists()

    def test_it_deletes_with_the_attempts(self, browser, owner, mailing):
        Attempt.objects.create(mailing=mailing, slot=timezone.now(), status="success")
        browser(owner).post(reverse("mailing:delete", args=[mailing.pk]))
        assert not Mailing.objects.exists()
        assert not Attempt.objects.exists()


@pytest.mark.parametrize("view", ["inspect", "edit", "delete", "history", "usage", "runs"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_rows_of_others_do_not_exist(browser, stranger, mailing, view, method):
    """P6: somebody else's row answers 404."""
    response = getattr(browser(stranger), method)(reverse(f"mailing:{view}", args=[mailing.pk]))
    assert response.status_code in ({404} if method == "get" else {404, 405})
    assert Mailing.objects.filter(name="Spring sale").exists()


def test_there_is_no_copying():
    with pytest.raises(NoReverseMatch):
        reverse("mailing:copy", args=[1])


def test_strangers_to_the_service_are_led_to_the_login(browser, mailing):
    for view in ("index", "add", "finished", "clients", "running"):
        assert "/accounts/login/" in browser().get(reverse(f"mailing:{view}")).url
