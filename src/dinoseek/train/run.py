"""A run in memory: the model, what it learns from, and how far it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from dinoseek.errors import UsageError
from dinoseek.images.preprocess import find_preset
from dinoseek.train import checkpoint, gather
from dinoseek.train.config import Precision, TrainConfig, refused
from dinoseek.train.data.loader import Loader
from dinoseek.train.data.records import Records
from dinoseek.train.data.sampler import Sampler
from dinoseek.train.ema import Ema
from dinoseek.train.folder import BEST
from dinoseek.train.losses.make import make_loss
from dinoseek.train.schedule import Schedule, parameter_groups
from dinoseek.train.tuned import Tuned, learnt, tuned_model
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params

Ids = NDArray[np.int64]

_MIXED: dict[Precision, str] = {"float32": "no", "bf16": "bf16", "fp16": "fp16"}
_ROUNDED = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
_PAIR_LOSSES = ("ntxent", "supcon", "infonce")


@dataclass(kw_only=True)
class Run:
    """Everything that changes while it learns."""

    config: TrainConfig
    train: Records
    accelerator: Any
    model: Tuned
    wrapped: Any
    loss: nn.Module
    optimizer: Any
    ema: Ema
    loader: Loader
    schedule: Schedule
    progress: checkpoint.Progress
    kinds: Ids | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.accelerator.is_main_process)

    @property
    def rounded(self) -> torch.dtype | None:
        """What embeddings are computed in when it is validated."""
        return _ROUNDED[self.config.precision]

    def group(self, kinds: Ids) -> None:
        """From the next epoch on, batches have classes of one of these kinds (n,)."""
        self.kinds = kinds
        self.loader.sampler = _sampler(self.config, self.train, self.accelerator, kinds.tolist())

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint keeps."""
        parts: dict[str, dict[str, Tensor]] = {
            "model": dict(learnt(self.model)),
            "loss": dict(self.loss.state_dict()),
            "mean": dict(self.ema.means),
            "optimizer": checkpoint.optimizer_tensors(self.optimizer),
        }
        if self.kinds is not None:
            parts["kinds"] = {"rows": torch.from_numpy(self.kinds)}
        return {
            f"{part}:{name}": each for part, found in parts.items() for name, each in found.items()
        }

    def numbers(self) -> dict[str, float]:
        """What else it keeps: how many steps the mean is over, and how gradients are scaled."""
        scaler = self.accelerator.scaler
        scale = {f"scaler {k}": v for k, v in scaler.state_dict().items()} if scaler else {}
        return {"mean steps": self.ema.steps, **scale}

    def restore(self, saved: checkpoint.Saved, path: Path) -> None:
        """Goes on from a checkpoint. WeightsError checkpoint.foreign for another model's."""
        checkpoint.restore(learnt(self.model), saved.part("model"), path)
        checkpoint.restore(self.loss.state_dict(), saved.part("loss"), path)
        checkpoint.restore(self.ema.means, saved.part("mean"), path)
        checkpoint.restore_optimizer(self.optimizer, saved.part("optimizer"))
        self.ema.steps = int(saved.numbers["mean steps"])
        if self.accelerator.scaler:
            state = {k.removeprefix("scaler "): v for k, v in saved.numbers.items()}
            self.accelerator.scaler.load_state_dict(
                {**state, "_growth_tracker": int(state["_growth_tracker"])}
            )
        if "rows" in (kinds := saved.part("kinds")):
            self.group(kinds["rows"].numpy())
        self.progress = saved.progress

    def restore_best(self) -> None:
        """Puts the weights of the best validation into the model; its own, where nothing was."""
        path = self.config.output_dir / BEST
        if path.exists():
            from_file = checkpoint.read_tensors(path)
            checkpoint.restore(learnt(self.model), from_file, path)


def make_run(
    config: TrainConfig,
    train: Records,
    params: Params,
    vit_config: ViTConfig,
) -> Run:
    """A run at its beginning. Raises UsageError for settings that do not fit data or model."""
    torch.manual_seed(config.seed)
    accelerator = _accelerator(config)
    model = tuned_model(params, vit_config, config)
    loss = _loss(config, train, model.dim)
    model.to(accelerator.device)
    loss.to(accelerator.device)
    groups = _groups(config, model, loss)
    wrapped, optimizer = accelerator.prepare(model, AdamW(groups))
    if config.compile:
        compiled: Any = torch.compile(model.vit.run)
        setattr(model.vit, "run", compiled)  # noqa: B010  a method, to mypy
    loader = _loader(config, train, accelerator)
    return Run(
        config=config,
        train=train,
        accelerator=accelerator,
        model=model,
        wrapped=wrapped,
        loss=loss,
        optimizer=optimizer,
        ema=Ema(model, config.ema_decay),
        loader=loader,
        schedule=Schedule(steps=config.epochs * len(loader.sampler), warm_up=config.warmup_ratio),
        progress=checkpoint.Progress(),
    )


