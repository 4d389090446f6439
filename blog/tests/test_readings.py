"""Who counts as a reader of a post, and what is kept of them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from wagtail.users.models import UserProfile

from blog.models import BlogPage
from blog.readings import request, settle, waiting
from blog.readings.models import DailyViews, Reading, Salt, today
from blog.readings.settle import Line
from blog.tests.posts import make_post

pytestmark = pytest.mark.django_db

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAME = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(autouse=True)
def nothing_waits(settings, tmp_path, monkeypatch):
    """Begin with nothing that waits, no salt of another test and no flood."""
    settings.VAR_DIR = tmp_path
    if link := waiting.get_link():
        link.client.flushdb()
    monkeypatch.setattr(request, "_salt", {})
    monkeypatch.setattr(request, "floods", request.Floods())


def read(post: BlogPage | int, reader: Browser, agent: str = AGENT, **headers: str) -> int:
    """Send what the page's script sends; return the status of the answer."""
    pk = post if isinstance(post, int) else post.pk
    headers = {**SAME, "User-Agent": agent, **headers}
    address = reverse("count_reading", args=[pk])
    return reader.post(address, b"", "text/plain", headers=headers).status_code


def count(post: BlogPage) -> int:
    settle.settle()
    return BlogPage.objects.get(pk=post.pk).view_count


class TestOneView:
    def test_first_reading_of_a_day_counts(self, browser):
        """I4: the blog counts views: once per visitor, post and day."""
        post, other = make_post("One"), make_post("Two")
        for _ in range(3):
            assert read(post, browser()) == 204
        read(other, browser())
        assert (count(post), count(other)) == (1, 1)
        assert DailyViews.objects.get(post=post).views == 1

    def test_other_agent_and_other_address_are_other_visitors(self, browser):
        post = make_post()
        read(post, browser())
        read(post, browser(), agent=AGENT.replace("140", "141"))
        read(post, browser(REMOTE_ADDR="192.0.2.1"))
        assert count(post) == 3

    def test_next_day_counts_again(self, browser, monkeypatch):
        post = make_post()
        read(post, browser())
        assert count(post) == 1
        tomorrow = today() + timedelta(days=1)
        for module in (settle, request):
            monkeypatch.setattr(module, "today", lambda: tomorrow)
        read(post, browser())
        assert count(post) == 2
        assert DailyViews.objects.filter(post=post).count() == 2

    def test_day_is_that_of_the_site_not_of_the_user(self, browser, owner):
        """A user in Auckland and a stranger read on the same day."""
        profile = UserProfile.get_for_user(owner)
        profile.current_time_zone = "Pacific/Auckland"
        profile.save()
        post = make_post()
        read(post, browser(owner))
        assert count(post) == 1
        assert DailyViews.objects.get().day == today()

    def test_visitor_behind_a_proxy(self, browser, settings):
        """The address is the one that TRUSTED_PROXIES proxies vouch for, no other."""
        post = make_post()
        settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
        for address in ("10.0.0.1, 192.0.2.1", "10.0.0.2, 192.0.2.1", "192.0.2.2"):
            read(post, browser(), **{"X-Forwarded-For": address})
        assert count(post) == 2

    def test_forged_address_is_no_other_visitor(self, browser):
        post = make_post()
        for number in range(3):
            read(post, browser(), **{"X-Forwarded-For": f"192.0.2.{number}"})
        assert count(post) == 1


