"""Load at once the images that a post shows; by itself each asks for its sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.models import Prefetch, prefetch_related_objects
from wagtail.blocks import StreamValue
from wagtail.images.models import Image

# The sizes of templates/includes/post_card.html, and those of an author's list in blog/face.html.
LISTED_SIZES = [
    f"format-{kind}|fill-{size}"
    for kind in ("avif", "webp")
    for size in ("400x225", "800x450", "1200x675", "112x112", "224x224")
]


def load_sizes(images: Iterable[Image | None]) -> None:
    """Load the renditions of images by one query, also where several objects are one image."""
    prefetch_related_objects([image for image in images if image], "renditions")


def load_listed_sizes(images: Iterable[Image | None]) -> None:
    """Load, of images that stand in a list, the renditions that lists show."""
    sizes = Image.get_rendition_model().objects.filter(filter_spec__in=LISTED_SIZES)
    shown = [image for image in images if image]
    prefetch_related_objects(shown, Prefetch("renditions", sizes))


def images_of(body: StreamValue) -> Iterator[Image | None]:
    """Yield the images of the blocks that have some; of other blocks nothing is loaded."""
    for place, block in enumerate(body.raw_data):
        if block["type"] == "image":
            yield body[place].value["image"]
        elif block["type"] == "gallery":
            yield from (picture["image"] for picture in body[place].value["pictures"])
