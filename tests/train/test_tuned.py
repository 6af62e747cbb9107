"""The model that is trained: how much of it learns, and that merging changes nothing."""

# ruff: noqa: E402  (imports that need what may not be here)

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from dinoseek.encoders.torch_vit import TorchViT
from dinoseek.errors import UsageError
from dinoseek.train.config import TrainConfig
from dinoseek.train.tuned import Tuned, counts, learnt, merged_params, tuned_model
from dinoseek.vit.config import SIZES, ViTConfig
from dinoseek.vit.model import forward
from dinoseek.weights.load import load_params
from dinoseek.weights.naming import flatten

pytestmark = pytest.mark.torch

ATTENTION = ("q", "k", "v", "proj")


def asked(**changes):
    return TrainConfig(data="data", output_dir="run", **changes)


def pictures(count=2, side=28):
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(0, 256, (count, side, side, 3), np.uint8))


@pytest.fixture
def model_of(random_model):
    def make(**changes):
        torch.manual_seed(0)
        return tuned_model(*load_params(random_model), asked(**{"lora_r": 4, **changes}))

    return make


def stirred(model):
    """The same with something learnt."""
    with torch.no_grad():
        for value in learnt(model).values():
            value.add_(0.1 * torch.randn_like(value))
    return model


@pytest.mark.parametrize(("size", "number"), [("small", 589_824), ("base", 1_179_648)])
def test_rank_16_on_q_k_v_and_proj_learns_what_the_literature_counts(size, number):
    config = SIZES[size]
    params = TorchViT(config).params()

    model = tuned_model(params, config, asked(lora_target_modules=ATTENTION))

    assert counts(model).learnt == number


def test_lora_changes_nothing_before_it_learns(model_of, random_model):
    base = Tuned(TorchViT.of(*load_params(random_model)))

    torch.testing.assert_close(model_of()(pictures()), base(pictures()), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{}, {"lora_target_modules": ("qkv", "fc1")}, {"lora_r": 32, "lora_alpha": 3.0},
     {"method": "full"}],
)  # fmt: skip
def test_merged_weights_give_what_the_model_gave_in_numpy_too(model_of, changes):
    model = stirred(model_of(**changes))
    model.eval()

    params, config = merged_params(model), model.vit.config

    with torch.no_grad():
        ours = model(pictures()).numpy()
    pixels = ((pictures().permute(0, 3, 1, 2) / 255 - model.mean) / model.std).numpy()
    np.testing.assert_allclose(forward(pixels, params, config).cls, ours, rtol=0, atol=5e-5)


def test_only_lora_learns(model_of):
    names = set(learnt(model_of()))

    assert names
    assert all(".lora_" in name for name in names)


def test_full_learns_everything_but_the_frozen_blocks(model_of):
    free = set(learnt(model_of(method="full", frozen_blocks=1)))

    assert free == {
        f"vit.{name}" for name in flatten(merged_params(model_of(method="full")))
        if name.startswith(("blocks.1.", "norm."))
    }  # fmt: skip


@pytest.mark.parametrize("method", ["lora", "full"])
def test_checkpointed_blocks_give_the_same_gradients(model_of, method):
    found = []
    for checkpointed in (False, True):
        model = stirred(model_of(method=method, gradient_checkpointing=checkpointed))
        model(pictures()).square().sum().backward()
        found.append({name: value.grad for name, value in learnt(model).items()})

    assert all(value is not None for value in found[0].values())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-5, atol=1e-6)


def test_a_head_begins_without_changing_cosines_when_it_is_as_wide(model_of):
    plain, headed = model_of(), model_of(projection_dim=32)

    unit = torch.nn.functional.normalize
    one, two = (unit(model(pictures(4)), dim=1) for model in (plain, headed))
    torch.testing.assert_close(one @ one.T, two @ two.T, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lora_r": 64}, "the model is only 32 wide"),
        ({"method": "head"}, "is head, but there is none"),
        ({"method": "full", "frozen_blocks": 3}, "of 2 blocks"),
        ({"frozen_blocks": 1}, "method lora"),
        ({"lora_target_modules": ("w12",)}, "which only the giant has"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(model_of, changes, told):
    with pytest.raises(UsageError, match=told):
        model_of(**changes)


def test_the_giants_mlp_is_adapted_under_its_own_names():
    config = ViTConfig(embed_dim=16, depth=1, num_heads=2, hidden_dim=24, swiglu=True, grid=2)
    model = tuned_model(TorchViT(config).params(), config, asked(lora_r=2))

    names = {name.split(".lora_")[0].rpartition(".")[2] for name in learnt(model)}

    assert names == {"q", "k", "v", "proj", "w12", "w3"}
