"""The measures against pytorch-metric-learning's, which tools/make_metrics_golden.py wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from dinoseek.evaluation.metrics import measured
from dinoseek.evaluation.run import label_measures
from dinoseek.evaluation.scoring import score_vectors
from dinoseek.evaluation.truth import label_truth

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/metrics.json").read_text())
OURS = {
    "precision_at_1": "recall@1",
    "r_precision": "r-precision",
    "mean_average_precision_at_r": "map@r",
    "mean_average_precision": "map",
}


def test_the_golden_file_says_what_made_it():
    assert GOLDEN["format"] == 1, "run tools/make_metrics_golden.py"
    assert GOLDEN["versions"]["pytorch-metric-learning"]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['classes']} classes")
def test_measures_equal_those_of_pytorch_metric_learning(case):
    rng = np.random.default_rng(case["seed"])
    labels = rng.integers(0, case["classes"], case["images"])
    centres = rng.standard_normal((case["classes"], case["dim"]), dtype=np.float32)
    noise = rng.standard_normal((case["images"], case["dim"]), dtype=np.float32)
    vectors = centres[labels] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if cut := case["apart"]:
        truth = label_truth(labels[:cut], labels[cut:])
        found = score_vectors(vectors[:cut], vectors[cut:], truth)
    else:
        truth = label_truth(labels, labels, np.arange(len(labels)))
        found = score_vectors(vectors, vectors, truth)
    values, _, _ = measured(found, label_measures((1,)))
    for name, expected in case["expected"].items():
        assert abs(np.nanmean(values[OURS[name]]) - expected) <= 1e-12, name
