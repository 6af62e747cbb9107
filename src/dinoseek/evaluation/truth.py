"""What a ranking should have found: for each query, its positives and what does not count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
NONE: Ids = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """For each of q queries, rows of the gallery.

    `positives` are what it should find. Rows in `junk` are taken out of its ranking, also where
    they are positives too: the query itself is one, where it lies in the gallery.
    """

    positives: Sequence[Ids]
    junk: Sequence[Ids]

    def __post_init__(self) -> None:
        if len(self.positives) != len(self.junk):
            raise ValueError(f"{len(self.positives)} positives, but {len(self.junk)} junk")

    def __len__(self) -> int:
        return len(self.positives)

    def positives_of(self, query: int) -> Ids:
        """The positives (n,) of a query that are not junk."""
        positives, junk = self.positives[query], self.junk[query]
        if not len(junk):
            return positives
        if len(junk) == 1:
            return positives[positives != junk[0]]
        return positives[~np.isin(positives, junk)]


def label_truth(
    query_labels: NDArray[np.int64], gallery_labels: NDArray[np.int64], own: Ids | None = None
) -> Truth:
    """The truth that labels (q,) and (m,) say: positives have the query's label.

    `own` (q,) is the row of each query in the gallery, which is taken out of its ranking; -1 where
    it is not there. Queries of one label share one array of positives.
    """
    order = np.argsort(gallery_labels, kind="stable")
    ordered = gallery_labels[order]
    starts = np.searchsorted(ordered, query_labels, "left").tolist()
    ends = np.searchsorted(ordered, query_labels, "right").tolist()
    positives = [order[start:end] for start, end in zip(starts, ends, strict=True)]
    rows = np.full(len(query_labels), -1, np.int64) if own is None else own
    return Truth(
        positives=positives,
        junk=[rows[i : i + 1] if rows[i] >= 0 else NONE for i in range(len(rows))],
    )
