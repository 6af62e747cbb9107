"""What LoRA adapters call the layers that they change, in each dialect, and which of ours is meant.

peft's names are the model's own behind a prefix, so each library's and each version's differ.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dinoseek.errors import WeightsError, printable
from dinoseek.weights.naming import FACEBOOK, HUGGING_FACE, TRANSFORMERS_5

LINEAR = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "mlp.w12", "mlp.w3")
PEFT_PREFIX = "base_model.model."

# What may stand around a backbone: peft's own, those of transformers' classifiers, and wrappers'.
_AROUND = r"(?:(?:base_model|model|module|backbone|dinov2|dinov2_with_registers)\.)*"
_NAME = re.compile(
    rf"({_AROUND}(?:encoder\.layer|blocks)\.([0-9]{{1,9}})\.(.+))\.lora_(A|B)(?:\.default)?\.weight"
)


class Place(NamedTuple):
    """The rows `part` of `parts` of a layer such as "blocks.3.attn.qkv"."""

    layer: str
    part: int
    parts: int


class Named(NamedTuple):
    """What the name of a tensor says: its place, A or B, and the module as the model calls it."""

    place: Place
    side: str
    module: str


def parse(name: str) -> Named | None:
    """What a tensor of an adapter is, or None for all but A and B of layers that DINOv2 has."""
    found = _NAME.fullmatch(name)
    if found is None or found[3] not in _PLACES:
        return None
    layer, part, parts = _PLACES[found[3]]
    place = Place(f"blocks.{int(found[2])}.{layer}", part, parts)
    return Named(place, found[4], found[1].removeprefix(PEFT_PREFIX))


def transformers_modules(place: Place) -> tuple[str, ...]:
    """The modules of transformers' Dinov2Model that make up a place, in the order of its rows."""
    _, number, layer = place.layer.split(".", 2)
    names = TRANSFORMERS_5[layer]
    chosen = names if place.parts == 1 else (names[place.part],)
    return tuple(f"encoder.layer.{number}.{name}" for name in chosen)


def _places() -> dict[str, Place]:
    """The place inside a block of each name that a dialect has for a layer, or for a part of it."""
    found = {
        name: Place(layer, part, len(names))
        for table in (FACEBOOK, HUGGING_FACE, TRANSFORMERS_5)
        for layer, names in table.items()
        if layer in LINEAR
        for part, name in enumerate(names)
    }
    for part, letter in enumerate("qkv"):  # of those who take Facebook's model apart
        for name in (f"attn.{letter}", f"attn.qkv.{letter}"):
            found[name] = Place("attn.qkv", part, 3)
    return found


_PLACES = _places()


def value_for(path: Path, patterns: Mapping[str, Any], module: str, usual: Any) -> Any:
    """The value of the first pattern that the end of the name matches, as in peft."""
    for pattern, value in patterns.items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except (re.error, RecursionError, OverflowError) as exc:
            raise bad(path, f"has the bad pattern {shown(pattern)}") from exc
    return usual


def shown(value: object) -> str:
    """A value of the file, on one line and not too long."""
    return printable(str(value))[:100]


def bad(path: Path, reason: str) -> WeightsError:
    """The error for a file that cannot be merged."""
    fix = "only whole adapters of plain LoRA on DINOv2's linear layers can be merged"
    return WeightsError("adapter.format", path, reason, fix=fix)
