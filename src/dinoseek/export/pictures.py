"""Pictures that an exported file is tried on: those of a folder or a gallery, with their labels."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from dinoseek.errors import DataError, DinoseekError, UsageError
from dinoseek.evaluation.labels import load_labels
from dinoseek.gallery.connection import RECORD
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filters import parse
from dinoseek.images.decode import load_image
from dinoseek.images.geometry import GRID, PATCH, check_aspect
from dinoseek.ingest.outcomes import Item
from dinoseek.ingest.sources import from_folder, scan

logger = logging.getLogger(__name__)

T = TypeVar("T")
Source = Path | bytes

MOST = 200
FEW = 8  # where only tokens are compared

# Nothing is looked at in more pixels than DINOv2 was trained with.
_SIDE = GRID * PATCH
_LABELS = ("label", "class")
_ALL = parse("width >= 0")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An RGB image, of no more pixels than are needed, and what it shows if that is known."""

    image: Image.Image
    label: str | None = None


def pictures_in(path: Path, most: int = MOST) -> Iterator[Picture]:
    """Yields at most `most` pictures of a folder or a gallery, evenly spread over it.

    Those that cannot be read are left out, with a warning. Labels are the names of folders in the
    folder, or what the gallery's metadata calls label or class. Raises MachineError if there is no
    such folder, UsageError export.pictures if there is no picture in it.
    """
    found = _of_gallery(path, most) if (path / RECORD).exists() else _of_folder(path, most)
    some = False
    for picture in map(_opened, found):
        if picture is not None:
            some = True
            yield picture
    if not some:
        reason = "it has no picture that can be read"
        fix = "name a folder of pictures, or a gallery whose files are there"
        raise UsageError("export.pictures", path, reason, fix=fix)


def shrunk(image: Image.Image, label: str | None = None) -> Picture:
    """An RGB image as a Picture."""
    if max(image.size) > _SIDE:
        image = image.copy()  # thumbnail() works in place
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    return Picture(image=image, label=label)


def _opened(found: tuple[Source, str | None]) -> Picture | None:
    source, label = found
    try:
        image = load_image(source)
        check_aspect(*image.size, "picture" if isinstance(source, bytes) else source)
        return shrunk(image, label)
    except DinoseekError as exc:
        logger.warning("left out %s", exc)
        return None


def _of_folder(folder: Path, most: int) -> Iterable[tuple[Source, str | None]]:
    source = from_folder(folder)
    try:
        labelled = load_labels(folder)
    except DataError:  # it has none, and need not
        items = [item for item in scan(source, str(source.folder), b"") if isinstance(item, Item)]
        return [(item.file, None) for item in spread(items, most)]
    named = list(zip(labelled.images, labelled.labels, strict=True))
    return [(labelled.root / image, label) for image, label in spread(named, most)]


def _of_gallery(path: Path, most: int) -> Iterator[tuple[Source, str | None]]:
    with open_gallery(path, readonly=True) as gallery:
        for id in spread(gallery.matching(_ALL), most):
            (record,) = gallery.get([id])
            said = [record.metadata[name] for name in _LABELS if name in record.metadata]
            label = str(said[0]) if said else None
            source = record.own_file
            kept = None if source and source.exists() else gallery.thumbnail(id)
            if found := kept or source:
                yield found, label


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, from everywhere, in their order."""
    chosen = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[position] for position in chosen.tolist()]
