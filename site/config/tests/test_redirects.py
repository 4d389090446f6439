"""Old addresses of pages that were renamed or moved, and those that editors write down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from wagtail.contrib.redirects.models import Redirect
from wagtail.models import Page, PageViewRestriction, Site

from blog.models import BlogIndexPage, BlogPage
from blog.tests.posts import get_blog, make_post
from config.redirects import BATCH
from home.models import HomePage
from home.tests.test_editors_work import edit

pytestmark = pytest.mark.django_db

IMPORT = "/admin/redirects/import/process/"
OLD, NEW = "/blog/how-to-write/", "/blog/write/"


@pytest.fixture
def rename(django_capture_on_commit_callbacks) -> Callable[[Page, str], None]:
    """Return a function that publishes a page under another slug."""

    def publish(page: Page, slug: str) -> None:
        page = Page.objects.get(pk=page.pk).specific
        with django_capture_on_commit_callbacks(execute=True):
            page.slug = slug
            page.save_revision().publish()

    return publish


@pytest.fixture
def renamed(rename) -> BlogPage:
    """A post that was at OLD and is at NEW."""
    post = make_post()
    rename(post, "write")
    return post


def leads(browser: Callable, address: str, **options: Any) -> str | int:
    """Return where an address leads a stranger for good, or the status of the answer."""
    response = browser().get(address, **options)
    return response.url if response.status_code == 301 else response.status_code


def paths() -> set[str]:
    return set(Redirect.objects.values_list("old_path", flat=True))


class TestRenaming:
    @pytest.mark.parametrize(("language", "blog"), [("en", "/blog/"), ("ru", "/ru/blog/")])
    @pytest.mark.parametrize(("old", "new"), [("tea", "coffee"), ("чай", "кофе")])
    def test_old_address_leads_to_the_new_one(self, browser, rename, language, blog, old, new):
        post = make_post("Tea", language, slug=old)
        assert leads(browser, f"{blog}{old}/") == 200
        assert leads(browser, f"{blog}{new}/") == 404
        rename(post, new)
        assert leads(browser, f"{blog}{old}/") == f"{blog}{quote(new)}/"
        assert leads(browser, f"{blog}{new}/") == 200

    def test_one_who_is_signed_in_is_led_too(self, browser, owner, renamed):
        assert browser(owner).get(OLD).url == NEW

    def test_whatever_the_language_of_the_reader(self, browser, renamed):
        assert leads(browser, OLD, headers={"Accept-Language": "ru"}) == NEW

    def test_an_editor_does_it_in_the_admin(
        self, browser, editor, django_capture_on_commit_callbacks
    ):
        """P4: editors write the blog."""
        post = make_post()
        with django_capture_on_commit_callbacks(execute=True):
            edit(browser, editor, post, "Tea", **{"action-publish": "yes"})
        assert leads(browser, OLD) == "/blog/tea/"

    def test_address_is_as_old_while_a_draft_is_written(self, browser):
        post = make_post()
        post.slug = "write"
        post.save_revision()
        assert leads(browser, OLD) == 200

    def test_whole_blog(self, browser, rename):
        """A program may rename it; the form of the page refuses."""
        make_post()
        rename(get_blog(), "journal")
        assert leads(browser, "/blog/") == "/journal/"
        assert leads(browser, OLD) == "/journal/how-to-write/"
        assert leads(browser, "/ru/blog/") == 200

    def test_blog_of_many_posts(self, browser, rename):
        """SQLite bears no more than a thousand conditions in a query."""
        blog = get_blog()
        posts = 2 * BATCH + 50
        for number in range(posts):
            blog.add_child(instance=BlogPage(title=f"{number}", slug=f"post-{number}", lead="…"))
        rename(blog, "journal")
        assert len(paths()) == posts + 1
        last = f"post-{posts - 1}/"
        assert leads(browser, f"/blog/{last}") == f"/journal/{last}"

    def test_home_page_has_its_slug_in_no_address(self, browser, rename):
        for home in HomePage.objects.all():
            rename(home, f"home-{home.pk}")
        assert not paths()
        assert leads(browser, "/ru/") == 200

    def test_address_too_long_to_be_written_down(self, browser, rename):
        """PostgreSQL would refuse it, after the page has got its new address."""
        post = make_post("Long", "ru", slug="п" * 250)
        rename(post, "short")
        assert not paths()
        assert leads(browser, "/ru/blog/short/") == 200

    def test_draft_leaves_the_addresses_of_others(self, browser, rename, renamed):
        draft = BlogPage(title="Draft", slug="how-to-write", lead="…", live=False)
        get_blog().add_child(instance=draft)
        assert leads(browser, OLD) == NEW
        rename(draft, "another")
        assert leads(browser, "/blog/another/") == 200
        assert leads(browser, OLD) == NEW


class TestMoving:
    @pytest.fixture
    def move(self, django_capture_on_commit_callbacks):
        def move_there(page: Page, parent: Page) -> None:
            with django_capture_on_commit_callbacks(execute=True):
                page = Page.objects.get(pk=page.pk)
                page.move(Page.objects.get(pk=parent.pk), pos="last-child")

        return move_there

    def test_old_address_leads_to_the_new_one(self, browser, move):
        post = make_post()
        move(post, get_blog("ru"))
        assert leads(browser, OLD) == "/ru/blog/how-to-write/"

    def test_there_and_back(self, browser, move):
        post = make_post()
        move(post, get_blog("ru"))
        move(post, get_blog("en"))
        assert leads(browser, OLD) == 200
        assert leads(browser, "/ru/blog/how-to-write/") == OLD
        assert paths() == {"/ru/blog/how-to-write"}

    def test_what_lies_beneath(self, browser, move, django_capture_on_commit_callbacks):
        post = make_post()
        home = HomePage.objects.get(locale__language_code="en")
        with django_capture_on_commit_callbacks(execute=True):
            other = BlogIndexPage(title="Other", slug="other", locale=home.locale)
            home.add_child(instance=other)
        move(post, other)
        move(other, HomePage.objects.get(locale__language_code="ru"))
        assert leads(browser, OLD) == "/ru/other/how-to-write/"
        assert leads(browser, "/other/how-to-write/") == "/ru/other/how-to-write/"

    def test_other_order_changes_no_address(self, move):
        make_post("First")
        post = make_post()
        post.move(get_blog(), pos="first-child")
        assert not paths()


class TestAfterwards:
    def test_there_and_back(self, browser, rename, renamed):
        rename(renamed, "how-to-write")
        assert leads(browser, OLD) == 200
        assert leads(browser, NEW) == OLD
        assert paths() == {"/blog/write"}

    def test_twice(self, browser, rename, renamed):
        """Each old address leads to the last one at once."""
        rename(renamed, "third")
        assert leads(browser, OLD) == "/blog/third/"
        assert leads(browser, NEW) == "/blog/third/"

    def test_browsers_ask_each_time(self, browser, renamed):
        """One that kept the answer would go round in circles when the page comes back."""
        assert browser().get(OLD)["Cache-Control"] == "private, no-cache"

    def test_new_page_takes_the_address(self, browser, rename, renamed):
        other = make_post("Other", slug="how-to-write")
        assert leads(browser, OLD) == 200
        rename(other, "other")
        assert leads(browser, OLD) == "/blog/other/"

    def test_new_page_gives_the_address_back(self, browser, renamed):
        make_post("Other", slug="how-to-write").delete()
        assert leads(browser, OLD) == NEW

    def test_deleted_page(self, browser, renamed):
        renamed.delete()
        assert leads(browser, OLD) == 404

    def test_page_that_is_not_public(self, browser, renamed):
        BlogPage.objects.get(pk=renamed.pk).unpublish()
        assert leads(browser, OLD) == 404
        BlogPage.objects.get(pk=renamed.pk).save_revision().publish()
        assert leads(browser, OLD) == NEW

    def test_page_renamed_while_it_is_not_public(self, browser, rename):
        """Readers know the address that it had."""
        post = make_post()
        post.unpublish()
        rename(post, "write")
        assert leads(browser, OLD) == NEW

    def test_page_under_a_home_page_that_is_not_public(self, browser, rename):
        rename(make_post("Tea", "ru", slug="tea"), "coffee")
        HomePage.objects.get(locale__language_code="ru").unpublish()
        assert leads(browser, "/ru/blog/tea/") == 404

    def test_page_behind_a_password(self, browser, renamed):
        """Who has the old address is asked at the new one, as before."""
        PageViewRestriction.objects.create(
            page=renamed, restriction_type="password", password="sesame"
        )
        assert leads(browser, OLD) == NEW
        assert "sesame" not in browser().get(NEW).text

    def test_search_engines_are_told_of_the_new_address_alone(self, browser, renamed):
        for address in ("/sitemap.xml", NEW, "/blog/", "/blog/feed/"):
            text = browser().get(address).text
            assert NEW in text, address
            assert OLD not in text, address


class TestRequests:
    def test_head(self, browser, renamed):
        response = browser().head(OLD)
        assert (response.status_code, response.url, response.content) == (301, NEW, b"")

    @pytest.mark.parametrize("method", ["post", "put", "delete", "options"])
    def test_nothing_else_is_sent_on(self, browser, renamed, method):
        assert getattr(browser(), method)(OLD).status_code in {404, 405}

    def test_parameters_go_along(self, browser, renamed):
        assert leads(browser, f"{OLD}?utm_source=letter&q=%D1%87") == (
            f"{NEW}?utm_source=letter&q=%D1%87"
        )

    def test_address_without_its_slash(self, browser, renamed):
        assert leads(browser, OLD.rstrip("/")) == NEW
        assert leads(browser, NEW.rstrip("/")) == NEW

    @pytest.mark.parametrize(
        "address",
        [
            "/admin/no/",
            "/u/nonsense/",
            "/metrics",
            "/healthz/no/",
            "/accounts/no/",
            "/documents/9/no.pdf",
            "/media/no.png",
            "/read/9/no/",
        ],
    )
    def test_interface_is_left_alone(self, browser, administrator, address):
        """Whatever editors write down, and at no cost."""
        before = {user: browser(user).get(address).status_code for user in (None, administrator)}
        Redirect.add_redirect(address, "https://example.org/")
        for user, status in before.items():
            with CaptureQueriesContext(connection) as queries:
                assert browser(user).get(address).status_code == status
            assert "wagtailredirects" not in str(queries.captured_queries)

    @pytest.mark.parametrize(
        ("address", "most"),
        [("/blog/no/", 1), ("/blog/%D1%87/?a=1", 1), ("/no.php?a=1", 2), ("/ru/no", 2)],
    )
    def test_what_is_nowhere_costs_little_more(self, browser, monkeypatch, address, most):
        def count() -> int:
            with CaptureQueriesContext(connection) as queries:
                assert browser().get(address).status_code in {301, 404}
            return len(queries)

        count()
        number = count()
        monkeypatch.setattr("config.redirects.lead_on", lambda request: None)
        assert number - count() <= most

    @pytest.mark.parametrize(
        "path",
        ["//example.org/blog/no/", "//[x/", "/http://[x/", "/\\/", "/%00/", "/;/", "/\ufffd/"],
    )
    def test_odd_addresses_are_nowhere(self, browser, path):
        assert leads(browser, "/", PATH_INFO=path.encode().decode("latin1")) == 404


class TestCache:
    def test_what_was_kept_is_forgotten(self, browser, rename):
        """The old page is not shown on, nor is the new one said to be missing."""
        post = make_post()
        for _ in range(2):
            assert (leads(browser, OLD), leads(browser, NEW)) == (200, 404)
        rename(post, "write")
        for _ in range(2):
            assert (leads(browser, OLD), leads(browser, NEW)) == (NEW, 200)
        rename(post, "how-to-write")
        for _ in range(2):
            assert (leads(browser, OLD), leads(browser, NEW)) == (200, OLD)

    def test_redirects_of_editors_count_at_once(self, browser):
        assert leads(browser, "/old.html") == 404
        redirect = Redirect.add_redirect("/old.html", "https://example.org/")
        assert leads(browser, "/old.html") == "https://example.org/"
        redirect.delete()
        assert leads(browser, "/old.html") == 404


class TestWrittenByEditors:
    def form(self, **fields: Any) -> dict[str, Any]:
        return {
            "old_path": "/old.html",
            "site": "",
            "is_permanent": "on",
            "redirect_page": "",
            "redirect_link": "https://example.org/new",
            **fields,
        }

    def test_editors_make_change_and_delete_them(self, browser, editor):
        """P4: editors keep the addresses of their pages."""
        desk = browser(editor)
        assert "/admin/redirects/" in desk.get("/admin/").text
        assert desk.post("/admin/redirects/add/", self.form()).status_code == 302
        assert leads(browser, "/old.html") == "https://example.org/new"
        redirect = Redirect.objects.get()
        assert "/old.html" in desk.get("/admin/redirects/").text
        changed = self.form(redirect_page=get_blog().pk, redirect_link="", is_permanent="")
        address = f"/admin/redirects/{redirect.pk}/"
        assert desk.post(address, changed).status_code == 302
        response = browser().get("/old.html")
        assert (response.status_code, response.url) == (302, "/blog/")
        assert desk.post(f"{address}delete/").status_code == 302
        assert leads(browser, "/old.html") == 404

    @pytest.mark.parametrize("storage", ["tmp_file", "cache"])
    def test_editors_bring_a_list_of_them(self, browser, editor, settings, storage):
        settings.WAGTAIL_REDIRECTS_FILE_STORAGE = storage
        desk = browser(editor)
        file = SimpleUploadedFile("old.csv", "from,to\n/старое,https://example.org/1\n".encode())
        form = desk.post("/admin/redirects/import/", {"import_file": file}).context["form"]
        fields = {name: form[name].value() for name in ("import_file_name", "input_format")}
        fields |= {"from_index": "0", "to_index": "1", "permanent": "on", "site": ""}
        other = {**fields, "input_format": "0"}
        assert desk.post(IMPORT, other).url == "/admin/redirects/import/"
        first, again = [desk.post(IMPORT, fields).url for _ in range(2)]
        assert (first, again) == ("/admin/redirects/", "/admin/redirects/import/")
        assert leads(browser, "/старое/") == "https://example.org/1"

    @pytest.mark.parametrize("form", [{}, {"import_file_name": "/etc/passwd", "input_format": "0"}])
    def test_import_that_was_not_begun(self, browser, editor, form):
        assert browser(editor).post(IMPORT, form).url == "/admin/redirects/import/"

    @pytest.mark.parametrize("person", ["owner", "manager"])
    def test_nobody_else_sees_or_makes_any(self, browser, request, person):
        redirect = Redirect.add_redirect("/secret.html", "https://example.org/")
        desk = browser(request.getfixturevalue(person))
        assert "/admin/redirects/" not in desk.get("/admin/").text
        for address in ("", "results/", "add/", f"{redirect.pk}/", "import/", "?export=csv"):
            response = desk.get(f"/admin/redirects/{address}")
            assert response.status_code == 302, address
            assert "secret" not in response.text
        assert desk.post(IMPORT, self.form()).status_code == 302
        desk.post("/admin/redirects/add/", self.form())
        desk.post(f"/admin/redirects/{redirect.pk}/", self.form())
        desk.post(f"/admin/redirects/{redirect.pk}/delete/")
        assert list(paths()) == ["/secret.html"]

    def test_it_stays_when_a_page_leaves_the_address(self, browser, rename):
        post = make_post()
        site = Site.objects.get()
        Redirect.add_redirect(OLD, "https://example.org/", site=site)
        rename(post, "write")
        assert leads(browser, OLD) == "https://example.org/"

    def test_one_of_the_site_goes_before_one_of_all(self, browser):
        Redirect.add_redirect("/old", "https://example.org/all")
        Redirect.add_redirect("/old", "https://example.org/site", site=Site.objects.get())
        assert leads(browser, "/old/") == "https://example.org/site"

    def test_one_of_an_editor_goes_before_one_written_by_itself(self, browser, renamed):
        redirect = Redirect.add_redirect(OLD, "https://example.org/")
        assert leads(browser, OLD) == "https://example.org/"
        redirect.delete()
        assert leads(browser, OLD) == NEW

    def test_one_that_leads_nowhere_hides_no_other(self, browser, renamed):
        Redirect.add_redirect(OLD, make_post("Other"))
        BlogPage.objects.get(slug="other").unpublish()
        assert leads(browser, OLD) == NEW

    def test_one_with_parameters_goes_before_one_without(self, browser):
        Redirect.add_redirect("/p.php", "https://example.org/all")
        Redirect.add_redirect("/p.php?b=2&a=1", "https://example.org/one")
        assert leads(browser, "/p.php?a=1&b=2") == "https://example.org/one"
        assert leads(browser, "/p.php?a=2") == "https://example.org/all"

    @pytest.mark.parametrize("target", ["/round/", "http://testserver/round"])
    def test_none_leads_to_itself(self, browser, target):
        Redirect.objects.create(old_path="/round", redirect_link=target)
        assert leads(browser, "/round/") == 404

    def test_the_same_address_at_another_host(self, browser):
        Redirect.add_redirect("/old", "https://example.org/old")
        assert leads(browser, "/old/") == "https://example.org/old"
