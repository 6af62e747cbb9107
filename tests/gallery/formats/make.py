"""Writes the record of a small gallery in this version's format: python make.py v1.sqlite.

The tests open what older versions wrote: one file per released format, never written again.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.gallery.base import Record
from dinoseek.gallery.decisions import decide
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.ledger import Failure
from dinoseek.images.preprocess import find_preset

FINGERPRINT = Fingerprint(
    model="tiny",
    weights=hashlib.sha256(b"tiny").hexdigest(),
    preprocess="squash",
    pooling="cls",
    pos_flavour="hub",
    dim=8,
)


def record(name: str, caption: str | None) -> Record:
    return Record(
        path=name.encode(),
        root="/photos",
        digest=hashlib.sha256(name.encode()).hexdigest(),
        width=4,
        height=3,
        bytes=100,
        mtime_ns=5,
        format="JPEG",
        caption=caption,
        metadata={"year": 2024},
    )


def main(file: Path) -> None:
    embedder = Embedder(np.stack, find_preset("squash"), FINGERPRINT)
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    captions = {"a.jpg": None, "b.jpg": "the second", "c.jpg": None}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "g.dino"
        with open_gallery(folder, embedder) as gallery, gallery.writing() as writer:
            writer.add([record(*pair) for pair in captions.items()], vectors)
            failure = Failure(size=1, mtime_ns=2, code="image.corrupt", reason="it is damaged")
            writer.fail("/photos", b"d.jpg", failure, replaced=False)
            first, second, _ = (record(*pair).digest for pair in captions.items())
            decide(gallery, first, second, "not-duplicate")
        (folder / "gallery.sqlite").rename(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
