"""Runs revisited Oxford and Paris: on vectors, with or without distractors, or on a ranking."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dinoseek.errors import DataError
from dinoseek.evaluation.evidence import first_hits, histogram, recall_curve, worst_queries
from dinoseek.evaluation.ground_truth import SIZES, GroundTruth
from dinoseek.evaluation.metrics import Values
from dinoseek.evaluation.result import Evaluation, Shown, Worst
from dinoseek.evaluation.revisited import (
    HEADLINE,
    LEVELS,
    level_truth,
    measure_revisited,
    score_revisited,
    score_revisited_ranking,
)
from dinoseek.evaluation.run import (
    FIRST,
    Options,
    facts_of,
    left_out,
    metrics_of,
    missing_images,
    said_of_ties,
)
from dinoseek.evaluation.scoring import Blocks
from dinoseek.evaluation.vectors import Made, Vectors

Protocol = Literal["official-crop", "dino-nocrop"]

PROTOCOLS: tuple[Protocol, ...] = ("official-crop", "dino-nocrop")
FOLDER = "jpg"
DISTRACTORS = 1_001_001  # of revisitop1m


def check_data_set(gnd: GroundTruth, name: str) -> list[str]:
    """What to say about a ground truth that is not the published one.

    DataError gt.data_set for one of another data set, or of another size.
    """
    sizes = len(gnd.names), len(gnd.queries)
    if gnd.official not in (None, name) or sizes != SIZES[name]:
        reason = f"it has {sizes[0]:,} images and {sizes[1]} queries, {name} has {SIZES[name]}"
        fix = f"it is that of {gnd.official}" if gnd.official else "download it again"
        raise DataError("gt.data_set", gnd.path, reason, fix=fix)
    if gnd.official:
        return []
    return [f"the ground truth is not the published file (sha256 {gnd.sha256})"]


def evaluate_revisited(
    name: str,
    gnd: GroundTruth,
    vectors: Vectors,
    options: Options,
    *,
    protocol: Protocol,
    allow_missing: bool = False,
    distractors: tuple[int, Blocks] | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Measures vectors (m + q, d) of the gallery's images, in their order, and then of the queries.

    Every query must have a vector; images of the gallery that have none rank last where
    `allow_missing`, and are counted. `distractors` are how many there are, and their vectors.
    """
    size = len(gnd.names)
    missing = _missing(name, gnd, vectors, allow_missing=allow_missing)
    gallery, queries = vectors.matrix[:size], vectors.matrix[size:]
    blocks = distractors[1] if distractors else None
    found = score_revisited(queries, gallery, gnd, missing=missing, distractors=blocks)
    values, tied, curves = measure_revisited(found, gnd)
    extra = distractors[0] if distractors else 0
    lost = int(missing.sum())
    told = [f"{lost:,} of {size:,} gallery images are missing and rank last"] if lost else []
    truth = level_truth(gnd, "medium")
    worst = worst_queries(values[HEADLINE], options.worst)
    return _evaluation(
        protocol=f"{name}{_more(extra)}/{protocol}",
        made=vectors.made,
        gnd=gnd,
        values=values,
        curves=curves,
        tied=tied,
        options=options,
        notes=[*told, *notes],
        extra={"gallery": size + extra, "distractors": extra, "missing": lost},
    ).with_evidence(
        histogram(queries, gallery, truth, missing),
        [
            _worst(gnd, query, first_hits(queries[query], gallery, truth.junk[query], missing),
                   values, crop=protocol == "official-crop")
            for query in worst
        ],
    )  # fmt: skip


