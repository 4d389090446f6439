"""Files that were uploaded: pictures lie open, documents do not."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.models import Collection, CollectionViewRestriction

from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db

SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def make_document(name: str = "report.html") -> Document:
    """Store a document as it may have come before its kind was refused."""
    collection = Collection.get_first_root_node().add_child(name="Board")
    file = ContentFile(SCRIPT, name=name)
    return Document.objects.create(title="Report", file=file, collection=collection)


class TestPictures:
    def test_they_lie_open(self, browser):
        picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
        for file in (picture.file, picture.get_rendition("fill-10x10").file):
            response = browser().get(file.url)
            assert response.status_code == HTTPStatus.OK
            assert response["X-Content-Type-Options"] == "nosniff"
            assert response["Content-Type"] == "image/jpeg"

    @pytest.mark.parametrize("name", ["sea.svg", "sea.html"])
    def test_no_script_comes_as_one(self, browser, administrator, name):
        file = SimpleUploadedFile(name, SCRIPT, "image/svg+xml")
        form = {"title": "Sea", "file": file, "collection": Collection.get_first_root_node().pk}
        desk = browser(administrator)
        assert desk.post(reverse("wagtailimages:add"), form).status_code == HTTPStatus.OK
        file.seek(0)
        desk.post(reverse("wagtailimages:add_multiple"), {"files[]": file})
        assert not Image.objects.exists()


class TestDocuments:
    @pytest.mark.parametrize("name", ["report.html", "report.svg", "report.pdf"])
    @pytest.mark.parametrize("way", ["", "images/../", "./", "/", "images/%2e%2e/"])
    def test_their_files_are_no_addresses(self, browser, name, way):
        document = make_document(name)
        response = browser().get(f"/media/{way}{document.file.name}")
        assert response.status_code == HTTPStatus.NOT_FOUND

    def test_they_are_saved_and_not_shown(self, browser):
        response = browser().get(make_document().url)
        assert response.status_code == HTTPStatus.OK
        assert response["Content-Disposition"].startswith("attachment")
        assert response["X-Content-Type-Options"] == "nosniff"

    def test_private_ones_ask_for_a_log_in(self, browser):
        document = make_document("report.pdf")
        CollectionViewRestriction.objects.create(
            collection=document.collection, restriction_type="login"
        )
        assert browser().get(document.url).status_code == HTTPStatus.FOUND
        assert browser().get(f"/media/{document.file.name}").status_code == HTTPStatus.NOT_FOUND

    @pytest.mark.parametrize(("name", "count"), [("a.html", 0), ("a.svg", 0), ("a.pdf", 1)])
    def test_kinds_that_can_be_uploaded(self, browser, administrator, name, count):
        file = SimpleUploadedFile(name, SCRIPT)
        form = {"title": "Report", "file": file, "collection": Collection.get_first_root_node().pk}
        browser(administrator).post(reverse("wagtaildocs:add"), form)
        assert Document.objects.count() == count

    def test_kinds_hold_nothing_that_a_browser_runs(self):
        kinds = {*settings.WAGTAILDOCS_EXTENSIONS, *settings.WAGTAILIMAGES_EXTENSIONS}
        assert not kinds & {"htm", "html", "js", "mht", "shtml", "svg", "xhtml", "xml", "xsl"}
