"""Plots as SVG inside a page: lines over a linear or logarithmic axis, steps, two histograms.

Colours are the page's, by class: s0, s1 and s2 are series, `right` and `wrong` the two kinds.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 14, 42

_DOTS = 40  # the most points that are also drawn as dots
_SEEN = 800  # points of a line

Points = Sequence[tuple[float, float]]


def curves(lines: Mapping[str, Points], *, title: str, x: str, y: str) -> str:
    """Lines over 0 to 1 on both axes."""
    ticks = [step / 5 for step in range(6)]
    parts = [_grid(ticks, [f"{tick:.1f}" for tick in ticks], ticks, x, y)]
    parts += [_line(number, points) for number, points in enumerate(lines.values())]
    return _plot(title, parts, _legend(list(lines)))


def over_log(points: Sequence[tuple[int, float]], *, title: str, x: str, y: str) -> str:
    """One line of values from 0 to 1 over whole numbers, on a logarithmic axis."""
    most = max(2, points[-1][0] if points else 2)
    powers = [10**power for power in range(int(math.log10(most)) + 1)]
    places = {number: math.log(number) / math.log(most) for number in [*powers, *dict(points)]}
    ticks = [places[power] for power in powers]
    names = [f"{power:,}" for power in powers]
    placed = [(places[k], value) for k, value in points]
    dots = "".join(
        f'<circle class="s0" cx="{_x(place):.1f}" cy="{_y(value):.1f}" r="3">'
        f"<title>K = {k:,}: {100 * value:.2f} %</title></circle>"
        for (place, value), (k, _) in zip(placed, points, strict=True)
    )
    grid = _grid(ticks, names, [step / 5 for step in range(6)], x, y)
    return _plot(title, [grid, _line(0, placed), dots], "")


def over_steps(
    lines: Mapping[str, Points],
    *,
    title: str,
    y: str,
    faint: str = "",
    best: int | None = None,
) -> str:
    """Lines over the steps of a run, with a free range of values, all finite.

    The line called `faint` is drawn thin; `best` is a step to mark.
    """
    points = [point for line in lines.values() for point in line]
    across = _from_zero(max(step for step, _ in points))
    up = _around([value for _, value in points])
    power = _power(up)
    xs, ys = map(across.place, across.ticks), map(up.place, up.ticks)
    marks = [f"{tick / 10**power:.4g}" for tick in up.ticks]
    unit = f" / 1e{power}" if power else ""
    names = [f"{tick:,.0f}" for tick in across.ticks]
    parts = [_grid(list(xs), names, list(ys), "step", y + unit, marks=marks)]
    if best is not None:
        parts.append(_mark(across.place(best), f"best: {best:,}"))
    for number, (name, line) in enumerate(lines.items()):
        placed = [(across.place(step), up.place(value)) for step, value in line]
        parts.append(_line(number, _thinned(placed), " faint" if name == faint else ""))
        if len(line) <= _DOTS:
            parts.append(_dots(number, placed, line))
    return _plot(title, parts, _legend(list(lines)))


def histograms(
    edges: Sequence[float], right: Sequence[int], wrong: Sequence[int], *, title: str, x: str
) -> str:
    """Two histograms over the same `edges`, each as shares of its own whole."""
    shares = [[count / max(sum(counts), 1) for count in counts] for counts in (wrong, right)]
    highest = max(max(each, default=0.0) for each in shares) or 1.0
    low, high = edges[0], edges[-1]
    areas = [
        _steps(kind, [(edge - low) / (high - low) for edge in edges], [v / highest for v in each])
        for kind, each in zip(("wrong", "right"), shares, strict=True)
    ]
    ticks = _round_ticks(low, high)
    places = [(tick - low) / (high - low) for tick in ticks]
    grid = _grid(places, [f"{tick:.1f}" for tick in ticks], [0.0], x, "share of pairs", marks=())
    names = [("right", "same label"), ("wrong", "other label")]
    legend = "".join(f'<li><i class="{kind}"></i>{name}</li>' for kind, name in names)
    return _plot(title, [grid, *areas], f'<ul class="legend">{legend}</ul>')


def _plot(title: str, parts: Sequence[str], legend: str) -> str:
    name = escape(title)
    return (
        f'<figure><figcaption>{name}</figcaption>{legend}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' role="img" aria-label="{name}">{"".join(parts)}</svg></figure>'
    )


def _legend(names: Sequence[str]) -> str:
    """What each line is, where there are several."""
    if len(names) < 2:
        return ""
    items = "".join(f'<li><i class="s{i}"></i>{escape(name)}</li>' for i, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _grid(
    xs: Sequence[float],
    names: Sequence[str],
    ys: Sequence[float],
    x: str,
    y: str,
    *,
    marks: Sequence[str] | None = None,
) -> str:
    """Lines across, numbers at both axes, and what the axes are.

    `marks` say what `ys` are called, where that is not their number.
    """
    marks = [f"{v:.1f}" for v in ys] if marks is None else marks
    parts = [
        f'<line class="grid" x1="{_x(0)}" x2="{_x(1)}" y1="{_y(v):.1f}" y2="{_y(v):.1f}"/>'
        for v in ys
    ]
    parts += [
        f'<text x="{_LEFT - 8}" y="{_y(v) + 4:.1f}" text-anchor="end">{mark}</text>'
        for v, mark in zip(ys, marks, strict=False)
    ]
    parts += [
        f'<text x="{_x(place):.1f}" y="{_y(0) + 17}" text-anchor="middle">{name}</text>'
        for place, name in zip(xs, names, strict=True)
    ]
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="axis" x="{_x(0.5)}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x)}</text>"
        f'<text class="axis" x="12" y="{middle}" text-anchor="middle"'
        f' transform="rotate(-90 12 {middle})">{escape(y)}</text>'
    )
    return "".join(parts)


def _line(number: int, points: Points, kind: str = "") -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline class="s{number % 3}{kind}" points="{path}"/>'


def _dots(number: int, placed: Points, points: Points) -> str:
    """A dot for each of the `placed` points, which says where it is."""
    return "".join(
        f'<circle class="s{number % 3}" cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="3">'
        f"<title>step {step:,}: {value:.4g}</title></circle>"
        for (x, y), (step, value) in zip(placed, points, strict=True)
    )


def _mark(x: float, name: str) -> str:
    """A line upwards with its name, on the side where there is room."""
    side, anchor = (6, "start") if x < 0.5 else (-6, "end")
    return (
        f'<line class="mark" x1="{_x(x):.1f}" x2="{_x(x):.1f}" y1="{_y(0)}" y2="{_y(1)}"/>'
        f'<text x="{_x(x) + side:.1f}" y="{_y(0) - 8}" text-anchor="{anchor}">{name}</text>'
    )


def _thinned(points: Points) -> Points:
    """The lowest and the highest of each few points, where they are more than a screen shows."""
    few = math.ceil(len(points) / _SEEN)
    if few < 2:
        return points
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), 2 * few):
        part = sorted(points[start : start + 2 * few], key=lambda point: point[1])
        kept += sorted([part[0], part[-1]])
    return kept


def _steps(kind: str, edges: Sequence[float], heights: Sequence[float]) -> str:
    corners = [f"{_x(edges[0]):.1f},{_y(0):.1f}"]
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        corners += [f"{_x(left):.1f},{_y(height):.1f}", f"{_x(right):.1f},{_y(height):.1f}"]
    corners.append(f"{_x(edges[-1]):.1f},{_y(0):.1f}")
    return f'<polygon class="{kind}" points="{" ".join(corners)}"/>'


def _round_ticks(low: float, high: float) -> list[float]:
    """Tenths, or fifths where those are many, from `low` to `high`."""
    step = 0.1 if high - low <= 1 else 0.2
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


class _Axis(NamedTuple):
    """The ends of an axis, and the round numbers on it."""

    low: float
    high: float
    ticks: Sequence[float]

    def place(self, value: float) -> float:
        """Where a value is, as a share of the axis."""
        return (value - self.low) / (self.high - self.low)


def _from_zero(last: float) -> _Axis:
    """An axis of whole numbers from 0 to `last`."""
    high = max(last, 1.0)
    step = max(1.0, _round_step(high))
    return _Axis(0.0, high, [number * step for number in range(int(high / step + 1e-9) + 1)])


def _around(values: Sequence[float]) -> _Axis:
    """An axis from the round number below all values to the one above."""
    low, high = min(values), max(values)
    step = _round_step((high - low) or abs(high) or 1.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = [number * step for number in range(first, last + 1)]
    return _Axis(ticks[0], ticks[-1], ticks)


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, at most five of which make the span."""
    power = 10.0 ** math.floor(math.log10(span / 5) + 1e-9)
    return next(each * power for each in (1, 2, 5, 10) if each * power * 5 >= span * (1 - 1e-9))


def _power(axis: _Axis) -> int:
    """The power of ten to leave out of an axis's numbers, which would be too long."""
    power = math.floor(math.log10(max(abs(axis.low), abs(axis.high))))
    return 0 if -2 <= power <= 3 else power


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
