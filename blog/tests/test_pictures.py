"""Pictures of posts: formats, sizes, and who makes them."""

from __future__ import annotations

import json
import re

import pytest
from django.template import Context, Template
from django.utils.module_loading import import_string
from wagtail.images.models import Image, Rendition

from blog.snippets import Author
from blog.tasks import make_pictures, make_pictures_of_author, make_pictures_of_image
from blog.tests.posts import make_post
from home.examples.pictures import draw_picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def post():
    picture = Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
    return make_post(image=picture)


@pytest.mark.parametrize(
    ("page", "number"),
    [("/", 2), ("/blog/", 2), ("/blog/author/anna/", 2), ("/blog/how-to-write/", 4)],
)
def test_every_picture_has_two_formats_sizes_and_its_shape(browser, post, page, number):
    """On a post: its own, the author's twice, and that of the post to read next."""
    photo = Image.objects.create(title="Anna", file=draw_picture(2, "anna.jpg"))
    anna = Author.objects.create(
        name="Anna", slug="anna", about="Writes.", photo=photo, locale=post.locale
    )
    post.author = anna
    post.save_revision().publish()
    make_post("Older", image=post.image, published_on="2020-01-01")
    pictures = re.findall(r"<picture>.*?</picture>", browser().get(page).text, re.DOTALL)
    assert len(pictures) == number
    for picture in pictures:
        assert 'type="image/avif"' in picture
        assert re.search(r'<img[^>]*\bsrcset="[^"]+\.webp \d+w', picture)
        assert re.search(r'sizes="[^"]+"', picture)
        assert re.search(r'\bwidth="\d+"', picture)
        assert re.search(r'\bheight="\d+"', picture)
        assert re.search(r'\balt="', picture)


def test_tag_shows_what_that_of_wagtail_shows(post):
    """Also the second time, and of another picture."""
    tag = '{% picture image format-{avif,webp} fill-{112x112,224x224} sizes="7rem" alt="" %}'
    ours = Template("{% load site %}" + tag)
    other = Image.objects.create(title="Wood", file=draw_picture(2, "wood.jpg"))
    for image in (post.image, other, post.image, None):
        wagtails = Template("{% load wagtailimages_tags %}" + tag)
        context = Context({"image": image})
        assert ours.render(context) == wagtails.render(context)


def test_first_picture_comes_at_once_and_others_when_they_are_near(browser, post):
    make_post("Older", image=post.image, published_on="2020-01-01")
    first, second = re.findall(r"<picture>.*?</picture>", browser().get("/blog/").text)
    assert 'fetchpriority="high"' in first
    assert "lazy" not in first
    assert 'loading="lazy"' in second


def test_worker_makes_them_before_the_first_reader(browser, post):
    make_pictures(post.pk)
    made = Rendition.objects.count()
    assert made
    for page in ("/", "/blog/", post.url):
        browser().get(page)
    assert Rendition.objects.count() == made


def test_post_that_is_gone_does_not_hinder_the_worker(post):
    pk = post.pk
    post.delete()
    make_pictures(pk)


def test_publishing_asks_a_worker(post, monkeypatch, django_capture_on_commit_callbacks):
    asked = []
    monkeypatch.setattr("blog.tasks.async_task", lambda *args, **options: asked.append(args))
    with django_capture_on_commit_callbacks(execute=True):
        post.save_revision().publish()
    assert asked == [("blog.tasks.make_pictures", post.pk)]


def test_queue_that_is_away_hinders_no_publication(
    post, monkeypatch, django_capture_on_commit_callbacks
):
    def fail(*args: object, **options: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("blog.tasks.async_task", fail)
    with django_capture_on_commit_callbacks(execute=True):
        post.title = "New"
        post.save_revision().publish()
    post.refresh_from_db()
    assert post.title == "New"


# --- What is made anew --------------------------------------------------------------------------


@pytest.fixture
def orders(monkeypatch):
    """Do at once what a worker is asked for; return the tasks."""
    asked = []

    def order(task: str, pk: int, **options: object) -> None:
        asked.append(task)
        import_string(task)(pk)

    monkeypatch.setattr("blog.tasks.async_task", order)
    return asked


@pytest.fixture
def anna(post):
    photo = Image.objects.create(title="Anna", file=draw_picture(2, "anna.jpg"))
    fields = {"name": "Anna", "slug": "anna", "about": "Writes.", "locale": post.locale}
    anna = Author.objects.create(photo=photo, **fields)
    post.author = anna
    post.save_revision().publish()
    return anna


def assert_readers_make_none(browser, *pages: str) -> None:
    made = Rendition.objects.count()
    assert made
    for page in pages:
        assert browser().get(page).status_code == 200
    assert Rendition.objects.count() == made


def test_author_has_a_face_before_the_first_reader(browser, post, anna):
    make_pictures(post.pk)
    assert_readers_make_none(browser, "/blog/author/anna/", post.url)


def test_author_who_gets_another_photo_has_it_before_the_first_reader(
    browser, post, anna, orders, django_capture_on_commit_callbacks
):
    make_pictures(post.pk)
    with django_capture_on_commit_callbacks(execute=True):
        anna.photo = Image.objects.create(title="New", file=draw_picture(3, "new.jpg"))
        anna.save()
    assert orders == ["blog.tasks.make_pictures_of_author"]
    assert_readers_make_none(browser, "/blog/author/anna/", post.url)


def test_image_with_another_focus_is_cut_before_the_first_reader(
    browser, post, anna, orders, django_capture_on_commit_callbacks
):
    make_pictures(post.pk)
    for image in (post.image, anna.photo):
        focus = {"focal_point_x": 9, "focal_point_y": 9}
        with django_capture_on_commit_callbacks(execute=True):
            for name, value in {**focus, "focal_point_width": 5, "focal_point_height": 5}.items():
                setattr(image, name, value)
            image.save()
    assert orders == ["blog.tasks.make_pictures_of_image"] * 2
    assert_readers_make_none(browser, "/", "/blog/", "/blog/author/anna/", post.url)


def test_image_that_changes_asks_no_provider(post, orders, monkeypatch):
    """Twenty posts may show it; providers that do not answer would take the worker's time."""
    film = "https://www.youtube.com/watch?v=1"
    post.body = json.dumps([{"type": "embed", "value": {"title": "A film", "embed": film}}])
    post.save_revision().publish()
    asked = []
    monkeypatch.setattr("blog.embeds.get_embed", asked.append)
    make_pictures_of_image(post.image_id)
    assert asked == []
    assert Rendition.objects.exists()
    make_pictures(post.pk)
    assert asked == [film]


def test_new_image_is_not_cut_before_something_shows_it(orders, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        Image.objects.create(title="Sea", file=draw_picture(1, "sea.jpg"))
    assert orders == []


@pytest.mark.parametrize("make", [make_pictures_of_author, make_pictures_of_image])
def test_what_is_gone_does_not_hinder_the_worker(make):
    make(12345)
