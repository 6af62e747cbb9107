"""What was found when an exported file was loaded anew and run, and how it is told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dinoseek.export.options import ExportOptions
from dinoseek.export.parity import LIMITS, Agreement
from dinoseek.export.retrieval import Retrieval
from dinoseek.fingerprint import Fingerprint, fingerprint_dict

SUFFIX = ".report.json"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One batch of images, and how its tokens compare, kind by kind."""

    height: int
    width: int
    images: int
    tokens: Mapping[str, Agreement]


@dataclass(frozen=True, kw_only=True)
class Report:
    """How an exported file compares with the NumPy engine in float32.

    `files` has the size in bytes of each file by name, `tokens` all batches together; `retrieval`
    is there for int8 only.
    """

    files: Mapping[str, int]
    options: ExportOptions
    fingerprint: Fingerprint
    licence: str
    runtime: str
    tried: Sequence[Tried] = ()
    tokens: Mapping[str, Agreement] = field(default_factory=dict)
    retrieval: Retrieval | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report for the file beside the model."""
        return {
            "files": dict(self.files),
            **asdict(self.options),
            "model": self.fingerprint.model,
            "fingerprint": fingerprint_dict(self.fingerprint),
            "licence": self.licence,
            "reference": "dinoseek's NumPy engine, float32",
            "runtime": self.runtime,
            "limits": asdict(LIMITS[self.options.precision]),
            "tokens": {name: asdict(each) for name, each in self.tokens.items()},
            "tried": [asdict(each) for each in self.tried],
            "retrieval": asdict(self.retrieval) if self.retrieval else None,
        }

    def line(self) -> str:
        """The report in one line."""
        images = sum(each.images for each in self.tried)
        kinds = "; ".join(_of_kind(name, each) for name, each in self.tokens.items())
        parts = [f"{images} images in {len(self.tried)} batches by {self.runtime}: {kinds}"]
        if found := self.retrieval:
            parts.append(f"of the first 10 hits {found.overlap:.1%} are the same")
            if found.recall_at_1 is not None and found.recall_at_1_float32 is not None:
                before, after = found.recall_at_1_float32, found.recall_at_1
                parts.append(f"Recall@1 {before:.1%} before, {after:.1%} after")
        return "; ".join(parts)


def _of_kind(name: str, each: Agreement) -> str:
    gap = 1 - each.cosine_mean
    cosine = f"1 - {gap:.0e}" if math.isfinite(gap) and 0 < gap < 1e-4 else f"{1 - gap:.5f}"
    return f"{name} cosine {cosine}, max abs {each.max_abs:.1e}"
