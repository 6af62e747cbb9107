"""Two runs side by side: what became faster or slower by more than it varies."""

from dataclasses import dataclass
from typing import Any

import numpy as np

_SAME = ("engine", "precision", "model", "is_random", "size", "batch", "threads", "tokens")
LEAST_ROUNDS = 3  # with fewer nobody knows how much a rate varies


@dataclass(frozen=True, kw_only=True)
class Change:
    """A combination in two runs: images/s `before` and `now`, and `ratio`, now over before.

    `exceeds_spread` tells whether they differ by more than both vary from round to round; None if
    there are too few rounds to tell.
    """

    key: dict[str, Any]
    before: float
    now: float
    ratio: float
    exceeds_spread: bool | None


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    """What both documents measured, in the order of `now`."""
    known = {_key(each): each for each in before["results"]}
    return [_change(known[_key(each)], each) for each in now["results"] if _key(each) in known]


def only_in(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of `one` that `other` has none of."""
    known = {_key(each) for each in other["results"]}
    return [each for each in one["results"] if _key(each) not in known]


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What besides the code may explain a change: another machine, other versions."""
    found = []
    for name in ("processor", "cores", "system", "python", "blas", "kernels"):
        found += _told(name, before["machine"].get(name), now["machine"].get(name))
    for name in sorted({*before["versions"], *now["versions"]}):
        found += _told(name, before["versions"].get(name), now["versions"].get(name))
    return found


def _told(name: str, before: object, now: object) -> list[str]:
    return [] if before == now else [f"{name}: {before or 'none'} before, {now or 'none'} now"]


def _key(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result[name] for name in _SAME)


def _change(before: dict[str, Any], now: dict[str, Any]) -> Change:
    old, new = before["images_per_s"], now["images_per_s"]
    return Change(
        key={name: now[name] for name in _SAME},
        before=old,
        now=new,
        ratio=new / old,
        exceeds_spread=_exceeds(before["rounds"], now["rounds"]),
    )


def _exceeds(before: list[float], now: list[float]) -> bool | None:
    """Whether the medians are further apart than the middle halves of both are wide together.

    For rates that vary at random by a standard deviation s that is 2.7 s, four times what medians
    of seven rounds differ by.
    """
    if min(len(before), len(now)) < LEAST_ROUNDS:
        return None
    apart = abs(float(np.median(before)) - float(np.median(now)))
    return apart > _spread(before) + _spread(now)


def _spread(rates: list[float]) -> float:
    low, high = np.percentile(rates, [25, 75])
    return float(high - low)
