"""Times filters over a million images, and exact search among those that a filter holds for.

    python bench/filter.py [--rows 1000000] [--dim 384] [--vectors FILE.npy]

Random unit vectors, or those of a file (m, d), repeated if there are too few. Rounds are
interleaved; the naive way ranks all images and reads their metadata from the best on, until ten
hold. Both must find the same. Needs: make setup-bench.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from dinoseek.embedder import Fingerprint
from dinoseek.gallery.connection import connect, transaction
from dinoseek.gallery.descriptions import put_attributes
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filters import matching, parse
from dinoseek.gallery.spaces import make_space, put_vector
from record import machine, report

K = 10
FILTERS = {
    'label = "class7"': lambda image: image["label"] == "class7",
    'label = "class7" and width > 800': (
        lambda image: image["label"] == "class7" and image["width"] > 800
    ),
    'label = "class7" and year >= 2004': (
        lambda image: image["label"] == "class7" and image["year"] >= 2004
    ),
    'label in ("class7", "class8") and split = "train"': (
        lambda image: image["label"] in ("class7", "class8") and image["split"] == "train"
    ),
    "height between 301 and 327": lambda image: 301 <= image["height"] <= 327,
    'folder = "d07"': lambda image: image["folder"] == "d07",
    "year >= 2004": lambda image: image["year"] >= 2004,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = (
        np.load(options.vectors, mmap_mode="r")
        if options.vectors
        else rng.standard_normal((options.rows, options.dim), np.float32)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photos.dino"
        started = time.perf_counter()
        build(path, vectors, options.rows)
        print(f"{options.rows} images in {time.perf_counter() - started:.0f} s")
        query = np.array(vectors[rng.integers(len(vectors))], np.float32)
        measure(path, query / np.linalg.norm(query), options)


def build(path, vectors, rows):
    """A gallery of `rows` images with metadata: 100 labels, 35 years, two splits, 100 folders."""
    open_gallery(path).close()
    dim = vectors.shape[1]
    connection = connect(path, readonly=False)
    connection.execute("PRAGMA synchronous = OFF")
    with transaction(connection):
        space = make_space(connection, fingerprint(dim))
        connection.execute("INSERT INTO roots VALUES (1, ?, NULL)", (b"/photos",))
        for id in range(1, rows + 1):
            put_image(connection, id, described(id))
            row = np.array(vectors[id % len(vectors)], np.float32)
            put_vector(connection, space, id, (row / np.linalg.norm(row)).astype("<f2"))
    connection.close()


def fingerprint(dim):
    return Fingerprint(
        model="bench",
        weights="0" * 64,
        preprocess="official",
        pooling="cls",
        pos_flavour="hub",
        dim=dim,
    )


def described(id):
    """What is known of an image, scattered over the ids but the same in each run."""
    scattered = id * 2_654_435_761 % 2**32
    return {
        "label": f"class{scattered % 100}",
        "year": 1990 + scattered // 100 % 35,
        "split": "test" if scattered // 3500 % 5 == 0 else "train",
        "width": (640, 800, 1024, 2048)[scattered // 7 % 4],
        "height": 300 + scattered // 11 % 2700,
        "folder": f"d{scattered // 13 % 100:02d}",
    }


def put_image(connection, id, image):
    metadata = {name: image[name] for name in ("label", "year", "split")}
    connection.execute(
        "INSERT INTO images (id, digest, width, height, bytes, format, metadata)"
        " VALUES (?, ?, ?, ?, 100000, 'JPEG', ?)",
        (id, f"{id:064x}", image["width"], image["height"], json.dumps(metadata)),
    )
    file = f"{image['folder']}/{id:08d}.jpg".encode()
    connection.execute("INSERT INTO files VALUES (1, ?, ?, 100000, 0)", (file, id))
    put_attributes(connection, id, metadata)


def measure(path, query, options):
    with open_gallery(path, readonly=True) as gallery:
        gallery.search(query[None], K)  # loads what is searched
        matrix = gallery.vectors(range(1, options.rows + 1))
        connection = connect(path, readonly=True)
        rows = {}
        for text, holds in FILTERS.items():
            where = parse(text)
            ways = {
                "select": lambda where=where: matching(connection, where),
                "search": lambda where=where: gallery.search(query[None], K, where)[0],
                "naive": lambda holds=holds: naive(connection, matrix, query, holds),
            }
            assert [hit.id for hit in ways["search"]()] == ways["naive"](), text
            images = len(ways["select"]())
            rows[text] = {"images": images, **times(ways, options.rounds)}
        connection.close()
    report("filter", f"top-{K} where a filter holds, of {options.rows} x {len(query)}", rows)


def times(ways, rounds):
    """The median milliseconds of each way, and the naive way's over the search's."""
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append((time.perf_counter() - start) * 1e3)
    medians = {f"{name}_ms": float(np.median(each)) for name, each in taken.items()}
    return {**medians, "naive_ratio": medians["naive_ms"] / medians["search_ms"]}


def naive(connection, matrix, query, holds):
    """Ranks all images, then reads what is known of them from the best on, until K are found."""
    ranked = np.argsort(-(matrix @ query), kind="stable") + 1
    found = []
    for start in range(0, len(ranked), 1000):
        part = ranked[start : start + 1000].tolist()
        known = {id: read(*row) for id, *row in facts(connection, part)}
        found += [id for id in part if holds(known[id])]
        if len(found) >= K:
            break
    return found[:K]


def facts(connection, ids):
    return connection.execute(
        "SELECT id, width, height, metadata, path FROM images JOIN files ON image_id = id"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    )


def read(width, height, metadata, path):
    folder = path.decode().split("/")[0]
    return {**json.loads(metadata), "width": width, "height": height, "folder": folder}


if __name__ == "__main__":
    print(machine())
    main()
