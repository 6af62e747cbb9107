"""What distilling is asked to do: the student's shape, and how it learns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dinoseek.errors import UsageError
from dinoseek.images.geometry import GRID, PATCH
from dinoseek.train.data.augment import Augmentation
from dinoseek.train.schedule import Schedule
from dinoseek.vit.config import ViTConfig

Precision = Literal["float32", "bf16"]

_MLP_RATIO = 4  # of its width to the model's, as in all ViTs of DINOv2 without SwiGLU
_MAX_DIM, _MAX_DEPTH, _MAX_VIEWS = 4096, 64, 1000


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """One run. UsageError distill.config for numbers that make no sense.

    The student has `embed_dim`, `depth` and `num_heads`, and sees `size` pixels a side. The teacher
    sees `views` variations of each picture, which are cut out of `crop_area` (least and most) of
    it. `structure` is the weight of in-batch similarities in the loss, beside 1 for the embeddings
    themselves, and `temperature` how much the nearest of them count. `held_out` is the share of the
    pictures that it is chosen by.
    """

    output_dir: Path
    embed_dim: int = 192
    depth: int = 6
    num_heads: int = 3
    size: int = 112

    views: int = 4
    crop_area: tuple[float, float] = (0.25, 1.0)
    structure: float = 1.0
    temperature: float = 0.05
    held_out: float = 0.05

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 0.05
    warmup_ratio: float = 0.05
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999

    precision: Precision = "float32"
    device: str = "auto"
    num_workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (is_sound, expected) in _sound(self).items():
            if not is_sound:
                flag = f"--{name.replace('_', '-')}"
                reason = f"is {getattr(self, name)!r}, expected {expected}"
                raise UsageError("distill.config", flag, reason, fix="see train distill --help")
        self.augmentation(self.size)
        Schedule(steps=1, warm_up=self.warmup_ratio)

    @property
    def student(self) -> ViTConfig:
        """The student's shape; its position grid is that of the pictures it learns from."""
        return ViTConfig(
            embed_dim=self.embed_dim,
            depth=self.depth,
            num_heads=self.num_heads,
            hidden_dim=_MLP_RATIO * self.embed_dim,
            grid=self.size // PATCH,
        )

    def augmentation(self, size: int) -> Augmentation:
        """How a picture becomes a view of `size` pixels; the same part of it at every size."""
        return Augmentation(size=size, area=self.crop_area, erasing=0)

    def as_dict(self) -> Mapping[str, Any]:
        """Every setting with its value, as YAML and JSON have them."""
        plain = {"output_dir": str(self.output_dir), "crop_area": list(self.crop_area)}
        return {**asdict(self), **plain}


def _sound(config: DistillConfig) -> dict[str, tuple[bool, str]]:
    """Whether each value makes sense, and what would."""
    heads, size, area = config.num_heads, config.size, config.crop_area
    return {
        "embed_dim": (1 <= config.embed_dim <= _MAX_DIM, f"1 to {_MAX_DIM}"),
        "depth": (1 <= config.depth <= _MAX_DEPTH, f"1 to {_MAX_DEPTH}"),
        "num_heads": (heads >= 1 and config.embed_dim % heads == 0, "a divisor of embed_dim"),
        "size": (_is_size(size), f"a multiple of {PATCH} up to {GRID * PATCH}"),
        "views": (1 <= config.views <= _MAX_VIEWS, f"1 to {_MAX_VIEWS}"),
        "crop_area": (0 < area[0] <= area[1] <= 1, "two shares, the smaller one first"),
        "structure": (0 <= config.structure <= 1000, "a weight from 0"),
        "temperature": (0 < config.temperature <= 10, "a number above 0, up to 10"),
        "held_out": (0 < config.held_out < 1, "a share between 0 and 1"),
        "epochs": (config.epochs >= 1, "one or more"),
        "batch_size": (config.batch_size >= 2, "two or more"),
        "learning_rate": (0 < config.learning_rate <= 1, "a number above 0, up to 1"),
        "weight_decay": (0 <= config.weight_decay < 1, "a number from 0 to below 1"),
        "max_grad_norm": (config.max_grad_norm >= 0, "a length, 0 for no limit"),
        "ema_decay": (0 <= config.ema_decay < 1, "a share from 0 to below 1"),
        "precision": (config.precision in ("float32", "bf16"), "float32 or bf16"),
        "device": (config.device in ("auto", "cpu", "cuda", "mps"), "auto, cpu, cuda or mps"),
        "num_workers": (0 <= config.num_workers <= 256, "0 to 256"),
        "seed": (0 <= config.seed < 2**32, "a whole number from 0"),
    }


def _is_size(size: int) -> bool:
    return PATCH <= size <= GRID * PATCH and size % PATCH == 0
