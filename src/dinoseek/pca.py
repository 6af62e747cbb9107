"""Principal components of a gallery's vectors: shorter vectors, and whitened ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import UsageError, WeightsError
from dinoseek.vit.ops import Array
from dinoseek.weights.fitted import Fitted, load_fitted

Double = NDArray[np.float64]

KIND = "pca"

# A component that holds less than this share of the variance of the first is rounding.
_LEAST_SHARE = 1e-7


@dataclass(frozen=True, kw_only=True)
class Pca:
    """What turns vectors (b, d) into (b, k): their mean (d,), components (k, d), variances (k,).

    `space` is the id of the fingerprint whose vectors it was fitted on.
    """

    mean: Array
    components: Array
    variances: Array
    whiten: bool
    space: str

    @property
    def fitted(self) -> Fitted:
        """What is written to a file."""
        arrays = {"mean": self.mean, "components": self.components, "variances": self.variances}
        facts = {"whiten": self.whiten, "space": self.space}
        return Fitted(kind=KIND, facts=facts, arrays=arrays)


def fit_pca(
    vectors: Array, dim: int, *, whiten: bool = False, space: str = "", fewer: bool = False
) -> Pca:
    """The first `dim` principal components of vectors (m, d).

    With `whiten` each is divided by its standard deviation (Jegou and Chum, 2012). Raises
    UsageError fit.dim where the vectors do not have so many, unless `fewer` will do.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    variances, components = _principal(vectors - mean)
    most = int((variances > _LEAST_SHARE * max(float(variances[0]), 1e-12)).sum())
    dim = min(dim, most) if fewer else dim
    if not 1 <= dim <= most:
        reason = f"{len(vectors):,} vectors of {vectors.shape[1]} numbers have {most} components"
        raise UsageError("fit.dim", f"{dim} components", reason)
    return Pca(
        mean=mean.astype(np.float32),
        components=components[:dim].astype(np.float32),
        variances=variances[:dim].astype(np.float32),
        whiten=whiten,
        space=space,
    )


def project(vectors: Array, pca: Pca) -> Array:
    """Vectors (b, d) as coordinates (b, k) along the components, whitened if it was fitted so."""
    coordinates = (vectors - pca.mean) @ pca.components.T  # (b, d) @ (d, k) -> (b, k)
    scale = np.sqrt(pca.variances) if pca.whiten else np.float32(1)
    return np.asarray(coordinates / scale, np.float32)


def load_pca(path: Path, cache_dir: Path | None = None) -> Pca:
    """Reads what `dinoseek fit pca` wrote; see `load_fitted`."""
    fitted = load_fitted(path, KIND, cache_dir)
    arrays, facts = fitted.arrays, fitted.facts
    shapes = {name: array.shape for name, array in arrays.items()}
    k, d = shapes.get("components", (0, 0))
    right = {"mean": (d,), "components": (k, d), "variances": (k,)}
    known = isinstance(facts.get("whiten"), bool) and isinstance(facts.get("space"), str)
    if shapes != right or not known or not (k and (arrays["variances"] > 0).all()):
        reason = "it does not have what a PCA has"
        raise WeightsError("fitted.corrupt", path, reason, fix="fit it again with dinoseek fit")
    return Pca(**{**arrays, **facts})


def _principal(centred: Double) -> tuple[Double, Double]:
    """Variances (r,) and unit directions (r, d), largest first, of centred vectors (m, d)."""
    m, d = centred.shape
    wide = m < d  # the smaller of the two products has the same values
    product = centred @ centred.T if wide else centred.T @ centred
    values, vectors = np.linalg.eigh(product)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    directions = (centred.T @ vectors if wide else vectors).T  # (r, d)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions / np.maximum(lengths, np.finfo(np.float64).tiny)
    return values / max(m - 1, 1), _signed(directions)


def _signed(directions: Double) -> Double:
    """Directions (r, d) turned so that the largest number of each is positive, on any machine."""
    largest = np.abs(directions).argmax(axis=1)[:, None]
    return directions * np.where(np.take_along_axis(directions, largest, axis=1) < 0, -1.0, 1.0)
