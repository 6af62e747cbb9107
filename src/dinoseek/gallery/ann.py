"""Indexes that find most of the nearest neighbours without comparing all: HNSW and IVF, by faiss.

HNSW is a graph over vectors of 8 bits a number (Malkov and Yashunin, 2018); IVF sorts vectors of
1 bit a number (RaBitQ, Gao and Long, 2024) into lists. Both only propose rows: their scores are
computed elsewhere, from the vectors themselves.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from dinoseek.errors import UsageError
from dinoseek.gallery.ann_plan import Plan
from dinoseek.gallery.exact import Ids
from dinoseek.vit.ops import Array

_BYTES_AT_ONCE = 1 << 20
_ROWS_AT_ONCE = 1 << 16
_TRAINING = 1 << 16  # rows from which the range of each number is learnt
_POINTS_OF_A_LIST = 64
_ITERATIONS = 10


class Ann:
    """An index in memory, and the plan it was made by."""

    def __init__(self, index: Any, plan: Plan) -> None:
        self._index = index
        self.plan = plan
        self.set_effort(plan.effort)

    def set_effort(self, effort: int) -> None:
        """From now on a search looks at so much of it; see `Plan`."""
        self.plan = replace(self.plan, effort=effort)
        if self.plan.kind == "hnsw":
            self._index.hnsw.efSearch = effort
        else:
            self._index.nprobe = effort

    def propose(self, queries: Array, count: int) -> Ids:
        """Rows (q, count) that are probably nearest to queries (q, d); -1 where there are fewer."""
        return self._index.search(np.ascontiguousarray(queries, np.float32), count)[1]

    def write(self, write: Callable[[bytes], None]) -> None:
        """Hands the index over, part by part."""
        faiss = library()
        faiss.write_index(self._index, faiss.PyCallbackIOWriter(write, _BYTES_AT_ONCE))


def installed() -> bool:
    """Whether indexes can be built and read here."""
    return find_spec("faiss") is not None


def library() -> Any:
    """The faiss module; UsageError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its generated wrappers
            import faiss  # noqa: PLC0415  an extra
    except ImportError as exc:
        reason = f"an index of this kind needs faiss ({exc})"
        fix = "needs: pip install dinoseek[faiss]"
        raise UsageError("index.faiss", "--index", reason, fix=fix) from exc
    return faiss


def build(plan: Plan, vectors: Array) -> Ann:
    """Makes the index of vectors (m, d), whose rows it will propose by number."""
    faiss = library()
    index = _graph(faiss, plan, vectors) if plan.kind == "hnsw" else _lists(faiss, plan, vectors)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        index.add(np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE]))
    return Ann(index, plan)


def _graph(faiss: Any, plan: Plan, vectors: Array) -> Any:
    kind = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexHNSWSQ(vectors.shape[1], kind, plan.size, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 8 * plan.size
    index.train(_spread(vectors, _TRAINING))
    return index


def _lists(faiss: Any, plan: Plan, vectors: Array) -> Any:
    words = f"IVF{plan.size},RaBitQ"
    index = faiss.index_factory(vectors.shape[1], words, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = _ITERATIONS
    index.cp.min_points_per_centroid = 1  # it prints a warning otherwise
    index.train(_spread(vectors, _POINTS_OF_A_LIST * plan.size))
    return index


def _spread(vectors: Array, count: int) -> Array:
    """At most `count` of the rows, from everywhere."""
    chosen = np.linspace(0, len(vectors) - 1, min(count, len(vectors))).astype(np.int64)
    return np.ascontiguousarray(vectors[chosen])


def read(plan: Plan, rows: int, dim: int, read: Callable[[int], bytes]) -> Ann:
    """The index that `Ann.write` wrote; it must come from this user's own, unchanged file.

    Raises ValueError if it is none of so many rows.
    """
    faiss = library()
    try:
        index = faiss.read_index(faiss.PyCallbackIOReader(read, _BYTES_AT_ONCE))
    except RuntimeError as exc:
        raise ValueError(f"faiss cannot read it: {exc}") from exc
    if (index.ntotal, index.d) != (rows, dim) or hasattr(index, "hnsw") != (plan.kind == "hnsw"):
        raise ValueError("it is an index of something else")
    return Ann(index, plan)
