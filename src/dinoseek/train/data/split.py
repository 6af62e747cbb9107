"""Which classes are held out, to tell how a model does on things that it was not trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import UsageError

Ids = NDArray[np.int64]

_FEWEST = 2  # classes on each side


class Split(NamedTuple):
    """Rows (n,) of the images to learn from, and of those of other classes, to choose by."""

    train: Ids
    validation: Ids


def split_by_class(labels: Sequence[object], share: float = 0.1, *, seed: int = 0) -> Split:
    """Holds out a share of the classes, by chance, with all their images; two at least.

    Only classes with two images or more are held out: one that is alone has nothing to find. The
    same labels, share and seed give the same split, in whatever order the rows come. Raises
    UsageError train.split where two classes cannot be left on both sides.
    """
    if not 0 < share < 1:
        raise UsageError("train.split", f"share {share}", "must be between 0 and 1")
    counts: dict[object, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    able = sorted((label for label, count in counts.items() if count > 1), key=_order)
    wanted = max(_FEWEST, round(share * len(counts)))
    if len(able) < _FEWEST or len(counts) - wanted < _FEWEST:
        reason = f"there are {len(counts)} classes, {len(able)} of them with two images or more"
        fix = f"{_FEWEST} must be left to learn from, and {_FEWEST} to be held out"
        raise UsageError("train.split", "the training data", reason, fix=fix)
    chosen = np.random.default_rng(seed).permutation(len(able))[:wanted]
    held_out = {able[place] for place in chosen.tolist()}
    is_held_out = np.array([label in held_out for label in labels])
    return Split(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))


def _order(label: object) -> tuple[str, str]:
    return type(label).__name__, str(label)