def evaluate_ranking(
    name: str,
    gnd: GroundTruth,
    ranking: NDArray[np.integer],
    options: Options,
    *,
    source: str,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Measures a ranking (m, q) made elsewhere; rows from len(gnd.names) on are distractors."""
    values, tied, curves = measure_revisited(score_revisited_ranking(ranking, gnd), gnd)
    extra = len(ranking) - len(gnd.names)
    truth = level_truth(gnd, "medium")
    worst = []
    for query in worst_queries(values[HEADLINE], options.worst):
        order = ranking[:, query]
        kept = order[~np.isin(order, truth.junk[query]) & (order < len(gnd.names))][:5]
        hits = [(int(row), None) for row in kept]
        worst.append(_worst(gnd, query, hits, values, crop=False))
    return _evaluation(
        protocol=f"{name}{_more(extra)}/ranking",
        made=Made(model=source, preprocess="given", pooling="given"),
        gnd=gnd,
        values=values,
        curves=curves,
        tied=tied,
        options=options,
        notes=notes,
        extra={"gallery": len(ranking), "distractors": extra},
    ).with_evidence(None, worst)


def _more(distractors: int) -> str:
    """How the data set's name goes on with distractors: +1M for the published set."""
    if not distractors:
        return ""
    return "+1M" if distractors == DISTRACTORS else f"+{distractors}"


def _missing(
    name: str, gnd: GroundTruth, vectors: Vectors, *, allow_missing: bool
) -> NDArray[np.bool_]:
    """Which images of the gallery have no vector; refuses where a query has none."""
    size = len(gnd.names)
    lost = [gnd.queries[i] for i in np.flatnonzero(vectors.missing[size:]).tolist()]
    if lost:
        error = missing_images(name, lost, len(gnd.queries), vectors)
        reason = error.reason.replace("images have", "query images have")
        fix = "every query counts: complete them"
        raise DataError("evaluate.missing_query", name, reason, fix=fix)
    missing = vectors.missing[:size]
    if missing.any() and not allow_missing:
        names = [gnd.names[i] for i in np.flatnonzero(missing).tolist()]
        raise missing_images(name, names, size, vectors)
    return missing


def _evaluation(
    *,
    protocol: str,
    made: Made,
    gnd: GroundTruth,
    values: dict[str, Values],
    curves: Mapping[str, Values],
    tied: int,
    options: Options,
    notes: Sequence[str],
    extra: Mapping[str, int],
) -> Evaluation:
    first = {level: values.pop(f"{FIRST} {level}") for level in LEVELS}["medium"]
    groups = landmarks(gnd)
    facts = facts_of(made, len(gnd.queries), extra["gallery"], values, tied)
    facts |= {"measured queries": int(np.isfinite(values[HEADLINE]).sum()), **extra}
    easy = left_out(values, "mAP easy")
    return Evaluation(
        protocol=protocol,
        made=made.name,
        model=made.model,
        headline=HEADLINE,
        metrics=metrics_of(values, groups, options),
        facts={**facts, "ground truth sha256": gnd.sha256},
        notes=[*notes, *(f"easy: {note}" for note in easy), *said_of_ties(tied)],
        queries=list(gnd.queries),
        groups=groups.tolist(),
        values=values,
        curves={level: curve.tolist() for level, curve in curves.items()},
        recalls=recall_curve(first, extra["gallery"]),
    )


def landmarks(gnd: GroundTruth) -> NDArray[np.int64]:
    """A number (q,) for what each query shows: those with the same positives show one landmark."""
    wanted = [tuple(np.sort(np.concatenate(each))) for each in zip(gnd.easy, gnd.hard, strict=True)]
    numbers = {positives: number for number, positives in enumerate(dict.fromkeys(wanted))}
    return np.array([numbers[positives] for positives in wanted], np.int64)


def _worst(
    gnd: GroundTruth,
    query: int,
    hits: Sequence[tuple[int, float | None]],
    values: Mapping[str, Values],
    *,
    crop: bool,
) -> Worst:
    right = {*gnd.easy[query].tolist(), *gnd.hard[query].tolist()}
    return Worst(
        path=f"{FOLDER}/{gnd.queries[query]}.jpg",
        label=gnd.queries[query],
        value=float(values[HEADLINE][query]),
        box=gnd.boxes[query] if crop else None,
        hits=[
            Shown(
                path=f"{FOLDER}/{gnd.names[row]}.jpg",
                score=score,
                verdict="right" if row in right else "wrong",
            )
            for row, score in hits
        ],
    )
