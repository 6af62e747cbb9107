"""Embeds a data set's images: whole or the part in a box, at one scale or several."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from dinoseek.embedder import BATCH_SIZE, Embedder, Prepared
from dinoseek.errors import DataError, DinoseekError, UsageError
from dinoseek.evaluation.ground_truth import Box
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import load_image
from dinoseek.images.geometry import GRID, PATCH
from dinoseek.images.preprocess import Preset
from dinoseek.vit.ops import Array

_DECODERS = 2


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One image at each scale, or why it cannot be read."""

    position: int
    prepared: Sequence[Prepared]
    error: DinoseekError | None = None


def embedded(
    embedder: Embedder,
    files: Sequence[tuple[int, Path]],
    boxes: Mapping[int, Box],
    scales: Sequence[float] = (1.0,),
) -> Iterator[tuple[int, Array | DinoseekError]]:
    """Embeds files, each with its position; yields (position, vector (d,)) for each scale.

    What cannot be read gives its error once. `boxes` hold the part that counts, by position. An
    image may come later than one that follows it.
    """
    presets = scaled(embedder.preset, scales)
    opening = partial(_opened, embedder=embedder, presets=presets, boxes=boxes)
    failed: list[tuple[int, DinoseekError]] = []

    def prepared() -> Iterator[tuple[int, Prepared]]:
        for opened in ahead(opening, files, workers=_DECODERS, depth=2 * BATCH_SIZE):
            if opened.error is not None:
                failed.append((opened.position, opened.error))
            yield from ((opened.position, each) for each in opened.prepared)

    for outcome in embedder.stream(prepared()):
        yield from failed
        failed.clear()
        yield outcome
    yield from failed


def scaled(preset: Preset, scales: Sequence[float]) -> list[Preset]:
    """The preset at each scale: its size times the scale, to the nearest multiple of 14.

    UsageError for a scale that gives a size twice, or none that there is.
    """
    sizes = [max(PATCH, round(preset.size * scale / PATCH) * PATCH) for scale in scales]
    if not scales or len(set(sizes)) != len(sizes) or max(sizes) > GRID * PATCH:
        told = ", ".join(f"{size}" for size in sizes) or "none"
        reason = f"these give the sizes {told}; sizes must differ, and be {GRID * PATCH} at most"
        listed = ",".join(f"{scale:g}" for scale in scales)
        raise UsageError("evaluate.scales", f"--scales {listed}", reason)
    return [preset.at_size(size) for size in sizes]


def _opened(
    file: tuple[int, Path],
    *,
    embedder: Embedder,
    presets: Sequence[Preset],
    boxes: Mapping[int, Box],
) -> Opened:
    position, path = file
    box, preset = boxes.get(position), embedder.preset
    try:
        image = load_image(
            path,
            limits=embedder.limits,
            faithful=preset.faithful,
            least_side=None if box else preset.least_side,
        )
        part = cropped(image, box, path) if box else image
        return Opened(position=position, prepared=[each.apply(part, path) for each in presets])
    except DinoseekError as exc:
        return Opened(position=position, prepared=(), error=exc)


def cropped(image: Image.Image, box: Box, subject: object = "image") -> Image.Image:
    """The part of an image in a box, rounded to whole pixels as Pillow rounds.

    What reaches outside is cut off. DataError gt.box if nothing of the image is in the box.
    """
    left, top, right, bottom = (round(corner) for corner in box)
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, image.width), min(bottom, image.height)
    if left >= right or top >= bottom:
        reason = f"the box {box} has nothing of its {image.width} x {image.height} pixels"
        raise DataError("gt.box", subject, reason)
    return image.crop((left, top, right, bottom))
