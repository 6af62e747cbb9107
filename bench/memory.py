"""Measures the peak resident memory of loading a model and encoding a batch, in a fresh process.

    python bench/memory.py [--model base] [--batch 8]

The weights are random, float32, in a safetensors file. The figure to hold is weights + 250 MB.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from record import machine, report

CHILD = """
from dinoseek.vit.blas import prefer_fast_kernels
prefer_fast_kernels()
import sys
import numpy as np
from dinoseek.encoders.factory import load_encoder
encoder = load_encoder(sys.argv[1], engine="numpy")
encoder(np.zeros((int(sys.argv[2]), 3, 224, 224), np.float32))
status = open("/proc/self/status").read()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        subprocess.run([sys.executable, __file__, "--write", options.model, str(path)], check=True)
        weights = path.stat().st_size / 1e6
        command = [sys.executable, "-c", CHILD, str(path), str(options.batch)]
        peak = int(subprocess.check_output(command)) * 1024 / 1e6
    row = {"weights_MB": weights, "peak_MB": peak, "above_weights_MB": peak - weights}
    report("memory", f"ViT-{options.model}, batch {options.batch} at 224 x 224", {"dinoseek": row})


def write(size, path):
    """In a process of its own, so that making the weights does not count."""
    from dinoseek.bench.models import random_params
    from dinoseek.vit.config import SIZES
    from dinoseek.weights.save import save_params

    save_params(path, random_params(SIZES[size]), SIZES[size])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2], sys.argv[3])
    else:
        print(machine())
        main()
