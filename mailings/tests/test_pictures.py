"""Pictures for letters, and the pop-up that chooses them."""

from __future__ import annotations

from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image

from mailings.models import Message, Picture


def upload(size: tuple[int, int] = (40, 30), name: str = "cat.png") -> SimpleUploadedFile:
    buffer = BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "PNG")
    return SimpleUploadedFile(name, buffer.getvalue(), "image/png")


def make_picture(owner, title: str = "Cat") -> Picture:
    return Picture.objects.create(owner=owner, title=title, file=upload())


def show(picture: Picture, subject: str = "With a cat") -> Message:
    image = {"picture": picture, "alt": "A cat", "link": ""}
    return Message.objects.create(owner=picture.owner, subject=subject, body=[("image", image)])


class TestOwner:
    """P6: a user keeps pictures of their own."""

    def test_it_uploads_a_picture(self, browser, owner):
        data = {"title": "Cat", "file": upload((2400, 1200))}
        assert browser(owner).post(reverse("picture:add"), data).status_code == 302
        picture = Picture.objects.get()
        assert picture.owner == owner
        assert (picture.width, picture.height) == (1200, 600)
        assert "cat" not in picture.file.name

    def test_what_is_no_picture_is_refused(self, browser, owner):
        for content in (b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n broken"):
            file = SimpleUploadedFile("cat.png", content, "image/png")
            response = browser(owner).post(reverse("picture:add"), {"title": "Cat", "file": file})
            assert "file" in response.context["form"].errors
        assert not Picture.objects.exists()

    def test_a_file_over_5_megabytes_is_refused(self, browser, owner):
        big = upload()
        big = SimpleUploadedFile("cat.png", big.read() + b"\0" * 5 * 1024 * 1024, "image/png")
        response = browser(owner).post(reverse("picture:add"), {"title": "Cat", "file": big})
        assert "too large" in response.context["form"].errors["file"][0]

    def test_only_the_title_can_be_changed(self, browser, owner):
        picture = make_picture(owner)
        name = picture.file.name
        data = {"title": "Tom", "file": upload()}
        browser(owner).post(reverse("picture:edit", args=[picture.pk]), data)
        picture.refresh_from_db()
        assert (picture.title, picture.file.name) == ("Tom", name)

    def test_its_page_names_the_messages_that_show_it(self, browser, owner):
        picture = make_picture(owner)
        show(picture)
        page = browser(owner).get(reverse("picture:inspect", args=[picture.pk])).text
        assert "With a cat" in page
        assert picture.file.url in page

    def test_deleting_takes_the_file_along(
        self, browser, owner, django_capture_on_commit_callbacks
    ):
        picture = make_picture(owner)
        with django_capture_on_commit_callbacks(execute=True):
            browser(owner).post(reverse("picture:delete", args=[picture.pk]))
        assert not Picture.objects.exists()
        assert not picture.file.storage.exists(picture.file.name)

    def test_a_picture_that_a_message_shows_stays(self, browser, owner):
        picture = make_picture(owner)
        show(picture)
        url = reverse("picture:delete", args=[picture.pk])
        assert "With a cat" in browser(owner).get(url).text
        assert browser(owner).post(url).status_code == 409
        assert Picture.objects.exists()

    def test_the_listing_shows_thumbnails(self, browser, owner):
        picture = make_picture(owner)
        assert picture.file.url in browser(owner).get(reverse("picture:index")).text


KEYED = ["edit", "delete", "inspect", "history", "history_results", "usage"]


class TestOthers:
    """P6"""

    @pytest.mark.parametrize("view", KEYED)
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_a_stranger_finds_nothing(self, browser, owner, stranger, view, method):
        picture = make_picture(owner)
        url = reverse(f"picture:{view}", args=[picture.pk])
        response = getattr(browser(stranger), method)(url, {"title": "Mine now"})
        assert response.status_code in {404, 405}
        assert Picture.objects.get().title == "Cat"

    @pytest.mark.parametrize("role", ["manager", "editor", "anonymous"])
    @pytest.mark.parametrize("view", [*KEYED, "index", "add"])
    def test_other_roles_see_none(self, request, browser, owner, role, view):
        picture = make_picture(owner, "zq-cat")
        user = None if role == "anonymous" else request.getfixturevalue(role)
        args = [picture.pk] if view in KEYED else []
        response = browser(user).get(reverse(f"picture:{view}", args=args))
        assert response.status_code in {302, 403, 404}
        assert "zq-cat" not in response.content.decode()
