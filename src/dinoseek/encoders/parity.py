"""Whether an engine gives a model's tokens, as the NumPy engine does, and how far it may be off.

A runtime, a driver or a processor can be broken in ways that nobody sees in a ranking; so before an
engine is chosen for somebody it must show with the model itself that it calculates right.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.encoders.base import Encoder
from dinoseek.encoders.engines import ENGINES, installed_version, own_version
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import forward
from dinoseek.vit.ops import Array, Params
from dinoseek.weights.remembered import Remembered

_RESULTS = Remembered(name="engine-parity.json", kind="results", most=256)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The lowest cosine a class token and a patch (on average) may have, and the largest error."""

    cls: float
    patches: float
    error: float = np.inf


# float32 leaves room for another order of sums (1e-5 is usual), not for another formula (the tanh
# GELU: 5e-4 a layer). The others: what rounding does to real weights, several times over; see
# docs/engines.md.
LIMITS = {
    "float32": Limit(cls=1 - 1e-5, patches=1 - 1e-5, error=1e-3),
    "float16": Limit(cls=0.9999, patches=0.999),
    "bfloat16": Limit(cls=0.999, patches=0.995),
    "int8": Limit(cls=0.99, patches=0.98),
}


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far an engine's tokens are from the NumPy engine's: lowest and mean cosine, error."""

    cls: float
    patches: float
    error: float

    def holds(self, precision: str) -> bool:
        limit = LIMITS[precision]
        # written so that NaN does not pass
        return self.cls >= limit.cls and self.patches >= limit.patches and self.error <= limit.error

    def __str__(self) -> str:
        return f"cosine {self.cls:.6f}, of patches {self.patches:.6f}, error {self.error:.1g}"


def measured(encoder: Encoder, params: Params) -> Parity:
    """Compares an encoder with the NumPy engine on the same parameters."""
    pixels = trial_pixels(encoder.config)
    expected = forward(pixels, params, encoder.config)
    found = encoder(pixels)
    classes = np.stack([found.cls, encoder.class_tokens(pixels)])  # (2, b, d)
    errors = [np.abs(classes - expected.cls).max(), np.abs(found.patches - expected.patches).max()]
    return Parity(  # of NumPy's extremes, since Python's overlook a NaN
        cls=float(_cosines(classes, expected.cls).min()),
        patches=float(_cosines(found.patches, expected.patches).mean()),
        error=float(np.max(errors)),
    )


def trial_pixels(config: ViTConfig) -> Array:
    """Two small pictures with shapes and texture, not square (2, 3, 8 p, 10 p), always the same."""
    rng = np.random.default_rng(2304_07193)  # DINOv2's number at arXiv
    coarse = rng.standard_normal((2, 3, 4, 5), dtype=np.float32)
    shapes = np.kron(coarse, np.ones((2 * config.patch_size,) * 2, np.float32))
    return shapes + rng.standard_normal(shapes.shape, dtype=np.float32) * np.float32(0.3)


def recalled(encoder_key: str, cache_dir: Path | None = None) -> Parity | None:
    """What was measured before, if it was."""
    return _parity(_RESULTS.read(cache_dir).get(encoder_key))


def remember(encoder_key: str, parity: Parity, cache_dir: Path | None = None) -> None:
    _RESULTS.write(encoder_key, asdict(parity), cache_dir)


def failures(cache_dir: Path | None = None) -> Iterator[tuple[str, str, str, Parity]]:
    """Engine, precision, weights and result of each comparison that an engine here has failed."""
    for key, entry in _RESULTS.read(cache_dir).items():
        found, parts = _parity(entry), key.split(" ")
        if found is None or len(parts) != 4:
            continue
        engine, precision, versions, model = parts
        known = engine in ENGINES and precision in LIMITS
        if known and versions == _versions(engine) and not found.holds(precision):
            yield engine, precision, model, found


def key_of(engine: str, precision: str, digest: str, config: ViTConfig) -> str:
    """What a measurement holds for: an engine, its version, a precision, a model."""
    shape = hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode()).hexdigest()[:8]
    return " ".join((engine, precision, _versions(engine), f"{digest}-{shape}"))


def _versions(engine: str) -> str:
    return f"{installed_version(engine)}/{own_version()}"


def _parity(entry: Any) -> Parity | None:
    """An entry of the file, if it is one."""
    if not isinstance(entry, dict) or set(entry) != {"cls", "patches", "error"}:
        return None
    if not all(isinstance(value, float) for value in entry.values()):
        return None
    return Parity(**entry)


def _cosines(found: Array, expected: Array) -> NDArray[np.float64]:
    ours, theirs = found.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    cosines: NDArray[np.float64] = (ours * theirs).sum(-1) / np.maximum(lengths, 1e-30)
    return cosines
