"""Published numbers, where the official weights and the data are on this machine.

    DINOSEEK_ROXFORD=/data/roxford5k DINOSEEK_SOP=/data/Stanford_Online_Products pytest -m weights

docs/evaluation.md has the sources and why the tolerances are what they are.
"""

import json
import os
from pathlib import Path

import pytest

from dinoseek.cli.main import run
from dinoseek.weights.hub import find_weights

FOLDERS = {"roxford5k": os.environ.get("DINOSEEK_ROXFORD"), "sop": os.environ.get("DINOSEEK_SOP")}
MODELS = os.environ.get("DINOSEEK_MODELS_DIR")

# model, preprocessing, metric, lowest and highest in percent
OXFORD = [
    ("dinov2-large-reg", "thumbnail-squash", "mAP medium", 78.1, 80.6),
    ("dinov2-large-reg", "thumbnail-squash", "mAP hard", 57.2, 60.5),
    ("dinov2-small", "official", "mAP hard", 41.7, 44.7),
    ("dinov2-small-reg", "official", "mAP hard", 38.0, 41.0),
    ("dinov2-base", "official", "mAP hard", 48.0, 51.0),
    ("dinov2-base-reg", "official", "mAP hard", 49.5, 52.5),
    ("dinov2-large", "official", "mAP hard", 52.5, 55.5),
    ("dinov2-large-reg", "official", "mAP hard", 54.2, 57.2),
    ("dinov2-giant", "official", "mAP hard", 50.8, 53.8),
    ("dinov2-giant-reg", "official", "mAP hard", 56.7, 59.7),
]
PRODUCTS = [
    ("dinov2-base", "official", "recall@1", 54.7, 55.3),
    ("dinov2-base", "cover", "recall@1", 56.2, 56.8),
]


@pytest.fixture
def measure(capfd):
    def call(name, model, preprocess, metric, *more):
        folder = FOLDERS[name]
        if not folder or not Path(folder).is_dir():
            pytest.skip(f"set DINOSEEK_{'SOP' if name == 'sop' else 'ROXFORD'} to the data set")
        if find_weights(model, MODELS) is None:
            pytest.skip(f"the official weights of {model} are not here")
        capfd.readouterr()
        asked = ["evaluate", name, "--data", folder, "--model", model, "--preprocess", preprocess]
        asked += ["--models-dir", MODELS] if MODELS else []
        assert run([*asked, "--json", *more]) == 0
        found = json.loads(capfd.readouterr().out)["metrics"]
        return next(100 * each["value"] for each in found if each["metric"] == metric)

    return call


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize(("model", "preprocess", "metric", "low", "high"), OXFORD)
def test_revisited_oxford_is_as_published(measure, model, preprocess, metric, low, high):
    found = measure("roxford5k", model, preprocess, metric, "--protocol", "dino-nocrop")
    assert low <= found <= high


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize(("model", "preprocess", "metric", "low", "high"), PRODUCTS)
def test_online_products_without_training_are_as_published(
    measure, model, preprocess, metric, low, high
):
    assert low <= measure("sop", model, preprocess, metric) <= high
