"""What can be asked: pictures, vectors and ids, alone or several as one, and regions of them.

An image is always embedded by the gallery's own embedder, so query and gallery cannot be embedded
differently.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoseek.embedder import Embedder, Prepared
from dinoseek.errors import UsageError, printable
from dinoseek.images.decode import decode, load_image
from dinoseek.images.read import read_bytes
from dinoseek.images.region import Region
from dinoseek.vit.ops import Array

Single: TypeAlias = str | Path | bytes | Image.Image | NDArray[Any] | int
Combine: TypeAlias = Literal["average", "best"]

# A sum this much shorter than its terms is rounding: an image minus itself, kept as float16.
_VANISHED = 1e-3


@dataclass(frozen=True)
class Part:
    """A picture, vector or id, how much it counts in a `Mix`, and which region of it is meant."""

    query: Single
    _: KW_ONLY
    weight: float = 1.0
    region: Region | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            reason = f"the weight is {self.weight:g}, it must be a number above 0"
            raise UsageError("search.weight", name_of(self.query), reason)


@dataclass(frozen=True)
class Mix:
    """Several pictures as one query: hits are like `positives` and unlike `negatives`.

    With "average" they are like the weighted sum of the positives' unit vectors less that of the
    negatives', scaled to unit length; with "best" they are like the nearest of the positives, and
    an image that is more like a negative than like every positive is left out.
    """

    positives: Sequence[Single | Part]
    negatives: Sequence[Single | Part] = ()
    _: KW_ONLY
    combine: Combine = "average"

    def __post_init__(self) -> None:
        if not self.positives:
            reason = "there is nothing that hits should look like"
            raise UsageError("search.mix", "query", reason, fix="name at least one picture")
        if self.combine not in get_args(Combine):
            reason = f"known are {' and '.join(get_args(Combine))}"
            raise UsageError("search.combine", self.combine, reason)
        if self.combine == "best" and any(part.weight != 1 for _, part in _signed(self)):
            reason = "the best of several pictures knows no weights"
            raise UsageError("search.weight", name_of(self), reason, fix='use "average"')


Query: TypeAlias = Single | Part | Mix


@dataclass(frozen=True, kw_only=True)
class Source:
    """A part of a query that is to be read; `own` is its id, if it is an image of the gallery.

    The weight of what hits should be unlike is below 0.
    """

    name: str
    query: Single
    weight: float
    region: Region | None
    own: int | None


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A part of a query that was read: its image (H, W, 3), prepared, or its vector.

    `own` is its id, `digest` that of its file; an id alone stands for the vector that it has.
    """

    weight: float
    image: Prepared | None = None
    vector: NDArray[Any] | None = None
    own: int | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A query that was read."""

    name: str
    combine: Combine
    operands: tuple[Operand, ...]


def name_of(query: Query) -> str:
    """The query on one line: "a.jpg", "3", "2:a.jpg + b.jpg - c.jpg"."""
    if isinstance(query, Mix):
        first, *more = [(sign, _weighted(part)) for sign, part in _signed(query)]
        return first[1] + "".join(f" {'+' if sign > 0 else '-'} {name}" for sign, name in more)
    if isinstance(query, Part):
        return name_of(query.query)
    if isinstance(query, int | np.integer):
        return str(query)
    if isinstance(query, np.ndarray):
        return "vector"
    return printable(query) if isinstance(query, str | Path) else "image"


def _weighted(part: Part) -> str:
    return name_of(part) if part.weight == 1 else f"{part.weight:g}:{name_of(part)}"


def _signed(query: Query) -> Iterator[tuple[int, Part]]:
    """The parts of a query, each with 1, or -1 if hits should be unlike it."""
    mix = query if isinstance(query, Mix) else Mix([query])
    for sign, parts in ((1, mix.positives), (-1, mix.negatives)):
        for part in parts:
            yield sign, part if isinstance(part, Part) else Part(part)


def sources_of(query: Query, region: Region | None, file_of: Callable[[int], Path]) -> list[Source]:
    """What is to be read of a query. `region` is that of the parts that have none of their own.

    `file_of` says where an image of the gallery lies, if a region of it is asked for.
    """
    return [_source(sign, part, region, file_of) for sign, part in _signed(query)]


def _source(sign: int, part: Part, region: Region | None, file_of: Callable[[int], Path]) -> Source:
    own = int(part.query) if isinstance(part.query, int | np.integer) else None
    name, region = name_of(part), part.region or region
    if region and isinstance(part.query, np.ndarray):
        raise UsageError("search.region", name, "a vector has no regions")
    query = part.query if own is None or region is None else file_of(own)
    return Source(name=name, query=query, weight=sign * part.weight, region=region, own=own)


def read(query: Query, sources: Sequence[Source], embedder: Embedder | None) -> Asked:
    """Reads the parts of a query and prepares their images."""
    operands = tuple(_read(source, embedder) for source in sources)
    combine = query.combine if isinstance(query, Mix) else "average"
    return Asked(name=name_of(query), combine=combine, operands=operands)


def _read(source: Source, embedder: Embedder | None) -> Operand:
    query, weight, own = source.query, source.weight, source.own
    if isinstance(query, int | np.integer):
        return Operand(weight=weight, own=own)
    if isinstance(query, np.ndarray):
        return Operand(weight=weight, vector=query)
    if embedder is None:
        reason = "the gallery was opened without an embedder, so it cannot be asked with an image"
        raise UsageError("search.no_embedder", source.name, reason)
    if isinstance(query, Image.Image):
        image = load_image(query, limits=embedder.limits, faithful=embedder.preset.faithful)
        return Operand(weight=weight, image=_prepared(image, source, embedder))
    data = query if isinstance(query, bytes) else read_bytes(query, embedder.limits)
    image = _decoded(data, source, embedder)
    prepared = _prepared(image, source, embedder)
    digest = hashlib.sha256(data).hexdigest()
    return Operand(weight=weight, image=prepared, own=own, digest=digest)


def _decoded(data: bytes, source: Source, embedder: Embedder) -> Image.Image:
    preset = embedder.preset
    return decode(
        data,
        subject=source.name,
        limits=embedder.limits,
        faithful=preset.faithful,
        least_side=None if source.region else preset.least_side,  # a region is of the full size
    )


def _prepared(image: Image.Image, source: Source, embedder: Embedder) -> Prepared:
    return embedder.prepare(source.region.of(image, source.name) if source.region else image)


def unit(vector: ArrayLike | None, dim: int | None) -> Array:
    """The vector (d,) in float32, of unit length; an empty gallery (`dim` None) takes any."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        row = np.asarray(vector, np.float32)
        norm = np.linalg.norm(row)
    if row.ndim != 1 or (dim and len(row) != dim):
        raise UsageError("vector.dim", f"vector {row.shape}", f"expected ({dim or 'd'},)")
    if not np.isfinite(norm) or norm == 0:
        raise UsageError("vector.invalid", "vector", "it is zero, or not finite")
    return row / norm


def average(vectors: Array, weights: Sequence[float], name: str) -> Array:
    """The weighted sum of unit vectors (n, d), scaled to unit length: (d,)."""
    shares = np.asarray(weights) / np.abs(weights).sum()
    total = shares.astype(np.float32) @ vectors  # (n,) @ (n, d) -> (d,)
    norm = np.linalg.norm(total)
    if norm < _VANISHED:
        reason = "the pictures cancel each other out, nothing is left to search for"
        raise UsageError("search.vanished", name, reason, fix="change a weight, or leave one out")
    return total / norm
