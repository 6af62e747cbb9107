"""How fast this machine multiplies float32 matrices: what an engine's speed is a share of."""

import time
from collections.abc import Sequence

import numpy as np

# Large enough that reading the matrices is nothing beside multiplying them, small enough that a
# turn has several of them. The best of the shapes counts, as OpenBLAS cuts them differently.
_SIDES = (1024, 1536)


def measure_peak(seconds: float, sides: Sequence[int] = _SIDES) -> float:
    """The best rate of NumPy's float32 products in about so many seconds, in GFLOP/s."""
    end = time.perf_counter() + seconds
    return max(_rate(side, (end - time.perf_counter()) / (len(sides) - i))
               for i, side in enumerate(sides))  # fmt: skip


def _rate(side: int, seconds: float) -> float:
    left = np.full((side, side), 0.5, np.float32)
    out = left @ left  # the first one also pays for BLAS's buffers
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        np.matmul(left, left, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best / 1e9
