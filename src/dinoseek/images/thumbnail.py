"""A small JPEG of a picture, to be shown where the picture itself cannot be."""

from io import BytesIO

from PIL import Image

SIDE = 256
# Photographs take 16 KB at the usual quality. What takes far more is noise, foliage or a pattern,
# in which nobody sees that it has less.
_QUALITY, _LESS = 80, 60
_LARGE = 24_000  # bytes, at 256 pixels


def thumbnail_jpeg(image: Image.Image, side: int = SIDE) -> bytes:
    """A JPEG of an RGB picture, no side longer than `side` pixels, with nothing but the pixels."""
    scale = min(1, side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    # Hamming's filter is as sharp as the bicubic one and takes less than half of Lanczos's time.
    small = image.resize((width, height), Image.Resampling.HAMMING, reducing_gap=2.0)
    small.info = {}
    data = _encoded(small, _QUALITY)
    large = _LARGE * (max(side, SIDE) / SIDE) ** 2
    return data if len(data) <= large else _encoded(small, _LESS)


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
