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
    """Yield the images of the blocks that have some."""
    for block in body:
        if block.block_type == "image":
            yield block.value["image"]
        elif block.block_type == "gallery":
            yield from (picture["image"] for picture in block.value["pictures"])
