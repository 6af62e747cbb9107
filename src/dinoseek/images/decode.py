"""From a picture in any of six formats to RGB, the right way up."""

from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.images import tiff
from dinoseek.images.color_profile import to_srgb
from dinoseek.images.container import Source, image_error, open_image, prepare
from dinoseek.images.exif import SIDEWAYS, orientation, upright
from dinoseek.images.limits import DEFAULT_LIMITS, Limits, check_size
from dinoseek.images.modes import flatten
from dinoseek.images.read import read_bytes

__all__ = ["DEFAULT_LIMITS", "Limits", "decode", "decode_sized", "load_image", "read_bytes"]


def load_image(
    source: str | Path | bytes | Image.Image | NDArray[np.uint8],
    *,
    limits: Limits = DEFAULT_LIMITS,
    faithful: bool = False,
    least_side: int | None = None,
) -> Image.Image:
    """An RGB picture from a path, a file's bytes, a Pillow image or an array.

    An array is (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, of type uint8. What is given stays as
    it is. ImageError as `decode` and `read_bytes`.
    """
    if isinstance(source, bytes):
        return decode(source, limits=limits, faithful=faithful, least_side=least_side)
    if isinstance(source, str | Path):
        data, subject = read_bytes(source, limits), source
        return decode(
            data, subject=subject, limits=limits, faithful=faithful, least_side=least_side
        )
    image = source if isinstance(source, Image.Image) else _from_array(source)
    check_size(*image.size, "image", limits)
    kind = image.format or ""
    try:
        return _rgb(image.copy(), Source(kind, b""), "image", faithful=faithful)
    except Exception as exc:
        raise image_error(exc, Source("", b""), "image") from exc


def decode(
    data: bytes,
    *,
    subject: object = "image",
    limits: Limits = DEFAULT_LIMITS,
    faithful: bool = False,
    least_side: int | None = None,
) -> Image.Image:
    """The first frame of a JPEG, PNG, WebP, GIF, BMP or TIFF file as an upright RGB picture.

    Its `format` names the file's format. Transparency is laid over white, 16-bit samples keep
    their upper 8 bits, embedded colour profiles are turned into sRGB. With `faithful` it is what
    Facebook's decoder gives, Image.open().convert("RGB"): not turned, transparency dropped, 16 bits
    clipped, profiles ignored. A truncated picture is never padded. With `least_side` a JPEG is read
    at 1/2, 1/4 or 1/8 of its size, as long as no side gets shorter than that.

    ImageError, before a pixel is allocated: image.empty, image.too_large_bytes,
    image.unrecognised, image.format_not_allowed, image.too_many_pixels, image.too_many_scans; at
    any time: image.truncated, image.corrupt, image.unsupported, image.decode_oom.
    """
    image, _ = decode_sized(
        data, subject=subject, limits=limits, faithful=faithful, least_side=least_side
    )
    return image


def decode_sized(
    data: bytes,
    *,
    subject: object = "image",
    limits: Limits = DEFAULT_LIMITS,
    faithful: bool = False,
    least_side: int | None = None,
) -> tuple[Image.Image, tuple[int, int]]:
    """As `decode`, and the (width, height) of the upright picture in full size."""
    source = prepare(data, subject, limits)
    image = open_image(source, subject, limits)
    try:
        width, height = image.size
        if least_side is not None:
            _read_smaller(image, least_side)
        image.load()
        exif = source.exif or image.info.get("exif")
        lies = not faithful and exif and orientation(exif) in SIDEWAYS
        rgb = _rgb(image, source, subject, faithful=faithful)
        return rgb, (height, width) if lies else (width, height)
    except Exception as exc:
        is_cut = tiff.is_cut(image, len(data))
        raise image_error(exc, source, subject, is_cut=is_cut) from exc


def _read_smaller(image: Image.Image, least_side: int) -> None:
    """Has a JPEG's decoder leave out what is too fine to be seen at that size."""
    scale = least_side / min(image.size)
    width, height = (ceil(side * scale) for side in image.size)
    image.draft(None, (width, height))  # does nothing to other formats


def _rgb(image: Image.Image, source: Source, subject: object, *, faithful: bool) -> Image.Image:
    info = image.info
    if faithful:
        # For Pillow a transparent colour would only be a reason to warn that it goes.
        info.pop("transparency", None)
        rgb = image if image.mode == "RGB" else image.convert("RGB")
    else:
        flat = flatten(_without_blank_alpha(image, source), subject, depth=source.depth)
        rgb = upright(to_srgb(flat, info.get("icc_profile")), source.exif or info.get("exif"))
    rgb.info = {}  # what is saved from here must not carry a place, a comment or the old profile
    rgb.format = source.kind or None
    return rgb


def _without_blank_alpha(image: Image.Image, source: Source) -> Image.Image:
    """Many programs leave the fourth byte of a 32-bit BMP zero: it is opaque, not invisible."""
    if source.kind == "BMP" and image.mode == "RGBA":
        return image if image.getchannel("A").getbbox() else image.convert("RGB")
    return image


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    channels = array.shape[2:] if array.ndim in (2, 3) else (0,)
    if array.dtype != np.uint8 or channels not in ((), (3,), (4,)) or not array.size:
        raise ValueError(
            f"an array image is (H, W, 3), (H, W, 4) or (H, W) of uint8, not {array.shape} of "
            f"{array.dtype}"
        )
    return Image.fromarray(array)
