"""The model that is trained: TorchViT with LoRA beside its layers, or with its own weights free.

LoRA is peft's. So that q, k and v can be adapted each by itself, as Hu et al. (2021) do, and an
adapter fits models that keep them apart, a model that is trained has them as layers of their own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  as everybody calls it
from torch.utils.checkpoint import checkpoint

from dinoseek.encoders.torch_vit import TorchViT
from dinoseek.images.preprocess import MEAN, STD
from dinoseek.train.adapter import Adapter, Low
from dinoseek.train.config import TrainConfig, refused
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array, Params
from dinoseek.weights.naming import nest

_RSLORA_ABOVE = 32  # alpha / r lets large ranks learn too little (Kalajdzievski, 2023)
_FIRST = ("cls_token", "pos_embed", "register_tokens", "patch_embed.")
_PLACES = {"qkv": "attn.qkv", "q": "attn.qkv.q", "k": "attn.qkv.k", "v": "attn.qkv.v",
           "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2", "w12": "mlp.w12",
           "w3": "mlp.w3"}  # fmt: skip
_SWIGLU = {"fc1": "w12", "fc2": "w3"}


class Tuned(nn.Module):
    """Bytes of pictures (b, H, W, 3) to embeddings (b, d), not yet of unit length.

    With a head they are its product with unit class tokens, as wide as it is.
    """

    def __init__(self, vit: TorchViT, projection_dim: int | None = None) -> None:
        super().__init__()
        self.vit = vit
        self.head = _head(vit.config.embed_dim, projection_dim) if projection_dim else None
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @property
    def dim(self) -> int:
        """How wide embeddings are."""
        return self.vit.config.embed_dim if self.head is None else int(self.head.out_features)

    @property
    def rslora(self) -> bool:
        """Whether LoRA's products are scaled by alpha / sqrt(r), rather than alpha / r."""
        return any(layer.use_rslora["default"] for layer in lora_layers(self.vit).values())

    def forward(self, pictures: Tensor) -> Tensor:
        pixels = (pictures.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        tokens: Tensor = self.vit.class_tokens(pixels)
        return tokens if self.head is None else self.head(F.normalize(tokens.float(), dim=1))


def _head(dim: int, projection_dim: int) -> nn.Linear:
    head = nn.Linear(dim, projection_dim, bias=False)
    nn.init.orthogonal_(head.weight)  # keeps the cosines that there are, as far as it can
    return head


class SplitQkv(nn.Module):
    """The same as one Linear for q, k and v, as three."""

    def __init__(self, qkv: nn.Linear) -> None:
        super().__init__()
        d = qkv.in_features
        for place, name in enumerate("qkv"):
            part = nn.Linear(d, d)
            rows = slice(place * d, (place + 1) * d)
            part.weight = nn.Parameter(qkv.weight.detach()[rows].clone())
            part.bias = nn.Parameter(qkv.bias.detach()[rows].clone())
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)  # 3 x (b, n, d) -> (b, n, 3 d)


def tuned_model(params: Params, config: ViTConfig, asked: TrainConfig) -> Tuned:
    """The model with what is to be learnt free, and all else fixed.

    Raises UsageError train.config for what does not fit it, such as a rank above its width.
    """
    vit = TorchViT.of(params, config)
    vit.requires_grad_(asked.method == "full")
    model = Tuned(vit, asked.projection_dim)
    if asked.method == "lora":
        _add_lora(vit, asked)
    if asked.method == "head" and model.head is None:
        raise refused("method", "is head, but there is none", "say projection_dim: 128")
    if asked.frozen_blocks > (config.depth if asked.method == "full" else 0):
        reason = f"is {asked.frozen_blocks}, of {config.depth} blocks and method {asked.method}"
        raise refused("frozen_blocks", reason, "it is for method full")
    _freeze(vit, asked.frozen_blocks)
    if asked.gradient_checkpointing:
        _checkpoint_blocks(vit)
    return model


