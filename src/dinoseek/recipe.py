"""From prepared images to features: the encoder, pooling, and the mean over scales."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoseek.encoders.base import Encoder, ValueEncoder
from dinoseek.errors import UsageError
from dinoseek.images.preprocess import to_pixels
from dinoseek.images.scales import ONE, Scales, at_scale
from dinoseek.pooling import VLAD, Pool, find_pooling, parts_of, unit
from dinoseek.vit.ops import Array
from dinoseek.vlad import Vocabulary, vlad

Prepared = NDArray[np.uint8]  # (H, W, 3)
Features: TypeAlias = Callable[[Sequence[Prepared]], Array]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What becomes of a model's tokens."""

    pooling: str = "cls"
    scales: Scales = ONE
    vocabulary: Vocabulary | None = None


def check_pooling(name: str, vocabulary: Vocabulary | None) -> None:
    """Refuses a pooling that is not known, or lacks its vocabulary, or has one in vain."""
    if vocabulary is None:
        find_pooling(name)
    elif VLAD not in parts_of(name):
        reason = "only the pooling vlad has a vocabulary"
        raise UsageError("pooling.vocabulary", name, reason, fix="add --pooling vlad")


def dim_of(recipe: Recipe, embed_dim: int) -> int:
    """The length of the features."""
    clusters = 0 if recipe.vocabulary is None else len(recipe.vocabulary.centres)
    return sum(clusters * embed_dim if part == VLAD else embed_dim
               for part in parts_of(recipe.pooling))  # fmt: skip


def features_of(encoder: Encoder, recipe: Recipe) -> Features:
    """What turns images of one size, prepared for the largest scale, into features (b, d).

    Over several scales it is the mean of unit vectors, as in Radenovic et al. (2018).
    """
    single = _single(encoder, recipe)
    if recipe.scales == ONE:
        return single
    ratios = [scale / recipe.scales[-1] for scale in recipe.scales]

    def averaged(prepared: Sequence[Prepared]) -> Array:
        rows = [unit(single([at_scale(each, ratio) for each in prepared])) for ratio in ratios]
        return np.asarray(np.mean(rows, axis=0), np.float32)  # (scales, b, d) -> (b, d)

    return averaged


def _single(encoder: Encoder, recipe: Recipe) -> Features:
    """Features at one scale."""
    if recipe.pooling == "cls":
        return lambda prepared: encoder.class_tokens(to_pixels(prepared))
    if recipe.vocabulary is not None:
        return _with_vlad(encoder, recipe.pooling, recipe.vocabulary)
    pool = find_pooling(recipe.pooling)
    return lambda prepared: pool(encoder(to_pixels(prepared)))


def _with_vlad(encoder: Encoder, pooling: str, vocabulary: Vocabulary) -> Features:
    if not isinstance(encoder, ValueEncoder):
        reason = "VLAD is made of a block's values, which this engine does not give"
        raise UsageError("engine.values", encoder.engine, reason, fix="use --engine numpy")

    def features(prepared: Sequence[Prepared]) -> Array:
        tokens, values = encoder.with_values(to_pixels(prepared), vocabulary.block)
        described: Pool = lambda _: vlad(values.patches, vocabulary)  # noqa: E731
        return find_pooling(pooling, {VLAD: described})(tokens)

    return features
