"""What distilling tells beside what every training does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dinoseek.errors import DinoseekError
from dinoseek.train.events import Checked, Started, Stepped


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Pictures that cannot be read, each with the reason; the others are learnt from."""

    broken: Sequence[tuple[str, DinoseekError]]


@dataclass(frozen=True, kw_only=True)
class Taught:
    """The teacher has looked at `done` of `total` views."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The student was compared with its teacher on held-out pictures; see `agreement`.

    `cosine` is the mean of its embeddings' to what they should be.
    """

    step: int
    epoch: int
    agreement: float
    cosine: float
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """The run's folder has its model; `figures` are those of the best step, on held-out pictures.

    `by_chance` is the agreement that no model at all would have.
    """

    folder: Path
    figures: Mapping[str, float]
    by_chance: float
    parameters: int


Event: TypeAlias = Checked | LeftOut | Taught | Started | Stepped | Compared | Distilled
