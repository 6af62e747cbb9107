"""What a run tells while it goes on, for a progress line, a notebook or a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One of `total` images was read and is sound."""

    total: int


@dataclass(frozen=True, kw_only=True)
class Started:
    """Learning begins, or goes on after `step` of `steps`; `facts` are for people."""

    step: int
    steps: int
    facts: Mapping[str, str | int | float]


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """A step is done: its loss, the length of its gradient, the rate, and how fast it went."""

    step: int
    epoch: int
    loss: float
    gradient_norm: float
    learning_rate: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Validated:
    """The held-out classes were searched; `is_best` so far, of which the weights are kept."""

    step: int
    epoch: int
    map_at_r: float
    recall_at_1: float
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """It learns no longer, for a `reason` other than the end of its epochs."""

    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run's folder has its model, adapter and report."""

    folder: Path
    before: Mapping[str, float]
    after: Mapping[str, float]
    report: Path


Event: TypeAlias = Checked | Started | Stepped | Validated | Stopped | Finished
