"""Lists of pairs for Stanford Online Products, in the form that others train from, too."""

from pathlib import Path
from typing import NamedTuple

from dinoseek.errors import MachineError
from dinoseek.train.data.pairs_file import write_pairs
from dinoseek.train.data.product_lists import read_sop, refuse_missing, sop_list
from dinoseek.train.data.split import split_by_class


class Written(NamedTuple):
    """A list, how many lines it has, and of how many classes."""

    path: Path
    lines: int
    classes: int


def prepare_sop(
    root: Path, out: Path | None = None, *, share: float = 0.1, seed: int = 0
) -> list[Written]:
    """Writes train.jsonl and val.jsonl, both of classes of Ebay_train.txt, and counts them.

    The test list is not read. Raises MachineError for a folder without the list, DataError
    train.data.missing for listed images that are not there, naming them.
    """
    path = sop_list(root)
    if path is None:
        fix = "dinoseek evaluate prepare sop says where to get the data"
        raise MachineError("train.data.missing", root, "it has no Ebay_train.txt", fix=fix)
    images, labels, supers = read_sop(path)
    refuse_missing(path, images)
    split = split_by_class(labels, share, seed=seed)
    folder = path.parent if out is None else out
    written = []
    for name, rows in zip(("train.jsonl", "val.jsonl"), split, strict=True):
        chosen = rows.tolist()
        lines = write_pairs(
            folder / name,
            [images[row] for row in chosen],
            [labels[row] for row in chosen],
            [supers[row] for row in chosen],
            seed=seed,
        )
        written.append(Written(folder / name, lines, len({labels[row] for row in chosen})))
    return written
