"""How well the model finds images of classes that it was not trained on."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dinoseek.errors import DataError
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.metrics import map_at_r, measured, recall_at
from dinoseek.evaluation.scoring import score_vectors
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import load_image
from dinoseek.images.preprocess import Preset
from dinoseek.pooling import unit
from dinoseek.train.data.records import Records
from dinoseek.train.tuned import Tuned
from dinoseek.vit.ops import Array

CUTOFFS = (1, 5, 10)

Prepared = NDArray[np.uint8]


def embed(
    model: Tuned,
    records: Records,
    preset: Preset,
    *,
    batch_size: int,
    workers: int = 2,
    precision: torch.dtype | None = None,
) -> Array:
    """Embeddings (n, d) of unit length of all images, prepared as searches prepare them.

    Raises DataError train.data.broken for an image that cannot be read.
    """
    return embed_batches(model, batches(records, preset, batch_size, workers), precision)


def embed_batches(
    model: Tuned, pictures: Iterable[Prepared], precision: torch.dtype | None = None
) -> Array:
    """Embeddings (n, d) of unit length of batches of prepared pictures, each (b, H, W, 3)."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), _rounded(device, precision):
            found = [
                model(torch.from_numpy(each).to(device)).float().cpu().numpy() for each in pictures
            ]
    finally:
        model.train(was_training)
    return unit(np.concatenate(found)) if found else np.empty((0, model.dim), np.float32)


def _rounded(device: torch.device, precision: torch.dtype | None) -> torch.autocast:
    enabled = precision is not None and precision != torch.float32
    return torch.autocast(device.type, precision or torch.bfloat16, enabled=enabled)


def batches(records: Records, preset: Preset, batch_size: int, workers: int) -> Iterator[Prepared]:
    """Pictures (b, H, W, 3), in order; of one size, since presets for training cut squares.

    Raises DataError for an image that cannot be read.
    """
    files = [records.path(row) for row in range(len(records.images))]
    opened = ahead(
        lambda path: _opened(path, preset), files, workers=max(workers, 1), depth=2 * batch_size
    )
    waiting: list[Prepared] = []
    for each in opened:
        waiting.append(each)
        if len(waiting) == batch_size:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)


def _opened(path: Path, preset: Preset) -> Prepared:
    image = load_image(path, faithful=preset.faithful, least_side=preset.least_side)
    return preset.apply(image, path)


def dataset_of(records: Records, name: str) -> Dataset:
    """The images as a data set in which each is a query against all others."""
    everything = np.arange(len(records.images))
    return Dataset(
        name=name,
        root=records.root,
        images=records.images,
        labels=records.labels,
        queries=everything,
        gallery=everything,
        cutoffs=CUTOFFS,
    )


def score(dataset: Dataset, vectors: Array) -> dict[str, float]:
    """MAP@R and Recall@1 of vectors (n, d), the mean over queries that have something to find."""
    measures = {"map@r": map_at_r, "recall@1": lambda ranks: recall_at(1, ranks)}
    values, _, _ = measured(score_vectors(vectors, vectors, dataset.truth()), measures)
    if not np.isfinite(values["map@r"]).any():
        reason = "no class that is held out has two images, so there is nothing to choose by"
        raise DataError("train.data.held_out", dataset.name, reason, fix="raise val_share")
    return {name: float(np.nanmean(column)) for name, column in values.items()}
