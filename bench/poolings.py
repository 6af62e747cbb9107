"""Makes the features of several poolings of labelled images, by one pass of the model.

    python bench/poolings.py DATA OUT --model FILE [--poolings cls mean gem cls+mean]

DATA is as `dinoseek evaluate labels` takes it. Writes OUT/cls.npz and so on, for
`dinoseek evaluate labels DATA --features OUT/cls.npz`; what there is after each 1,000 images too,
so that a run that is stopped is not lost. Says how many images there were and the wall time.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np

from dinoseek.embedder import load_embedder
from dinoseek.evaluation.embedding import embedded
from dinoseek.evaluation.labels import load_labels
from dinoseek.evaluation.parts import joint_of, taken
from dinoseek.evaluation.saved_features import save_features
from dinoseek.evaluation.vectors import Made, Vectors
from record import machine

KEPT_EVERY = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--preprocess")
    parser.add_argument("--poolings", nargs="+", default=["cls", "mean", "gem", "cls+mean"])
    options = parser.parse_args()
    dataset = load_labels(options.data)
    joint = joint_of(options.poolings)
    embedder = load_embedder(options.model, preprocess=options.preprocess, pooling=joint)
    options.out.mkdir(exist_ok=True)
    files = [(i, dataset.root / image) for i, image in enumerate(dataset.images)]
    rows = np.zeros((len(files), embedder.dim), np.float32)
    missing = np.ones(len(files), bool)
    start = time.perf_counter()
    for count, (position, vector) in enumerate(embedded(embedder, files, {}), 1):
        if isinstance(vector, np.ndarray):
            rows[position], missing[position] = vector, False
        if count % KEPT_EVERY == 0 or count == len(files):
            keep(options.out, dataset, embedder, options.poolings, rows, missing)
            spent = time.perf_counter() - start
            print(f"{count:,} of {len(files):,} images, {spent:.0f} s", flush=True)


def keep(out, dataset, embedder, poolings, rows, missing):
    for pooling in poolings:
        fingerprint = dataclasses.replace(embedder.fingerprint, pooling=pooling)
        matrix = taken(rows, embedder.fingerprint.pooling, pooling)
        fingerprint = dataclasses.replace(fingerprint, dim=matrix.shape[1])
        vectors = Vectors(matrix=matrix, missing=missing, made=Made.of(fingerprint))
        save_features(out / f"{pooling}.npz", dataset.root, dataset.images, vectors, boxes=False)


if __name__ == "__main__":
    print(machine())
    main()
