"""Times what a user waits for besides the model: --help, and a search over 10,000 images.

    python bench/startup.py [--images 10000] [--model FILE]

Runs the `dinoseek` command as a whole process. The gallery holds random vectors of small random
weights (or the given model's); the time of the one forward pass, measured inside the same process,
is taken off.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import machine, report

COMMAND = [sys.executable, "-m", "dinoseek"]
FILL = """
import sys
from dinoseek.vit.blas import prefer_fast_kernels
prefer_fast_kernels()
from pathlib import Path
import numpy as np
from dinoseek.embedder import load_embedder
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery
weights, gallery, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
embedder = load_embedder(weights, expect="few")
rng = np.random.default_rng(0)
root = str(Path(gallery).parent / "photos")
with open_gallery(gallery, embedder) as target:
    for start in range(0, count, 1000):
        vectors = rng.standard_normal((1000, embedder.dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        records = [
            Record(path=b"%08d.jpg" % i, root=root, digest=f"{i:064x}",
                   width=1, height=1, bytes=1, mtime_ns=0, format="JPEG")
            for i in range(start, start + 1000)
        ]
        target.add(records, vectors)
"""
FORWARD = """
import sys, time
from dinoseek.vit.blas import prefer_fast_kernels
prefer_fast_kernels()
from dinoseek.embedder import load_embedder
embedder = load_embedder(sys.argv[1], expect="few")
image = embedder.open(sys.argv[2])
start = time.perf_counter()
embedder.vectors([image])
print(time.perf_counter() - start)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--model", default="")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DINOSEEK_CACHE_DIR"] = str(Path(folder) / "cache")
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        measure(Path(folder), options)


def measure(folder, options):
    weights = options.model or str(folder / "small.safetensors")
    gallery, photo = folder / "big.dino", folder / "query.png"
    if not options.model:
        memory = Path(__file__).with_name("memory.py")
        subprocess.run([sys.executable, memory, "--write", "small", weights], check=True)
        time.sleep(2.5)  # a file this young is not trusted to be the same next time
    write_picture(photo)
    (folder / "photos").mkdir()
    subprocess.run(
        [sys.executable, "-c", FILL, weights, str(gallery), str(options.images)], check=True
    )
    search = [*COMMAND, "search", str(photo), "--gallery", str(gallery), "--model", weights]
    forward = [sys.executable, "-c", FORWARD, weights, str(photo)]
    search = [*search, "--json"]
    hits = json.loads(subprocess.check_output(search))
    assert hits, "the search found nothing"
    rows = {
        "dinoseek --help": {"seconds": wall([*COMMAND, "--help"], options.rounds)},
        "dinoseek search": {"seconds": wall(search, options.rounds)},
        "one forward pass": {
            "seconds": statistics.median(
                float(subprocess.check_output(forward)) for _ in range(options.rounds)
            )
        },
    }
    outside = rows["dinoseek search"]["seconds"] - rows["one forward pass"]["seconds"]
    rows["search without it"] = {"seconds": outside}
    report("startup", f"cold processes, {options.images} images, ViT-small", rows)


def write_picture(path):
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def wall(command, rounds):
    return statistics.median(once(command) for _ in range(rounds))


def once(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(machine())
    main()
