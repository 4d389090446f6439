"""Draw pictures for the example data, so that none has to be kept in the repository."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from django.core.files.base import ContentFile
from PIL import Image, ImageDraw

SIZE = (1600, 900)
# Drawn larger and scaled down: Pillow draws no smooth edges.
SCALE = 2
PAPER, FLAG, DEEP, MINT = "#fbfaf7", "#d9754a", "#0a3f38", "#8fcabd"
GROUNDS = ["#dcebe5", "#f4e2d3", "#e3e0f0", "#0b6257", "#f1ead6", "#d8e6ee", "#183a37"]

Box = tuple[float, float, float, float]


def draw_picture(number: int, name: str) -> ContentFile:
    """Return a JPEG; the same number gives the same picture."""
    picture = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), GROUNDS[number % len(GROUNDS)])
    MOTIFS[number % len(MOTIFS)](Pen(picture))
    file = BytesIO()
    picture.resize(SIZE, Image.Resampling.LANCZOS).save(file, "JPEG", quality=88)
    return ContentFile(file.getvalue(), name=name)


class Pen:
    """Draws in hundredths of the width of the picture."""

    def __init__(self, picture: Image.Image) -> None:
        self.draw = ImageDraw.Draw(picture)
        self.unit = picture.width / 100

    def box(self, box: Box, colour: str, radius: float = 0) -> None:
        self.draw.rounded_rectangle(self.scale(box), radius * self.unit, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        self.draw.ellipse(self.scale((x - radius, y - radius, x + radius, y + radius)), fill=colour)

    def line(self, points: list[tuple[float, float]], colour: str, width: float) -> None:
        """Draw a line with round joints and ends."""
        scaled = [(x * self.unit, y * self.unit) for x, y in points]
        self.draw.line(scaled, fill=colour, width=round(width * self.unit), joint="curve")
        for x, y in points:
            self.disc(x, y, width / 2, colour)

    def shape(self, points: list[tuple[float, float]], colour: str) -> None:
        self.draw.polygon([(x * self.unit, y * self.unit) for x, y in points], fill=colour)

    def envelope(self, box: Box, body: str = PAPER, flap: str = MINT, seal: str = FLAG) -> None:
        left, top, right, bottom = box
        middle, depth = (left + right) / 2, top + (bottom - top) * 0.58
        self.box(box, body, 1)
        self.shape([(left + 0.4, top), (right - 0.4, top), (middle, depth)], flap)
        self.disc(middle, depth - 1, (right - left) * 0.055, seal)

    def scale(self, box: Box) -> Box:
        return tuple(value * self.unit for value in box)


# --- Motifs, one for each of the example posts -------------------------------------------------


def stairs(pen: Pen) -> None:
    for step in range(5):
        pen.box((14 + step * 15, 47 - step * 8, 90, 57), MINT if step % 2 else "#b4d8cd")
    pen.envelope((73, 2.5, 89, 13.5), flap=DEEP)
    pen.disc(18, 14, 6, FLAG)


def subject_line(pen: Pen) -> None:
    for row, (end, colour) in enumerate([(82, PAPER), (74, PAPER), (78, PAPER)]):
        top = 9 + row * 14
        pen.box((16, top, 84, top + 10), colour, 2)
        pen.disc(22, top + 5, 2.4, FLAG if row == 1 else "#e5c4ab")
        pen.box((27, top + 3, end - 22, top + 4.6), DEEP if row == 1 else "#d9c5b4", 0.8)
        pen.box((27, top + 6, end - 12, top + 7.2), "#ead8c8", 0.6)


def sorted_letters(pen: Pen) -> None:
    for column in range(5):
        for row in range(3):
            left, top = 9 + column * 17, 7 + row * 15
            odd = (column, row) == (3, 1)
            pen.envelope(
                (left, top, left + 13.5, top + 10.5),
                flap=FLAG if odd else "#b9b2d8",
                seal=PAPER if odd else "#8c82bd",
            )


def clock(pen: Pen) -> None:
    pen.disc(50, 28.1, 21, PAPER)
    for x, y in [(50, 11), (50, 45), (33, 28), (67, 28)]:
        pen.disc(x, y, 1, MINT)
    pen.line([(50, 28), (50, 16)], DEEP, 1.6)
    pen.line([(50, 28), (59, 33)], FLAG, 1.6)
    pen.disc(50, 28, 1.8, DEEP)
    pen.envelope((76, 35, 92, 47))


def open_door(pen: Pen) -> None:
    pen.box((0, 48, 100, 57), "#e2d6b6")
    pen.box((38, 8, 62, 48), DEEP)
    pen.shape([(38, 8), (53, 12), (53, 52), (38, 48)], FLAG)
    pen.disc(50.4, 31, 0.9, PAPER)
    pen.line([(66, 30), (82, 30)], DEEP, 1.4)
    pen.line([(77, 25), (82, 30), (77, 35)], DEEP, 1.4)


def telephone(pen: Pen) -> None:
    pen.box((39, 4, 61, 53), DEEP, 3)
    pen.box((40.5, 7, 59.5, 49), PAPER, 1.6)
    pen.box((42.5, 10, 57.5, 20), MINT, 1)
    for row in range(4):
        pen.box((42.5, 23 + row * 3.6, 57.5 - row % 2 * 4, 24.5 + row * 3.6), "#cfd8d5", 0.6)
    pen.box((42.5, 40, 57.5, 45.5), FLAG, 1.4)
    pen.disc(20, 40, 9, "#bdd4e1")
    pen.disc(82, 16, 7, "#bdd4e1")


def replies(pen: Pen) -> None:
    colours = [MINT, MINT, "#e3bf63", MINT, FLAG]
    for row, colour in enumerate(colours):
        top = 8 + row * 8.6
        pen.box((15, top, 85, top + 6.2), "#21504b", 1.2)
        pen.disc(19.5, top + 3.1, 1.3, colour)
        pen.box((24, top + 2.3, 33, top + 3.9), colour, 0.8)
        pen.box((36, top + 2.3, 58 + row * 17 % 23, top + 3.9), "#5f8a84", 0.8)


MOTIFS: list[Callable[[Pen], None]] = [
    stairs,
    subject_line,
    sorted_letters,
    clock,
    open_door,
    telephone,
    replies,
]
