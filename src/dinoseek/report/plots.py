"""Plots as SVG inside a page: lines over a linear or logarithmic axis, and two histograms.

Colours are the page's, by class: s0, s1 and s2 are series, `right` and `wrong` the two kinds.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 14, 42

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
    grid = _grid(places, [f"{tick:.1f}" for tick in ticks], [0.0], x, "share of pairs", marks=False)
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
    marks: bool = True,
) -> str:
    """Lines across, numbers at both axes, and what the axes are."""
    parts = [
        f'<line class="grid" x1="{_x(0)}" x2="{_x(1)}" y1="{_y(v):.1f}" y2="{_y(v):.1f}"/>'
        for v in ys
    ]
    if marks:
        parts += [
            f'<text x="{_LEFT - 8}" y="{_y(v) + 4:.1f}" text-anchor="end">{v:.1f}</text>'
            for v in ys
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


def _line(number: int, points: Points) -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline class="s{number % 3}" points="{path}"/>'


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


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)
