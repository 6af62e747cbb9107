"""From a model's tokens to one vector per image, by name."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.vit.model import Tokens
from dinoseek.vit.ops import Array

Pool: TypeAlias = Callable[[Tokens], Array]

GEM_POWER = 3
VLAD = "vlad"  # needs a vocabulary: see dinoseek.vlad


def find_pooling(name: str, more: Mapping[str, Pool] | None = None) -> Pool:
    """The pooling with this name: Tokens to features (b, d).

    Names joined by "+", as in "cls+mean", put their vectors side by side, each of unit length to
    weigh the same. `more` are poolings besides those of this file. Raises UsageError for an unknown
    name.
    """
    known = {**POOLINGS, **(more or {})}
    parts = parts_of(name)
    missing = [part for part in parts if part not in known]
    if missing:
        reason = "it needs a vocabulary"
        fix = "fit one with dinoseek fit vlad, and name it with --vocabulary"
        raise UsageError("pooling.vocabulary", missing[0], reason, fix=fix)
    if len(parts) == 1:
        return known[name]
    return lambda tokens: np.concatenate([unit(known[part](tokens)) for part in parts], axis=-1)


def parts_of(name: str) -> list[str]:
    """The poolings that a name joins; UsageError pooling.unknown if one is not known."""
    parts = name.split("+")
    for part in parts:
        if part not in (*POOLINGS, VLAD):
            fix = f"use one of {', '.join(POOLINGS)}, {VLAD}, or several as in cls+mean"
            raise UsageError("pooling.unknown", name, "no such pooling", fix=fix)
    if len(set(parts)) < len(parts):
        raise UsageError("pooling.repeated", name, "the same pooling twice says nothing more")
    return parts


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


def unit(vectors: Array) -> Array:
    """Scales vectors (b, d) to unit length; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(np.float32).tiny)


POOLINGS: dict[str, Pool] = {"cls": cls, "mean": mean, "gem": gem}
