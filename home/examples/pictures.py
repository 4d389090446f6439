"""Draw pictures for the example data, so that none has to be kept in the repository."""

from __future__ import annotations

import random
from io import BytesIO

from django.core.files.base import ContentFile
from PIL import Image, ImageDraw

SIZE = (1280, 720)
# Masks are drawn larger and scaled down: Pillow draws no smooth edges.
SCALE = 2
PALETTES = [
    ("#0a6b60", "#8fd6c5"),
    ("#2b3f7a", "#9fb7f0"),
    ("#7a3b2b", "#f2bd8c"),
    ("#5a2e6e", "#d9a6e0"),
    ("#12506e", "#8ed0e6"),
    ("#5c5a17", "#d8d47e"),
    ("#6e1f3d", "#f0a4b5"),
]


def draw_picture(number: int, name: str) -> ContentFile:
    """Return a JPEG of soft circles and an envelope; the same number gives the same picture."""
    choose = random.Random(number)
    picture = gradient(*PALETTES[number % len(PALETTES)])
    for _ in range(5):
        brighten(picture, circle(choose), choose.uniform(0.06, 0.16))
    brighten(picture, envelope(choose), 0.85)
    file = BytesIO()
    picture.save(file, "JPEG", quality=86)
    return ContentFile(file.getvalue(), name=name)


def gradient(dark: str, light: str) -> Image.Image:
    corners = Image.new("RGB", (2, 2), dark)
    corners.putpixel(
        (1, 0),
        Image.blend(*(Image.new("RGB", (1, 1), c) for c in (dark, light)), 0.5).getpixel((0, 0)),
    )
    corners.putpixel((1, 1), Image.new("RGB", (1, 1), light).getpixel((0, 0)))
    return corners.resize(SIZE, Image.Resampling.BICUBIC)


def brighten(picture: Image.Image, mask: Image.Image, strength: float) -> None:
    picture.paste("white", mask=mask.point(lambda value: int(value * strength)))


def new_mask() -> Image.Image:
    return Image.new("L", (SIZE[0] * SCALE, SIZE[1] * SCALE))


def circle(choose: random.Random) -> Image.Image:
    mask = new_mask()
    x, y = choose.uniform(0, mask.width), choose.uniform(0, mask.height)
    radius = choose.uniform(0.15, 0.45) * mask.height
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return mask.resize(SIZE, Image.Resampling.BOX)


def envelope(choose: random.Random) -> Image.Image:
    mask = new_mask()
    width, height = 0.3 * mask.width, 0.34 * mask.height
    x = (mask.width - width) * choose.uniform(0.35, 0.65)
    y = (mask.height - height) / 2
    pen = ImageDraw.Draw(mask)
    line = 10 * SCALE
    pen.rounded_rectangle((x, y, x + width, y + height), 24 * SCALE, outline=255, width=line)
    flap = [(x + 40, y + 60), (x + width / 2, y + height * 0.58), (x + width - 40, y + 60)]
    pen.line(flap, fill=255, width=line, joint="curve")
    turned = mask.rotate(choose.uniform(-12, 12), Image.Resampling.BICUBIC)
    return turned.resize(SIZE, Image.Resampling.BOX)
