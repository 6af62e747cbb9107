"""The benchmarks of metric learning: Stanford Online Products, In-Shop, CUB-200-2011, Cars-196.

Splits as all papers since Song et al. (CVPR 2016) use them: classes of the test set were never
trained on, and every test image is a query against all others; only In-Shop has a gallery apart.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dinoseek.errors import DataError
from dinoseek.evaluation.dataset import Dataset, first_existing, read_lines
from dinoseek.evaluation.mat_file import read_mat


class Counts(NamedTuple):
    """How large a published test set is: queries, gallery images and classes."""

    queries: int
    gallery: int
    classes: int


COUNTS = {
    "sop": Counts(60_502, 60_502, 11_316),
    "inshop": Counts(14_218, 12_612, 3_985),
    "cub": Counts(5_924, 5_924, 100),
    "cars": Counts(8_131, 8_131, 98),
}
_FIRST_TEST_CLASS = {"cub": 101, "cars": 99}  # counted from 1
_MAX_CLASS = 100_000


def load_products(name: str, root: Path, *, official: bool = True) -> Dataset:
    """The test set of "sop", "inshop", "cub" or "cars" in the folder `root`, as it was published.

    Raises MachineError for files that are not there, DataError data.format for lists that are
    something else, data.count where they do not have the published length; unless not `official`,
    and then the data set's name says so.
    """
    dataset = _LOADERS[name](root)
    if not official:
        return _renamed(dataset, f"{name}-unofficial")
    found = Counts(
        len(dataset.queries),
        len(dataset.gallery),
        len({dataset.labels[i] for i in dataset.queries}),
    )
    if found != COUNTS[name]:
        told = " and ".join(
            f"{have:,} {what}, not {want:,}"
            for what, have, want in zip(Counts._fields, found, COUNTS[name], strict=True)
            if have != want
        )
        fix = "download it again, or measure it as what it is with --unofficial"
        raise DataError("data.count", root, f"its test set has {told}", fix=fix)
    return dataset


def _renamed(dataset: Dataset, name: str) -> Dataset:
    return Dataset(**{**vars(dataset), "name": name})


def _sop(root: Path) -> Dataset:
    path = first_existing(root, ["Ebay_test.txt", "Stanford_Online_Products/Ebay_test.txt"])
    rows = [line.split(" ", 3) for line in read_lines(path)[1:] if line.strip()]
    if any(len(row) != 4 for row in rows):
        raise _malformed(path, "image_id class_id super_class_id path")
    return _all_to_all("sop", path.parent, [row[3].strip() for row in rows], [r[1] for r in rows],
                       (1, 10, 100, 1000))  # fmt: skip


def _inshop(root: Path) -> Dataset:
    name = "list_eval_partition.txt"
    path = first_existing(root, [f"{folder}{name}" for folder in ("", "Eval/", "Anno/")])
    rows = [line.split() for line in read_lines(path)[2:] if line.strip()]
    if any(len(row) != 3 or row[2] not in ("train", "query", "gallery") for row in rows):
        raise _malformed(path, "image_name item_id evaluation_status")
    rows = [row for row in rows if row[2] != "train"]
    base = root if path.parent == root else path.parent.parent
    folder = next((f for f in ("", "Img/") if rows and (base / f / rows[0][0]).exists()), "")
    status = np.array([row[2] for row in rows])
    return Dataset(
        name="inshop",
        root=base,
        images=[folder + row[0] for row in rows],
        labels=[row[1] for row in rows],
        queries=np.flatnonzero(status == "query"),
        gallery=np.flatnonzero(status == "gallery"),
        cutoffs=(1, 10, 20, 30),
    )


def _cub(root: Path) -> Dataset:
    path = first_existing(root, ["images.txt", "CUB_200_2011/images.txt"])
    images = _numbered(path)
    labels = _numbered(path.with_name("image_class_labels.txt"))
    if images.keys() != labels.keys():
        raise DataError("data.format", path, "it lists other images than image_class_labels.txt")
    classes = [_class(path, labels[id]) for id in images]
    return _test_classes("cub", path.parent, [f"images/{n}" for n in images.values()], classes)


def _cars(root: Path) -> Dataset:
    path = first_existing(root, ["cars_annos.mat", "cars196/cars_annos.mat"])
    rows = read_mat(path).get("annotations")
    wanted = {"relative_im_path", "class"}
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and wanted <= row.keys() and isinstance(row["relative_im_path"], str)
        for row in rows
    ):
        raise _malformed(path, "annotations with relative_im_path and class")
    classes = [_class(path, row["class"]) for row in rows]
    return _test_classes("cars", path.parent, [row["relative_im_path"] for row in rows], classes)


def _numbered(path: Path) -> dict[str, str]:
    """Lines of an id and what belongs to it."""
    rows = [line.split(" ", 1) for line in read_lines(path) if line.strip()]
    if any(len(row) != 2 for row in rows) or len({row[0] for row in rows}) != len(rows):
        raise _malformed(path, "an id and a value")
    return {row[0]: row[1].strip() for row in rows}


def _class(path: Path, value: object) -> int:
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError) as exc:
        raise DataError("data.format", path, f"a class is {str(value)[:40]!r}") from exc
    if not 1 <= number <= _MAX_CLASS:
        raise DataError("data.format", path, f"a class is {number}")
    return int(number)


def _test_classes(name: str, root: Path, images: Sequence[str], classes: Sequence[int]) -> Dataset:
    """The images of the second half of the classes."""
    rows = [row for row in zip(images, classes, strict=True) if row[1] >= _FIRST_TEST_CLASS[name]]
    return _all_to_all(
        name, root, [row[0] for row in rows], [str(row[1]) for row in rows], (1, 2, 4, 8)
    )


def _all_to_all(
    name: str, root: Path, images: list[str], labels: list[str], cutoffs: tuple[int, ...]
) -> Dataset:
    everything = np.arange(len(images))
    if any(Path(image).is_absolute() or ".." in Path(image).parts for image in images):
        raise DataError("data.format", root, "its list has a path that leads out of the folder")
    return Dataset(
        name=name,
        root=root,
        images=images,
        labels=labels,
        queries=everything,
        gallery=everything,
        cutoffs=cutoffs,
    )


def _malformed(path: Path, expected: str) -> DataError:
    reason = f"it has a line that is something else than {expected}"
    return DataError("data.format", path, reason, fix="download it again")


_LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "sop": _sop,
    "inshop": _inshop,
    "cub": _cub,
    "cars": _cars,
}
