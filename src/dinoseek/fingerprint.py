"""What decides an embedding, and the id that vectors which may be compared have in common."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dinoseek.encoders.precision import FLOAT32

# Options that came later: where they are not used nothing is said of them, so that older ids stay.
_LATER = ("scales", "vocabulary", "projection")


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What decides an embedding: equal fingerprints mean comparable vectors."""

    model: str  # for people; two names for the same weights are the same space
    weights: str  # sha256 of the parameters (unusual heads: and their number), or of a built-in
    preprocess: str
    pooling: str
    pos_flavour: str
    precision: str = FLOAT32
    dim: int
    scales: str = ""  # "0.707,1"; these three are "" where they are not used
    vocabulary: str = ""  # the digest of what VLAD was fitted on
    projection: str = ""  # the digest of the PCA that vectors went through

    @cached_property
    def id(self) -> str:
        """16 hexadecimal digits over everything but the model's name."""
        content = {k: v for k, v in self._said().items() if k != "model"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def family(self) -> str:
        """What fingerprints have in common that differ in nothing but precision."""
        return self.in_precision(FLOAT32).id

    def in_precision(self, precision: str) -> "Fingerprint":
        """The same, but calculated more or less exactly."""
        return dataclasses.replace(self, precision=precision)

    def describe(self) -> str:
        """The fingerprint for people: "dinov2-small, official, cls"."""
        precision = "" if self.precision == FLOAT32 else self.precision
        scales = self.scales and f"scales {self.scales}"
        projection = self.projection and f"projection {self.projection[:8]}"
        parts = (self.model, self.preprocess, self.pooling, scales, projection, precision)
        return ", ".join(part for part in parts if part)

    def to_json(self) -> str:
        return json.dumps(self._said(), sort_keys=True)

    def _said(self) -> dict[str, Any]:
        """Everything, but an option that came later only where it is used."""
        content = dataclasses.asdict(self)
        return {k: v for k, v in content.items() if v or k not in _LATER}

    @classmethod
    def from_json(cls, text: str) -> "Fingerprint":
        return cls(**json.loads(text))


def fingerprint_dict(fingerprint: Fingerprint) -> dict[str, Any]:
    """The fingerprint for `--json`, with its id."""
    return {"id": fingerprint.id, **dataclasses.asdict(fingerprint)}
