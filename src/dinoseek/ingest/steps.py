"""What an image is on its way into a gallery, between one stage of the pipeline and the next."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.base import Record
from dinoseek.gallery.ledger import FileState
from dinoseek.ingest.outcomes import Item, Outcome


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Files about which nothing is to be done, many at a time."""

    outcomes: list[Outcome]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A file to be read, and what the gallery knows of it."""

    item: Item
    state: FileState | None = None


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file that was read. Large contents are not kept: `data` is then None, and read again."""

    task: Task
    digest: str
    size: int
    data: bytes | None


@dataclass(frozen=True, kw_only=True)
class Known:
    """A file whose image is in the gallery, or was met before in this run."""

    task: Task
    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Described:
    """A file that is as it was, of which a list says something new."""

    task: Task


@dataclass(frozen=True, kw_only=True)
class Ready:
    """An image (H, W, 3) to be embedded, and what will be recorded of it.

    `kept` is the file (root, path) in which the bytes of an address were kept.
    """

    task: Task
    record: Record
    prepared: NDArray[np.uint8]
    kept: tuple[str, bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A file that could not be read or decoded; `digest` if its bytes could be read."""

    task: Task
    code: str
    reason: str
    digest: str | None = None


Step: TypeAlias = Settled | Task | Read | Known | Described | Ready | Broken
