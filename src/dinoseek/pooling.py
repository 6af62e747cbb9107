"""From a model's tokens to one vector per image, by name."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array

Pooling = Literal["cls", "mean", "gem", "cls+mean"]
GEM_POWER = 3


def find_pooling(name: str) -> Callable[[Tokens], Array]:
    """The pooling with this name: Tokens to features (b, d), or (b, 2 d) for "cls+mean".

    Raises UsageError for an unknown name.
    """
    if name not in POOLINGS:
        known = ", ".join(get_args(Pooling))
        raise UsageError("pooling.unknown", name, "no such pooling", fix=f"use one of {known}")
    return POOLINGS[name]


def cls(tokens: Tokens) -> Array:
    """The class token, DINOv2's own image feature."""
    return tokens.cls


def mean(tokens: Tokens) -> Array:
    """The mean patch token."""
    return tokens.patches.mean(axis=1)  # (b, n, d) -> (b, d)


def gem(tokens: Tokens) -> Array:
    """Generalised mean of the patch tokens with p = 3 (Radenovic et al., 2018, eq. 2).

    DINOv2's tokens are signed and their normalisation makes both signs meaningful, so the odd power
    keeps the sign where the usual clamp at zero would throw half of every token away.
    """
    return np.cbrt(np.mean(tokens.patches**GEM_POWER, axis=1))  # (b, n, d) -> (b, d)


def cls_and_mean(tokens: Tokens) -> Array:
    """Class token and mean patch token side by side, each of unit length to weigh the same."""
    return np.concatenate([unit(cls(tokens)), unit(mean(tokens))], axis=-1)  # (b, 2 d)


def unit(vectors: Array) -> Array:
    """Scales vectors (b, d) to unit length; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float32).tiny)


POOLINGS: dict[str, Callable[[Tokens], Array]] = {
    "cls": cls,
    "mean": mean,
    "gem": gem,
    "cls+mean": cls_and_mean,
}
