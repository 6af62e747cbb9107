"""Compares indexing a folder of large photographs with what the encoder alone could do.

    python bench/index_end_to_end.py --model FILE --engine openvino --precision bf16
    python bench/index_end_to_end.py --images 60 --rounds 2          a quick trial, random ViT-S

Draws photographs of 1 to 12 megapixels once, into a folder that is used again. In each round a
part of them is ingested into a new gallery, as `dinoseek index --fast-decode` does it, and then
the same engine encodes the same number of pictures that are ready. The share is the median over
rounds of the two rates; the figure to hold is 85 %. Decoding and the engine share the cores, so
processor time says what share can be had at all: CPU time of encoding over that of everything.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import dinoseek
from dinoseek.bench.models import find_models
from dinoseek.bench.pictures import photograph
from dinoseek.embedder import BATCH_SIZE, load_embedder
from dinoseek.ingest.outcomes import Stored
from record import machine, report

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", help="default: random weights of --shape")
    parser.add_argument("--shape", default="small")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--slow-decode", action="store_true", help="without --fast-decode")
    parser.add_argument(
        "--photos", type=Path, default=Path(tempfile.gettempdir()) / "dinoseek-photos"
    )
    options = parser.parse_args()
    files = drawn(options.photos, options.images)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (model,) = find_models(
            [options.model or options.shape], folder, random=options.model is None
        )
        precision = PRECISIONS.get(options.precision, options.precision)
        more = {} if precision == "auto" else {"precision": precision}
        embedder = load_embedder(
            str(model.path), engine=options.engine, fast_decode=not options.slow_decode,
            cache_dir=folder / "cache", **more,
        )  # fmt: skip
        compare(embedder, files, folder, options, model.name)


def compare(embedder, files, folder, options, name):
    prepared = [embedder.open(file) for file in files[:BATCH_SIZE]]
    encode(embedder, prepared, 2 * BATCH_SIZE)  # warm-up
    rounds = []
    for number in range(options.rounds):
        part = folder / f"part{number}"
        part.mkdir()
        for file in files[number :: options.rounds]:
            os.link(file, part / file.name) if same_disk(file, part) else shutil.copy(file, part)
        os.sync()
        indexed = measured(lambda part=part: index(embedder, part, folder / f"{part.name}.dino"))
        ready = measured(lambda: encode(embedder, prepared, len(files) // options.rounds))
        rounds.append((indexed, ready))
    row = summary(rounds)
    precision = getattr(embedder.encoder, "precision", "float32")
    title = f"{len(files)} photographs, {name}, {embedder.engine} {precision}"
    report(
        "index_end_to_end", title + (", slow decode" if options.slow_decode else ""), {"index": row}
    )


def summary(rounds):
    (indexed, ready) = (np.array(each) for each in zip(*rounds, strict=True))  # (rounds, 3)
    rate, own = indexed[:, 0] / indexed[:, 1], ready[:, 0] / ready[:, 1]
    cpu = [1e3 * np.median(each[:, 2] / each[:, 0]) for each in (indexed, ready)]
    return {
        "images_per_s": float(np.median(rate)),
        "encoder_alone": float(np.median(own)),
        "share": float(np.median(rate / own)),
        "cpu_ms": cpu[0],
        "cpu_ms_encode": cpu[1],
        "most_possible": cpu[1] / cpu[0],
    }


def measured(work):
    """How many images, in how many seconds, with how many of the processor's."""
    start, before = time.perf_counter(), cpu_seconds()
    count = work()
    return count, time.perf_counter() - start, cpu_seconds() - before


def cpu_seconds():
    """Of this process, and of its decoders that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def index(embedder, part, gallery):
    with dinoseek.open_gallery(gallery, embedder) as opened:
        outcomes = list(dinoseek.ingest(dinoseek.from_folder(part), opened))
    stored = sum(isinstance(outcome, Stored) for outcome in outcomes)
    assert stored == len(outcomes), "some photograph was not stored"
    return stored


def encode(embedder, prepared, count):
    batches = max(1, round(count / BATCH_SIZE))
    for _ in range(batches):
        embedder.vectors(prepared)
    return batches * BATCH_SIZE


def same_disk(file, folder):
    return file.stat().st_dev == folder.stat().st_dev


def drawn(folder, count):
    """The first photographs of the folder; those that are not there are drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(count) if not path_of(folder, n).exists()]
    if missing:
        print(f"drawing {len(missing)} photographs into {folder}")
        with ProcessPoolExecutor() as pool:
            list(pool.map(draw, [folder] * len(missing), missing, chunksize=4))
    return [path_of(folder, number) for number in range(count)]


def path_of(folder, number):
    return folder / f"{number:05}.jpg"


def draw(folder, number):
    """A photograph of 1 to 12 megapixels, 4:3 or 3:2, every third upright."""
    rng = np.random.default_rng(number)
    ratio = rng.choice([4 / 3, 3 / 2])
    height = int((rng.uniform(1e6, 12e6) / ratio) ** 0.5)
    sides = (int(height * ratio), height)
    path = path_of(folder, number)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(photograph(number, *(sides[::-1] if number % 3 == 0 else sides)))
    temporary.replace(path)


if __name__ == "__main__":
    print(machine())
    main()
