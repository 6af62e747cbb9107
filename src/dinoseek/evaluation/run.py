"""Runs an evaluation: from vectors and labels to an `Evaluation`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import DataError
from dinoseek.evaluation.bootstrap import intervals
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.evidence import first_hits, histogram, recall_curve, worst_queries
from dinoseek.evaluation.metrics import (
    Measure,
    Values,
    average_precision,
    first_rank,
    map_at_r,
    measured,
    precision_at,
    r_precision,
    recall_at,
)
from dinoseek.evaluation.result import Evaluation, Metric, Shown, Worst
from dinoseek.evaluation.scoring import score_vectors
from dinoseek.evaluation.truth import Truth
from dinoseek.evaluation.vectors import Made, Vectors
from dinoseek.vit.ops import Array

T = TypeVar("T")
Watched = Callable[[Iterable[T]], Iterable[T]]
Resample = Literal["queries", "groups"]

FIRST = "first rank"  # for the curve of recall; no metric


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an evaluation reports: what intervals draw, and how many of the worst queries are shown.

    `resample` draws single queries, or groups of those that show one thing.
    """

    resample: Resample = "queries"
    worst: int = 12
    seed: int = 0


def label_measures(cutoffs: Sequence[int]) -> dict[str, Measure]:
    """The measures of labelled images, by name."""
    return {
        **{f"recall@{k}": partial(recall_at, k) for k in cutoffs},
        "map@r": map_at_r,
        "r-precision": r_precision,
        "map": average_precision,
        **{f"precision@{k}": partial(precision_at, k) for k in cutoffs if 1 < k <= 100},
    }


def evaluate_labels(
    dataset: Dataset,
    vectors: Vectors,
    options: Options,
    *,
    notes: Sequence[str] = (),
    watched: Watched[object] = iter,
) -> Evaluation:
    """Measures labelled images, all of which have vectors (n, d); see `complete`."""
    truth = dataset.truth()
    queries, gallery = vectors.matrix[dataset.queries], vectors.matrix
    if len(dataset.gallery) != len(gallery):
        gallery = gallery[dataset.gallery]
    measures = {**label_measures(dataset.cutoffs), FIRST: first_rank}
    found = watched(score_vectors(queries, gallery, truth))
    values, tied, curve = measured(found, measures)  # type: ignore[arg-type]
    first = values.pop(FIRST)
    groups = dataset.numbers[dataset.queries]
    return Evaluation(
        protocol=dataset.name,
        made=vectors.made.name,
        model=vectors.made.model,
        headline="recall@1",
        metrics=metrics_of(values, groups, options),
        facts=facts_of(vectors.made, len(queries), len(gallery), values, tied),
        notes=[*dataset.notes, *notes, *left_out(values, "recall@1"), *said_of_ties(tied)],
        queries=[dataset.images[i] for i in dataset.queries],
        groups=groups.tolist(),
        values=values,
        curves={"all": curve.tolist()},
        recalls=recall_curve(first, len(gallery)),
        histogram=histogram(queries, gallery, truth),
        worst=_worst(dataset, queries, gallery, truth, values["map@r"], options),
    )


def _worst(
    dataset: Dataset,
    queries: Array,
    gallery: Array,
    truth: Truth,
    values: Values,
    options: Options,
) -> list[Worst]:
    shown = []
    for query in worst_queries(values, options.worst):
        position = int(dataset.queries[query])
        label = dataset.labels[position]
        hits = [
            (int(dataset.gallery[row]), score)
            for row, score in first_hits(queries[query], gallery, truth.junk[query])
        ]
        shown.append(
            Worst(
                path=dataset.images[position],
                label=label,
                value=float(values[query]),
                box=dataset.boxes.get(position),
                hits=[
                    Shown(
                        path=dataset.images[hit],
                        score=score,
                        verdict="right" if dataset.labels[hit] == label else "wrong",
                    )
                    for hit, score in hits
                ],
            )
        )
    return shown


def complete(
    dataset: Dataset, vectors: Vectors, *, allow_missing: bool
) -> tuple[Dataset, Vectors, list[str]]:
    """The data set without images that have no vector, and what to say about them.

    Raises DataError evaluate.missing, naming some, unless that is allowed: a benchmark with fewer
    images is another benchmark.
    """
    lost = np.flatnonzero(vectors.missing)
    if not len(lost):
        return dataset, vectors, []
    if not allow_missing:
        raise missing_images(
            dataset.name, [dataset.images[i] for i in lost.tolist()], len(dataset.images), vectors
        )
    kept = ~vectors.missing
    if not kept.any():
        raise missing_images(dataset.name, dataset.images, len(dataset.images), vectors)
    smaller = Vectors(matrix=vectors.matrix[kept], missing=vectors.missing[kept], made=vectors.made)
    note = f"{len(lost):,} of {len(dataset.images):,} images could not be read and are left out"
    return dataset.without(lost.tolist()), smaller, [note]


def missing_images(
    subject: object, names: Sequence[str], count: int, vectors: Vectors | None = None
) -> DataError:
    """The error for images without a vector, which names the first of them and why."""
    why = next(iter(vectors.failures.values()), None) if vectors else None
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    reason = f"{len(names):,} of {count:,} images have no vector: {listed}"
    reason += f" ({why.reason})" if why else ""
    fix = "complete them, or measure without them: --allow-missing"
    return DataError("evaluate.missing", subject, reason, fix=fix)


def metrics_of(
    values: Mapping[str, Values], groups: NDArray[np.integer], options: Options
) -> list[Metric]:
    """The mean and the interval of each measure."""
    drawn = groups if options.resample == "groups" else None
    found = intervals(values, drawn, seed=options.seed)
    return [
        Metric(name=name, **found[name]._asdict(), queries=int(np.isfinite(column).sum()))
        for name, column in values.items()
    ]


def facts_of(
    made: Made, queries: int, gallery: int, values: Mapping[str, Values], tied: int
) -> dict[str, str | int | float]:
    """What stands under the title of a report."""
    measured_queries = int(np.isfinite(next(iter(values.values()))).sum())
    return {
        "model": made.model,
        "preprocess": made.preprocess,
        "pooling": made.pooling,
        "scales": made.said_scales,
        "queries": queries,
        "measured queries": measured_queries,
        "gallery": gallery,
        "tied positives": tied,
    }


def left_out(values: Mapping[str, Values], name: str) -> list[str]:
    """A sentence about queries without positives, where there are any."""
    count = int(np.count_nonzero(~np.isfinite(values[name])))
    return (
        [f"{count:,} queries have nothing to find, and are left out of the mean"] if count else []
    )


def said_of_ties(tied: int) -> list[str]:
    """A sentence about equal scores, where there are any."""
    if not tied:
        return []
    return [f"{tied:,} positives have the same score as another image; the earlier ranks higher"]
