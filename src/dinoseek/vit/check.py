"""Whether pixels are what the engine can take."""

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array

# One image of this many patches needs about 64 MB for a score matrix if it were whole; it is far
# past what DINOv2 was trained for (37 x 37 = 1369) and guards against a stray panorama eating the
# machine.
MAX_PATCHES = 16_384


def check_pixels(pixels: Array, config: ViTConfig) -> Array:
    """`pixels` (b, 3, H, W) as contiguous float32, or a UsageError that says what is wrong."""
    if pixels.ndim != 4:
        raise _wrong("pixels.shape", f"{pixels.ndim} axes {pixels.shape}, expected (b, 3, H, W)")
    if pixels.shape[1] != 3:
        raise _wrong("pixels.channels", f"{pixels.shape[1]} channels, expected 3: R, G and B")
    _check_grid(pixels.shape[2], pixels.shape[3], config)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise _wrong("pixels.dtype", f"dtype {pixels.dtype}, expected normalised float32")
    pixels = np.ascontiguousarray(pixels, np.float32)
    # A sum is NaN or infinite if any value is, at a fraction of the cost of np.isfinite.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(pixels.sum(dtype=np.float64))
    if suspicious and not np.isfinite(pixels).all():
        raise _wrong("pixels.nonfinite", "some values are NaN or infinite")
    return pixels


def _check_grid(height: int, width: int, config: ViTConfig) -> None:
    p = config.patch_size
    if height % p or width % p or not (height and width):
        nearest = " x ".join(str(max(p, round(side / p) * p)) for side in (height, width))
        raise _wrong(
            "pixels.size", f"{height} x {width} is no multiple of the patch size {p}", nearest
        )
    if height // p * (width // p) > MAX_PATCHES:
        raise _wrong(
            "pixels.tokens",
            f"{height} x {width} makes {height // p * (width // p)} patches, at most {MAX_PATCHES}",
        )


def _wrong(code: str, reason: str, nearest: str = "") -> UsageError:
    return UsageError(code, "pixels", reason, fix=f"resize to {nearest}" if nearest else "")
