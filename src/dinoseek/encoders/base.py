"""What every engine offers."""

from typing import Protocol, runtime_checkable

from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array


class Encoder(Protocol):
    """A model on an engine: normalised pixels (b, 3, H, W) in, Tokens out.

    H and W are multiples of the patch size. Raises UsageError for pixels that the model cannot
    take.
    """

    @property
    def config(self) -> ViTConfig: ...

    @property
    def engine(self) -> str:
        """The engine's name, as in `--engine`."""

    @property
    def precision(self) -> str:
        """How exactly it calculates; a name of encoders/precision.py."""

    def __call__(self, pixels: Array) -> Tokens: ...

    def class_tokens(self, pixels: Array) -> Array:
        """The class tokens (b, d) alone; an engine may save the work for the others."""


@runtime_checkable
class ValueEncoder(Protocol):
    """An Encoder that also gives what a block's attention mixes, which VLAD is made of."""

    @property
    def config(self) -> ViTConfig: ...

    def with_values(self, pixels: Array, block: int) -> tuple[Tokens, Tokens]:
        """The tokens, and the value of each token in one block, heads side by side."""
