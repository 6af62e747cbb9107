"""Rankings that were made elsewhere: an .npz file with `ranks` (gallery, queries)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import DataError
from dinoseek.interchange.arrays import header_of, rows_of

MAX_ROWS = 2_000_000
MAX_QUERIES = 100_000
MAX_BYTES = 4_000_000_000


def load_ranking(path: Path, gallery: int, queries: int) -> NDArray[np.integer]:
    """The rows of the gallery from best to worst, a column for each query: (m, q).

    Rows from `gallery` on are distractors. DataError evaluate.ranking where a column does not have
    every row once: a ranking that was cut off has no average precision.
    """
    header = header_of(path, "ranks")
    if header.dtype.kind not in "iu" or len(header.shape) != 2 or header.shape[1] != queries:
        expected = f"whole numbers of shape ({gallery} or more, {queries})"
        reason = f"its ranks are {header.dtype} of shape {header.shape}, expected {expected}"
        raise DataError("evaluate.ranking", path, reason)
    rows, columns = header.shape
    if rows > MAX_ROWS or columns > MAX_QUERIES or rows * columns * 8 > MAX_BYTES:
        raise DataError("evaluate.ranking", path, f"{rows:,} x {columns:,} ranks are too many")
    ranking = np.concatenate(list(rows_of(path, "ranks"))) if rows else np.empty((0, queries), int)
    if rows < gallery:
        reason = f"it ranks {rows:,} images, the gallery has {gallery:,}: it was cut off"
        raise DataError("evaluate.ranking", path, reason, fix="give the whole ranking")
    for query in range(queries):
        column = ranking[:, query]
        inside = column.min() >= 0 and column.max() < rows
        if not inside or np.bincount(column.astype(np.int64), minlength=rows).max() > 1:
            reason = f"the ranking of query {query} does not have each of 0 to {rows - 1} once"
            raise DataError("evaluate.ranking", path, reason)
    return ranking
