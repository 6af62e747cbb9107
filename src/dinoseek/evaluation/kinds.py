"""Images as vectors of several kinds, of each pooling and scales, in few passes of the model."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from dinoseek.embedder import Embedder, Prepared
from dinoseek.errors import DinoseekError
from dinoseek.evaluation.embedding import embedded, opened
from dinoseek.evaluation.ground_truth import Box
from dinoseek.evaluation.parts import joint_of, taken
from dinoseek.evaluation.vectors import Made, Vectors, collect
from dinoseek.images.scales import Scales, at_scale, name_of, preset_for
from dinoseek.pooling import unit
from dinoseek.recipe import Features, Recipe, features_of
from dinoseek.vit.ops import Array

_TIMED = 4  # images
_REPEATS = 3  # of which the quickest counts: others were held up by something else

Outcomes = Iterator[tuple[int, Array | DinoseekError]]
Watched = Callable[[Outcomes], Iterable[tuple[int, Array | DinoseekError]]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Vectors of n images, made in one way, and the milliseconds that an image takes; or None."""

    vectors: Vectors
    image_ms: float | None = None


def kinds_of(
    embedder: Embedder,
    poolings: Sequence[str],
    scale_sets: Sequence[Scales],
    files: Sequence[tuple[int, Path]],
    boxes: Mapping[int, Box] | None = None,
    *,
    watched: Watched = iter,
) -> list[Kind]:
    """Embeds files for each pooling, and for each the scales: vectors and their time.

    `embedder` looks at one scale and has the joint pooling of `poolings`, see `joint_of`. Scales
    with the same largest one share their passes, and all poolings do.
    """
    matrices: dict[tuple[str, Scales], Vectors] = {}
    for largest in dict.fromkeys(scales[-1] for scales in scale_sets):
        sets = [scales for scales in scale_sets if scales[-1] == largest]
        union = tuple(sorted({scale for scales in sets for scale in scales}))
        wide = _wide(embedder, union)
        found = collect(
            watched(embedded(wide, files, boxes or {})), len(files), Made.of(wide.fingerprint)
        )
        for pooling in poolings:
            for scales in sets:
                vectors = _selected(embedder, found, union, scales, poolings, pooling)
                matrices[pooling, scales] = vectors
    return [
        Kind(
            vectors=matrices[pooling, scales],
            image_ms=_milliseconds(embedder, poolings, pooling, scales, files),
        )
        for pooling in poolings
        for scales in scale_sets
    ]


def _wide(embedder: Embedder, scales: Scales) -> Embedder:
    """An embedder whose vectors have those of all scales side by side."""
    return Embedder(
        lambda prepared: np.concatenate(list(_each_scale(embedder.features, prepared, scales)), -1),
        preset_for(embedder.preset, scales),
        embedder.fingerprint,
        embedder.limits,
        embedder.engine,
        embedder.encoder,
    )


def _each_scale(
    features: Features, prepared: Sequence[Prepared], scales: Scales
) -> Iterator[Array]:
    """Unit vectors (b, d) at each scale, of images that are prepared for the largest."""
    for scale in scales:
        yield unit(features([at_scale(each, scale / scales[-1]) for each in prepared]))


def _selected(
    embedder: Embedder,
    found: Vectors,
    union: Scales,
    scales: Scales,
    poolings: Sequence[str],
    pooling: str,
) -> Vectors:
    """The vectors of one pooling and the mean over some scales, from those of all."""
    pieces = np.split(found.matrix, len(union), axis=1)  # (n, s d) -> s x (n, d)
    mean = np.mean([pieces[union.index(scale)] for scale in scales], axis=0)
    several = len(poolings) > 1
    matrix = taken(mean, joint_of(poolings), pooling) if several else unit(mean)
    fingerprint = dataclasses.replace(
        embedder.fingerprint, pooling=pooling, scales=name_of(scales), dim=matrix.shape[1]
    )
    return dataclasses.replace(
        found, matrix=np.asarray(matrix, np.float32), made=Made.of(fingerprint)
    )


def _milliseconds(
    embedder: Embedder,
    poolings: Sequence[str],
    pooling: str,
    scales: Scales,
    files: Sequence[tuple[int, Path]],
) -> float | None:
    """The median time of the model over images, after they are read; None if none can be."""
    features: Features = embedder.features
    if len(poolings) > 1 and embedder.encoder is not None:
        features = features_of(embedder.encoder, Recipe(pooling=pooling))
    wide = _wide(embedder, scales)
    sample = (opened(file, embedder=wide, boxes={}).prepared for file in files)
    readable = islice((each for each in sample if each is not None), _TIMED)
    spent = [min(_seconds(features, each, scales) for _ in range(_REPEATS)) for each in readable]
    return 1000 * float(np.median(spent)) if spent else None


def _seconds(features: Features, prepared: Prepared, scales: Scales) -> float:
    start = time.perf_counter()
    for _ in _each_scale(features, [prepared], scales):
        pass
    return time.perf_counter() - start
