"""What the teacher sees in each view of each picture, found out once and kept in a file."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dinoseek.embedder import BATCH_SIZE, Embedder
from dinoseek.errors import MachineError, UsageError
from dinoseek.images.ahead import ahead
from dinoseek.images.preprocess import Preset
from dinoseek.train.data.loader import Key, Pictures
from dinoseek.train.data.reading import Reading
from dinoseek.train.data.records import Records
from dinoseek.train.distill.config import DistillConfig
from dinoseek.vit.ops import Array
from dinoseek.weights.save import replacing

FEATURES, RECORD = "teacher.npy", "teacher.json"

Stored = NDArray[np.float16]

_PER_BATCH = 16 * BATCH_SIZE  # what a GPU wants, and processors do not mind
_FLUSHED_EVERY = 16  # batches: more than that is never computed again


def square_preset(embedder: Embedder) -> Preset:
    """How the teacher's pictures are prepared; UsageError for a way that keeps their ratio."""
    if embedder.preset.layout == "patches":
        reason = f"is {embedder.preset.name}, whose pictures have different sizes"
        fix = "use official, cover or squash, as in official@224"
        raise UsageError("distill.preprocess", "--preprocess", reason, fix=fix)
    return embedder.preset


def least_side(embedder: Embedder, config: DistillConfig) -> int:
    """How short the short side of a JPEG may get: teacher and student read it at one scale."""
    return 2 * max(embedder.preset.size, config.size)


class Lesson:
    """Features of the teacher (n, v, d) for v views of n pictures, of unit length, in float16."""

    def __init__(
        self, folder: Path, teacher: Embedder, records: Records, config: DistillConfig
    ) -> None:
        self._path, self._record = folder / FEATURES, folder / RECORD
        self._teacher, self._records, self._config = teacher, records, config
        self.made_from = _made_from(teacher, records, config)
        self.shape = (len(records.images), config.views, teacher.dim)

    def learn(self) -> Iterator[int]:
        """Finds out what is not known yet; yields how many views of all are done, as they are.

        Goes on where it was stopped. MachineError distill.unwritable if the disk refuses.
        """
        done = self._done()
        try:
            features = self._opened(done)
            yield done
            yield from self._filled(features.reshape(-1, self.shape[2]), done)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            fix = "check the folder and the space on the disk, then run it again with --resume"
            raise MachineError("distill.unwritable", self._path, reason, fix=fix) from exc

    def features(self) -> Stored:
        """All of them, from the file."""
        return np.load(self._path, mmap_mode="r")

    def _done(self) -> int:
        """How many views are in the file; none, if it is of other pictures or another teacher."""
        try:
            record = json.loads(self._record.read_text("utf-8"))
            fits = record["made_from"] == self.made_from and self.features().shape == self.shape
            return int(record["done"]) if fits else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _opened(self, done: int) -> Stored:
        if done:
            return np.load(self._path, mmap_mode="r+")
        self._record.unlink(missing_ok=True)
        features = np.lib.format.open_memmap(self._path, "w+", np.float16, self.shape)
        if hasattr(os, "posix_fallocate"):  # a disk that is full later kills by SIGBUS
            with self._path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, self._path.stat().st_size)
        return features

    def _filled(self, rows: Stored, done: int) -> Iterator[int]:
        views = self._config.views
        keys: list[Key] = [(at // views, at % views, at // views) for at in range(done, len(rows))]
        batches = [keys[start : start + _PER_BATCH] for start in range(0, len(keys), _PER_BATCH)]
        # While the teacher looks at a batch, the next one is made into pixels.
        seen = ahead(self._seen, self._reading().batches(batches), workers=2, depth=2)
        for number, found in enumerate(seen, start=1):
            rows[done : done + len(found)] = found
            done += len(found)
            if number % _FLUSHED_EVERY == 0 or number == len(batches):
                rows.base.flush()  # type: ignore[union-attr]  # the file behind it
                self._note(done)
            yield done

    def _seen(self, pictures: Tensor) -> Array:
        return self._teacher.vectors(list(pictures.numpy()))

    def _reading(self) -> Reading:
        config, teacher = self._config, self._teacher
        augmentation = config.augmentation(teacher.preset.size)
        shrunk = least_side(teacher, config)
        pictures = Pictures(self._records, augmentation, config.seed, shrunk)
        return Reading(pictures, workers=config.num_workers)

    def _note(self, done: int) -> None:
        with replacing(self._record) as temporary:
            text = json.dumps({"made_from": self.made_from, "done": done})
            temporary.write_text(text, encoding="utf-8")


def _made_from(teacher: Embedder, records: Records, config: DistillConfig) -> Mapping[str, Any]:
    sizes = [records.path(row).stat().st_size for row in range(len(records.images))]
    told = json.dumps([str(records.root), records.images, sizes])
    return {
        "teacher": teacher.fingerprint.id,
        "pictures": hashlib.sha256(told.encode()).hexdigest(),
        "views": config.views,
        "crop_area": list(config.crop_area),
        "least_side": least_side(teacher, config),
        "seed": config.seed,
    }


def plain_features(teacher: Embedder, records: Records) -> Array:
    """What the teacher sees in the pictures as they are (n, d), prepared as searches prepare."""
    return teacher.embed(records.path(row) for row in range(len(records.images)))
