"""From each of Pillow's modes to 8 bits without transparency."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images import tiff

_SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}


def flatten(image: Image.Image, subject: object, *, depth: int = 8) -> Image.Image:
    """Turns `image` of any mode into one of mode RGB, L or CMYK, laid over white.

    16-bit samples keep their upper 8 bits (40000 becomes 156). 32-bit integers count as 16-bit
    values. White in floats is the smallest of 1, 255 and 65535 that no pixel is above. Numbers
    beyond that, negative ones and NaN have no agreed colour: image.unsupported. `depth` is the bits
    of one sample in a PNG file, in which the transparent colour is counted.
    """
    if image.mode in _SIXTEEN_BIT:
        image = _from_16_bit(image)
    elif image.mode in ("I", "F"):
        image = _from_32_bit(image, subject)
    elif image.mode in ("1", "L", "RGB"):
        image = _with_scaled_key(image, depth)
    if image.has_transparency_data:
        return _over_white(image)
    return image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    samples: NDArray[np.uint16] = np.asarray(image)
    grey = (samples >> (tiff.grey_bits(image) - 8)).clip(max=255).astype(np.uint8)
    grey = 255 - grey if tiff.white_is_zero(image) else grey
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return Image.fromarray(grey)
    alpha = np.where(samples == key, np.uint8(0), np.uint8(255))
    return Image.fromarray(np.stack([grey, alpha], axis=-1))  # 2 x (H, W) -> (H, W, 2)


def _from_32_bit(image: Image.Image, subject: object) -> Image.Image:
    samples = np.asarray(image)
    low, high = samples.min(), samples.max()
    whites = (65535,) if image.mode == "I" else (1, 255, 65535)
    white = next((white for white in whites if high <= white), None)
    if white is None or low < 0:  # no white is above NaN
        reason = f"its values run from {low:g} to {high:g}, which are no colours"
        raise ImageError("image.unsupported", subject, reason, fix="scale it to 8 or 16 bits first")
    if image.mode == "I":
        return Image.fromarray((samples >> 8).astype(np.uint8))
    scaled = samples * np.float32(255 / white) + np.float32(0.5)
    return Image.fromarray(scaled.astype(np.uint8))


def _with_scaled_key(image: Image.Image, depth: int) -> Image.Image:
    """Counts the one transparent colour of a PNG in 8 bits, as Pillow counts the pixels."""
    key = image.info.get("transparency")
    if image.mode == "1":
        image = image.convert("L")
    if isinstance(key, int) and depth < 8:
        image.info["transparency"] = key * 255 // (2**depth - 1)
    elif isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # its way to RGBA would lose the transparency
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    alpha, rgb = rgba.getchannel("A"), rgba.convert("RGB")
    if alpha.getextrema() == (255, 255):
        return rgb
    white = Image.new("RGB", image.size, "white")
    white.paste(rgb, mask=alpha)
    return white
