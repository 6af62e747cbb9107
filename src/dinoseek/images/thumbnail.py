"""A small JPEG of a picture, to be shown where the picture itself cannot be."""

from io import BytesIO

from PIL import Image

SIDE = 256
_QUALITY = 80


def thumbnail_jpeg(image: Image.Image, side: int = SIDE) -> bytes:
    """A JPEG of an RGB picture, no side longer than `side` pixels, with nothing but the pixels."""
    scale = min(1, side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    file = BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()
