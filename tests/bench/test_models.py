"""Which weights are measured."""

import pytest

from dinoseek.bench import models
from dinoseek.bench.models import find_models
from dinoseek.errors import MachineError, UsageError
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.hub import KNOWN
from dinoseek.weights.load import load_params
from dinoseek.weights.save import save_params

TINY = ViTConfig(embed_dim=16, depth=1, num_heads=2, hidden_dim=32, grid=4)


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    """No models on this machine, and random ones that are small."""
    import dataclasses

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    small = dataclasses.replace(KNOWN["dinov2-small-reg"], config=TINY)
    monkeypatch.setattr(models, "find_model", lambda _name: small)


@pytest.mark.parametrize(
    "config",
    [TINY, ViTConfig(embed_dim=16, depth=1, num_heads=2, hidden_dim=24, grid=4, swiglu=True,
                     num_register_tokens=4)],
)  # fmt: skip
def test_random_weights_are_a_model_that_loads(tmp_path, config) -> None:
    path = tmp_path / "random.safetensors"
    save_params(path, models.random_params(config), config)

    params, found = load_params(path)

    assert found == config
    assert len(params["blocks"]) == config.depth


def test_a_shape_with_random_weights_needs_no_files(tmp_path) -> None:
    (model,) = find_models(["small-reg"], tmp_path, random=True, models_dir=tmp_path / "none")

    assert (model.is_random, model.config) == (True, TINY)
    assert load_params(model.path)[1] == TINY


def test_without_a_name_the_users_model_is_taken(tmp_path) -> None:
    save_params(tmp_path / "dinov2-base.safetensors", models.random_params(TINY), TINY)

    (model,) = find_models([], tmp_path, models_dir=tmp_path)

    assert (model.name, model.is_random) == ("dinov2-base", False)


def test_where_there_is_no_model_random_weights_are(tmp_path) -> None:
    (model,) = find_models([], tmp_path, models_dir=tmp_path / "none")

    assert model.is_random


def test_a_model_that_is_not_here_is_not_replaced_by_random_weights(tmp_path) -> None:
    with pytest.raises(MachineError) as caught:
        find_models(["dinov2-large"], tmp_path, models_dir=tmp_path)
    assert caught.value.code == "weights.missing"


def test_a_file_has_its_own_shape_and_no_random_one(tmp_path) -> None:
    path = tmp_path / "mine.safetensors"
    save_params(path, models.random_params(TINY), TINY)

    (model,) = find_models([str(path)], tmp_path)
    assert (model.name, model.config) == ("mine", TINY)

    with pytest.raises(UsageError) as caught:
        find_models([str(path)], tmp_path, random=True)
    assert caught.value.code == "bench.random"
