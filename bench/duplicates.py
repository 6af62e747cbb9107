"""Times the comparison behind `dinoseek dupes`: stars among random unit vectors, and its memory.

python bench/duplicates.py [IMAGES] [DIM]
"""

import resource
import sys
import time

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import numpy as np

from dinoseek.duplicates.levels import NEAR_SCORE
from dinoseek.duplicates.stars import stars


def main(images: int = 100_000, dim: int = 384) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((images, dim), np.float32)
    copies = rng.choice(images, (images // 20, 2))  # one in twenty has a copy
    vectors[copies[:, 0]] = vectors[copies[:, 1]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = stars(
        images,
        lambda first, last: vectors[first:last],
        NEAR_SCORE,
        lambda some, _: np.ones(len(some), bool),
        {},
    )
    seconds = time.perf_counter() - start
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{images:,} x {dim}: {seconds:.1f} s, {len(found):,} stars, {more / 1024:,.0f} MiB more")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
