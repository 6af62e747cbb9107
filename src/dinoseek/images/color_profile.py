"""From the colours of an embedded ICC profile to sRGB."""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
# Profiles of printing presses have up to 3 MB; what is larger is ignored.
_MAX_BYTES = 4 * 2**20
_SRGB = ImageCms.createProfile("sRGB")


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Turns `image` of mode RGB, L or CMYK into RGB in sRGB.

    A `profile` that is absent, broken, too large or of another colour space is ignored, and so is
    one that is sRGB within 2/255: such pictures keep their pixels bit by bit.
    """
    if isinstance(profile, bytes) and 0 < len(profile) <= _MAX_BYTES:
        transform = _transform(profile, image.mode)
        if transform is not None:
            return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        # Without the cache of the last pixel one transform serves many threads.
        flags = ImageCms.Flags.NOCACHE
        transform = ImageCms.buildTransform(source, _SRGB, mode, "RGB", flags=flags)
        return None if mode == "RGB" and _is_srgb(transform) else transform
    except Exception:  # whatever a broken profile causes, the picture counts without it
        return None


def _is_srgb(transform: ImageCms.ImageCmsTransform) -> bool:
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(18, -1, 3)
    turned = np.asarray(transform.apply(Image.fromarray(colours)))
    return bool(np.abs(turned.astype(np.int16) - colours).max() <= 2)
