"""Times exact top-10 search against faiss.IndexFlatIP over the same vectors, on one thread.

    python bench/search.py [--rows 100000] [--dim 384]

Random unit vectors, a warm process, rounds interleaved. The results are compared too. Needs: make
setup-bench.
"""

from dinoseek.vit.blas import one_thread, prefer_fast_kernels

prefer_fast_kernels()

import argparse
import time

import faiss
import numpy as np

from dinoseek.gallery.exact import top_k
from record import machine, report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    matrix = unit_vectors(options.rows, options.dim, seed=0)
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(options.dim)
    index.add(matrix)
    for count in (1, 10, 100):
        queries = unit_vectors(count, options.dim, seed=1)
        searches = {
            "dinoseek": lambda queries=queries: top_k(queries, matrix, 10)[0],
            "faiss.IndexFlatIP": lambda queries=queries: index.search(queries, 10)[1],
        }
        compare(searches, f"top-10 of {options.rows} x {options.dim}, {count} queries", options)


def compare(searches, title, options):
    times = {name: [] for name in searches}
    with one_thread():
        agreement = np.mean(
            [a == b for a, b in zip(*(s() for s in searches.values()), strict=True)]
        )
        for _ in range(options.rounds):
            for name, search in searches.items():
                start = time.perf_counter()
                search()
                times[name].append((time.perf_counter() - start) * 1e3)
    ours = np.array(times["dinoseek"])
    rows = {
        name: {"ms": float(np.median(t)), "dinoseek_ratio": float(np.median(ours / np.array(t)))}
        for name, t in times.items()
    }
    report("search", f"{title}, one thread (same ids: {agreement:.1%})", rows)


def unit_vectors(rows, dim, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    print(machine())
    main()
