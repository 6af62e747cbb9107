"""How far the outputs of a file are from those of the NumPy engine, and how far they may be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dinoseek.export.trials import Outputs
from dinoseek.vit.ops import Array

KINDS = ("cls", "registers", "patches", "embedding")
ONE_EACH = ("cls", "embedding")  # what stands for a whole image


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Tokens of one kind against the reference's: the largest difference, and their cosines."""

    tokens: int
    max_abs: float
    cosine_min: float
    cosine_mean: float


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What passes: the least cosine of a class token, and of other tokens on average.

    The largest difference is limited in float32 only; elsewhere it is a matter of a few values.
    """

    cosine: float
    tokens_mean: float
    max_abs: float | None = None


# float32: what rounding makes of different orders of adding, ten times what DINOv2-small shows. A
# wrong interpolation of positions has cosines of 0.99999 (Hugging Face's against Facebook's).
LIMITS: Mapping[str, Limit] = {
    "float32": Limit(cosine=1 - 1e-6, tokens_mean=1 - 1e-6, max_abs=5e-3),
    "float16": Limit(cosine=0.9999, tokens_mean=0.999),
    "bfloat16": Limit(cosine=0.999, tokens_mean=0.995),
    "int8": Limit(cosine=0.98, tokens_mean=0.98),
}


def agreement(expected: Array, found: Array) -> Agreement:
    """Compares tokens (b, d) or (b, n, d) in float64, so that the measure adds no error."""
    ours = expected.reshape(-1, expected.shape[-1]).astype(np.float64)  # (b, n, d) -> (b n, d)
    theirs = found.reshape(ours.shape).astype(np.float64)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosines = np.minimum((ours * theirs).sum(axis=1) / lengths, 1)
        return Agreement(
            tokens=len(ours),
            max_abs=float(np.abs(ours - theirs).max()),
            cosine_min=float(cosines.min()),
            cosine_mean=float(cosines.mean()),
        )


def agreements(expected: Outputs, found: Outputs) -> dict[str, Agreement]:
    """The outputs of one batch, kind by kind. ValueError if they are not the same outputs."""
    if expected.keys() != found.keys():
        raise ValueError(f"it gives {_listed(found)}, expected {_listed(expected)}")
    for name, tokens in expected.items():
        if found[name].shape != tokens.shape:
            raise ValueError(f"{name} is {found[name].shape}, expected {tokens.shape}")
    return {
        name: agreement(expected[name], found[name]) for name in sorted(expected, key=KINDS.index)
    }


def _listed(outputs: Outputs) -> str:
    return ", ".join(sorted(outputs)) or "nothing"


def together(parts: Iterable[Mapping[str, Agreement]]) -> dict[str, Agreement]:
    """The agreement of several batches, kind by kind."""
    kinds: dict[str, list[Agreement]] = {}
    for part in parts:
        for name, each in part.items():
            kinds.setdefault(name, []).append(each)
    return {name: _joined(each) for name, each in kinds.items()}


def _joined(parts: Sequence[Agreement]) -> Agreement:
    tokens = sum(part.tokens for part in parts)
    return Agreement(
        tokens=tokens,
        max_abs=float(np.max([part.max_abs for part in parts])),  # NaN stays NaN
        cosine_min=float(np.min([part.cosine_min for part in parts])),
        cosine_mean=sum(part.tokens * part.cosine_mean for part in parts) / tokens,
    )


def fault_of(kinds: Mapping[str, Agreement], precision: str) -> str:
    """What is beyond the limits of a precision, in words; "" if nothing is."""
    limit = LIMITS[precision]
    for name, each in kinds.items():
        one = name in ONE_EACH
        cosine = each.cosine_min if one else each.cosine_mean
        least = limit.cosine if one else limit.tokens_mean
        if not cosine >= least:  # also where it is NaN
            which = "the least" if one else "the mean"
            return f"{which} cosine of {name} is {cosine:.7f}, at least {least:.7g} is needed"
        if limit.max_abs is not None and not each.max_abs <= limit.max_abs:
            return f"{name} differ by up to {each.max_abs:.2e}, at most {limit.max_abs:g} may be"
    return ""
