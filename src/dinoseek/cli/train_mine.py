"""`dinoseek train mine`: what a model takes for the same although its label is another."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dinoseek.cli.options import ModelChoice
from dinoseek.cli.progress import with_progress
from dinoseek.errors import DinoseekError

if TYPE_CHECKING:
    from dinoseek.train.data.records import Records
    from dinoseek.vit.ops import Array


def write_mined(
    *,
    data: Path,
    target: Path,
    image_root: Path | None,
    count: int,
    too_alike: float,
    seed: int,
    choice: ModelChoice,
) -> None:
    """Embeds the images of `data` and writes them with their hard negatives; says how many."""
    from dinoseek.train.data.mining import hard_negatives
    from dinoseek.train.data.pairs_file import write_pairs
    from dinoseek.train.data.records import load_records

    records = load_records(data, image_root)
    vectors = _embedded(records, choice)
    negatives = hard_negatives(vectors, records.labels, count=count, too_alike=too_alike)
    lines = write_pairs(
        target,
        records.images,
        records.labels,
        records.super_labels,
        negatives=[rows.tolist() for rows in negatives],
        root=records.root,
        seed=seed,
    )
    click.echo(f"{lines:,} images, {sum(map(len, negatives)):,} negatives", err=True)
    click.echo(target)


def _embedded(records: "Records", choice: ModelChoice) -> "Array":
    """The vectors (n, d) of all images; DataError where one cannot be read."""
    import numpy as np

    from dinoseek.evaluation.embedding import embedded
    from dinoseek.train.data.checked import refuse_broken

    embedder = choice.load()
    files = [(row, records.path(row)) for row in range(len(records.images))]
    vectors = np.empty((len(files), embedder.dim), np.float32)
    broken: list[tuple[str, DinoseekError]] = []
    outcomes = embedded(embedder, files, {})
    for row, found in with_progress(outcomes, lambda: len(files), "embedding images"):
        if isinstance(found, DinoseekError):
            broken.append((records.images[row], found))
        else:
            vectors[row] = found
    if broken:
        raise refuse_broken(broken, len(files))
    return vectors
