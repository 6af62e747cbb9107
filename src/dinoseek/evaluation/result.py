"""What an evaluation found: metrics with intervals, each query's values, curves, the worst queries.

It is kept as JSON, which `dinoseek evaluate compare` reads again.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import DataError, MachineError
from dinoseek.evaluation.metrics import Values

FORMAT = 1
MAX_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The mean of a measure over the queries that have positives, and its interval."""

    name: str
    value: float
    low: float
    high: float
    queries: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A picture of a report: `verdict` says if it is "right" or "wrong" for its query."""

    path: str
    score: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Worst:
    """A query with a low value, and what it found first."""

    path: str
    label: str
    value: float
    hits: Sequence[Shown]
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many scores lie between the `edges` (b + 1,): `positives` and `negatives` (b,) each."""

    edges: Sequence[float]
    positives: Sequence[int]
    negatives: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of measuring one model on one data set.

    `protocol` names the data set and how it is measured, `made` how the vectors were made; together
    they begin every metric's name. `facts` are for people, `notes` what must be said beside the
    numbers. `values` (q,) of each metric are those of `queries`, NaN where one has no positives;
    `groups` number queries that show one thing.
    """

    protocol: str
    made: str
    model: str
    headline: str
    metrics: Sequence[Metric]
    facts: Mapping[str, str | int | float]
    notes: Sequence[str]
    queries: Sequence[str]
    groups: Sequence[int]
    values: Mapping[str, Values]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    recalls: Mapping[str, float] = field(default_factory=dict)
    histogram: Histogram | None = None
    worst: Sequence[Worst] = ()

    @property
    def name(self) -> str:
        """How every metric's name begins."""
        return f"{self.protocol}/{self.made}"

    @property
    def main(self) -> Metric:
        """The metric that stands for the others."""
        return next(metric for metric in self.metrics if metric.name == self.headline)

    def with_evidence(self, spread: Histogram | None, worst: Sequence[Worst]) -> "Evaluation":
        """The same with how scores are spread, and the worst queries."""
        return replace(self, histogram=spread, worst=worst)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        metrics = [
            {"name": f"{self.name}/{each.name}", "metric": each.name, **_numbers(each)}
            for each in self.metrics
        ]
        return {
            "dinoseek": "evaluation",
            "format": FORMAT,
            "name": self.name,
            "protocol": self.protocol,
            "made": self.made,
            "model": self.model,
            "headline": self.headline,
            "metrics": metrics,
            "facts": dict(self.facts),
            "notes": list(self.notes),
            "curves": {name: [*map(float, curve)] for name, curve in self.curves.items()},
            "recalls": dict(self.recalls),
            "histogram": asdict(self.histogram) if self.histogram else None,
            "worst": [asdict(each) for each in self.worst],
            "queries": list(self.queries),
            "groups": [int(each) for each in self.groups],
            "values": {name: [_plain(v) for v in each] for name, each in self.values.items()},
        }


def _numbers(metric: Metric) -> dict[str, Any]:
    interval = {name: _plain(getattr(metric, name)) for name in ("value", "low", "high")}
    return {**interval, "queries": metric.queries}


def _plain(value: float) -> float | int | None:
    """A value for JSON: null for NaN, and whole numbers, of which there are many, as such."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(value)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The part of a kept evaluation that can be compared with another's."""

    path: Path
    protocol: str
    name: str
    model: str
    headline: str
    queries: Sequence[str]
    groups: Values
    values: Mapping[str, Values]


def load_saved(path: Path) -> Saved:
    """A kept evaluation; DataError evaluate.format for what is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError("evaluate.format", path, f"it has over {MAX_BYTES:,} bytes")
        content = json.loads(path.read_bytes())
    except OSError as exc:
        raise MachineError("path.unreadable", path, exc.strerror or str(exc)) from exc
    except (ValueError, RecursionError) as exc:
        raise _no_evaluation(path, "it is no JSON") from exc
    try:
        if content["dinoseek"] != "evaluation" or content["format"] != FORMAT:
            raise _no_evaluation(path, f"it is no evaluation of format {FORMAT}")
        return _saved(path, content)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise _no_evaluation(path, "it is no evaluation") from exc


def _saved(path: Path, content: dict[str, Any]) -> Saved:
    queries = [str(each) for each in content["queries"]]
    values = {
        str(name): np.array([math.nan if v is None else float(v) for v in column])
        for name, column in content["values"].items()
    }
    groups = np.array([int(each) for each in content["groups"]])
    if any(len(column) != len(queries) for column in (groups, *values.values())):
        raise ValueError("values of other queries")
    return Saved(
        path=path,
        protocol=str(content["protocol"]),
        name=str(content["name"]),
        model=str(content["model"]),
        headline=str(content["headline"]),
        queries=queries,
        groups=groups,
        values=values,
    )


def _no_evaluation(path: Path, reason: str) -> DataError:
    fix = "give files that dinoseek evaluate ... --out FILE.json wrote"
    return DataError("evaluate.format", path, reason, fix=fix)
