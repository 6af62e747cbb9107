"""The machine's own rate: the best of its products, by the clock."""

import itertools

import pytest

from dinoseek.bench import peak


def test_the_best_product_counts_and_a_multiply_add_is_two_operations(monkeypatch) -> None:
    steps = itertools.cycle([0.004, 0.001, 0.002])  # what the clock goes on between two looks
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += next(steps)
        return now

    monkeypatch.setattr(peak.time, "perf_counter", clock)

    rate = peak.measure_peak(0.1, sides=(8,))

    assert rate == pytest.approx(2 * 8**3 / 0.001 / 1e9)


def test_each_shape_is_tried_however_little_time_there_is(monkeypatch) -> None:
    tried = []
    monkeypatch.setattr(peak, "_rate", lambda side, _seconds: tried.append(side) or float(side))

    assert peak.measure_peak(0.0, sides=(4, 8)) == 8
    assert tried == [4, 8]
