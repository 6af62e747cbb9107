"""The NumPy engine on all cores: threads over images for a batch, BLAS threads for a single one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np

from dinoseek.encoders.precision import FLOAT32
from dinoseek.vit import blas
from dinoseek.vit.check import check_pixels
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.fold import FoldedParams, fold
from dinoseek.vit.model import Tokens, class_tokens, forward, forward_with_facet
from dinoseek.vit.ops import Array, Params
from dinoseek.vit.workspace import Workspace

# Images that go through one matrix product together share the cost of laying out its weights; past
# about this many tokens there is nothing more to gain, only more memory to fill.
TOKENS_AT_ONCE = 1100


T = TypeVar("T", covariant=True)


class Compute(Protocol[T]):
    """`forward` or `class_tokens`."""

    def __call__(
        self, pixels: Array, params: FoldedParams, config: ViTConfig, workspace: Workspace, /
    ) -> T: ...


class NumpyEncoder:
    """An Encoder on the pure NumPy engine; safe to call from several threads.

    Takes the parameters out of `params` as it folds them, so that the weights are in memory once.
    """

    engine = "numpy"
    precision = FLOAT32

    def __init__(
        self,
        params: Params,
        config: ViTConfig,
        *,
        precision: str = FLOAT32,
        threads: int | None = None,
    ) -> None:
        if precision != self.precision:
            raise ValueError(f"precision is {precision}, but NumPy calculates in {FLOAT32}")
        blas.warn_if_slow()
        self.config = config
        self.threads = threads or blas.thread_count()
        self._folded = fold(params, config, consume=True)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="dinoseek-encoder")
        self._local = threading.local()

    def __call__(self, pixels: Array) -> Tokens:
        """Encodes normalised pixels (b, 3, H, W). Raises UsageError for pixels it cannot take."""
        return join(self._each_group(forward, pixels))

    def class_tokens(self, pixels: Array) -> Array:
        """The class tokens (b, d) alone, for less work. Raises as calling does."""
        return np.concatenate(self._each_group(class_tokens, pixels))

    def with_values(self, pixels: Array, block: int) -> tuple[Tokens, Tokens]:
        """The tokens, and the value of each token in one block. Raises as calling does."""
        tokens, values = zip(*self._each_group(partial(_values, block=block), pixels), strict=True)
        return join(list(tokens)), join(list(values))

    def _each_group(self, compute: Compute[T], pixels: Array) -> list[T]:
        """Computes the parts of a batch, on threads of one core each where there are several."""
        pixels = check_pixels(pixels, self.config)
        groups = self._groups(pixels)
        if len(groups) == 1 and self.threads > 1:
            return [compute(pixels, self._folded, self.config, self._workspace())]
        with blas.one_thread():
            run = map if self.threads == 1 else self._pool.map
            return list(
                run(lambda g: compute(g, self._folded, self.config, self._workspace()), groups)
            )

    def _workspace(self) -> Workspace:
        """The calling thread's own."""
        if not hasattr(self._local, "workspace"):
            self._local.workspace = Workspace(self.config)
        workspace: Workspace = self._local.workspace
        return workspace

    def _groups(self, pixels: Array) -> list[Array]:
        """The batch in nearly equal parts, as many or several times as many as threads."""
        b, _, height, width = pixels.shape
        tokens = height * width // self.config.patch_size**2
        rounds = -(-b * tokens // (self.threads * max(tokens, TOKENS_AT_ONCE)))
        parts = min(b, max(1, rounds) * self.threads)
        edges = np.linspace(0, b, parts + 1).round().astype(int)
        return [pixels[first:last] for first, last in pairwise(edges)]


def _values(
    pixels: Array, params: FoldedParams, config: ViTConfig, workspace: Workspace, /, *, block: int
) -> tuple[Tokens, Tokens]:
    return forward_with_facet(pixels, params, config, workspace, block=block, kind="value")


def join(parts: list[Tokens]) -> Tokens:
    return Tokens(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