class TestWhoDoesNotCount:
    def test_head(self, browser):
        post = make_post()
        assert browser().head(reverse("count_reading", args=[post.pk])).status_code == 405
        assert count(post) == 0

    def test_page_alone(self, browser):
        """Who fetches a page has not read it: robots, prefetches, previews of links."""
        post = make_post()
        browser().get(post.url, headers={"User-Agent": AGENT})
        browser().head(post.url)
        assert count(post) == 0

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Purpose": "prefetch"},
            {"Sec-Purpose": "prefetch;prerender"},
            {"Purpose": "prefetch"},
            {"X-Moz": "prefetch"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "", "Origin": "https://elsewhere.example"},
            {"Sec-Fetch-Site": "", "Origin": "null"},
            {"Sec-Fetch-Site": "", "Referer": "http://[x"},
            {"Sec-Fetch-Site": ""},
        ],
    )
    def test_prefetch_and_other_sites(self, browser, headers):
        post = make_post()
        assert read(post, browser(), **headers) == 204
        assert count(post) == 0

    @pytest.mark.parametrize(
        "agent",
        [
            "",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; YandexBot/3.0)",
            "Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/139.0.0.0 Safari/537.36",
            "SomethingNewBot/0.1",
            "curl/8.14.1",
            "TelegramBot (like TwitterBot)",
            "facebookexternalhit/1.1",
        ],
    )
    def test_robots(self, browser, agent):
        post = make_post()
        read(post, browser(), agent=agent)
        assert count(post) == 0

    def test_editors_and_administrators(self, browser, editor, administrator):
        post = make_post()
        for user in (editor, administrator):
            read(post, browser(user))
        assert count(post) == 0

    @pytest.mark.parametrize("person", ["owner", "manager"])
    def test_other_users_do(self, browser, request, person):
        post = make_post()
        read(post, browser(request.getfixturevalue(person)))
        assert count(post) == 1

    def test_old_browser_counts_by_its_origin(self, browser):
        post = make_post()
        old = {"Sec-Fetch-Site": "", "Origin": "http://testserver"}
        read(post, browser(), **old)
        assert count(post) == 1


class TestPage:
    def test_it_asks_to_be_counted(self, browser):
        post = make_post()
        assert f'data-reading="/read/{post.pk}/"' in browser().get(post.url).text

    def test_without_scripts_an_image_does(self, browser):
        post = make_post()
        address = reverse("count_reading", args=[post.pk])
        assert f'<noscript><img src="{address}"' in browser().get(post.url).text
        headers = {**SAME, "Sec-Fetch-Dest": "image", "User-Agent": AGENT}
        answer = browser().get(address, headers=headers)
        assert answer["Content-Type"] == "image/gif"
        assert "no-store" in answer["Cache-Control"]
        # With scripts and without, it is the same person.
        read(post, browser())
        assert count(post) == 1

    @pytest.mark.parametrize("headers", [{}, {"Referer": "http://testserver/"}, SAME])
    def test_link_to_the_image_does_not(self, browser, headers):
        post = make_post()
        address = reverse("count_reading", args=[post.pk])
        answer = browser().get(address, headers={**headers, "User-Agent": AGENT})
        assert answer.status_code == 404
        assert count(post) == 0

    def test_preview_draft_and_error_do_not_ask(self, browser, editor):
        post = make_post()
        assert "data-reading" not in post.make_preview_request().rendered_content
        draft = reverse("wagtailadmin_pages:view_draft", args=[post.pk])
        assert "data-reading" not in browser(editor).get(draft).text
        assert "data-reading" not in browser().get("/blog/no-such-post/").text

    def test_no_cookie_is_set(self, browser):
        post, reader = make_post(), browser(enforce_csrf_checks=True)
        reader.get(post.url)
        assert read(post, reader) == 204
        assert not reader.cookies
        assert count(post) == 1


class TestPrivacy:
    def test_nothing_kept_tells_who_it_was(self, browser):
        read(make_post(), browser(REMOTE_ADDR="192.0.2.1"))
        lines = [line for batch in waiting.take() for step in batch for line in step]
        settle.settle_lines([Line.parse(line) for line in lines])
        kept = json.dumps([lines, *Reading.objects.values()], default=str)
        assert len(lines) == 1
        assert "192.0.2" not in kept
        assert "Mozilla" not in kept

    def test_posts_of_one_visitor_cannot_be_joined(self, browser):
        for title in ("One", "Two"):
            read(make_post(title), browser())
        settle.settle()
        assert len({row.visitor for row in Reading.objects.all()}) == 2
        assert len({row.network for row in Reading.objects.all()}) == 2

    def test_salt_is_shared_by_processes_and_goes_with_its_day(self, browser, monkeypatch):
        post = make_post()
        read(post, browser())
        monkeypatch.setattr(request, "_salt", {})  # As in another process.
        read(post, browser())
        assert count(post) == 1
        tomorrow = today() + timedelta(days=1)
        monkeypatch.setattr(settle, "today", lambda: tomorrow)
        settle.settle()
        assert not Salt.objects.exists()

    def test_copy_of_the_database_is_not_enough(self, settings):
        """Whoever has the salt lacks the secret key."""
        salt = request.read_salt(today())
        key = request.make_key(salt)
        assert request.make_key(salt) == key
        settings.SECRET_KEY = "another-" + "x" * 50
        assert request.make_key(salt) != key

    def test_rows_go_and_sums_stay(self, browser, monkeypatch):
        post = make_post()
        read(post, browser())
        settle.settle()
        later = today() + timedelta(days=3)
        monkeypatch.setattr(settle, "today", lambda: later)
        settle.settle()
        assert not Reading.objects.exists()
        assert DailyViews.objects.get().views == count(post) == 1