def _groups(config: TrainConfig, model: Tuned, loss: nn.Module) -> list[dict[str, Any]]:
    return parameter_groups(
        model,
        learning_rate=config.rate,
        weight_decay=config.weight_decay,
        depth=model.vit.config.depth,
        layer_decay=config.layer_decay,
        added=loss.parameters(),
    )


def processes(config: TrainConfig) -> Any:
    """Accelerate's view of the processes that train together. UsageError train.device."""
    if config.device not in ("auto", "cpu", "cuda", "mps"):
        raise refused("device", f"is {config.device}, expected auto, cpu, cuda or mps")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(config.device, True):
        raise UsageError("train.device", config.device, "is not to be had here", fix="say auto")
    if not gather.is_shared():  # one process may make several runs, of different precision
        AcceleratorState._reset_state(reset_partial_state=True)
    return PartialState(cpu=config.device == "cpu")


def _accelerator(config: TrainConfig) -> Any:
    processes(config)
    return Accelerator(mixed_precision=_MIXED[config.precision], cpu=config.device == "cpu")


def _loss(config: TrainConfig, train: Records, dim: int) -> nn.Module:
    names = [part.rpartition("*")[2].strip() for part in config.loss.split("+")]
    options = {name: dict(values) for name, values in config.loss_options.items()}
    if config.temperature is not None:
        warm = [name for name in names if name in _PAIR_LOSSES]
        if not warm:
            raise refused("temperature", f"is no option of {config.loss}")
        for name in warm:
            if "temperature" in options.get(name, {}):
                raise refused("temperature", f"is given for {name} in loss_options, too")
            options[name] = {**options.get(name, {}), "temperature": config.temperature}
    if "infonce" in names and config.images_per_class != 2:
        raise refused("images_per_class", "must be 2 for infonce: a query and its positive")
    if "infonce" in names and train.negatives:
        raise refused("loss", "is infonce, which takes no negatives of a file", "use ntxent")
    if "infonce" in names and gather.is_shared():
        raise refused("loss", "is infonce, which only one process can train with", "use ntxent")
    return make_loss(
        config.loss,
        classes=len(set(train.labels)),
        dim=dim,
        options=options,
        matryoshka=config.matryoshka_dims,
    )


def _loader(config: TrainConfig, train: Records, accelerator: Any) -> Loader:
    return Loader(
        train,
        _sampler(config, train, accelerator, train.super_labels),
        config.augmentation(),
        seed=config.seed,
        workers=config.num_workers,
        pin=accelerator.device.type == "cuda",
        extra=_negatives(train, config.classes_per_batch) if train.negatives else None,
    )


def _sampler(
    config: TrainConfig, train: Records, accelerator: Any, kinds: Sequence[object] | None
) -> Sampler:
    return Sampler(
        labels=train.labels,
        classes_per_batch=config.classes_per_batch,
        images_per_class=config.images_per_class,
        super_labels=kinds,
        super_share=config.super_share,
        seed=config.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )


def _negatives(train: Records, count: int) -> Callable[[Ids, np.random.Generator], Ids]:
    """Draws as many negatives of a batch's rows; of any rows where these have none."""
    everything = np.array(sorted({row for rows in train.negatives.values() for row in rows}))

    def draw(rows: Ids, rng: np.random.Generator) -> Ids:
        own = [each for row in rows.tolist() for each in train.negatives.get(row, ())]
        return rng.choice(np.array(own) if own else everything, count)

    return draw


def preset_of(config: TrainConfig) -> Any:
    """How pictures are prepared for searches; UsageError for one that keeps their ratio."""
    preset = find_preset(config.preprocess)
    if preset.layout == "patches":
        reason = f"is {config.preprocess}, whose pictures have different sizes"
        raise refused("preprocess", reason, "use official, cover or squash, as in official@224")
    return preset
