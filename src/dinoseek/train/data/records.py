"""The images that a model learns from, and which of them show one thing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import DataError, MachineError, printable
from dinoseek.evaluation.labels import TESTS, load_train_labels
from dinoseek.train.data.pairs_file import is_pairs_file, read_pairs
from dinoseek.train.data.product_lists import read_sop, sop_list

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Records:
    """n images below `root` with labels (n,), perhaps the kind that each label is of.

    `negatives` of a row are rows that are known to show something else.
    """

    root: Path
    images: Sequence[str]
    labels: Sequence[str]
    super_labels: Sequence[str] | None = None
    negatives: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images, but {len(self.labels)} labels")

    def path(self, row: int) -> Path:
        """The file of an image."""
        return self.root / self.images[row]

    def subset(self, rows: Ids) -> "Records":
        """Only these rows (m,), in their order; negatives that are not among them are dropped."""
        chosen = [int(row) for row in rows]
        place = {row: i for i, row in enumerate(chosen)}
        kept = {
            place[row]: [place[each] for each in others if each in place]
            for row, others in self.negatives.items()
            if row in place
        }
        supers = self.super_labels
        return Records(
            root=self.root,
            images=[self.images[row] for row in chosen],
            labels=[self.labels[row] for row in chosen],
            super_labels=None if supers is None else [supers[row] for row in chosen],
            negatives={row: others for row, others in kept.items() if others},
        )


def numbers_of(labels: Sequence[object]) -> Ids:
    """A number (n,) for each label, by first appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)


def load_records(path: Path, image_root: Path | None = None) -> Records:
    """The training images of a folder or a list.

    `path` is a folder of Stanford Online Products, of which only Ebay_train.txt is read; a folder
    with a folder for each label, or with such folders in one called train; a table (.csv .tsv
    .jsonl .parquet) with path and label; or vembed-factory's .jsonl of query_image and positive.
    Paths in lists are relative to `image_root`, or else to the list's folder; folders of folders
    have no list. Raises DataError train.data.* and labels.* for lists that are no good, naming the
    row.
    """
    if image_root is not None and not image_root.is_dir():
        raise MachineError("train.data.missing", image_root, "is no folder", fix="see image_root")
    listed = sop_list(path) if path.is_dir() else None
    if listed is not None:
        images, labels, supers = read_sop(listed)
        root = image_root or listed.parent
        found = Records(root=root, images=images, labels=labels, super_labels=supers)
    elif is_pairs_file(path):
        found = _pairs(path, image_root or path.parent)
    else:
        found = _labelled(path, image_root)
    _check(path, found)
    return found


def _pairs(path: Path, root: Path) -> Records:
    pairs = read_pairs(path)
    return Records(
        root=root,
        images=pairs.images,
        labels=pairs.labels,
        super_labels=pairs.super_labels,
        negatives=pairs.negatives,
    )


def _labelled(path: Path, image_root: Path | None) -> Records:
    dataset, supers = load_train_labels(path)
    if path.is_dir():
        _refuse_tests(path, dataset.images)
    return Records(
        root=dataset.root if path.is_dir() else image_root or dataset.root,
        images=[_below(path, image) for image in dataset.images],
        labels=dataset.labels,
        super_labels=supers,
    )


def _refuse_tests(folder: Path, images: Sequence[str]) -> None:
    """Beside images or folders that are in no class, train and test would pass for two classes."""
    names = {Path(image).parts[0].lower() for image in images}
    if "train" in names and names & set(TESTS):
        reason = "its folders train and test are not all there is, or have images in no class"
        fix = "name its folder train, or move what belongs to no class"
        raise DataError("train.data.split", folder, reason, fix=fix)


def _below(path: Path, image: str) -> str:
    """An image's path as it is always written; DataError where it leads out of the folder."""
    if ".." in Path(image).parts:
        reason = f"{printable(image)} leads out of the folder"
        fix = "paths are absolute, or relative to image_root and below it"
        raise DataError("train.data.path", path, reason, fix=fix)
    return Path(image).as_posix()


def _check(path: Path, found: Records) -> None:
    """Something to compare must be there, and each image once."""
    if not found.images:
        fix = "name a folder with a folder for each label, or a list"
        raise DataError("train.data.empty", path, "it has no training images", fix=fix)
    _refuse_twice(path, found)
    counts = Counter(found.labels)
    several = sum(count > 1 for count in counts.values())
    if len(counts) < 2 or not several:
        reason = f"it has {len(counts):,} labels, {several:,} of them with two images or more"
        fix = "there must be two labels, and two images of some, to have something to compare"
        raise DataError("train.data.labels", path, reason, fix=fix)


def _refuse_twice(path: Path, found: Records) -> None:
    known: dict[str, str] = {}
    for image, label in zip(found.images, found.labels, strict=True):
        before = known.setdefault(image, label)
        if before != label:
            reason = f"{printable(image)} has the labels {before} and {label}"
            raise DataError("train.data.conflict", path, reason, fix="give each image one label")
    twice = len(found.images) - len(known)
    if twice:
        name = next(image for image, count in Counter(found.images).items() if count > 1)
        reason = f"{twice:,} images are listed more than once, such as {printable(name)}"
        raise DataError("train.data.twice", path, reason, fix="list each once")
