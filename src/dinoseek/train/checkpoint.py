"""All that a run needs to go on, in one safetensors file that is replaced at once.

The one before is kept until the next: a damaged file costs the steps since then and no more.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from dinoseek.errors import WeightsError
from dinoseek.weights.save import replacing

logger = logging.getLogger(__name__)

FORMAT = 1
NAME, BEFORE = "checkpoint.safetensors", "checkpoint-before.safetensors"
_KEY = "dinoseek.training"


@dataclass(kw_only=True)
class Progress:
    """How far a run is: steps done, the best validation so far, epochs without a better one.

    `validations` are (step, MAP@R, Recall@1). `is_over` once it has stopped by itself.
    """

    step: int = 0
    best_step: int = -1
    best_score: float = -1.0
    since_best: int = 0
    is_over: bool = False
    seconds: float = 0.0
    validations: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint: progress, what it was made from, and tensors by part and name."""

    progress: Progress
    made_from: Mapping[str, str]
    numbers: Mapping[str, float]
    tensors: Mapping[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part by their names in it."""
        start = f"{name}:"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def save(folder: Path, saved: Saved) -> None:
    """Writes a checkpoint; the last one is kept as the one before. MachineError if that fails."""
    path = folder / NAME
    text = json.dumps(
        {
            "format": FORMAT,
            "progress": asdict(saved.progress),
            "made_from": dict(saved.made_from),
            "numbers": dict(saved.numbers),
        }
    )
    tensors = {name: each.detach().cpu().contiguous() for name, each in saved.tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: text})
        if path.exists():
            path.replace(folder / BEFORE)


def load(folder: Path) -> Saved | None:
    """The latest checkpoint that can be read, None where there is none.

    Falls back, with a warning, to the one before; WeightsError checkpoint.corrupt if that is no
    good either: a run never begins again by itself.
    """
    files = [path for path in (folder / NAME, folder / BEFORE) if path.exists()]
    for path in files:
        try:
            return _load(path)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as exc:
            logger.warning("%s cannot be read (%s); the one before is taken", path, exc)
    if files:
        fix = "begin anew with --force, or in another output_dir"
        raise WeightsError("checkpoint.corrupt", files[0], "no checkpoint can be read", fix=fix)
    return None


def _load(path: Path) -> Saved:
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()[_KEY])
        if facts["format"] != FORMAT:
            raise ValueError(f"it is of format {facts['format']}")
        progress = Progress(**facts["progress"])
        progress.validations = [(int(s), float(m), float(r)) for s, m, r in progress.validations]
        return Saved(
            progress=progress,
            made_from=facts["made_from"],
            numbers=facts["numbers"],
            tensors={name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that a run wrote; WeightsError checkpoint.corrupt if it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as exc:
        fix = "begin anew with --force"
        raise WeightsError("checkpoint.corrupt", path, f"cannot be read ({exc})", fix=fix) from exc


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as tensors by "number of the parameter.name"."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave; the learning rates stay."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    whole = optimizer.state_dict()
    optimizer.load_state_dict({**whole, "state": state})


def restore(target: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fills tensors by name; WeightsError checkpoint.foreign for those of another model."""
    shapes = {name: tuple(each.shape) for name, each in tensors.items()}
    wanted = {name: tuple(each.shape) for name, each in target.items()}
    if shapes != wanted:
        wrong = sorted(name for name in wanted.keys() | shapes.keys()
                       if wanted.get(name) != shapes.get(name))  # fmt: skip
        reason = (
            f"{wrong[0]} is {shapes.get(wrong[0])} in it, and {wanted.get(wrong[0])} in the model"
        )
        raise WeightsError("checkpoint.foreign", path, reason, fix="resume with the same settings")
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(tensors[name])
