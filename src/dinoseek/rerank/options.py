"""The ways of re-ranking by name, and their settings: "k-reciprocal:k1=20,k2=6"."""

import math
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from dinoseek.errors import UsageError
from dinoseek.matching import Geometry


@dataclass(frozen=True, kw_only=True)
class AlphaQE:
    """Alpha query expansion: the query joined by its first `neighbors` hits, weighted cos^alpha."""

    neighbors: int = 10
    alpha: float = 3.0

    def __post_init__(self) -> None:
        _check_counts(self, "neighbors")
        _check_range(self, "alpha", 0, 100)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Database augmentation: each image joined by its own `neighbors`, weighted cos^alpha."""

    neighbors: int = 2
    alpha: float = 3.0
    shortlist: int = 100

    def __post_init__(self) -> None:
        _check_counts(self, "neighbors", "shortlist")
        _check_range(self, "alpha", 0, 100)


@dataclass(frozen=True, kw_only=True)
class KReciprocal:
    """Images are alike that have the same k-reciprocal neighbours.

    `k1` neighbours are compared, those of the nearest `k2` averaged; `weight` is the share of the
    original distance.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3
    shortlist: int = 200

    def __post_init__(self) -> None:
        _check_counts(self, "k1", "k2", "shortlist")
        _check_range(self, "weight", 0, 1)


@dataclass(frozen=True, kw_only=True)
class SuperGlobal:
    """Hits refined by their `neighbors` in the shortlist, weighted beta cos, and so the query."""

    neighbors: int = 9
    beta: float = 0.15
    shortlist: int = 400

    def __post_init__(self) -> None:
        _check_counts(self, "neighbors", "shortlist")
        _check_range(self, "beta", 0, 100)


@dataclass(frozen=True, kw_only=True)
class Local:
    """Hits whose patches match the query's, in the same arrangement.

    `weight` is the share of the patches in the score, the rest is the cosine's; `geometry` is the
    kind of map between the pictures that matches have to agree on, within `tolerance` patches.
    """

    weight: float = 0.5
    geometry: Geometry = "similarity"
    tolerance: float = 1.5
    shortlist: int = 20

    def __post_init__(self) -> None:
        _check_counts(self, "shortlist")
        _check_range(self, "weight", 0, 1)
        _check_range(self, "tolerance", 0, 1000)
        if self.geometry not in ("none", "similarity", "affine"):
            reason = f"geometry is {self.geometry}, known are none, similarity and affine"
            raise UsageError("rerank.setting", name_of(self), reason)


Rerank: TypeAlias = AlphaQE | Augmentation | KReciprocal | SuperGlobal | Local

METHODS: dict[str, type[Rerank]] = {
    "alpha-qe": AlphaQE,
    "dba": Augmentation,
    "k-reciprocal": KReciprocal,
    "superglobal": SuperGlobal,
    "local": Local,
}


def find_rerank(text: str) -> Rerank:
    """The way of re-ranking that "NAME" or "NAME:KEY=VALUE,KEY=VALUE" names.

    Raises UsageError rerank.unknown, rerank.setting.
    """
    name, _, settings = text.partition(":")
    if name not in METHODS:
        fix = f"use one of {', '.join(METHODS)}"
        raise UsageError("rerank.unknown", name, "no such way of re-ranking", fix=fix)
    method = METHODS[name]
    defaults = vars(method())
    values: dict[str, Any] = {}
    for each in filter(None, settings.split(",")):
        key, _, value = each.partition("=")
        if key not in defaults:
            reason = f"it has no setting {key}, only {', '.join(defaults)}"
            raise UsageError("rerank.setting", name, reason)
        values[key] = _converted(name, key, value, type(defaults[key]))
    return method(**values)


def name_of(rerank: Rerank) -> str:
    """The name that `find_rerank` knows a way by."""
    return next(name for name, method in METHODS.items() if isinstance(rerank, method))


def described(rerank: Rerank) -> str:
    """A way of re-ranking with all its settings, as `find_rerank` takes it."""
    settings = (f"{each.name}={getattr(rerank, each.name)}" for each in fields(rerank))
    return f"{name_of(rerank)}:{','.join(settings)}"


def _converted(name: str, key: str, value: str, kind: type) -> int | float | str:
    try:
        converted: int | float | str = kind(value)
    except ValueError as exc:
        wanted = "a whole number" if kind is int else "a number"
        reason = f"{key} is {value or 'nothing'}, it must be {wanted}"
        raise UsageError("rerank.setting", name, reason) from exc
    return converted


def _check_counts(rerank: Rerank, *keys: str) -> None:
    for key in keys:
        if not 1 <= getattr(rerank, key) <= 10_000:
            reason = f"{key} is {getattr(rerank, key)}, it must be within 1 to 10000"
            raise UsageError("rerank.setting", name_of(rerank), reason)


def _check_range(rerank: Rerank, key: str, least: float, most: float) -> None:
    value = getattr(rerank, key)
    if not (math.isfinite(value) and least <= value <= most):
        reason = f"{key} is {value}, it must be within {least:g} to {most:g}"
        raise UsageError("rerank.setting", name_of(rerank), reason)
