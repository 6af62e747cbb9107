"""What the engines' int8 is calibrated on: pictures that are drawn, the same on every machine.

They are no photographs, but what they show of which values a layer takes in is enough: of the first
ten hits among 128 photographs as many stay as with a calibration on those.
"""

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.graph.calibrate import calibrate
from dinoseek.graph.steps import Calibration
from dinoseek.images.preprocess import to_pixels
from dinoseek.products.folder import photograph
from dinoseek.products.order import Order
from dinoseek.vit.blas import processor_flags
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params

_PICTURES = 16
_PATCHES = 16  # each way
# Products of bytes with sums that cannot overflow; without them int8 is slow, and wrong on AVX2.
_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8"}


def has_int8() -> bool:
    """Whether this processor has instructions for products of bytes (known of Linux only)."""
    return bool(processor_flags() & _FLAGS)


def check_int8() -> None:
    """Raises UsageError engine.precision if this processor is not made for int8."""
    if not has_int8():
        reason = "this processor has no VNNI instructions, and without them it is slow and inexact"
        raise UsageError("engine.precision", "int8", reason, fix="use --precision bf16 or fp32")


def drawn_calibration(params: Params, config: ViTConfig) -> Calibration:
    """Calibrates a model, whose `params` are left as they are; takes some seconds."""
    side = config.patch_size * _PATCHES
    orders = [Order(size=side, background=ground) for ground in ("clutter", "plain")]
    images = [photograph(orders[i % 2], number=i, image=0) for i in range(_PICTURES)]
    return calibrate(params, config, to_pixels(list(np.stack(images))))
