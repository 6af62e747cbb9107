"""Measures what the automatic cut-off keeps and drops, on a gallery of images with known classes.

    python bench/scores.py --gallery photos.dino --labels FILE

Each line of the file is a file's name, a tab, and its class. Galleries of several sizes are drawn
from half of the classes. Queries are other images of the same classes, and strangers: images of
the other half, to which nothing in the gallery belongs.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
from pathlib import Path

import numpy as np

from dinoseek.gallery.background import of_vectors
from dinoseek.gallery.connection import connect
from dinoseek.gallery.spaces import read_matrix, spaces_of
from record import machine, report

SHOWN = 10
RULES = {"1 - 1/n": lambda n: 1 - 1 / n, "99.9 %": lambda _: 0.999}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    vectors, classes = labelled(options.gallery, options.labels)
    for name, rule in RULES.items():
        rows = {}
        for count, each in ((25, 5), (50, 10), (100, 10), (100, 40)):
            rounds = [
                trial(vectors, classes, count, each, rule, np.random.default_rng(seed))
                for seed in range(options.rounds)
            ]
            means = np.mean([list(one.values()) for one in rounds], axis=0)
            rows[f"{count * each} images"] = dict(zip(rounds[0], means.tolist(), strict=True))
        report("scores", f"cut-off at {name}, {options.rounds} drawings", rows)


def labelled(gallery, labels):
    """The vectors (m, d) of a gallery's images and the class (m,) of each."""
    connection = connect(gallery, readonly=True)
    (space,) = spaces_of(connection)
    ids, matrix = read_matrix(connection, space)
    paths = dict(connection.execute("SELECT image_id, path FROM files"))
    lines = [line.split("\t") for line in labels.read_text("utf-8").splitlines()]
    of_name = {name: label for name, label, *_ in lines}
    names = [paths[id].decode().split("/")[-1] for id in ids.tolist()]
    return matrix, np.unique([of_name[name] for name in names], return_inverse=True)[1]


def trial(vectors, classes, count, each, rule, rng):
    """One gallery of `count` classes with `each` images: what its cut-off does to queries."""
    order = rng.permutation(classes.max() + 1)
    kept, queries, strangers = [], [], []
    for number in order[:count]:
        own = rng.permutation(np.flatnonzero(classes == number))
        kept += own[:each].tolist()
        queries += own[each : each + 5].tolist()
    for number in order[len(order) // 2 :]:
        strangers += rng.permutation(np.flatnonzero(classes == number))[:5].tolist()
    known = of_vectors(vectors[rng.permutation(kept)[:2000]], len(kept))
    percents, scores = np.array(known.quantiles).T
    cut = np.interp(100 * rule(len(kept)), percents, scores)
    return {"cut": cut, **judged(vectors, classes, kept, queries, strangers, cut)}


def judged(vectors, classes, kept, queries, strangers, cut):
    scores = vectors[queries] @ vectors[kept].T  # (q, d) x (d, m) -> (q, m)
    right = classes[queries][:, None] == classes[kept]
    first = np.argsort(-scores, axis=1)[:, :SHOWN]  # (q, m) -> (q, 10)
    shown = np.take_along_axis(right, first, axis=1)
    above = np.take_along_axis(scores, first, axis=1) >= cut
    foreign = vectors[strangers] @ vectors[kept].T >= cut
    return {
        "right_above": shown[above].mean() if above.any() else np.nan,
        "right_below": shown[~above].mean(),
        "wrong_a_query": ((scores >= cut) & ~right).sum(axis=1).mean(),
        "with_right_hit": (shown & above).any(axis=1).mean(),
        "of_at_best": shown.any(axis=1).mean(),
        "strangers_hits": foreign.sum(axis=1).mean(),
        "strangers_any": foreign.any(axis=1).mean(),
    }


if __name__ == "__main__":
    print(machine())
    main()
