"""The student: a small ViT with random weights, and all that changes while it learns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from dinoseek.encoders.torch_encoder import usual_device
from dinoseek.encoders.torch_vit import TorchViT
from dinoseek.errors import UsageError
from dinoseek.train import checkpoint
from dinoseek.train.distill.config import DistillConfig
from dinoseek.train.ema import Ema
from dinoseek.train.schedule import Schedule, parameter_groups
from dinoseek.train.tuned import Tuned, learnt
from dinoseek.vit.config import ViTConfig

_STD = 0.02  # of random weights (Dosovitskiy et al., 2021, as in timm and DINOv2)


@dataclass(kw_only=True)
class Student:
    """A model that learns."""

    config: DistillConfig
    model: Tuned
    optimizer: Any
    ema: Ema
    schedule: Schedule
    progress: checkpoint.Progress

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return next(self.model.parameters()).device

    @property
    def rounded(self) -> torch.dtype | None:
        """What products are computed in, None for float32."""
        return torch.bfloat16 if self.config.precision == "bf16" else None

    @contextmanager
    def rounding(self) -> Iterator[None]:
        """Products within are computed in `rounded`."""
        enabled = self.rounded is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            yield

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint keeps."""
        parts = {
            "model": dict(learnt(self.model)),
            "mean": self.ema.means,
            "optimizer": checkpoint.optimizer_tensors(self.optimizer),
        }
        return {
            f"{part}:{name}": each for part, found in parts.items() for name, each in found.items()
        }

    def restore(self, saved: checkpoint.Saved, path: Path) -> None:
        """Goes on from a checkpoint. WeightsError checkpoint.foreign for another model's."""
        checkpoint.restore(learnt(self.model), saved.part("model"), path)
        checkpoint.restore(self.ema.means, saved.part("mean"), path)
        checkpoint.restore_optimizer(self.optimizer, saved.part("optimizer"))
        self.ema.steps = int(saved.numbers["mean steps"])
        self.progress = saved.progress


def make_student(config: DistillConfig, steps: int) -> Student:
    """A student at its beginning, for so many steps. UsageError train.device for none of that."""
    torch.manual_seed(config.seed)
    model = Tuned(new_vit(config.student)).to(_device(config.device))
    groups = parameter_groups(
        model,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        depth=config.depth,
    )
    return Student(
        config=config,
        model=model,
        optimizer=AdamW(groups),
        ema=Ema(model, config.ema_decay),
        schedule=Schedule(steps=steps, warm_up=config.warmup_ratio),
        progress=checkpoint.Progress(),
    )


def new_vit(config: ViTConfig) -> TorchViT:
    """A ViT with random weights, of PyTorch's generator.

    LayerScale is 1: with DINOv2's 1e-5 small models learn nothing for a long time.
    """
    vit = TorchViT(config)
    for name, parameter in vit.named_parameters():
        if name in ("cls_token", "pos_embed", "register_tokens") or _is_matrix(name, parameter):
            nn.init.trunc_normal_(parameter, std=_STD)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return vit


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return name.endswith("weight") and parameter.ndim > 1


def _device(name: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name, True):
        raise UsageError("train.device", name, "is not to be had here", fix="say auto")
    return torch.device(usual_device() if name == "auto" else name)