class TestBounds:
    def test_body_is_refused(self, browser):
        post = make_post()
        address = reverse("count_reading", args=[post.pk])
        answer = browser().post(address, "x" * 10_000, "text/plain", headers=SAME)
        assert answer.status_code == 413
        assert count(post) == 0

    def test_posts_that_there_are_not(self, browser):
        assert read(999_999_999, browser()) == 204
        assert settle.settle() == 0
        assert browser().post("/read/99999999999999999999/").status_code == 404

    def test_draft_that_nobody_ever_saw(self, browser):
        post = make_post()
        BlogPage.objects.filter(pk=post.pk).update(first_published_at=None)
        read(post, browser())
        assert settle.settle() == 0

    def test_other_page_is_no_post(self, browser):
        assert read(make_post().get_parent().pk, browser()) == 204
        assert settle.settle() == 0

    def test_changing_agents_from_one_address(self, browser, monkeypatch):
        monkeypatch.setattr(settle, "MOST_OF_A_NETWORK", 5)
        post, flooder = make_post(), browser()
        for number in range(8):
            read(post, flooder, agent=f"{AGENT} {number}")
            if number == 3:
                settle.settle()
        read(post, browser(REMOTE_ADDR="192.0.2.1"))
        assert count(post) == 6

    def test_changing_addresses_within_a_network(self, browser, monkeypatch):
        monkeypatch.setattr(settle, "MOST_OF_A_NETWORK", 5)
        post = make_post()
        for number in range(8):
            read(post, browser(REMOTE_ADDR=f"2001:db8::{number}"))
        read(post, browser(REMOTE_ADDR="2001:db8:1::1"))
        assert count(post) == 6

    def test_ipv4_on_a_socket_for_both_kinds(self, browser, monkeypatch):
        """Such addresses share their /64, but not their network."""
        monkeypatch.setattr(settle, "MOST_OF_A_NETWORK", 2)
        post = make_post()
        for number in range(5):
            read(post, browser(REMOTE_ADDR=f"::ffff:192.0.2.{number}"))
        read(post, browser(REMOTE_ADDR="192.0.2.1"))
        assert count(post) == 5

    def test_flood_is_not_even_written_down(self, browser, monkeypatch):
        monkeypatch.setattr(request, "MOST_A_MINUTE", 5)
        monkeypatch.setattr(request.time, "monotonic", lambda: 0.0)
        post = make_post()
        for number in range(8):
            read(post, browser(), agent=f"{AGENT} {number}")
        assert sum(len(step) for batch in waiting.take() for step in batch) == 5

    def test_stranger_costs_no_query(self, browser):
        post, reader = make_post(), browser()
        read(post, reader)  # The first of a day reads its salt.
        with CaptureQueriesContext(connection) as queries:
            read(post, reader, agent=f"{AGENT} 2")
        assert len(queries) == 0


class TestWithoutRedis:
    def test_reading_is_counted_once(self, browser, settings):
        """I4: also while Redis is away, and by whoever settles after it came back."""
        there = settings.REDIS_URL
        settings.REDIS_URL = "redis://127.0.0.1:1/0"  # Nobody listens on port 1.
        post = make_post()
        for _ in range(3):
            assert read(post, browser()) == 204
        assert len((waiting.folder() / "lines").read_text().splitlines()) == 3
        assert count(post) == 1
        read(post, browser())
        settings.REDIS_URL = there
        assert read(post, browser()) == 204
        assert count(post) == 1
        assert DailyViews.objects.get(post=post).views == 1


