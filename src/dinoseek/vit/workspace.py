"""The memory that the engine computes in, kept from one batch to the next."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import PIECE, Array

_POSITION_GRIDS_KEPT = 64


@dataclass(frozen=True)
class Buffers:
    """Arrays for one shape of batch; `+ 1` columns hold the constant one that carries a bias."""

    tokens_per_image: int
    x: Array  # (b n, d) the residual stream
    update: Array  # (b n, d) what a branch adds to it
    normed: Array  # (b n, d + 1)
    qkv: Array  # (3, b n, d)
    scores: Array  # (rows, n) attention logits of one head
    hidden: Array  # (b n, m)
    both: Array  # (b n, 2 m) SwiGLU's gate and value
    patches: Array  # (patches, 3 p p + 1) of one image
    scratch: tuple[Array, Array]  # for element-wise functions, PIECE values each


class Workspace:
    """Buffers for the latest shape of batch, and position embeddings by grid. One per thread."""

    def __init__(self, config: ViTConfig) -> None:
        self._config = config
        self._shape: tuple[int, ...] = ()
        self._cache: dict[Hashable, Array] = {}
        self.current: Buffers

    def buffers(self, shape: tuple[int, ...]) -> Buffers:
        """Buffers for pixels of this shape (b, 3, H, W); the former ones are let go."""
        if shape != self._shape:
            self._shape = ()
            self.current = allocate(shape, self._config)
            self._shape = shape
        return self.current

    def cached(self, key: Hashable, make: Callable[[], Array]) -> Array:
        if key not in self._cache:
            while len(self._cache) >= _POSITION_GRIDS_KEPT:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = make()
        return self._cache[key]


def allocate(shape: tuple[int, ...], config: ViTConfig) -> Buffers:
    b, c, height, width = shape
    p, d, m = config.patch_size, config.embed_dim, config.hidden_dim
    patches = (height // p) * (width // p)
    n = 1 + config.num_register_tokens + patches
    piece = max(PIECE, m)
    return Buffers(
        tokens_per_image=n,
        x=empty(b * n, d),
        update=empty(b * n, d),
        normed=with_ones(b * n, d),
        qkv=np.empty((3, b * n, d), np.float32),
        scores=empty(min(n, max(64, 2 * PIECE // n)), n),
        hidden=empty(b * n, m),
        both=empty(b * n if config.swiglu else 0, 2 * m),
        patches=with_ones(patches, c * p * p),
        scratch=(np.empty(piece, np.float32), np.empty(piece, np.float32)),
    )


def empty(rows: int, columns: int) -> Array:
    return np.empty((rows, columns), np.float32)


def with_ones(rows: int, columns: int) -> Array:
    """An empty (rows, columns + 1) array whose last column is one."""
    array = empty(rows, columns + 1)
    array[:, -1] = 1
    return array
