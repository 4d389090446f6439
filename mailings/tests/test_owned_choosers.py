"""The pop-up that chooses a picture offers, accepts and names own ones only (P6)."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from mailings.models import Picture
from mailings.tests.test_pictures import make_picture, upload


@pytest.fixture
def cat(owner) -> Picture:
    return make_picture(owner, "zq-cat")


@pytest.mark.parametrize("view", ["choose", "choose_results"])
class TestChoose:
    def test_it_offers_own_pictures(self, browser, owner, cat, view):
        assert "zq-cat" in browser(owner).get(reverse(f"picture_chooser:{view}")).text

    def test_it_offers_nobody_elses(self, browser, stranger, cat, view):
        for query in ({}, {"q": "zq"}, {"multiple": "1"}):
            response = browser(stranger).get(reverse(f"picture_chooser:{view}"), query)
            assert response.status_code == 200
            assert "zq-cat" not in response.text

    def test_it_searches(self, browser, owner, cat, view):
        make_picture(owner, "Пёс")
        page = browser(owner).get(reverse(f"picture_chooser:{view}"), {"q": "пёС"}).content.decode()
        text = page if view == "choose_results" else json.loads(page)["html"]
        assert "Пёс" in text
        assert "zq-cat" not in text

    @pytest.mark.parametrize("role", ["manager", "editor", "anonymous"])
    def test_other_roles_cannot_open_it(self, request, browser, cat, view, role):
        user = None if role == "anonymous" else request.getfixturevalue(role)
        response = browser(user).get(reverse(f"picture_chooser:{view}"))
        assert response.status_code in {302, 403}


class TestChosen:
    def test_own(self, browser, owner, cat):
        response = browser(owner).get(reverse("picture_chooser:chosen", args=[cat.pk]))
        assert response.json()["result"]["title"] == "zq-cat"

    @pytest.mark.parametrize("key", ["1", "0", "x", "9" * 30])
    def test_others_and_nonsense_are_not_found(self, browser, stranger, cat, key):
        key = str(cat.pk) if key == "1" else key
        response = browser(stranger).get(reverse("picture_chooser:chosen", args=[key]))
        assert response.status_code == 404

    def test_several(self, browser, owner, stranger, cat):
        dog = make_picture(stranger, "zq-dog")
        url = reverse("picture_chooser:chosen_multiple")
        query = {"id": [cat.pk, dog.pk, "x"]}
        titles = [each["title"] for each in browser(owner).get(url, query).json()["result"]]
        assert titles == ["zq-cat"]


class TestUpload:
    def test_what_is_uploaded_is_ones_own(self, browser, owner):
        data = {"title": "Cat", "file": upload()}
        response = browser(owner).post(reverse("picture_chooser:create"), data)
        assert response.json()["step"] == "chosen"
        assert Picture.objects.get().owner == owner

    def test_a_bad_file_is_answered_with_the_form(self, browser, owner):
        response = browser(owner).post(reverse("picture_chooser:create"), {"title": "Cat"})
        assert response.json()["step"] == "reshow_creation_form"

    @pytest.mark.parametrize("role", ["manager", "editor"])
    def test_other_roles_cannot(self, request, browser, role):
        data = {"title": "Cat", "file": upload()}
        browser(request.getfixturevalue(role)).post(reverse("picture_chooser:create"), data)
        assert not Picture.objects.exists()
