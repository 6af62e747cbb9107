"""The program that times one engine, in a process of its own: what it breaks is only itself.

    python -m dinoseek.encoders.speed_trial ENGINE THREADS    0 threads: as many as there are

writes one line of JSON: for each precision milliseconds an image, or why there are none.
"""

import json
import sys
import time

import numpy as np

from dinoseek.encoders.engines import build, fault_of, usual_precisions
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.naming import nest

# ViT-S with a third of its blocks: enough to tell engines apart, and quick to compile.
SHAPE = ViTConfig(embed_dim=384, depth=4, num_heads=6, hidden_dim=1536)
SIDE, BATCH = 224, 8
_SECONDS, _ROUNDS = 1.0, 3  # at least so long, and so often


def main(engine: str, threads: str) -> None:
    found: dict[str, float | str] = {}
    for precision in usual_precisions(engine):
        try:
            found[precision] = milliseconds(engine, precision, int(threads) or None)
        except Exception as exc:  # whatever a foreign library may raise
            found[precision] = fault_of(exc)
    sys.stdout.write(f"{json.dumps(found)}\n")


def milliseconds(engine: str, precision: str, threads: int | None) -> float:
    """The quickest of several rounds, as others may use the machine too; for one image."""
    encoder = build(engine, random_params(), SHAPE, precision=precision, threads=threads)
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((BATCH, 3, SIDE, SIDE), dtype=np.float32)
    encoder(pixels)  # compiles, and fills buffers
    times: list[float] = []
    while len(times) < _ROUNDS or sum(times) < _SECONDS:
        start = time.perf_counter()
        encoder(pixels)
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / BATCH


def random_params() -> Params:
    rng = np.random.default_rng(0)
    scale = np.float32(0.02)
    shapes = tensor_shapes(SHAPE).items()
    return nest({name: rng.standard_normal(shape, dtype=np.float32) * scale
                 for name, shape in shapes})  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
