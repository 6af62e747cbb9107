"""A gallery of a million images: insert, index, recall, latency and memory beside faiss itself.

    python bench/ann.py --vectors FILE.npy [--rows 1000000] [--noise 0.4] [--kind hnsw] [--keep DIR]

FILE.npy holds real embeddings (..., d). Each is stored several times: as a unit vector plus
Gaussian noise whose length is --noise of the vector's, scaled to unit length again. Queries are
jittered in the same way with other noise, so that none of them is stored; but each has near copies
that are, which are found easily. Therefore every 50th photograph (along the last axis but one) is
held out whole, and recall is measured for those as they are, too. faiss is called directly on the
very index that the gallery searches, with the same efSearch or nprobe, and returns row numbers; the
gallery returns hits with path, caption and metadata. Memory, opening and latency are measured in
fresh processes. Needs: make setup-bench.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filter_syntax import parse
from dinoseek.images.preprocess import find_preset
from record import machine, report

BATCH = 256
HELD_OUT = 50  # one of so many photographs is not stored
LABELS = 100  # so that one label is 1 % of the rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--noise", type=float, default=0.4)
    parser.add_argument("--kind", choices=("hnsw", "ivf"), default="hnsw")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="build the gallery here, or use the one here")
    parser.add_argument("--measure", choices=("memory", "latency", "filter", "recall"))
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(globals()[options.measure](options)))
        return
    print(machine())
    if options.keep:
        run(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.keep = Path(folder)
        run(options)


def run(options):
    originals = unit(embeddings(options, held_out=False))
    title = (
        f"{options.rows} x {originals.shape[1]} ({len(originals)} embeddings, held out others,"
        f" noise {options.noise}), {options.kind}"
    )
    if not gallery_folder(options).exists():
        report("ann", f"{title}: insert", {"gallery": insert(options, originals)})
    report("ann", f"{title}: build", {"gallery": build(options)})
    for name in ("memory", "latency", "filter", "recall"):
        report("ann", f"{title}: {name}", {"gallery": in_a_fresh_process(options, name)})


def insert(options, originals):
    """The whole of it in batches of 256; making the vectors is not counted."""
    rng, spent = np.random.default_rng(0), 0.0
    with (
        open_gallery(gallery_folder(options), embedder(originals.shape[1])) as gallery,
        gallery.writing() as writer,
    ):
        for start in range(0, options.rows, BATCH):
            numbers = np.arange(start, min(start + BATCH, options.rows))
            vectors = jittered(originals[numbers % len(originals)], options.noise, rng)
            records = [record(number) for number in numbers.tolist()]
            begin = time.perf_counter()
            writer.add(records, vectors)
            spent += time.perf_counter() - begin
    size = sum(file.stat().st_size for file in gallery_folder(options).glob("gallery.sqlite*"))
    return {"vectors/s": options.rows / spent, "s": spent, "record MB": size / 1e6}


def build(options):
    with opened(options) as gallery:
        begin = time.perf_counter()
        said = gallery.build_index(options.kind)
        spent = time.perf_counter() - begin
    return {
        "s": spent,
        "recall measured": said["recall"],
        "size": said["params"]["size"],
        "effort": said["params"]["effort"],
        "index MB": index_file(options).stat().st_size / 1e6,
        "peak MB": status_of_process("VmHWM") / 1e6,
    }


def memory(options):
    """Of a process that opens the gallery and searches; the key belongs to the gallery's folder."""
    queries = queries_of(options)
    before = status_of_process("VmRSS")
    begin = time.perf_counter()
    with opened(options) as gallery:
        gallery.search(queries[:1], 10)
        first = time.perf_counter() - begin
        for query in queries[1:, None]:
            gallery.search(query, 10)
        size = index_file(options).stat().st_size
        now, most = status_of_process("VmRSS"), status_of_process("VmHWM")
    return {
        "open + first s": first,
        "before MB": before / 1e6,
        "RSS MB": now / 1e6,
        "peak MB": most / 1e6,
        "RSS / index file": now / size,
    }


def latency(options):
    """Single queries, one after the other, alternating with faiss on the same index."""
    with opened(options) as gallery:
        queries = queries_of(options)
        gallery.search(queries[:1], 10)
        index = gallery._nearest._ann._index
        times = {"gallery": [], "faiss": []}
        # each gets a query that the other has not just brought into the processor's cache
        for one, other in zip(queries[:, None], np.roll(queries, 7, axis=0)[:, None], strict=True):
            pairs = (("gallery", gallery.search, one), ("faiss", index.search, other))
            for name, search, query in pairs:
                begin = time.perf_counter()
                search(query, 10)
                times[name].append((time.perf_counter() - begin) * 1e3)
    percentiles = {
        f"{name} p{p} ms": float(np.percentile(spent, p))
        for name, spent in times.items()
        for p in (50, 95)
    }
    ratio = percentiles["gallery p50 ms"] / percentiles["faiss p50 ms"]
    return {**percentiles, "p50 ratio": ratio}


