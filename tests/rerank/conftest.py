"""Unit vectors in clusters, and their rankings, by plain loops."""

import math

import numpy as np
import pytest


def clustered(count, dim=12, clusters=5, seed=0, spread=0.6):
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((clusters, dim))
    rows = middles[rng.integers(0, clusters, count)] + spread * rng.standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def ranked(query, gallery, k):
    """The k best rows by cosine, equal ones by lower row."""
    cosines = [
        math.fsum(float(a) * float(b) for a, b in zip(query, row, strict=True)) for row in gallery
    ]
    return sorted(range(len(gallery)), key=lambda row: (-cosines[row], row))[:k]


@pytest.fixture(scope="session")
def gallery():
    return clustered(60)


@pytest.fixture(scope="session")
def queries():
    return clustered(4, seed=0)[:4]


@pytest.fixture(scope="session")
def rankings(queries, gallery):
    return np.array([ranked(query, gallery, 30) for query in queries])
