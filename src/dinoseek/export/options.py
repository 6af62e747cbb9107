"""What is to be written: which kind of file, in which precision, for which sizes."""

from dataclasses import dataclass
from pathlib import Path

from dinoseek.errors import UsageError
from dinoseek.vit.check import MAX_PATCHES
from dinoseek.vit.config import ViTConfig

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "npz": ".npz", "safetensors": ".safetensors"}
GRAPHS = ("onnx", "openvino")
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}

_ABILITIES = {
    "onnx": ("float32", "bfloat16", "float16", "int8"),
    "openvino": ("float32", "bfloat16", "float16", "int8"),
    "npz": ("float32", "float16"),
    "safetensors": ("float32", "bfloat16", "float16"),
}


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a model is written. UsageError export.* for what does not go together.

    `format` is one of SUFFIXES, `precision` a value of PRECISIONS. The rest is for GRAPHS: without
    a `size` (height, width) the graph takes pictures of all sizes; with `normalize` it takes images
    (b, H, W, 3) of bytes, not pixels; with `unit_length` it also gives embeddings of unit length.
    """

    format: str
    precision: str = "float32"
    size: tuple[int, int] | None = None
    normalize: bool = False
    unit_length: bool = False

    def __post_init__(self) -> None:
        if self.format not in SUFFIXES:
            fix = f"use one of {', '.join(SUFFIXES)}"
            raise UsageError("export.format", self.format, "no such format", fix=fix)
        able = _ABILITIES[self.format]
        if self.precision not in able:
            names = [name for name, precision in PRECISIONS.items() if precision in able]
            reason = f"{self.format} files are not written in {self.precision}"
            fix = f"use one of {', '.join(names)}"
            raise UsageError("export.precision", f"--precision {self._short}", reason, fix=fix)
        if self.format not in GRAPHS:
            self._refuse_graph()

    @property
    def _short(self) -> str:
        return next((n for n, precision in PRECISIONS.items() if precision == self.precision), "")

    def _refuse_graph(self) -> None:
        said = {
            "--size": self.size,
            "--with-normalize": self.normalize,
            "--with-unit-length": self.unit_length,
        }
        for flag, value in said.items():
            if value:
                reason = f"{self.format} files have weights only, which it says nothing of"
                fix = f"leave it out, or use one of {', '.join(GRAPHS)}"
                raise UsageError("export.weights_only", flag, reason, fix=fix)


def format_of(target: Path, format: str | None = None) -> str:
    """The format of a file: what was asked for, else what its suffix says.

    Raises UsageError export.suffix for a name that says another one, or none.
    """
    suffix = target.suffix
    if format is None:
        named = [name for name, usual in SUFFIXES.items() if usual == suffix]
        if not named:
            fix = f"name it {', '.join(list(SUFFIXES.values())[:-1])} or .safetensors"
            raise UsageError("export.suffix", target, "its name says no format", fix=fix)
        return named[0]
    if format in SUFFIXES and suffix != SUFFIXES[format]:
        reason = f"a file of the format {format} is named {SUFFIXES[format]}"
        fix = f"name it {target.stem}{SUFFIXES[format]}, or leave --format out"
        raise UsageError("export.suffix", target, reason, fix=fix)
    return format


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "224" or "224x336"; UsageError export.size for another text."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        reason = "it is no size"
        fix = "give pixels, as in 224, or HEIGHTxWIDTH as in 224x336"
        raise UsageError("export.size", f"--size {text}", reason, fix=fix)
    height, width = int(sides[0]), int(sides[-1])
    return height, width


def check_size(size: tuple[int, int], config: ViTConfig) -> None:
    """UsageError export.size for what the model cannot take; it names the nearest that it can."""
    patch = config.patch_size
    subject = f"--size {size[0]}x{size[1]}"
    if any(side % patch or not side for side in size):
        near = "x".join(str(max(patch, round(side / patch) * patch)) for side in size)
        reason = f"both sides must be multiples of the patch size, {patch}"
        raise UsageError("export.size", subject, reason, fix=f"the nearest is {near}")
    if (patches := size[0] // patch * (size[1] // patch)) > MAX_PATCHES:
        raise UsageError("export.size", subject, f"it makes {patches:,} patches of {MAX_PATCHES:,}")
