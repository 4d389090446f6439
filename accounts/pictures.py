"""Uploaded pictures: let in what is one, and keep only its pixels."""

from __future__ import annotations

import secrets
from io import BytesIO

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from PIL import Image, ImageOps

# The largest photographs of telephones. Decoded, it takes up to 160 MB for a moment; Pillow
# would only warn from twice as many on.
MAX_PIXELS = 40_000_000
FORMATS = ["JPEG", "PNG", "WEBP"]


def clean_picture(upload: UploadedFile, *, max_bytes: int, max_side: int) -> ContentFile:
    """Return an upload encoded anew: upright, scaled down, without metadata, randomly named.

    Raises `ValidationError` where it is no JPEG, PNG or WebP picture, or too large a one.
    """
    if upload.size > max_bytes:
        raise ValidationError(
            _("The file is too large: %(size)s. Choose one of at most %(limit)s.")
            % {"size": filesizeformat(upload.size), "limit": filesizeformat(max_bytes)},
            code="too_large",
        )
    image = read_image(upload)
    kind = "PNG" if image.format == "PNG" or image.has_transparency_data else "JPEG"
    return encode(shrink(image, max_side), kind)


def read_image(upload: UploadedFile) -> Image.Image:
    """Read the header and check what it promises before anything is decoded."""
    try:
        upload.seek(0)
        image = Image.open(upload, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_many_pixels() from error
    except Exception as error:  # Broken files make decoders raise nearly anything.
        raise not_a_picture() from error
    if image.width * image.height > MAX_PIXELS:
        raise too_many_pixels()
    return image


def shrink(image: Image.Image, max_side: int) -> Image.Image:
    """Decode a picture at the size that is kept, turn it upright and drop all metadata."""
    try:
        # First, so that a large JPEG is decoded at a fraction of its size.
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        image = ImageOps.exif_transpose(image)
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except Exception as error:  # See read_image.
        raise not_a_picture() from error
    image.info = {}
    return image


def encode(image: Image.Image, kind: str) -> ContentFile:
    buffer = BytesIO()
    image.save(buffer, kind, optimize=True, **({"quality": 85} if kind == "JPEG" else {}))
    suffix = "png" if kind == "PNG" else "jpg"
    return ContentFile(buffer.getvalue(), name=f"{secrets.token_urlsafe(16)}.{suffix}")


def not_a_picture() -> ValidationError:
    return ValidationError(
        _("The file could not be read as a picture. Choose a JPEG, PNG or WebP file."),
        code="not_a_picture",
    )


def too_many_pixels() -> ValidationError:
    return ValidationError(
        _("The picture has too many pixels. Choose one of at most %(limit)s megapixels.")
        % {"limit": MAX_PIXELS // 1_000_000},
        code="too_many_pixels",
    )
