"""Writes what pytorch-metric-learning measures on random vectors, and a list as Cars-196 has it.

    python tools/make_metrics_golden.py

tests/golden/metrics.json has the seeds of the vectors and the numbers; tests/golden/cars_annos.mat
is written by SciPy. Needs pytorch-metric-learning, scikit-learn, faiss, SciPy and PyTorch.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy.io
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

FOLDER = Path(__file__).parents[1] / "tests/golden"
TARGET = FOLDER / "metrics.json"
FORMAT = 1
NAMES = ("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_average_precision")
PACKAGES = ("pytorch-metric-learning", "torch", "scikit-learn", "faiss-cpu", "numpy", "scipy")

# queries are the gallery, or a set apart; classes of about 2, 8 and 60 images, some singletons
CASES = [
    {"seed": 0, "images": 300, "dim": 16, "classes": 150, "apart": 0},
    {"seed": 1, "images": 300, "dim": 16, "classes": 40, "apart": 0},
    {"seed": 2, "images": 300, "dim": 8, "classes": 5, "apart": 0},
    {"seed": 3, "images": 300, "dim": 16, "classes": 40, "apart": 80},
]


def main():
    content = {
        "format": FORMAT,
        "versions": {name: version(name) for name in PACKAGES},
        "cases": [{**case, "expected": measure(**case)} for case in CASES],
    }
    TARGET.write_text(json.dumps(content, indent=1) + "\n")
    scipy.io.savemat(FOLDER / "cars_annos.mat", annotations(), do_compression=True, format="5")
    print(TARGET, TARGET.stat().st_size, "bytes")


def measure(seed, images, dim, classes, apart):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    centres = rng.standard_normal((classes, dim), dtype=np.float32)
    vectors = centres[labels] + rng.standard_normal((images, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, truth = torch.from_numpy(vectors), torch.from_numpy(labels)
    found = {}
    for name in NAMES:
        k = None if name == "mean_average_precision" else "max_bin_count"
        calculator = AccuracyCalculator(include=(name,), k=k, device=torch.device("cpu"))
        if apart:
            values = calculator.get_accuracy(
                rows[:apart], truth[:apart], rows[apart:], truth[apart:]
            )
        else:
            values = calculator.get_accuracy(rows, truth)
        found[name] = float(values[name])
    return found


def annotations():
    """Seven cars of the classes 1, 98, 99, 99, 100, 196 and 196."""
    fields = ("relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test")
    rows = np.zeros((1, 7), [(field, "O") for field in fields])
    for i, number in enumerate((1, 98, 99, 99, 100, 196, 196)):
        corners = (np.uint16(10 + i), np.uint16(7), np.uint16(365), np.uint16(210))
        rows[0, i] = (f"car_ims/{i + 1:06d}.jpg", *corners, np.uint8(number), np.uint8(i % 2))
    names = np.array([["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]], object)
    return {"annotations": rows, "class_names": names}


if __name__ == "__main__":
    main()
