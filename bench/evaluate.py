"""Times measuring Stanford Online Products against the same matrix products alone.

    python bench/evaluate.py [--images 60502] [--queries 60502] [--dim 768]

Random unit vectors and labels of as many images and products; both kinds of work take turns, some
thousand queries at a time, so that a busy machine slows both. All threads. Also says the peak of
memory and the load average at both ends. Nothing to install. Time is wall time; the second column
is processor time, which says more on a busy machine.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import os
import resource
import time

import numpy as np

from dinoseek.evaluation.metrics import measured
from dinoseek.evaluation.run import FIRST, first_rank, label_measures
from dinoseek.evaluation.scoring import score_vectors
from dinoseek.evaluation.truth import label_truth
from record import machine, report

PRODUCTS = 11_316
AT_ONCE = 512  # queries of one matrix product: quickest with all threads
TURN = 16_384


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60_502)
    parser.add_argument("--queries", type=int, default=60_502)
    parser.add_argument("--dim", type=int, default=768)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((options.images, options.dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = rng.integers(0, PRODUCTS, options.images)
    times = {"matrix products": np.zeros(2), "dinoseek evaluate": np.zeros(2)}
    room = np.empty((AT_ONCE, options.images), np.float32)
    for start in range(0, options.queries, TURN):
        part = slice(start, min(start + TURN, options.queries))
        times["matrix products"] += timed(products, vectors[part], vectors, room)
        times["dinoseek evaluate"] += timed(evaluation, vectors, labels, part)
    ratio = times["dinoseek evaluate"] / times["matrix products"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    title = f"{options.queries:,} queries, {options.images:,} x {options.dim}, peak {peak:.2f} GB"
    rows = {name: dict(zip(("s", "cpu s"), spent, strict=True)) for name, spent in times.items()}
    rows["dinoseek evaluate"] |= {"ratio": ratio[0], "cpu ratio": ratio[1]}
    report("evaluate", f"{title}, {load}", rows)


def timed(work, *arguments):
    start = np.array([time.perf_counter(), time.process_time()])
    work(*arguments)
    return np.array([time.perf_counter(), time.process_time()]) - start


def products(queries, gallery, room):
    for start in range(0, len(queries), AT_ONCE):
        block = queries[start : start + AT_ONCE]
        np.matmul(block, gallery.T, out=room[: len(block)])


def evaluation(vectors, labels, part):
    own = np.arange(len(vectors))[part]
    truth = label_truth(labels[part], labels, own)
    measures = {**label_measures((1, 10, 100, 1000)), FIRST: first_rank}
    measured(score_vectors(vectors[part], vectors, truth), measures)


if __name__ == "__main__":
    print(machine())
    main()
