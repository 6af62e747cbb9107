"""LoRA adapters in peft's format: read, merged into parameters and written, with NumPy alone.

An adapter may have been trained here or on transformers' Dinov2, by the names of any version.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from dinoseek.errors import MachineError, WeightsError
from dinoseek.train.adapter_names import (
    PEFT_PREFIX,
    Place,
    bad,
    parse,
    shown,
    transformers_modules,
    value_for,
)
from dinoseek.vit.ops import Array, Params
from dinoseek.weights.checkpoint import open_checkpoint, read_json
from dinoseek.weights.naming import flatten, nest
from dinoseek.weights.save import replacing
from dinoseek.weights.stored import FLOATS, StoredTensor

CONFIG, TENSORS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"

# Ways to adapt that are no sum of a weight and a product; told only where they are switched on.
_FOREIGN = ("use_dora", "fan_in_fan_out", "modules_to_save", "lora_bias", "use_qalora",
            "use_bdlora", "kasa_config", "arrow_config", "monteclora_config", "velora_config",
            "alora_invocation_tokens", "layer_replication", "trainable_token_indices",
            "target_parameters")  # fmt: skip
# The other ways to begin, such as PiSSA, take something out of the weights of the model first.
_PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")


@dataclass(frozen=True, kw_only=True)
class Low:
    """What is added to the rows `part` of `parts` of a layer's weight: scale B A.

    `layer` is "blocks.3.attn.qkv"; `a` is (r, in), `b` (out, r).
    """

    layer: str
    part: int
    parts: int
    a: Array
    b: Array
    scale: float


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """The products of an adapter; `rank` and `alpha` are those of all that have none of their own.

    What counts when it is merged is each product's own scale.
    """

    rank: int
    alpha: float
    rslora: bool
    lows: Sequence[Low]


@dataclass(frozen=True, kw_only=True)
class _Settings:
    rank: int
    alpha: float
    rslora: bool
    ranks: Mapping[str, Any]
    alphas: Mapping[str, Any]


def scale_of(alpha: float, rank: int, *, rslora: bool) -> float:
    """What a product is multiplied with: alpha / r, or alpha / sqrt(r) (Kalajdzievski, 2023)."""
    return alpha / math.sqrt(rank) if rslora else alpha / rank


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder of peft's.

    Raises MachineError adapter.missing for files that are not there, and WeightsError adapter.* for
    one that is damaged, or adapts in another way than LoRA.
    """
    settings = _settings(folder / CONFIG)
    path = folder / TENSORS
    pairs, modules = _pairs(path)
    lows = [_low(path, place, pairs[place], modules[place], settings) for place in pairs]
    return Adapter(
        rank=settings.rank, alpha=settings.alpha, rslora=settings.rslora, lows=tuple(lows)
    )


def merged(params: Params, adapter: Adapter, subject: object) -> Params:
    """New parameters, with the adapter's products in the weights.

    WeightsError adapter.model where it does not fit them; `subject` is what the error is about.
    """
    flat: dict[str, Any] = dict(flatten(params))
    changed: set[str] = set()
    for low in adapter.lows:
        name = f"{low.layer}.weight"
        if name not in flat:
            raise _misfit(subject, f"adapts {low.layer}, which the model has not")
        _refuse_shapes(subject, low, flat[name].shape)
        if name not in changed:
            flat[name] = flat[name].copy()
            changed.add(name)
        rows = np.split(flat[name], low.parts)[low.part]  # a view
        rows += np.float32(low.scale) * (low.b @ low.a)
    return nest(flat)


