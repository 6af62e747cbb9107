"""Which index a space gets, and with which parameters: from its size and the memory there is."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

KINDS = ("auto", "exact", "hnsw", "ivf")
FROM = 200_000  # vectors; up to so many, comparing all of them is quick enough

_SHARE_OF_MEMORY = 0.5  # of what is free, that an index may take


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An index to build, or one that was built.

    `size` is M of HNSW (links of a vertex) or the number of IVF's lists; `effort` is efSearch or
    nprobe, how much of the index a search looks at.
    """

    kind: Literal["hnsw", "ivf"]
    size: int
    effort: int

    @property
    def most_effort(self) -> int:
        """Beyond that a search would not be much quicker than an exact one."""
        return 1024 if self.kind == "hnsw" else max(1, self.size // 2)

    def candidates(self, k: int) -> int:
        """How many rows are scored exactly to find the k best.

        The index keeps 8 bits of a number (HNSW) or 1 (IVF), so its own order is not quite right.
        """
        return max(4 * k, 50) if self.kind == "hnsw" else max(10 * k, 100)


def planned(asked: str, rows: int, dim: int, threshold: int, memory: int | None) -> Plan | None:
    """The index for so many rows; None: they are searched exactly. `memory` is what is free."""
    if asked not in KINDS:
        raise ValueError(f"{asked!r} is none of {', '.join(KINDS)}")
    if asked == "exact" or rows < 2 or (asked == "auto" and rows <= threshold):
        return None
    graph = Plan(kind="hnsw", size=16 if rows <= 2_000_000 else 32, effort=64)
    short = memory is not None and hnsw_bytes(rows, dim, graph.size) > _SHARE_OF_MEMORY * memory
    return _lists(rows) if asked == "ivf" or (asked == "auto" and short) else graph


def _lists(rows: int) -> Plan:
    # 2 sqrt(rows): to choose a list costs as much as to look through a few of them
    count = max(1, min(round(2 * math.sqrt(rows)), rows // 40))
    return Plan(kind="ivf", size=count, effort=max(1, count // 32))


def hnsw_bytes(rows: int, dim: int, links: int) -> int:
    """How much memory the graph takes: a byte for each number, 2 M links and a few more."""
    return rows * (dim + 9 * links + 16)


def free_memory() -> int | None:
    """How many bytes of memory this process could still have; None if the system does not say."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
    limit, used = _text("/sys/fs/cgroup/memory.max"), _text("/sys/fs/cgroup/memory.current")
    if limit.strip().isdigit() and used.strip().isdigit():
        yield int(limit) - int(used)


def _text(path: str) -> str:
    try:
        return Path(path).read_text() if os.name == "posix" else ""
    except OSError:
        return ""
