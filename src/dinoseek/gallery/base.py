"""What a gallery is: the records it keeps, the hits it returns, the Protocol of every store."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from dinoseek.gallery.filters import Filter
from dinoseek.vit.ops import Array

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


Blob: TypeAlias = bytes  # inside Record, `bytes` is a number
WEB = "web:"  # the root of images that were fetched; their path is the address


@dataclass(frozen=True, kw_only=True)
class Record:
    """One image file as the gallery remembers it.

    `path` is relative to the folder `root`, in the file system's own bytes, with "/" between its
    parts; a root may also be a tar archive, the path then a member's name, or WEB. `digest` is the
    sha256 of the file's bytes in hexadecimal. Records of one digest are one image with several
    files: of those that came from lists, the one with the lowest `row` gives caption and metadata.
    `look` is the image's perceptual hash, `thumbnail` a small JPEG.
    """

    path: bytes
    root: str
    digest: str
    width: int
    height: int
    bytes: int
    mtime_ns: int
    format: str
    caption: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    row: int | None = None
    look: Blob | None = None
    thumbnail: Blob | None = None

    @property
    def own_file(self) -> Path | None:
        """The file that the image is; None where it lies in an archive or on the web."""
        if self.root == WEB or Path(self.root).is_file():  # a root that is a file is an archive
            return None
        return Path(self.root, os.fsdecode(self.path))


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One found image.

    `score` is the cosine, higher is better; `percentile` says how many of a hundred random pairs of
    the gallery are less alike; `distance` is Euclidean, where it was asked for, and `reranked` what
    a re-ranking ordered the hits by. `path` is absolute
    and can always be printed: a file, ARCHIVE/MEMBER, or an address; `location` is the same place
    as the system names it, None where there is no file of its own. `url` is the address that it was
    fetched from. `copies` counts the near-duplicates that were folded into it.
    """

    query: str
    rank: int
    id: int
    path: str
    score: float
    caption: str | None
    location: str | None
    url: str | None = None
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    percentile: float | None = None
    distance: float | None = None
    reranked: float | None = None
    copies: int = 0

    @property
    def file(self) -> Path | None:
        """Where it lies, for opening; made when asked for, as most hits are only shown."""
        return None if self.location is None else Path(self.location)

    def as_dict(self) -> dict[str, JSON]:
        """The hit for `--json`: all but `file`, which is `path`; distance, reranked if set."""
        row: dict[str, JSON] = {
            "query": self.query,
            "rank": self.rank,
            "id": self.id,
            "path": self.path,
            "score": round(self.score, 6),  # float32 has no more to say
            "caption": self.caption,
            "percentile": None if self.percentile is None else round(self.percentile, 6),
            "url": self.url,
            "copies": self.copies,
            "metadata": dict(self.metadata),
        }
        for name, value in (("distance", self.distance), ("reranked", self.reranked)):
            if value is not None:
                row[name] = round(value, 6)
        return row


class Gallery(Protocol):
    """Images and their vectors, in the space of one embedder.

    Images have integer ids that are never used twice. Equal scores rank by id.
    """

    def add(self, records: Sequence[Record], vectors: Array) -> None:
        """Keeps records and their vectors (m, d); durable when it returns, and all or nothing.

        A digest that is already there is the same image: it gets the new vector, another file where
        root and path are new, and the new caption and metadata where they are not empty.
        """

    def search(self, queries: Array, k: int, where: Filter | None = None) -> list[list[Hit]]:
        """The k nearest images of each query (q, d), best first; all if there are fewer.

        Only images that `where` holds for are searched.
        """

    def known(self, digests: Iterable[str]) -> set[str]:
        """Those of `digests` whose images have a vector in this space."""

    def get(self, ids: Iterable[int]) -> list[Record]:
        """The records of images by id, in the order asked; of several files, the first."""

    def remove(self, ids: Iterable[int]) -> int:
        """Forgets images, in every space; returns how many there were. Unknown ids are no error."""

    def __len__(self) -> int:
        """How many images have a vector in this space."""

    def close(self) -> None:
        """Frees what is held; closing twice is no error."""
