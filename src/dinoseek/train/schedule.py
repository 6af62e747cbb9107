"""How fast what is learnt: the learning rate over the steps, and of which parameters."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from dinoseek.errors import UsageError

_ENDS_AT = 0.01  # of the learning rate
_PREFIXES = ("cls_token", "pos_embed", "register_tokens", "patch_embed")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A line up to the learning rate, then half a cosine down to a hundredth of it.

    `warm_up` is the share of all `steps` that the line takes. Raises UsageError train.schedule for
    numbers that make no sense.
    """

    steps: int
    warm_up: float = 0.05

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError("train.schedule", f"steps {self.steps}", "there must be one at least")
        if not 0 <= self.warm_up < 1:
            reason = "is a share of all steps, from 0 to below 1"
            raise UsageError("train.schedule", f"warm_up {self.warm_up}", reason)

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with in a step, counted from 0."""
        rising = round(self.steps * self.warm_up)
        if step < rising:
            return (step + 1) / rising
        done = (step - rising) / max(self.steps - 1 - rising, 1)
        cosine = (1 + math.cos(math.pi * min(done, 1.0))) / 2
        return _ENDS_AT + (1 - _ENDS_AT) * cosine


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    depth: int,
    layer_decay: float = 1.0,
    added: Iterable[nn.Parameter] = (),
    added_factor: float = 10.0,
) -> list[dict[str, Any]]:
    """What an optimizer takes: the model's parameters that are learnt, by rate and decay.

    Vectors (biases, norms, LayerScale, tokens, position embeddings) and LoRA's matrices have no
    weight decay. With `layer_decay` below 1 the block i of `depth` has that power of it which its
    distance from the end says, what comes before the blocks one more (Clark et al., 2020, arXiv
    2003.10555). `added` are a loss's proxies, at `added_factor` times the rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = learning_rate * layer_decay ** (depth - _layer_of(name, depth))
            decay = weight_decay if _decays(name, parameter) else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    if proxies := list(added):
        groups.setdefault((learning_rate * added_factor, 0.0), []).extend(proxies)
    return [
        {"params": params, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), params in groups.items()
    ]


def _layer_of(name: str, depth: int) -> int:
    """Blocks count from 1, what is before them is 0, what is after them as the last one."""
    parts = name.split(".")
    if "blocks" in parts:
        return 1 + int(parts[parts.index("blocks") + 1])
    return 0 if any(part in _PREFIXES for part in parts) else depth


def _decays(name: str, parameter: nn.Parameter) -> bool:
    is_token = any(
        part in ("cls_token", "pos_embed", "register_tokens") for part in name.split(".")
    )
    return parameter.ndim > 1 and not is_token and "lora_" not in name
