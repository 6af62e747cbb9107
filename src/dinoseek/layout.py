"""Vectors as points of a plane: by principal components, or by UMAP from an extra."""

from typing import Literal, get_args

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.pca import fit_pca, project
from dinoseek.vit.ops import Array

Method = Literal["pca", "umap"]

_SEED = 0
_NEIGHBOURS = 15  # what UMAP takes for near
_FEWEST = 5  # with fewer UMAP has nothing to do


def laid_out(vectors: Array, method: Method = "pca") -> Array:
    """Points (m, 2) for unit vectors (m, d); the same vectors always give the same points.

    "pca" shows the two directions in which they differ most; "umap" keeps neighbours together
    (McInnes, Healy and Melville, 2018) and needs dinoseek[map].
    """
    if method not in get_args(Method):
        known = " and ".join(get_args(Method))
        raise UsageError("map.method", method, "no such way", fix=f"known are {known}")
    if method == "umap" and len(vectors) >= _FEWEST:
        return _by_umap(vectors)
    return _by_pca(vectors)


def _by_pca(vectors: Array) -> Array:
    """Coordinates along the first two components; 0 where there is no second, or no first."""
    points = np.zeros((len(vectors), 2), np.float32)
    for dim in (2, 1):
        try:
            points[:, :dim] = project(vectors, fit_pca(vectors, dim))
            break
        except UsageError:  # so few images, or all alike
            continue
    return points


def _by_umap(vectors: Array) -> Array:
    try:
        import umap  # noqa: PLC0415 - an extra
    except ImportError as exc:
        reason = "it is laid out by umap-learn"
        fix = "needs: pip install dinoseek[map]"
        raise UsageError("extra.missing", "--method umap", reason, fix=fix) from exc
    near = min(_NEIGHBOURS, len(vectors) - 1)
    found = umap.UMAP(n_neighbors=near, metric="cosine", random_state=_SEED, n_jobs=1)
    return np.asarray(found.fit_transform(vectors), np.float32)
