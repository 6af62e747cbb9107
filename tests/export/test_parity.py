"""Agreement with the reference, measured, and where it ends."""

import math

import numpy as np
import pytest

from dinoseek.export.parity import LIMITS, agreement, agreements, fault_of, together


def tokens(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_the_numbers_are_those_of_naive_loops():
    ours, theirs = tokens(2, 3, 5), tokens(2, 3, 5, seed=1)

    found = agreement(ours, theirs)

    cosines, gaps = [], []
    for a, b in zip(ours.reshape(6, 5).tolist(), theirs.reshape(6, 5).tolist(), strict=True):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        cosines.append(dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)))
        gaps += [abs(x - y) for x, y in zip(a, b, strict=True)]
    assert found.tokens == 6
    assert found.max_abs == pytest.approx(max(gaps))
    assert found.cosine_min == pytest.approx(min(cosines))
    assert found.cosine_mean == pytest.approx(sum(cosines) / 6)


def test_batches_are_weighed_by_their_tokens():
    first, second = tokens(1, 4), tokens(3, 4)
    parts = [
        agreements({"cls": first}, {"cls": -first}),
        agreements({"cls": second}, {"cls": second}),
    ]

    found = together(parts)["cls"]

    assert (found.tokens, found.cosine_min) == (4, pytest.approx(-1))
    assert found.cosine_mean == pytest.approx((-1 + 3) / 4)


def test_other_outputs_or_shapes_are_told():
    ours = {"cls": tokens(2, 4), "patches": tokens(2, 3, 4)}

    with pytest.raises(ValueError, match="it gives cls, expected cls, patches"):
        agreements(ours, {"cls": ours["cls"]})
    with pytest.raises(ValueError, match=r"patches is \(2, 2, 4\), expected \(2, 3, 4\)"):
        agreements(ours, {**ours, "patches": tokens(2, 2, 4)})


@pytest.mark.parametrize("precision", LIMITS)
def test_equal_tokens_pass_in_every_precision(precision):
    ours = {"cls": tokens(2, 4), "registers": tokens(2, 1, 4), "patches": tokens(2, 3, 4)}

    assert fault_of(agreements(ours, ours), precision) == ""


def changed(kind, change):
    ours = {"cls": tokens(4, 64), "patches": tokens(4, 9, 64)}
    return agreements(ours, {**ours, kind: change(ours[kind].copy())})


def put(value):
    def change(array):
        array[0, ..., 0] = value
        return array

    return change


@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("kind", ["cls", "patches"])
@pytest.mark.parametrize(
    "change",
    [lambda array: -array, lambda array: array[::-1], put(np.nan), put(np.inf), lambda a: a * 0],
    ids=["turned", "exchanged", "nan", "infinite", "zero"],
)
def test_what_is_wrong_fails_in_every_precision(precision, kind, change):
    assert kind in fault_of(changed(kind, change), precision)


def test_float32_tells_the_wrong_interpolation_of_positions():
    # Hugging Face's against Facebook's: class tokens of cosine 0.99999
    ours = tokens(1, 64)
    turned = ours + 0.0045 * np.roll(ours, 1)
    close = agreement(ours, turned)
    assert 0.99995 < close.cosine_min < 0.999995

    assert "cls" in fault_of({"cls": close}, "float32")
    assert fault_of({"cls": close}, "bfloat16") == ""


def test_float32_also_limits_what_a_cosine_does_not_see():
    assert "differ" in fault_of(changed("patches", lambda array: array * 1.1), "float32")
