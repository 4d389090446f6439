"""What may be uploaded as a picture, and what is kept of it."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from accounts.pictures import clean_picture

MEGABYTE = 1024 * 1024


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cleaned(content: bytes, name: str = "me.jpg", *, max_bytes=MEGABYTE, max_side=64):
    return clean_picture(SimpleUploadedFile(name, content), max_bytes=max_bytes, max_side=max_side)


def refusal(content: bytes, **options) -> str:
    with pytest.raises(ValidationError) as caught:
        cleaned(content, **options)
    return caught.value.code


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """Return a few bytes that promise a huge picture, and hold none of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(b"\x00" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


class TestAccepted:
    @pytest.mark.parametrize(
        ("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".jpg")]
    )
    def test_jpeg_png_and_webp_are_kept_in_a_form_every_mail_client_shows(self, kind, suffix):
        kept = cleaned(encoded(Image.new("RGB", (10, 20), "red"), kind))
        assert kept.name.endswith(suffix)
        assert Image.open(kept).size == (10, 20)

    def test_a_transparent_webp_stays_transparent(self):
        kept = cleaned(encoded(Image.new("RGBA", (10, 10), (255, 0, 0, 0)), "WEBP"))
        assert kept.name.endswith(".png")
        assert Image.open(kept).getpixel((5, 5))[3] == 0

    @pytest.mark.parametrize("mode", ["L", "P", "CMYK"])
    def test_other_colour_modes_are_converted(self, mode):
        kept = cleaned(encoded(Image.new(mode, (10, 10)), "JPEG" if mode == "CMYK" else "PNG"))
        assert Image.open(kept).mode == "RGB"

    def test_it_scales_down_and_keeps_the_proportions(self):
        kept = cleaned(encoded(Image.new("RGB", (400, 200)), "JPEG"), max_side=64)
        assert Image.open(kept).size == (64, 32)

    def test_it_never_scales_up(self):
        assert Image.open(cleaned(encoded(Image.new("RGB", (8, 8)), "PNG"))).size == (8, 8)

    def test_the_kind_is_told_by_the_content_not_by_the_name(self):
        assert cleaned(encoded(Image.new("RGB", (8, 8)), "PNG"), "photo.jpg").name.endswith(".png")

    def test_the_name_is_random(self):
        content = encoded(Image.new("RGB", (8, 8)), "PNG")
        names = {cleaned(content, "../../secret.png").name for _ in range(2)}
        assert len(names) == 2
        assert "secret" not in "".join(names)


class TestMetadata:
    def test_a_photograph_is_turned_upright_and_forgets_where_it_was_taken(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # Orientation: turn a quarter to the right.
        exif[0x010E] = "secret place"
        content = encoded(
            Image.new("RGB", (40, 20)), "JPEG", exif=exif.tobytes(), comment=b"secret note"
        )
        kept = cleaned(content)
        assert Image.open(kept).size == (20, 40)
        kept.seek(0)
        assert b"secret" not in kept.read()

    def test_texts_in_a_png_are_dropped(self):
        from PIL.PngImagePlugin import PngInfo

        note = PngInfo()
        note.add_text("Author", "secret")
        kept = cleaned(encoded(Image.new("RGB", (8, 8)), "PNG", pnginfo=note))
        assert b"secret" not in kept.read()


class TestRefused:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"hello",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"\x89PNG\r\n\x1a\n",
            b"\0" * 99,
        ],
    )
    def test_what_is_no_picture(self, content):
        assert refusal(content) == "not_a_picture"

    @pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO"])
    def test_other_kinds_of_pictures(self, kind):
        assert refusal(encoded(Image.new("RGB", (16, 16)), kind)) == "not_a_picture"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_a_file_cut_in_the_middle(self, kind):
        content = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), kind)
        assert refusal(content[: len(content) // 2]) == "not_a_picture"

    def test_a_file_that_is_too_large(self):
        content = encoded(Image.new("RGB", (8, 8)), "PNG")
        assert refusal(content, max_bytes=len(content) - 1) == "too_large"

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("side", [6_500, 12_000, 60_000])
    def test_a_decompression_bomb_is_refused_by_its_header(self, side, monkeypatch):
        def fail(*args):
            raise AssertionError("nothing may be decoded")

        monkeypatch.setattr(Image.Image, "load", fail)
        assert refusal(png_of(side, side)) == "too_many_pixels"

    def test_a_bomb_in_a_text_chunk(self):
        bomb = zlib.compress(b"0" * 80 * MEGABYTE, 9)
        content = encoded(Image.new("RGB", (8, 8)), "PNG")
        chunk = png_chunk(b"zTXt", b"Comment\0\0" + bomb)
        assert refusal(content[:33] + chunk + content[33:]) == "not_a_picture"
