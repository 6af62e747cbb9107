"""Embeds a data set's images: whole, or the part in a box."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from dinoseek.embedder import BATCH_SIZE, Embedder, Prepared
from dinoseek.errors import DataError, DinoseekError
from dinoseek.evaluation.ground_truth import Box
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import load_image
from dinoseek.vit.ops import Array

_DECODERS = 2


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One image, or why it cannot be read."""

    position: int
    prepared: Prepared | None = None
    error: DinoseekError | None = None


def embedded(
    embedder: Embedder,
    files: Sequence[tuple[int, Path]],
    boxes: Mapping[int, Box],
) -> Iterator[tuple[int, Array | DinoseekError]]:
    """Embeds files, each with its position; yields (position, vector (d,)).

    What cannot be read gives its error. `boxes` hold the part that counts, by position. An
    image may come later than one that follows it.
    """
    opening = partial(opened, embedder=embedder, boxes=boxes)
    failed: list[tuple[int, DinoseekError]] = []

    def prepared() -> Iterator[tuple[int, Prepared]]:
        for each in ahead(opening, files, workers=_DECODERS, depth=2 * BATCH_SIZE):
            if each.error is not None:
                failed.append((each.position, each.error))
            elif each.prepared is not None:
                yield each.position, each.prepared

    for outcome in embedder.stream(prepared()):
        yield from failed
        failed.clear()
        yield outcome
    yield from failed


def opened(file: tuple[int, Path], *, embedder: Embedder, boxes: Mapping[int, Box]) -> Opened:
    """Reads and prepares a file, or the part of it that counts; an error is in the result."""
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
        return Opened(position=position, prepared=preset.apply(part, path))
    except DinoseekError as exc:
        return Opened(position=position, error=exc)


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
