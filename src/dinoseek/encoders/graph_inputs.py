"""What goes into the engines' graphs, and what comes out of them."""

from collections.abc import Sequence
from functools import lru_cache

from dinoseek.vit.check import check_pixels
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array, Params
from dinoseek.vit.pos_embed import resample

_GRIDS = 8  # as many sizes of picture are remembered


class GraphInputs:
    """Makes inputs of pixels: themselves, and the position embeddings of their grid.

    Positions are computed here and not in the graph, where an engine of lower precision would
    compute them in it too.
    """

    def __init__(self, params: Params, config: ViTConfig) -> None:
        self.config = config
        patches: Array = params["pos_embed"][0, 1:]

        @lru_cache(_GRIDS)
        def positions(rows: int, cols: int) -> Array:
            return resample(patches, rows, cols, config)[None]

        self._positions = positions

    def __call__(self, pixels: Array) -> dict[str, Array]:
        """The inputs for pixels (b, 3, H, W). Raises UsageError for pixels no engine can take."""
        pixels = check_pixels(pixels, self.config)
        rows, cols = (side // self.config.patch_size for side in pixels.shape[2:])
        return {"pixels": pixels, "positions": self._positions(rows, cols)}


def tokens_of(outputs: Sequence[Array]) -> Tokens:
    """A graph's outputs: cls (b, d), registers (b, r, d) if there are any, patches (b, n, d)."""
    cls, *registers, patches = outputs
    return Tokens(cls=cls, registers=registers[0] if registers else patches[:, :0], patches=patches)
