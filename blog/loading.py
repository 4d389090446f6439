"""Load at once the images that a post shows; by itself each asks for its sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.models import prefetch_related_objects
from wagtail.blocks import StreamValue
from wagtail.images.models import Image


def load_sizes(images: Iterable[Image | None]) -> None:
    """Load the renditions of images by one query, also where several objects are one image."""
    prefetch_related_objects([image for image in images if image], "renditions")


def images_of(body: StreamValue) -> Iterator[Image | None]:
    """Yield the images of the blocks that have some; of other blocks nothing is loaded."""
    for place, block in enumerate(body.raw_data):
        if block["type"] == "image":
            yield body[place].value["image"]
        elif block["type"] == "gallery":
            yield from (picture["image"] for picture in body[place].value["pictures"])
