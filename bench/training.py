"""Measures a training run: images a second, memory of the GPU, share of what its products reach.

    python bench/training.py CONFIG.yaml [key=value ...] [--out training.json]
    python bench/training.py                    drawn products and random weights, to try it

The run is a real one, by `dinoseek train`; its result is in its output_dir, and what it did to the
held-out classes is told, too. Images a second are the median over steps but for the first ten. With
LoRA a step is counted as three forward passes, gradients of frozen weights included although none
are computed; `share` is of bfloat16 matrix products, measured on the same card just before.
"""

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from dinoseek.bench.flops import flops_per_image
from dinoseek.bench.models import random_params
from dinoseek.images.preprocess import find_preset
from dinoseek.products.folder import write_products
from dinoseek.products.order import Order
from dinoseek.train.config import TrainConfig
from dinoseek.train.config_file import load_config
from dinoseek.train.events import Finished, Started, Stepped, Validated
from dinoseek.train.loop import train
from dinoseek.vit.config import SIZES
from dinoseek.weights.hub import resolve
from dinoseek.weights.load import load_params
from dinoseek.weights.save import save_params
from record import machine

WARM = 10
TRIAL = """
model: ./random.safetensors
data: products
output_dir: run
preprocess: squash@112
val_share: 0.3
batch_size: 32
epochs: 8
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.config or trial(Path(folder))
        measure(load_config(path, asked.settings), asked.out)


def trial(folder: Path) -> Path:
    """A configuration that any machine gets through in a minute."""
    for _ in write_products(folder / "products", Order(classes=60, size=112)):
        pass
    save_params(folder / "random.safetensors", random_params(SIZES["small"]), SIZES["small"])
    path = folder / "trial.yaml"
    path.write_text(TRIAL, encoding="utf-8")
    return path


def measure(config: TrainConfig, out: Path | None) -> None:
    on_gpu = torch.cuda.is_available() and config.device != "cpu"
    peak = products_rate() if on_gpu else None
    rates, validated, begun = [], [], time.perf_counter()
    for event in train(config, force=True):
        match event:
            case Started():
                facts = dict(event.facts)
            case Stepped():
                rates.append(event.images_per_second)
            case Validated():
                validated.append((event.step, event.map_at_r, event.recall_at_1))
                print(f"step {event.step}: MAP@R {100 * event.map_at_r:.2f} %", flush=True)
            case Finished():
                finished = event
    _, vit = load_params(resolve(config.model))
    side = find_preset(config.preprocess).size
    speed = median(rates[WARM:] or rates)
    found = {
        "machine": machine(),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "facts": facts,
        "images_per_second": speed,
        "memory_gb": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
        "share": 3 * flops_per_image(vit, (side, side)) * speed / peak if peak else None,
        "products_tflops": peak / 1e12 if peak else None,
        "seconds": time.perf_counter() - begun,
        "before": finished.before,
        "after": finished.after,
        "validations": validated,
    }
    text = json.dumps(found, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n", encoding="utf-8")


def products_rate() -> float:
    """Operations a second of large bfloat16 matrix products."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(20):
        a @ b
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
