"""Nearest neighbours by way of an index: it proposes rows, their scores decide.

Rows that are dead, or that a filter leaves out, are struck from what the index proposes, and it is
asked for so many more. Where too few are left all rows are compared instead; so a filter that
leaves out just the nearest images makes a search slower, but not worse.
"""

import numpy as np

from dinoseek.gallery.ann import Ann
from dinoseek.gallery.exact import Found, Ids, Mask, precise, top_k
from dinoseek.gallery.view import View
from dinoseek.vit.ops import Array

LEAST_RECALL = 0.95  # below that a person is warned
SAMPLE = 200  # queries
DEPTH = 10  # recall is that of the first ten

_AIM = 0.98
# How much of a second vector is in a query that measures recall. Of the mixtures tried these tell
# best how photographs fare that are not in the gallery; lists miss most between the images.
_OF_ANOTHER = {"hnsw": 0.5, "ivf": 0.9}
_MOST_PROPOSED = 4096  # rows of one query; to read and score more is slower than to compare all
_SPARE = 1.25


def search(view: View, ann: Ann, queries: Array, k: int, allowed: Ids | None = None) -> list[Found]:
    """As `View.search`, but some of the nearest may be missing."""
    places = None if allowed is None else view.places(allowed)
    asked = _asked(view, ann, k, places)
    if asked is None:
        return view.with_tail(view.search_base(queries, k, places), queries, k, allowed)
    mask = _mask(view, places)
    found = []
    for i, row in enumerate(ann.propose(queries, asked)):
        rows = row[row >= 0] if mask is None else row[(row >= 0) & mask[row]]
        if len(rows) < ann.plan.candidates(k) // 2:
            found += view.search_base(queries[i : i + 1], k, places)
        else:
            found.append(_scored(view, queries[i], np.sort(rows), k))
    return view.with_tail(found, queries, k, allowed)


def _asked(view: View, ann: Ann, k: int, places: Ids | None) -> int | None:
    """For how many rows to ask the index; None: an exact search is the better way."""
    rows = len(view.base.ids)
    left = rows - len(view.dead) if places is None else len(places)
    wanted = ann.plan.candidates(k)
    if wanted > left or (places is not None and view.gathers(places)):
        return None
    asked = wanted if left == rows else int(_SPARE * wanted * rows / left)
    return asked if asked <= min(_MOST_PROPOSED, rows) else None


def _mask(view: View, places: Ids | None) -> Mask | None:
    if places is None:
        return view.alive
    mask = np.zeros(len(view.base.ids), np.bool_)
    mask[places] = True
    return mask


def _scored(view: View, query: Array, rows: Ids, k: int) -> Found:
    """The k best of some rows of the base, ascending."""
    scores = precise(query, view.base.rows(rows))
    order = np.argsort(-scores, kind="stable")[:k]
    return view.base.ids[rows[order]], scores[order]


def tuned(view: View, ann: Ann) -> float:
    """Raises the effort until enough is found, if that can be; returns the recall.

    `view` has no changes. An image that scores as high as the exact tenth counts as found,
    whichever of equals it is.
    """
    vectors = view.base.whole()
    queries, tenth = sample(vectors, _OF_ANOTHER[ann.plan.kind])
    while True:
        recall = _recall(search(view, ann, queries, tenth.shape[1]), tenth)
        if recall >= _AIM or 2 * ann.plan.effort > ann.plan.most_effort:
            return recall
        ann.set_effort(2 * ann.plan.effort)


def sample(vectors: Array, of_another: float) -> tuple[Array, Array]:
    """Queries (q, d) that are like vectors (m, d) of a space, and their best scores (q, 10).

    A query is a stored vector and a part of another: like the images of the space, but not close to
    one. What lies close to a stored vector is found too easily, and promises too much.
    """
    rng = np.random.default_rng(0)
    chosen = vectors[rng.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False)]
    mixed = chosen + np.float32(of_another) * np.roll(chosen, 1, axis=0)
    queries = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return queries, top_k(queries, vectors, DEPTH)[1]


def _recall(found: list[Found], best_scores: Array) -> float:
    """Which part of the best was found: scores are exact, so those that reach the last count."""
    reached = [
        np.count_nonzero(scores >= exact[-1]) / len(exact)
        for (_, scores), exact in zip(found, best_scores, strict=True)
    ]
    return float(np.mean(reached))
