"""Learning rates: over the steps, and of which parameters."""

import math
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest

from dinoseek.errors import UsageError

from ..vit.tiny import tiny_config, tiny_params

torch = pytest.importorskip("torch")

from dinoseek.encoders.torch_vit import TorchViT  # noqa: E402
from dinoseek.train.ema import Ema  # noqa: E402
from dinoseek.train.schedule import Schedule, parameter_groups  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_rate_rises_in_a_line_and_falls_as_half_a_cosine():
    schedule = Schedule(steps=100, warm_up=0.1)

    factors = [schedule.factor(step) for step in range(100)]

    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert factors[10] == pytest.approx(1)
    assert factors[99] == pytest.approx(0.01)
    middle = 0.01 + 0.99 * (1 + math.cos(math.pi * 44 / 89)) / 2
    assert factors[54] == pytest.approx(middle)
    assert all(a > b for a, b in pairwise(factors[10:]))
    assert schedule.factor(500) == pytest.approx(0.01)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_runs_have_rates_above_zero(steps):
    for warm_up in (0, 0.05, 0.5):
        schedule = Schedule(steps=steps, warm_up=warm_up)
        assert all(0 < schedule.factor(step) <= 1 for step in range(steps))


@pytest.mark.parametrize(
    "numbers", [{"steps": 0}, {"steps": 9, "warm_up": 1}, {"steps": 9, "warm_up": -0.1}]
)
def test_a_schedule_that_makes_no_sense_is_refused(numbers):
    with pytest.raises(UsageError, match=r"steps 0: .*one|warm_up .*: is a share"):
        Schedule(**numbers)


@pytest.fixture
def model():
    config = tiny_config(num_register_tokens=2)
    return TorchViT.of(tiny_params(config), config)


def settings_of(model, **changes):
    """The rate and decay of each parameter by name, those that are in no group left out."""
    usual = {"learning_rate": 0.1, "weight_decay": 0.5, "depth": model.config.depth}
    groups = parameter_groups(model, **usual | changes)
    found = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    return {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found}


def test_only_matrices_decay(model):
    found = settings_of(model)

    assert len(found) == len(list(model.parameters()))
    decaying = {name for name, (_, decay) in found.items() if decay}
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    expected = {f"blocks.{i}.{layer}.weight" for i in range(model.config.depth) for layer in layers}
    assert decaying == expected | {"patch_embed.proj.weight"}


def test_early_layers_learn_more_slowly(model):
    found = settings_of(model, layer_decay=0.5)

    depth = model.config.depth
    assert found["norm.weight"][0] == pytest.approx(0.1)
    for index in range(depth):
        rate = found[f"blocks.{index}.mlp.fc1.weight"][0]
        assert rate == pytest.approx(0.1 * 0.5 ** (depth - 1 - index))
    for name in ("cls_token", "pos_embed", "register_tokens", "patch_embed.proj.bias"):
        assert found[name][0] == pytest.approx(0.1 * 0.5**depth)


def test_what_is_frozen_is_in_no_group_and_proxies_learn_faster(model):
    model.requires_grad_(False)
    model.blocks[0].mlp.fc1.weight.requires_grad_()
    proxies = torch.nn.Parameter(torch.zeros(3, 4))

    groups = parameter_groups(
        model, learning_rate=0.1, weight_decay=0.5, depth=model.config.depth, added=[proxies]
    )

    assert [len(group["params"]) for group in groups] == [1, 1]
    assert groups[1]["params"][0] is proxies
    assert (groups[1]["lr"], groups[1]["weight_decay"]) == (pytest.approx(1.0), 0)


def test_matrices_of_lora_do_not_decay():
    adapted = torch.nn.Module()
    adapted.lora_A = torch.nn.Linear(4, 2, bias=False)
    adapted.other = torch.nn.Linear(4, 2, bias=False)

    groups = parameter_groups(adapted, learning_rate=1, weight_decay=0.5, depth=2)

    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decays == {id(adapted.lora_A.weight): 0, id(adapted.other.weight): 0.5}


def test_the_mean_is_that_of_a_loop():
    layer = torch.nn.Linear(1, 1, bias=False)
    ema = Ema(layer, decay=0.9)
    expected = float(layer.weight.detach())

    for step in range(1, 30):
        with torch.no_grad():
            layer.weight.fill_(step**2)
        ema.update()
        decay = min(0.9, step / (step + 1))
        expected = decay * expected + (1 - decay) * step**2

    assert float(ema.means["weight"]) == pytest.approx(expected, rel=1e-5)


def test_the_first_steps_are_a_plain_mean():
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
    ema = Ema(layer, decay=0.999)

    for value in (2, 6):
        with torch.no_grad():
            layer.weight.fill_(value)
        ema.update()

    assert float(ema.means["weight"]) == pytest.approx((1 + 2 + 6) / 3)


def test_a_model_has_the_means_inside_and_its_own_parameters_afterwards():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    ema = Ema(layer, decay=0.5)
    own = layer.weight.detach().clone()
    ema.means["weight"].fill_(7)

    with suppress(KeyError), ema.applied():
        assert (layer.weight == 7).all()
        raise KeyError

    assert torch.equal(layer.weight, own)
    assert list(ema.means) == ["weight"]


def test_a_mean_goes_on_from_a_checkpoint():
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before, after = Ema(first, 0.9), Ema(second, 0.9)
    before.update()

    after.restore(before.state())

    assert after.steps == 1
    assert all(torch.equal(after.means[name], before.means[name]) for name in before.means)
    with pytest.raises(ValueError, match="other parameters"):
        Ema(torch.nn.Linear(2, 2, bias=False)).restore(before.state())


def test_a_decay_of_one_is_refused():
    with pytest.raises(ValueError, match=r"decay is 1.0, expected 0 to below 1"):
        Ema(torch.nn.Linear(1, 1), 1.0)
