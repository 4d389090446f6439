from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from accounts.models import User
from accounts.tests.test_pictures import encoded, png_of
from accounts.tests.test_profile import FORM, URL

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(browser, owner):
    return browser(owner)


@pytest.fixture
def upload(person, django_capture_on_commit_callbacks):
    def post(content: bytes, name: str = "me.png"):
        with django_capture_on_commit_callbacks(execute=True):
            return person.post(URL, {**FORM, "picture": SimpleUploadedFile(name, content)})

    return post


def files(settings) -> list[Path]:
    return list(Path(settings.MEDIA_ROOT).rglob("*.*"))


def png(side: int = 1000) -> bytes:
    return encoded(Image.new("RGB", (side, side // 2), "teal"), "PNG")


class TestUpload:
    def test_it_is_kept_small_under_a_random_name(self, upload, person, owner):
        """P1: users have an avatar, served as a thumbnail."""
        upload(png())
        owner.refresh_from_db()
        assert (owner.avatar.width, owner.avatar.height) == (512, 256)
        assert owner.avatar.name.startswith("avatars/")
        assert "me" not in Path(owner.avatar.name).stem.split("-")
        assert owner.avatar.url in person.get(URL).content.decode()

    def test_the_admin_shows_it_too(self, upload, person, owner):
        upload(png())
        owner.refresh_from_db()
        assert owner.avatar.url in person.get("/admin/account/").content.decode()

    def test_a_new_one_replaces_the_old_file(self, upload, settings):
        upload(png())
        old = files(settings)
        upload(png())
        assert len(files(settings)) == 1
        assert files(settings) != old

    def test_saving_the_profile_without_a_picture_keeps_it(self, upload, person, settings):
        upload(png())
        person.post(URL, FORM)
        assert len(files(settings)) == 1


class TestRemoval:
    def test_the_button_deletes_the_file(
        self, upload, person, owner, settings, django_capture_on_commit_callbacks
    ):
        upload(png())
        with django_capture_on_commit_callbacks(execute=True):
            person.post("/accounts/profile/avatar/remove/")
        owner.refresh_from_db()
        assert not owner.avatar
        assert not files(settings)

    def test_it_needs_a_post_and_a_user(self, browser, person):
        assert person.get("/accounts/profile/avatar/remove/").status_code == 405
        assert browser().post("/accounts/profile/avatar/remove/").status_code == 302

    def test_deleting_the_user_deletes_the_file(
        self, upload, owner, settings, django_capture_on_commit_callbacks
    ):
        upload(png())
        with django_capture_on_commit_callbacks(execute=True):
            User.objects.get(pk=owner.pk).delete()
        assert not files(settings)


class TestRefused:
    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"this is no picture",
            encoded(Image.new("RGB", (9, 9)), "GIF"),
            png()[:200],
            png_of(12_000, 12_000),
            png_of(60_000, 60_000),
            png(10) + b"\0" * 5 * 1024 * 1024,
        ],
        ids=["empty", "text", "gif", "cut", "bomb", "huge bomb", "over 5 MB"],
    )
    def test_the_error_stands_beside_the_field_and_nothing_is_kept(
        self, upload, owner, settings, content
    ):
        response = upload(content)
        assert response.status_code == 200
        assert list(response.context["form"].errors) == ["picture"]
        owner.refresh_from_db()
        assert not owner.avatar
        assert owner.company == "Romashka"
        assert not files(settings)
