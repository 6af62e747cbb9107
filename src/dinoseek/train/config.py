"""What a training run is asked to do: one frozen value, whose fields are the keys of its YAML file.

Keys have the names that vembed-factory and Hugging Face use for the same things.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from dinoseek.errors import UsageError
from dinoseek.images.preprocess import find_preset
from dinoseek.train.data.augment import Augmentation
from dinoseek.train.schedule import Schedule

Method = Literal["lora", "full", "head"]
Precision = Literal["float32", "bf16", "fp16"]
Tracker = Literal["tensorboard", "wandb"]

TARGETS = ("q", "k", "v", "proj", "fc1", "fc2")  # of LoRA; w12 and w3 stand for fc1 and fc2
_KNOWN_TARGETS = (*TARGETS, "qkv", "w12", "w3")
_RATES: Mapping[Method, float] = {"lora": 2e-4, "full": 2e-5, "head": 1e-3}
_MAX_RATE = 1.0
_MAX_RANK = 1024


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run; docs/training.md says what each key does. UsageError train.config for nonsense.

    `batch_size` images are of batch_size / `images_per_class` classes, in each process.
    `gradient_cache` is how many of them go through the model at once, 0 for all; `hard_negatives`
    groups classes after each epoch by what the model takes for the same.
    """

    data: Path
    output_dir: Path
    model: str = "dinov2-small"
    image_root: Path | None = None
    val_data: Path | None = None
    val_share: float = 0.1

    method: Method = "lora"
    lora_r: int = 16
    lora_alpha: float | None = None
    lora_dropout: float = 0.0
    lora_target_modules: tuple[str, ...] = TARGETS
    frozen_blocks: int = 0
    projection_dim: int | None = None

    loss: str = "ntxent"
    temperature: float | None = None
    loss_options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    matryoshka_dims: tuple[int, ...] = ()

    batch_size: int = 128
    images_per_class: int = 4
    super_share: float = 0.5
    hard_negatives: bool = False
    gradient_cache: int = 0

    epochs: int = 20
    learning_rate: float | None = None
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    warmup_ratio: float = 0.05
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    patience: int = 5

    preprocess: str = "official"
    crop_area: tuple[float, float] = (0.2, 1.0)
    crop_ratio: float = 0.75
    flip: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    erasing: float = 0.1

    precision: Precision = "float32"
    gradient_checkpointing: bool = False
    compile: bool = False
    device: str = "auto"
    num_workers: int = 2
    eval_batch_size: int = 64

    save_steps: int = 0
    logging_steps: int = 1
    report_to: tuple[Tracker, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (is_sound, expected) in _sound(self).items():
            if not is_sound:
                value = getattr(self, name)
                raise refused(name, f"is {value!r}, expected {expected}")
        find_preset(self.preprocess)
        self.augmentation()
        Schedule(steps=1, warm_up=self.warmup_ratio)

    @property
    def classes_per_batch(self) -> int:
        return self.batch_size // self.images_per_class

    @property
    def rate(self) -> float:
        """The learning rate: what was said, or what is usual for the method."""
        return _RATES[self.method] if self.learning_rate is None else self.learning_rate

    @property
    def alpha(self) -> float:
        """LoRA's alpha: what was said, or twice the rank."""
        return 2.0 * self.lora_r if self.lora_alpha is None else self.lora_alpha

    def augmentation(self) -> Augmentation:
        """How pictures are varied."""
        return Augmentation(
            size=find_preset(self.preprocess).size,
            area=self.crop_area,
            ratio=self.crop_ratio,
            flip=self.flip,
            brightness=self.brightness,
            contrast=self.contrast,
            erasing=self.erasing,
        )

    def as_dict(self) -> dict[str, Any]:
        """Every key with its value, as YAML and JSON have them."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def refused(name: str, reason: str, fix: str = "") -> UsageError:
    """The error for a key of the configuration."""
    return UsageError("train.config", name, reason, fix=fix or "docs/training.md has all keys")


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case _:
            return value


def _sound(config: TrainConfig) -> dict[str, tuple[bool, str]]:
    """Whether each value makes sense, and what would."""
    targets = config.lora_target_modules
    return {
        "method": _one_of(config.method, get_args(Method)),
        "precision": _one_of(config.precision, get_args(Precision)),
        "report_to": (set(config.report_to) <= set(get_args(Tracker)), "tensorboard or wandb"),
        "val_share": (0 < config.val_share < 1, "a share between 0 and 1"),
        "lora_r": (1 <= config.lora_r <= _MAX_RANK, f"a rank from 1 to {_MAX_RANK}"),
        "lora_alpha": (config.alpha > 0, "a positive number"),
        "lora_dropout": (0 <= config.lora_dropout < 1, "a share from 0 to below 1"),
        "lora_target_modules": (_sound_targets(targets), f"some of {', '.join(_KNOWN_TARGETS)}"),
        "frozen_blocks": (config.frozen_blocks >= 0, "a number of blocks"),
        "projection_dim": (_at_least(config.projection_dim, 1), "a width, or nothing"),
        "temperature": (_positive(config.temperature), "a positive number"),
        "images_per_class": (config.images_per_class >= 2, "two or more"),
        "batch_size": (_sound_batch(config), "a multiple of images_per_class, at least twice it"),
        "super_share": (0 <= config.super_share <= 1, "a share from 0 to 1"),
        "gradient_cache": (config.gradient_cache >= 0, "a number of images, 0 for none"),
        "epochs": (config.epochs >= 1, "one or more"),
        "learning_rate": (_sound_rate(config), f"a number above 0, up to {_MAX_RATE:g}"),
        "weight_decay": (0 <= config.weight_decay < 1, "a number from 0 to below 1"),
        "layer_decay": (0 < config.layer_decay <= 1, "a number above 0, up to 1"),
        "max_grad_norm": (config.max_grad_norm >= 0, "a length, 0 for no limit"),
        "ema_decay": (0 <= config.ema_decay < 1, "a share from 0 to below 1"),
        "patience": (config.patience >= 0, "a number of epochs, 0 for all"),
        "num_workers": (0 <= config.num_workers <= 256, "0 to 256"),
        "eval_batch_size": (config.eval_batch_size >= 1, "one or more"),
        "save_steps": (config.save_steps >= 0, "a number of steps, 0 for once an epoch"),
        "logging_steps": (config.logging_steps >= 1, "one or more"),
        "seed": (0 <= config.seed < 2**32, "a whole number from 0"),
    }


def _one_of(value: str, known: Sequence[str]) -> tuple[bool, str]:
    return value in known, f"one of {', '.join(known)}"


def _at_least(value: int | None, least: int) -> bool:
    return value is None or value >= least


def _positive(value: float | None) -> bool:
    return value is None or value > 0


def _sound_rate(config: TrainConfig) -> bool:
    return config.learning_rate is None or 0 < config.learning_rate <= _MAX_RATE


def _sound_targets(targets: Sequence[str]) -> bool:
    """Each known, none twice, and not qkv as a whole beside its parts."""
    fused = "qkv" in targets and bool({"q", "k", "v"} & set(targets))
    known = set(targets) <= set(_KNOWN_TARGETS)
    return bool(targets) and known and len(set(targets)) == len(targets) and not fused


def _sound_batch(config: TrainConfig) -> bool:
    each = max(config.images_per_class, 1)
    return config.batch_size % each == 0 and config.batch_size >= 2 * each
