"""Own labelled images: a folder for each class, or a table with a row for each image."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dinoseek.errors import DataError
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.ground_truth import Box
from dinoseek.gallery.base import JSON
from dinoseek.ingest.rows import ADDRESS, BadRow, Columns, Row
from dinoseek.ingest.sources import Link, Unreadable, from_folder, scan
from dinoseek.ingest.tables import TABLE_SUFFIXES, Table

CUTOFFS = (1, 5, 10)
TESTS = ("test", "val", "valid", "validation")  # the split that is measured: the first there is
_TRAIN = "train"
_CORNERS = ("x1", "y1", "x2", "y2")
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")

Labelled = tuple[str, str, str, bool, bool, Box | None]  # path, label, split, query?, gallery?, box


def load_labels(path: Path, split: str | None = None) -> Dataset:
    """The labelled images of a folder, or of a table (.csv .tsv .jsonl .parquet).

    In a folder the label is the name of the folder inside it, or inside folders called train, val
    and test. A table has the columns path and label, and may have split, is_query, is_gallery, x1,
    y1, x2 and y2 (the part of the image that counts). Of several splits, `split` is measured, or
    the first of TESTS. Raises DataError labels.* for a row that is no good, naming it, and where
    nothing can be measured.
    """
    rows = _rows(path)
    chosen, notes = _split(path, rows, split)
    dataset = _dataset(path, rows, chosen, notes)
    _check(path, dataset)
    return dataset


def load_splits(path: Path) -> tuple[Dataset, Dataset] | None:
    """The training and the test images of labels that have both splits; None if they have not."""
    rows = _rows(path)
    splits = {row[2] for row in rows}
    if _TRAIN not in splits or not splits & set(TESTS):
        return None
    test = next(name for name in TESTS if name in splits)
    return _dataset(path, rows, _TRAIN), _dataset(path, rows, test)


def load_train_labels(path: Path) -> tuple[Dataset, list[str] | None]:
    """The images to learn from, and the kind that each is of where a table has super_label.

    Of several splits it is train; without any, all images. Raises as `load_labels` does.
    """
    rows = _rows(path)
    splits = {row[2] for row in rows}
    if splits - {""} and _TRAIN not in splits:
        names = ", ".join(sorted(splits - {""}))
        reason = f"it has the splits {names}, and none called {_TRAIN}"
        raise DataError("labels.split", path, reason, fix=f"call what may be learnt {_TRAIN}")
    chosen = _TRAIN if _TRAIN in splits else ""
    kinds = None if path.is_dir() else _kinds(path, [row[2] == chosen for row in rows])
    return _dataset(path, rows, chosen), kinds


def _kinds(path: Path, kept: Sequence[bool]) -> list[str] | None:
    """The column super_label of the rows that are kept; None for a table without it."""
    found = [
        {} if isinstance(row, BadRow) else {k.strip().lower(): v for k, v in row.metadata.items()}
        for row in Table(path, Columns(caption=None)).rows()
    ]
    kinds = [values.get("super_label", values.get("super")) for values in found]
    if all(kind is None for kind in kinds):
        return None
    return [
        "" if kind is None else str(kind)
        for kind, is_kept in zip(kinds, kept, strict=True)
        if is_kept
    ]


def _dataset(
    path: Path, rows: Sequence[Labelled], chosen: str, notes: Sequence[str] = ()
) -> Dataset:
    """The images of one split."""
    kept = [row for row in rows if row[2] == chosen]
    return Dataset(
        name=path.resolve().stem if chosen == "" else f"{path.resolve().stem}-{chosen}",
        root=path if path.is_dir() else path.parent,
        images=[row[0] for row in kept],
        labels=[row[1] for row in kept],
        queries=np.flatnonzero([row[3] for row in kept]),
        gallery=np.flatnonzero([row[4] for row in kept]),
        cutoffs=CUTOFFS,
        boxes={i: row[5] for i, row in enumerate(kept) if row[5] is not None},
        notes=notes,
    )


def _rows(path: Path) -> list[Labelled]:
    if path.is_dir():
        return _folder(path)
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        from_folder(path)  # says what is wrong with a path that is not there
        reason = f"it is neither a folder of folders nor a table ({' '.join(TABLE_SUFFIXES)})"
        raise DataError("labels.format", path, reason)
    return [_labelled(path, row) for row in Table(path, Columns(caption=None)).rows()]


def _folder(root: Path) -> list[Labelled]:
    found: list[list[str]] = []
    for item in scan(from_folder(root), str(root), b""):
        if isinstance(item, Unreadable):
            raise DataError("labels.unreadable", root, item.reason)
        if not isinstance(item, Link):
            found.append(os.fsdecode(item.path).split("/"))
    inside = [parts for parts in found if len(parts) > 1]
    names = {parts[0].lower() for parts in inside}
    if names and names <= {_TRAIN, *TESTS} and all(len(parts) > 2 for parts in inside):
        return [("/".join(p), p[1], p[0].lower(), True, True, None) for p in inside]
    return [("/".join(parts), parts[0], "", True, True, None) for parts in inside]


def _labelled(path: Path, row: Row | BadRow) -> Labelled:
    if isinstance(row, BadRow):
        raise DataError("labels.row", path, f"row {row.number}: {row.reason}")
    if row.path is None or ADDRESS.match(row.path):
        reason = f"row {row.number} has an address; only files can be measured"
        fix = "index them first, with --keep-images, and measure the gallery"
        raise DataError("labels.row", path, reason, fix=fix)
    values = {name.strip().lower(): value for name, value in row.metadata.items()}
    label = values.get("label", values.get("class"))
    if label is None:
        raise DataError("labels.row", path, f"row {row.number} has no label")
    return (
        row.path,
        str(label),
        str(values.get("split", "")).lower(),
        _flag(path, row.number, values, "is_query"),
        _flag(path, row.number, values, "is_gallery"),
        _box(path, row.number, values),
    )


def _flag(path: Path, number: int, values: Mapping[str, JSON], name: str) -> bool:
    text = str(values.get(name, "1")).lower()
    if text not in (*_YES, *_NO):
        reason = f"row {number} has {text[:40]!r} as {name}, expected 1 or 0"
        raise DataError("labels.row", path, reason)
    return text in _YES


def _box(path: Path, number: int, values: Mapping[str, JSON]) -> Box | None:
    if not any(name in values for name in _CORNERS):
        return None
    corners = [values.get(name) for name in _CORNERS]
    numbers = [float(each) for each in corners if isinstance(each, int | float)]
    if len(numbers) != 4 or numbers[2] <= numbers[0] or numbers[3] <= numbers[1]:
        reason = f"row {number} has the box {corners!s:.60}, expected x1 < x2 and y1 < y2"
        raise DataError("labels.row", path, reason)
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _split(path: Path, rows: Iterable[Labelled], split: str | None) -> tuple[str, Sequence[str]]:
    """The split that is measured, and what to say about the others."""
    counts = Counter(row[2] for row in rows)
    if split is not None:
        if split.lower() not in counts:
            named = ", ".join(sorted(filter(None, counts))) or "none"
            reason = f"it has no split {split!r}, but {named}"
            raise DataError("labels.split", path, reason)
        return split.lower(), ()
    if not counts:
        fix = "put the images of each class into a folder of its own"
        raise DataError("labels.empty", path, "it has no labelled images", fix=fix)
    if len(counts) == 1:
        return next(iter(counts)), ()
    chosen = next((name for name in TESTS if name in counts), None)
    if chosen is None:
        named = ", ".join(sorted(repr(name) for name in counts))
        fix = "say which to measure with --split"
        raise DataError("labels.split", path, f"it has the splits {named}", fix=fix)
    others = sum(counts.values()) - counts[chosen]
    return chosen, [f"only the split {chosen!r} is measured; {others:,} images are in others"]


def _check(path: Path, dataset: Dataset) -> None:
    """Refuses labels that nothing can be measured by."""
    gallery = Counter(dataset.labels[i] for i in dataset.gallery)
    own = dataset.own
    useful = [
        gallery[dataset.labels[query]] - (row >= 0)
        for query, row in zip(dataset.queries, own, strict=True)
    ]
    if len(gallery) < 2:
        fix = "a folder for each class, or a table with path and label"
        reason = f"all its images have one label, {next(iter(gallery), 'or none')!s:.60}"
        raise DataError("labels.classes", path, reason, fix=fix)
    if not any(useful):
        reason = "no query has another image of its label in the gallery"
        raise DataError("labels.singletons", path, reason, fix="add a second image of some classes")
