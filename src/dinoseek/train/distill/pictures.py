"""The pictures of some folders, without labels: those to learn from, and those to choose by."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinoseek.errors import DataError
from dinoseek.ingest.outcomes import Item
from dinoseek.ingest.sources import from_folder, scan
from dinoseek.train.data.records import Records

_FEWEST = 20
_MOST_HELD_OUT = 1000  # more make the figure hardly finer, and all of them stay in memory


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Rows of `train` are learnt from; `held_out` are never."""

    train: Records
    held_out: Records


def pictures_in(folders: Sequence[Path]) -> Records:
    """All pictures in folders and below them, each once, as `index` finds them; labels are empty.

    Raises MachineError for a folder that cannot be read.
    """
    found: dict[str, None] = {}
    for folder in folders:
        source = from_folder(folder)
        for item in scan(source, str(source.folder), b""):
            if isinstance(item, Item):
                found[os.path.abspath(item.file)] = None  # noqa: PTH100  links stay as they are
    images = sorted(found)
    root = Path(os.path.commonpath(images)) if len(images) > 1 else Path(folders[0])
    return Records(
        root=root,
        images=[os.path.relpath(image, root) for image in images],
        labels=[""] * len(images),
    )


def parted(records: Records, share: float, seed: int) -> Pictures:
    """Holds a share of the pictures out by chance. DataError distill.few where there are few."""
    count = len(records.images)
    if count < _FEWEST:
        fix = "name folders with more of them: thousands teach much"
        reason = f"{count} pictures can be read, and at least {_FEWEST} are needed"
        raise DataError("distill.few", records.root, reason, fix=fix)
    wanted = min(max(round(share * count), _FEWEST // 2), _MOST_HELD_OUT, count // 2)
    order = np.random.default_rng(seed).permutation(count)
    return Pictures(
        train=records.subset(np.sort(order[wanted:])),
        held_out=records.subset(np.sort(order[:wanted])),
    )
