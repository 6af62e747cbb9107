"""Why a hit was found: which patches of two pictures show the same thing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoseek.embedder import Embedder, ImageSource
from dinoseek.errors import UsageError
from dinoseek.images.decode import load_image
from dinoseek.images.geometry import GRID, PATCH
from dinoseek.images.preprocess import Preset
from dinoseek.images.region import Region
from dinoseek.matching import Ids, Matches, MatchOptions, Patches, match
from dinoseek.rerank.local import share_of
from dinoseek.vit.ops import Array

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture

USUAL = MatchOptions()

_HALF = 127  # a patch belongs to a region that covers half of it or more


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture as the model sees it, in a size to look at, and its heat map (rows, cols).

    Heat is the cosine of each patch with the one that is most like it in the other picture, NaN
    outside a region. `region` is what of the picture was asked for.
    """

    picture: Image.Image
    heat: Array
    region: Box | None = None


@dataclass(frozen=True, kw_only=True)
class RegionScore:
    """What a region of the query has to do with a hit.

    `score` is the cosine of the region, cut out and embedded as `search` does it, with the hit.
    `mean` is the mean cosine of its `patches` with those most like them; `matched` of them have a
    match that lies in the same arrangement.
    """

    score: float
    mean: float
    patches: int
    matched: int


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What two pictures have in common.

    `score` is the cosine of their embeddings, as a search gives it, `local` the share of patches
    that match in the same arrangement. With a region only matches that begin in it are there.
    """

    query: Seen
    hit: Seen
    score: float
    local: float
    matches: Matches
    region: RegionScore | None = None


def explain(
    embedder: Embedder,
    query: ImageSource,
    hit: ImageSource,
    *,
    region: Region | None = None,
    options: MatchOptions = USUAL,
) -> Explanation:
    """Compares two pictures patch by patch; with `region` only that part of the query.

    Raises UsageError embedder.no_patches for an embedder without patches, explain.region for a
    region that the model does not see, and ImageError for a picture that cannot be read.
    """
    embedder.check_patches()
    first, second = (_loaded(embedder, source) for source in (query, hit))
    ones, others = (embedder.patches(embedder.prepare(image)) for image in (first, second))
    vectors = embedder.embed([first, second])
    matches = match(ones, others, options)
    local = share_of(matches, ones, others)
    inside, box = None, None
    if region is not None:
        inside, box = _inside(embedder.preset, region, first, ones)
        matches = _beginning(matches, inside)
    heats = heat_maps(ones, others, inside)
    return Explanation(
        query=Seen(picture=_shown(embedder, first), heat=heats[0], region=box),
        hit=Seen(picture=_shown(embedder, second), heat=heats[1]),
        score=float(vectors[0] @ vectors[1]),
        local=local,
        matches=matches,
        region=None
        if region is None or inside is None
        else _region_score(embedder, region.of(first), vectors[1], heats[0], matches, inside),
    )


def heat_maps(first: Patches, second: Patches, inside: Mask | None = None) -> tuple[Array, Array]:
    """The largest cosine of each patch with the other picture's: (rows, cols), (rows', cols').

    With `inside` (rows cols,) only these patches of the first picture count, the others are NaN.
    """
    cosines = first.vectors @ second.vectors.T  # (n, d) @ (d, m) -> (n, m)
    if inside is not None:
        cosines[~inside] = -np.inf
    there = cosines.max(axis=1)  # (n, m) -> (n,)
    back = cosines.max(axis=0)  # (n, m) -> (m,)
    there = np.where(np.isfinite(there), there, np.nan)
    return there.reshape(first.rows, first.cols), back.reshape(second.rows, second.cols)


def strongest(matches: Matches, cols: int, count: int) -> Ids:
    """The places (k,) of the strongest matches among those that agree, not two side by side.

    Where none agree, of all. `cols` is how many patches wide the first picture is.
    """
    candidates = np.flatnonzero(matches.inliers if matches.inliers.any() else matches.cosines > 0)
    order = candidates[np.argsort(-matches.cosines[candidates], kind="stable")]
    chosen: list[int] = []
    for place in order.tolist():
        rows, across = np.divmod(matches.first[[*chosen, place]], cols)
        apart = np.maximum(np.abs(rows[:-1] - rows[-1]), np.abs(across[:-1] - across[-1]))
        if len(chosen) < count and (apart > 1).all():
            chosen.append(place)
    return np.array(chosen, np.int64)


def _loaded(embedder: Embedder, source: ImageSource) -> Image.Image:
    return load_image(source, limits=embedder.limits, faithful=embedder.preset.faithful)


def _shown(embedder: Embedder, image: Image.Image) -> Image.Image:
    """What the model sees of an image, a whole number of times as large where that can be had."""
    preset = embedder.preset
    times = GRID * PATCH // preset.size
    if preset.layout != "crop" and times > 1:
        preset = preset.at_size(times * preset.size)
    return Image.fromarray(preset.apply(image))


def _inside(
    preset: Preset, region: Region, image: Image.Image, patches: Patches
) -> tuple[Mask, Box]:
    """Which patches (n,) a region covers, and the box that it is of what the model sees.

    A picture that is white in the region goes the same way as the image.
    """
    region.of(image)  # refuses one that reaches outside
    white = Image.new("RGB", image.size)
    white.paste((255, 255, 255), region.box(*image.size))
    seen = preset.apply(white)[:, :, 0]
    height, width = seen.shape
    cells = seen.reshape(patches.rows, PATCH, patches.cols, PATCH).mean(axis=(1, 3))
    inside = np.asarray(cells >= _HALF).reshape(-1)  # (rows, cols) -> (n,)
    if not inside.any():
        reason = f"the model sees none of it, as {preset.name} cuts and shrinks pictures"
        fix = "take a larger region, or another way as in --preprocess short-side"
        raise UsageError("explain.region", f"region {region}", reason, fix=fix)
    down, across = (np.flatnonzero((seen >= _HALF).any(axis=axis)) for axis in (1, 0))
    left, right = across[0] / width, (across[-1] + 1) / width
    top, bottom = down[0] / height, (down[-1] + 1) / height
    return inside, (float(left), float(top), float(right), float(bottom))


def _beginning(matches: Matches, inside: Mask) -> Matches:
    """The matches that begin in a region (n,)."""
    keep = inside[matches.first]
    return Matches(
        matches.first[keep], matches.second[keep], matches.cosines[keep], matches.inliers[keep]
    )


def _region_score(
    embedder: Embedder,
    cut: Image.Image,
    hit: Array,
    heat: Array,
    matches: Matches,
    inside: Mask,
) -> RegionScore:
    return RegionScore(
        score=float(embedder.embed([cut])[0] @ hit),
        mean=float(np.nanmean(heat)),
        patches=int(inside.sum()),
        matched=int(matches.inliers.sum()),
    )
