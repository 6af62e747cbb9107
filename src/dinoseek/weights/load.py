"""Any checkpoint to the engine's parameters: float32, Facebook's names, one copy in memory."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import WeightsError, printable
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Array, Params
from dinoseek.weights.checkpoint import Checkpoint, open_checkpoint, read_json
from dinoseek.weights.infer import Plan, agreed, make_plan, tensor_shapes
from dinoseek.weights.naming import Recipe, flatten, nest
from dinoseek.weights.save import CONFIG_KEY, PREPROCESS_KEY, as_stored, save_params
from dinoseek.weights.stored import FLOATS, StoredTensor

logger = logging.getLogger(__name__)

__all__ = ["Summary", "load_params", "save_params", "summarise", "verify_saved"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a checkpoint is, told without reading its values."""

    path: Path
    container: str
    dialect: str
    prefix: str
    config: ViTConfig
    tensors: int
    dtypes: tuple[str, ...]
    parameters: int


def load_params(path: str | Path) -> tuple[Params, ViTConfig]:
    """The parameters of the model in `path` as nested float32 arrays under Facebook's names.

    `path` is a safetensors, .npz or PyTorch file, the index of a sharded set, or a folder with one
    of these. Raises MachineError if it is not there or not readable, and WeightsError if it is
    damaged, incomplete, of another kind of model, or not finite.
    """
    with open_checkpoint(Path(path)) as checkpoint:
        plan = plan_of(checkpoint)
        flat = dict(read_tensors(checkpoint, plan))
    logger.info("loaded %s (%s, %s)", path, checkpoint.container, plan.dialect)
    return nest(flat), plan.config


def usual_preprocess(path: str | Path) -> str | None:
    """The preset that the model in `path` was trained with, where the file says so."""
    with open_checkpoint(Path(path)) as checkpoint:
        return checkpoint.metadata.get(PREPROCESS_KEY)


def summarise(path: str | Path) -> Summary:
    """What a checkpoint is; raises as `load_params` does, but sees no values."""
    with open_checkpoint(Path(path)) as checkpoint:
        plan = plan_of(checkpoint)
        used = [checkpoint.tensors[name] for name in used_names(plan)]
        return Summary(
            path=checkpoint.path,
            container=checkpoint.container,
            dialect=plan.dialect,
            prefix=plan.prefix,
            config=plan.config,
            tensors=len(used),
            dtypes=tuple(sorted({tensor.dtype for tensor in used})),
            parameters=sum(prod(shape) for shape in tensor_shapes(plan.config).values()),
        )


def verify_saved(
    path: str | Path, params: Params, config: ViTConfig, *, dtype: str = "float32"
) -> None:
    """Reads weights back one by one and refuses them if they are not what was to be written."""
    expected = flatten(params)
    with open_checkpoint(Path(path)) as checkpoint:
        plan = plan_of(checkpoint)
        wrong = [
            name
            for name, values in read_tensors(checkpoint, plan)
            if not np.array_equal(values, as_stored(expected[name], dtype).astype(np.float32))
        ]
    if wrong or plan.config != config:
        reason = (
            f"reads back differently from what was written ({', '.join(wrong[:3]) or 'config'})"
        )
        raise WeightsError("weights.corrupt", path, reason, fix="check the disk")


def plan_of(checkpoint: Checkpoint) -> Plan:
    """The checked plan for reading a checkpoint."""
    claimed = own_config(checkpoint)
    heads = claimed.num_heads if claimed else None
    plan = make_plan(checkpoint.path, checkpoint.shapes, heads or sibling_heads(checkpoint))
    used = [checkpoint.tensors[name] for name in used_names(plan)]
    refuse_dtypes(checkpoint.path, used)
    refuse_multiplied(checkpoint, used)
    if claimed is None:
        return plan
    config = agreed(checkpoint.path, plan.config, claimed)
    return Plan(dialect=plan.dialect, prefix=plan.prefix, config=config, recipes=plan.recipes)


def used_names(plan: Plan) -> list[str]:
    return [source for recipe in plan.recipes.values() for source in recipe.sources]


def own_config(checkpoint: Checkpoint) -> ViTConfig | None:
    """The configuration that `save_params` put into the file, if it did."""
    text = checkpoint.metadata.get(CONFIG_KEY)
    if text is None:
        return None
    try:
        return ViTConfig(**checked_types(json.loads(text)))
    except (ValueError, TypeError, RecursionError) as exc:
        reason = f"the configuration stored in it is no valid one ({printable(str(exc)[:200])})"
        raise WeightsError("weights.config", checkpoint.path, reason) from exc


def checked_types(values: dict[str, Any]) -> dict[str, Any]:
    """`values`, if each has the type that its field of ViTConfig says."""
    for field in fields(ViTConfig):
        expected = field.type if isinstance(field.type, type) else str
        if field.name in values and type(values[field.name]) is not expected:
            raise TypeError(f"{field.name} is {values[field.name]!r}")
    return values


def sibling_heads(checkpoint: Checkpoint) -> int | None:
    """num_attention_heads of a config.json beside the weights, if it is about this width.

    Nothing else in such a file is believed: shapes say the rest.
    """
    path = checkpoint.path.with_name("config.json")
    if not path.is_file():
        return None
    try:
        config = read_json(path)
    except WeightsError as exc:
        logger.warning("ignored %s", exc)
        return None
    heads, width = config.get("num_attention_heads"), config.get("hidden_size")
    if type(heads) is not int or type(width) is not int or heads < 1 or width % heads:
        return None
    widths = {shape[-1] for shape in checkpoint.shapes.values() if len(shape) == 3}
    return heads if width in widths else None


def refuse_dtypes(path: Path, tensors: list[StoredTensor]) -> None:
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            reason = f"{tensor.name} is of dtype {printable(tensor.dtype)}, which is no float"
            raise WeightsError("weights.dtype", path, reason)


def refuse_multiplied(checkpoint: Checkpoint, tensors: list[StoredTensor]) -> None:
    """Refuses tensors that claim more values than the files have, as views of one storage can."""
    size = sum(file.stat().st_size for file in checkpoint.files)
    claimed = sum(tensor.nbytes for tensor in tensors)
    if checkpoint.container != "npz" and claimed > size:
        reason = f"its tensors claim {claimed} bytes, but the file has only {size}"
        raise WeightsError("weights.too_large", checkpoint.path, reason)


def read_tensors(checkpoint: Checkpoint, plan: Plan) -> Iterator[tuple[str, Array]]:
    """Each canonical name with its finite float32 array, one after the other."""
    for name, shape in tensor_shapes(plan.config).items():
        recipe = plan.recipes[name]
        values = np.empty(shape, np.float32)
        cook(recipe, [checkpoint.tensors[source] for source in recipe.sources], values)
        # The extremes are infinite or NaN if anything is, and take no array of their own.
        if not (np.isfinite(values.min()) and np.isfinite(values.max())):
            reason = f"{' + '.join(recipe.sources)} has NaN or infinite values"
            fix = "the training or conversion that wrote it went wrong"
            raise WeightsError("weights.nonfinite", checkpoint.path, reason, fix=fix)
        yield name, values


def cook(recipe: Recipe, sources: list[StoredTensor], out: Array) -> None:
    """Fills `out` as the recipe says, straight from the files."""
    match recipe.how:
        case "copy":
            sources[0].read_into(out)
        case "rows":
            for part, source in zip(np.split(out, len(sources)), sources, strict=True):
                source.read_into(part)
        case "blank_row":  # (1, g * g, d) -> (1, 1 + g * g, d)
            out[:, 0] = 0
            sources[0].read_into(out[:, 1:])