def make_line(post: BlogPage, number: int, day: date | None = None) -> Line:
    key = b"k"
    return Line(
        day or today(),
        post.pk,
        request.digest(key, str(number)),
        request.digest(key, "net", str(number)),
    )


class TestSettling:
    def test_the_same_batch_twice(self):
        """A process that died after its commit leaves what it had counted."""
        post = make_post()
        lines = [make_line(post, number) for number in range(30)]
        assert settle.settle_lines(lines) == 30
        assert settle.settle_lines([*lines, make_line(post, 30)]) == 1
        assert count(post) == DailyViews.objects.get().views == 31

    def test_batch_of_a_process_that_died_is_found(self):
        post = make_post()
        waiting.add(str(make_line(post, 1)))

        def die(lines: Any) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(settle, "settle_lines", die)
            with pytest.raises(KeyboardInterrupt):
                settle.settle()
        waiting.add(str(make_line(post, 2)))
        assert count(post) == 2
        assert count(post) == 2

    def test_failure_of_the_database_loses_nothing(self, monkeypatch):
        post = make_post()
        waiting.add(str(make_line(post, 1)))

        def fail(lines: Any) -> None:
            raise OperationalError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(settle, "insert", fail)
            with pytest.raises(OperationalError):
                settle.settle()
        assert count(post) == 1

    def test_many_at_once_go_in_steps(self, monkeypatch):
        monkeypatch.setattr(waiting, "STEP", 7)
        post = make_post()
        for number in range(30):
            waiting.add(str(make_line(post, number)))
        assert count(post) == 30

    def test_line_of_yesterday_counts_for_yesterday(self):
        post = make_post()
        yesterday = today() - timedelta(days=1)
        settle.settle_lines([make_line(post, 1, yesterday), make_line(post, 1)])
        assert count(post) == 2
        assert set(DailyViews.objects.values_list("day", flat=True)) == {yesterday, today()}

    def test_line_that_waited_too_long_is_dropped(self, caplog):
        post = make_post()
        settle.settle_lines([make_line(post, 1, today() - timedelta(days=2))])
        assert count(post) == 0
        assert "1 readings waited too long" in caplog.text

    def test_what_is_no_line_is_passed_over(self):
        post = make_post()
        for text in ("", "2026-01-01 x y z", "garbage", str(make_line(post, 1))):
            waiting.add(text)
        assert count(post) == 1

    def test_bytes_that_are_no_text(self, settings):
        """They keep nobody from being counted."""
        settings.REDIS_URL = ""
        post = make_post()
        (waiting.folder() / "lines").write_bytes(b"\xff\xfe broken\n")
        waiting.add(str(make_line(post, 1)))
        assert count(post) == 1

    def test_line_without_room(self, settings, monkeypatch, browser, caplog):
        """Half a line is taken back, or it would spoil the next one."""
        settings.REDIS_URL = ""
        post, write = make_post(), waiting.os.write
        monkeypatch.setattr(waiting.os, "write", lambda to, content: write(to, content[:20]))
        assert read(post, browser()) == 503
        assert "could not be kept" in caplog.text
        monkeypatch.undo()
        waiting.add(str(make_line(post, 1)))
        assert count(post) == 1

    def test_who_settles_beside_somebody_else_takes_no_batch_apart(self):
        """In Redis a name is noted in the very moment in which its batch is there."""
        link = waiting.get_link()
        if link is None:
            pytest.skip("There is no Redis here.")
        waiting.add("a line")
        commands = []
        with link.client.monitor() as monitor:
            mine = waiting.take_from_redis(link)
            batch = [line for step in next(mine) for line in step]
            for command in monitor.listen():
                commands.append(command["command"].split()[0])
                if commands[-1] == "EXEC":
                    break
        assert batch == ["a line"]
        begin = commands.index("MULTI")
        assert commands[begin:] == ["MULTI", "SADD", "RENAME", "EXEC"]

    def test_post_that_went_meanwhile(self):
        post, other = make_post("One"), make_post("Two")
        lines = [make_line(post, 1), make_line(other, 1)]
        post.delete()
        assert settle.settle_lines(lines) == 1
