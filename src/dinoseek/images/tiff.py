"""What TIFF needs besides Pillow: quiet, and the facts that Pillow does not apply."""

import ctypes
import logging
import warnings
from contextlib import suppress
from functools import cache

from PIL import Image, TiffImagePlugin, _imaging

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
# Where the pixels begin and how many bytes there are, for strips and for tiles.
_EXTENTS = ((273, 279), (324, 325))


def hush() -> None:
    """Keeps libtiff and Pillow from writing a line for each fault of a file: the error says it."""
    _hush_libtiff()
    # A filter that stays: catch_warnings() is not safe in threads. Looked for each time because it
    # is lost where a caller's own catch_warnings() ends.
    chatter = r"PIL\.TiffImagePlugin"
    if not any(
        f[0] == "ignore" and getattr(f[3], "pattern", "") == chatter for f in warnings.filters
    ):
        warnings.filterwarnings("ignore", module=chatter)


@cache
def _hush_libtiff() -> None:
    logging.getLogger("PIL.TiffImagePlugin").addHandler(logging.NullHandler())
    # libtiff writes to stderr by itself. Where it is a library of its own, as in Pillow's wheels
    # for Linux and macOS, it can be told not to; elsewhere the lines stay.
    with suppress(AttributeError, OSError):
        pillow = ctypes.CDLL(_imaging.__file__)
        pillow.TIFFSetErrorHandler(None)
        pillow.TIFFSetWarningHandler(None)


def is_cut(image: Image.Image, num_bytes: int) -> bool:
    """Whether the pixels of a TIFF would end past its `num_bytes` bytes."""
    return any(
        offset + count > num_bytes
        for offsets, counts in _EXTENTS
        for offset, count in zip(_numbers(image, offsets), _numbers(image, counts), strict=False)
    )


def grey_bits(image: Image.Image) -> int:
    """How many bits one sample of a grey picture has; 16 where the file does not say."""
    bits = _numbers(image, _BITS)
    return bits[0] if bits and 8 < bits[0] <= 16 else 16


def white_is_zero(image: Image.Image) -> bool:
    """Whether 0 is white in the file. Pillow turns only pictures of 8 bits or fewer around."""
    return _numbers(image, _PHOTOMETRIC) == (_WHITE_IS_ZERO,)


def _numbers(image: Image.Image, tag: int) -> tuple[int, ...]:
    """The whole numbers of a tag; none if it is not there, broken, or the image is no TIFF."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return ()
    try:
        value = image.tag_v2.get(tag)
    except Exception:  # tags are parsed when they are asked for
        return ()
    values = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))