def _refuse_shapes(subject: object, low: Low, shape: tuple[int, int]) -> None:
    rank = len(low.a)
    wanted = (rank, shape[1]), (shape[0] // low.parts, rank)
    if (low.a.shape, low.b.shape) != wanted:
        found = f"has matrices {low.a.shape} and {low.b.shape} for {low.layer}"
        raise _misfit(subject, f"{found}, where the model needs {wanted[0]} and {wanted[1]}")


def _misfit(subject: object, reason: str) -> WeightsError:
    fix = "merge it into the model that it was trained on"
    return WeightsError("adapter.model", subject, reason, fix=fix)


def write_adapter(folder: Path, adapter: Adapter, base_model: str) -> None:
    """Writes an adapter that peft puts onto transformers' Dinov2Model, each file at once.

    Raises MachineError where the disk refuses.
    """
    tensors: dict[str, Array] = {}
    lows: dict[str, Low] = {}
    for low in adapter.lows:
        modules = transformers_modules(Place(low.layer, low.part, low.parts))
        # One product for all of q, k and v: they share A.
        for module, b in zip(modules, np.split(low.b, len(modules)), strict=True):
            lows[module] = low
            tensors[f"{PEFT_PREFIX}{module}.lora_A.weight"] = low.a.copy()
            tensors[f"{PEFT_PREFIX}{module}.lora_B.weight"] = b.copy()
    text = json.dumps(_written_settings(adapter, lows, base_model), indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        fix = "check the folder, its permissions and the space on the disk"
        raise MachineError("train.unwritable", folder, exc.strerror or str(exc), fix=fix) from exc
    with replacing(folder / TENSORS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    with replacing(folder / CONFIG) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _written_settings(adapter: Adapter, lows: Mapping[str, Low], base_model: str) -> dict[str, Any]:
    """What peft needs to know; ranks and alphas by module where they are not the adapter's."""
    rslora = adapter.rslora
    alphas = {
        name: low.scale / scale_of(1, len(low.a), rslora=rslora) for name, low in lows.items()
    }
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": base_model,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "rank_pattern": {
            re.escape(name): len(low.a) for name, low in lows.items() if len(low.a) != adapter.rank
        },
        "alpha_pattern": {
            re.escape(name): alpha
            for name, alpha in alphas.items()
            if not math.isclose(alpha, adapter.alpha)
        },
        "use_rslora": rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(lows),
        "task_type": None,
    }


def _settings(path: Path) -> _Settings:
    _refuse_missing(path)
    with _as_adapter():
        found = read_json(path)
    _refuse_foreign(path, found)
    _refuse_numbers(path, found.get("r"), found.get("lora_alpha"))
    patterns = [found.get(f"{kind}_pattern") or {} for kind in ("rank", "alpha")]
    if not all(isinstance(pattern, dict) for pattern in patterns):
        raise bad(path, "has a rank_pattern or an alpha_pattern that is no table")
    return _Settings(
        rank=found["r"],
        alpha=float(found["lora_alpha"]),
        rslora=bool(found.get("use_rslora")),
        ranks=patterns[0],
        alphas=patterns[1],
    )


def _refuse_missing(path: Path) -> None:
    if path.name == TENSORS and not path.exists() and path.with_name(PICKLED).exists():
        reason = "is a pickle, which can run any program when it is read"
        fix = f"load it with peft and save it again, as {TENSORS}"
        raise WeightsError("adapter.pickle", path.with_name(PICKLED), reason, fix=fix)
    try:
        path.stat()
    except OSError as exc:
        fix = f"name a folder with {CONFIG} and {TENSORS}, as peft saves it"
        raise MachineError("adapter.missing", path, exc.strerror or str(exc), fix=fix) from exc


@contextmanager
def _as_adapter() -> Iterator[None]:
    """Gives what is wrong with the files of an adapter the codes adapter.*, not weights.*."""
    try:
        yield
    except (MachineError, WeightsError) as exc:
        code = exc.code.replace("weights.", "adapter.")
        raise type(exc)(code, exc.subject, exc.reason, fix=exc.fix) from exc


def _refuse_foreign(path: Path, found: Mapping[str, Any]) -> None:
    if found.get("peft_type") != "LORA":
        raise bad(path, f"is of the type {shown(found.get('peft_type'))}, not LORA")
    foreign = [key for key in _FOREIGN if found.get(key)]
    if found.get("bias", "none") != "none":
        foreign.append("bias")
    if found.get("init_lora_weights") not in _PLAIN_STARTS:
        foreign.append("init_lora_weights")
    if foreign:
        raise bad(path, f"has {foreign[0]} {shown(found[foreign[0]])}, which is more than LoRA")


def _refuse_numbers(path: Path, rank: object, alpha: object) -> None:
    if type(rank) is not int or not 1 <= rank < 1 << 31:
        raise bad(path, f"has the rank {shown(rank)}, which is none")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not abs(alpha) < 1e30:
        raise bad(path, f"has the lora_alpha {shown(alpha)}, which is no finite number")


def _pairs(path: Path) -> tuple[dict[Place, dict[str, Array]], dict[Place, str]]:
    """A and B by place, and the modules as the adapted model calls them."""
    _refuse_missing(path)
    pairs: dict[Place, dict[str, Array]] = {}
    modules: dict[Place, str] = {}
    with _as_adapter(), open_checkpoint(path) as checkpoint:
        for name, stored in checkpoint.tensors.items():
            named = parse(name)
            if named is None:
                raise bad(path, f"has {shown(name)}, which is no A or B of a layer of DINOv2")
            if named.side in pairs.setdefault(named.place, {}):
                raise bad(path, f"has {shown(name)} twice, by two names")
            pairs[named.place][named.side] = _values(path, stored)
            modules[named.place] = named.module
    if not pairs:
        raise bad(path, "adapts no layer")
    return pairs, modules


def _values(path: Path, stored: StoredTensor) -> Array:
    if stored.dtype not in FLOATS:
        reason = f"has {shown(stored.name)} of dtype {shown(stored.dtype)}, which is no float"
        raise WeightsError("adapter.dtype", path, reason, fix="save it in float32")
    values = np.empty(stored.shape, np.float32)
    stored.read_into(values)
    if not np.isfinite(values).all():
        reason = f"has NaN or infinite values in {shown(stored.name)}"
        fix = "the training that wrote it went wrong"
        raise WeightsError("adapter.nonfinite", path, reason, fix=fix)
    return values


def _low(
    path: Path, place: Place, pair: Mapping[str, Array], module: str, settings: _Settings
) -> Low:
    alpha = value_for(path.with_name(CONFIG), settings.alphas, module, settings.alpha)
    if set(pair) != {"A", "B"}:
        raise bad(path, f"has only lora_{min(pair)} for {place.layer}, not both matrices")
    a, b = pair["A"], pair["B"]
    # peft sorts its patterns when it saves them, and the first counts: so the matrices decide.
    rank = a.shape[0] if a.ndim == 2 else 0
    known = [settings.rank, *settings.ranks.values()]
    if b.ndim != 2 or b.shape[1] != rank or rank not in known:
        shapes = f"{a.shape} and {b.shape}"
        raise bad(path, f"has matrices {shapes} for {place.layer}, not of rank {settings.rank}")
    _refuse_numbers(path, rank, alpha)
    scale = scale_of(float(alpha), rank, rslora=settings.rslora)
    return Low(**place._asdict(), a=a, b=b, scale=scale)
