"""A labelled set of images, and which of them are queries and which the gallery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dinoseek.errors import DataError, MachineError
from dinoseek.evaluation.ground_truth import Box
from dinoseek.evaluation.truth import Ids, Truth, label_truth

MAX_LIST_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """n images below `root`, their labels, and the positions (q,) and (m,) of queries and gallery.

    `boxes` are the parts of images that count, by position; `cutoffs` the K of Recall@K.
    """

    name: str
    root: Path
    images: Sequence[str]
    labels: Sequence[str]
    queries: Ids
    gallery: Ids
    cutoffs: tuple[int, ...]
    boxes: Mapping[int, Box] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images, but {len(self.labels)} labels")

    @property
    def numbers(self) -> Ids:
        """A number (n,) for each image's label."""
        return np.unique(np.asarray(self.labels), return_inverse=True)[1].astype(np.int64)

    @property
    def own(self) -> Ids:
        """The row of each query in the gallery (q,); -1 for those that are not in it."""
        rows = np.full(len(self.images), -1, np.int64)
        rows[self.gallery] = np.arange(len(self.gallery))
        return rows[self.queries]

    def truth(self) -> Truth:
        """Positives have the query's label; the query itself is taken out, by its position."""
        numbers = self.numbers
        return label_truth(numbers[self.queries], numbers[self.gallery], self.own)

    def without(self, lost: Sequence[int]) -> "Dataset":
        """The same without some images, by position."""
        kept = np.setdiff1d(np.arange(len(self.images)), np.asarray(lost, np.int64))
        place = np.full(len(self.images), -1, np.int64)
        place[kept] = np.arange(len(kept))
        queries, gallery = place[self.queries], place[self.gallery]
        return Dataset(
            name=self.name,
            root=self.root,
            images=[self.images[i] for i in kept],
            labels=[self.labels[i] for i in kept],
            queries=queries[queries >= 0],
            gallery=gallery[gallery >= 0],
            cutoffs=self.cutoffs,
            boxes={int(place[i]): box for i, box in self.boxes.items() if place[i] >= 0},
            notes=self.notes,
        )


def read_lines(path: Path) -> list[str]:
    """The lines of a data set's list; DataError for one that is too large or no text."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError("data.too_large", path, f"it has over {MAX_LIST_BYTES:,} bytes")
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise DataError("data.format", path, "it is no text in UTF-8") from exc
    except OSError as exc:
        fix = "dinoseek evaluate prepare says what should be where"
        raise MachineError("data.missing", path, exc.strerror or str(exc), fix=fix) from exc


def first_existing(root: Path, names: Sequence[str]) -> Path:
    """The first of some files or folders below `root`; MachineError naming all if there is none."""
    for name in names:
        if (root / name).exists():
            return root / name
    reason = f"it has none of {', '.join(names)}"
    fix = "dinoseek evaluate prepare says where to get the data and how to lay it out"
    raise MachineError("data.missing", root, reason, fix=fix)