def filter(options):
    """One query with a filter that holds for 1 %; the recall is against all scores, by NumPy."""
    where = parse(f'label = "l{7 % LABELS}"')
    with opened(options) as gallery:
        queries = queries_of(options)[:50]
        ids = np.array([hit.id for hit in gallery.search(queries[:1], options.rows, where)[0]])
        vectors = gallery.vectors(np.sort(ids).tolist())
        times, right = [], []
        for query in queries:
            begin = time.perf_counter()
            (hits,) = gallery.search(query[None], 10, where)
            times.append((time.perf_counter() - begin) * 1e3)
            best = np.sort(ids)[np.argsort(-(vectors @ query), kind="stable")[:10]]
            right.append(np.isin([hit.id for hit in hits], best).mean())
    return {
        "rows": len(ids),
        "p50 ms": float(np.median(times)),
        "p95 ms": float(np.percentile(times, 95)),
        "recall@10": float(np.mean(right)),
    }


def recall(options):
    """Against an exact search of the same gallery, which comes about where the key is missing."""
    near, far = queries_of(options)[:200], unit(embeddings(options, held_out=True))[:600]
    queries = np.concatenate([near, far])
    with opened(options) as gallery:
        found = gallery.search(queries, 10)
    with opened(options) as gallery:
        gallery.use_index_key(options.keep / "missing.key")
        begin = time.perf_counter()
        gallery.search(queries[:1], 10)
        first = time.perf_counter() - begin
        begin = time.perf_counter()
        for query in queries[:20, None]:
            gallery.search(query, 10)
        alone = (time.perf_counter() - begin) / 20
        exact = gallery.search(queries, 10)
    both = zip(found, exact, strict=True)
    part = [len({hit.id for hit in a} & {hit.id for hit in b}) / len(b) for a, b in both]
    return {
        "recall@10": float(np.mean(part[: len(near)])),
        "recall held out": float(np.mean(part[len(near) :])),
        "exact ms": alone * 1e3,
        "exact first s": first,
    }


def in_a_fresh_process(options, name):
    command = [sys.executable, __file__, "--measure", name, "--keep", str(options.keep)]
    command += ["--vectors", str(options.vectors), "--rows", str(options.rows)]
    command += ["--noise", str(options.noise), "--queries", str(options.queries)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def gallery_folder(options):
    return options.keep / "held-out.dino"  # not that of a time when all was stored


def opened(options):
    gallery = open_gallery(gallery_folder(options))
    gallery.use_index_key(options.keep / "index.key")
    return gallery


def index_file(options):
    (file,) = (gallery_folder(options) / "cache").glob("*.ann")
    return file


def embedder(dim):
    fingerprint = Fingerprint(
        model="bench",
        weights="0" * 64,
        preprocess="squash",
        pooling="cls",
        pos_flavour="hub",
        dim=dim,
    )
    return Embedder(None, find_preset("squash"), fingerprint)


def record(number):
    return Record(
        path=b"%d/%d.jpg" % (number // 1000, number),
        root="/photographs",
        digest=hashlib.sha256(b"%d" % number).hexdigest(),
        width=640,
        height=480,
        bytes=100_000,
        mtime_ns=1,
        format="JPEG",
        caption=f"photograph {number}",
        metadata={"label": f"l{number % LABELS}", "price": number % 1000 / 10},
    )


def unit(vectors):
    rows = np.asarray(vectors, np.float32).reshape(-1, vectors.shape[-1])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def jittered(rows, noise, rng):
    directions = rng.standard_normal(rows.shape, np.float32)
    return unit(rows + noise * unit(directions))


def embeddings(options, *, held_out):
    """Those that are stored, or those of the photographs that are not: (n, d)."""
    vectors = np.load(options.vectors, mmap_mode="r")
    chosen = (np.arange(vectors.shape[-2]) % HELD_OUT == 0) == held_out
    return vectors[..., chosen, :].reshape(-1, vectors.shape[-1])


def queries_of(options):
    # without the originals: they would count as memory that the search needs
    vectors = np.load(options.vectors, mmap_mode="r")
    rng = np.random.default_rng(1)
    photographs = np.arange(vectors.shape[-2])
    stored = photographs[photographs % HELD_OUT != 0]
    flat = vectors.reshape(-1, *vectors.shape[-2:])
    chosen = flat[rng.integers(0, len(flat), options.queries), rng.choice(stored, options.queries)]
    return jittered(unit(chosen), options.noise, rng)


def status_of_process(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


if __name__ == "__main__":
    main()