def _add_lora(vit: TorchViT, asked: TrainConfig) -> None:
    targets = _targets(vit.config, asked.lora_target_modules)
    if asked.lora_r > vit.config.embed_dim:
        reason = f"is {asked.lora_r}, but the model is only {vit.config.embed_dim} wide"
        raise refused("lora_r", reason)
    if {"q", "k", "v"} & set(asked.lora_target_modules):
        for block in vit.blocks:
            block.attn.qkv = SplitQkv(block.attn.qkv)
    places = "|".join(re.escape(_PLACES[name]) for name in targets)
    inject_adapter_in_model(
        LoraConfig(
            r=asked.lora_r,
            lora_alpha=asked.alpha,
            lora_dropout=asked.lora_dropout,
            use_rslora=asked.lora_r > _RSLORA_ABOVE,
            target_modules=rf"blocks\.\d+\.({places})",
        ),
        vit,
    )


def _targets(config: ViTConfig, names: Sequence[str]) -> list[str]:
    """The layers by the names that the model has; the others' are refused."""
    if config.swiglu:
        return list(dict.fromkeys(_SWIGLU.get(name, name) for name in names))
    foreign = set(names) & set(_SWIGLU.values())
    if foreign:
        raise refused("lora_target_modules", f"has {foreign.pop()}, which only the giant has")
    return list(names)


def _freeze(vit: TorchViT, blocks: int) -> None:
    """Fixes what comes before the blocks, and the first of them; nothing for 0."""
    if not blocks:
        return
    for name, parameter in vit.named_parameters():
        if name.startswith(_FIRST):
            parameter.requires_grad_(False)
    vit.blocks[:blocks].requires_grad_(False)


def _checkpoint_blocks(vit: TorchViT) -> None:
    """Each block is computed again on the way back, so that little of it need be kept."""
    for block in vit.blocks:
        inner = block.forward
        block.forward = _again(inner)


def _again(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(x: Tensor, wanted: int | None = None) -> Tensor:
        if not torch.is_grad_enabled():
            return forward(x, wanted)
        # Frozen pixels have no gradient, LoRA inside the block has: hence not the reentrant kind.
        found: Tensor = checkpoint(forward, x, wanted, use_reentrant=False)
        return found

    return run


def learnt(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are learnt, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many parameters are learnt, and how many there are."""

    learnt: int
    all: int


def counts(model: nn.Module) -> Counts:
    """The numbers of parameters of a model."""
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    return Counts(learnt=sum(n for n, free in sizes if free), all=sum(n for n, _ in sizes))


def merged_params(model: Tuned) -> Params:
    """The model's parameters as `load_params` gives them, with what LoRA adds in the weights."""
    found: dict[str, Array] = {}
    for name, value in _plain_state(model.vit).items():
        found[name] = value.detach().float().cpu().numpy().copy()
    return nest(found)


def _plain_state(vit: TorchViT) -> dict[str, Tensor]:
    """State under Facebook's names: without LoRA's own tensors, q, k and v in one."""
    state: dict[str, Tensor] = {}
    for name, value in vit.state_dict().items():
        if ".lora_" not in name:
            state[name.replace(".base_layer.", ".")] = value
    for name, layer in lora_layers(vit).items():
        state[f"{name}.weight"] = state[f"{name}.weight"] + layer.get_delta_weight("default")
    for name in [each for each in state if ".qkv.q." in each]:
        parts = [state.pop(name.replace(".qkv.q.", f".qkv.{part}.")) for part in "qkv"]
        state[name.replace(".qkv.q.", ".qkv.")] = torch.cat(parts)
    return state


def lora_layers(vit: TorchViT) -> dict[str, Any]:
    """The layers that LoRA adapts, by name."""
    return {name: each for name, each in vit.named_modules() if isinstance(each, LoraLayer)}


def adapter_of(model: Tuned, alpha: float) -> Adapter:
    """What LoRA has learnt, as others read it."""
    layers = lora_layers(model.vit)
    lows = [_low(name, layer) for name, layer in layers.items()]
    rank = next(iter(layers.values())).r["default"]
    return Adapter(rank=rank, alpha=alpha, rslora=model.rslora, lows=lows)


def _low(name: str, layer: Any) -> Low:
    pair = (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
    a, b = (each.detach().float().cpu().numpy().copy() for each in pair)
    scale = layer.scaling["default"]
    whole, _, part = name.rpartition(".")
    if whole.endswith(".qkv"):
        return Low(layer=whole, part="qkv".index(part), parts=3, a=a, b=b, scale=scale)
    return Low(layer=name, part=0, parts=1, a=a, b=b, scale=scale)
