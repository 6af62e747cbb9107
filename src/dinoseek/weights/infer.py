"""The shape of a model, read off the shapes of its tensors, and whether all of them fit it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

from dinoseek.errors import WeightsError, printable
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.naming import (
    Dialect,
    Recipe,
    backbone_prefixes,
    detect_dialect,
    is_ignored,
    is_packed,
    spellings,
    without_prefix,
)
from dinoseek.weights.stored import Shape

HEAD_DIM = 64  # of every DINOv2 model
MAX_DEPTH = 256
SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a checkpoint holds and how each canonical tensor is made from its stored ones."""

    dialect: str
    prefix: str
    config: ViTConfig
    recipes: dict[str, Recipe]


def make_plan(path: Path, shapes: Mapping[str, Shape], num_heads: int | None = None) -> Plan:
    """Finds the one backbone among stored `shapes`, its dialect and its configuration.

    `num_heads` overrides embed_dim / 64. Raises WeightsError that names every missing, unexpected
    or misshapen tensor.
    """
    prefix = find_prefix(path, shapes)
    stored_names = without_prefix(shapes, prefix)
    backbone = {name: shapes[stored] for name, stored in stored_names.items()}
    dialect = detect_dialect(backbone)
    config = infer_config(path, backbone, dialect, num_heads)
    sources = {name: spellings(name, dialect) for name in tensor_shapes(config)}
    refuse_misfits(path, backbone, config, dialect)
    class_row = backbone[sources["pos_embed"][0]][1] == config.grid**2 + 1
    recipes = {
        name: recipe(name, tuple(stored_names[part] for part in parts), class_row=class_row)
        for name, parts in sources.items()
    }
    return Plan(dialect=dialect.name, prefix=prefix, config=config, recipes=recipes)


def recipe(name: str, sources: tuple[str, ...], *, class_row: bool) -> Recipe:
    if len(sources) > 1:
        return Recipe(sources, "rows")
    # timm's register models have no position for the class token: it is already part of cls_token.
    return Recipe(sources, "copy" if class_row or name != "pos_embed" else "blank_row")


def find_prefix(path: Path, names: Iterable[str]) -> str:
    prefixes = backbone_prefixes(names)
    if len(prefixes) == 1:
        return prefixes[0]
    if prefixes:
        shown = ", ".join(printable(prefix) or "the top level" for prefix in prefixes[:SHOWN])
        reason = f"holds {len(prefixes)} backbones ({shown})"
        raise WeightsError("weights.ambiguous", path, reason, fix="save only the one you want")
    shown = ", ".join(printable(name)[:80] for name in sorted(names)[:3]) or "none at all"
    reason = f"holds no DINOv2 backbone; its first tensors are {shown}"
    raise WeightsError("weights.unknown", path, reason)


def infer_config(
    path: Path, shapes: Mapping[str, Shape], dialect: Dialect, num_heads: int | None
) -> ViTConfig:
    """The configuration that most tensors agree on: a wrong one is then named, not believed."""

    def side(name: str, axis: int) -> int | None:
        shape = shapes.get(spellings(name, dialect)[0], ())
        return shape[axis] if -len(shape) <= axis < len(shape) else None

    depth = count_blocks(path, shapes, dialect)
    block_sides = [side(f"blocks.{i}.norm1.weight", 0) for i in range(depth)]
    other_sides = [side("norm.weight", 0), side("cls_token", -1), side("patch_embed.proj.bias", 0)]
    embed_dim = majority(block_sides + other_sides) or 0
    swiglu = has_swiglu(shapes, dialect)
    feed_forward = "mlp.w3" if swiglu else "mlp.fc2"
    hidden = majority(side(f"blocks.{i}.{feed_forward}.weight", 1) for i in range(depth))
    rows = side("pos_embed", 1) or 1 + 37 * 37
    try:
        return ViTConfig(
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads or guess_heads(path, embed_dim),
            hidden_dim=hidden or 4 * embed_dim,
            patch_size=side("patch_embed.proj.weight", 3) or 14,
            num_register_tokens=side("register_tokens", 1) or 0,
            swiglu=swiglu,
            grid=max(1, isqrt(rows)),  # rows is grid^2, or one more for the class token
        )
    except ValueError as exc:
        raise WeightsError("weights.config", path, f"describes no possible model: {exc}") from exc


def count_blocks(path: Path, names: Iterable[str], dialect: Dialect) -> int:
    pattern = re.compile(re.escape(dialect.block) + r"\.(\d{1,9})\.")
    found = [int(match[1]) for name in names if (match := pattern.match(name))]
    depth = max(found, default=0) + 1
    if depth > MAX_DEPTH:
        reason = f"names block {depth - 1}; models have at most {MAX_DEPTH}"
        raise WeightsError("weights.config", path, reason)
    return depth


def has_swiglu(shapes: Mapping[str, Shape], dialect: Dialect) -> bool:
    if dialect.name == "timm":
        return is_packed(shapes)
    names = [
        name for part in ("w12", "w3") for name in spellings(f"blocks.0.mlp.{part}.weight", dialect)
    ]
    return any(name in shapes for name in names)


def guess_heads(path: Path, embed_dim: int) -> int:
    if embed_dim % HEAD_DIM == 0:
        return max(1, embed_dim // HEAD_DIM)
    reason = (
        f"embed_dim {embed_dim} is no multiple of {HEAD_DIM}, so the number of heads is unknown"
    )
    fix = "put the model's config.json, which has num_attention_heads, beside the weights"
    raise WeightsError("weights.config", path, reason, fix=fix)


def majority(values: Iterable[int | None]) -> int | None:
    counts = Counter(value for value in values if value is not None)
    return counts.most_common(1)[0][0] if counts else None


def tensor_shapes(config: ViTConfig) -> dict[str, Shape]:
    """The canonical name and shape of every tensor of a model."""
    d, p, hidden = config.embed_dim, config.patch_size, config.hidden_dim
    shapes: dict[str, Shape] = {"cls_token": (1, 1, d), "pos_embed": (1, 1 + config.grid**2, d)}
    if config.num_register_tokens:
        shapes["register_tokens"] = (1, config.num_register_tokens, d)
    shapes |= {"patch_embed.proj.weight": (d, 3, p, p), "patch_embed.proj.bias": (d,)}
    up, down = ("mlp.w12", "mlp.w3") if config.swiglu else ("mlp.fc1", "mlp.fc2")
    up_rows = 2 * hidden if config.swiglu else hidden
    for i in range(config.depth):
        block = f"blocks.{i}."
        shapes |= {f"{block}{norm}.{leaf}": (d,) for norm in ("norm1", "norm2") for leaf in LEAVES}
        shapes |= linear(f"{block}attn.qkv", 3 * d, d) | linear(f"{block}attn.proj", d, d)
        shapes |= linear(block + up, up_rows, d) | linear(block + down, d, hidden)
        shapes |= {f"{block}ls1.gamma": (d,), f"{block}ls2.gamma": (d,)}
    return shapes | {f"norm.{leaf}": (d,) for leaf in LEAVES}


LEAVES = ("weight", "bias")


def linear(name: str, rows: int, columns: int) -> dict[str, Shape]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def refuse_misfits(
    path: Path, shapes: Mapping[str, Shape], config: ViTConfig, dialect: Dialect
) -> None:
    """Names all tensors, as the file spells them, that are missing, unexpected or misshapen."""
    expected = stored_shapes(config, dialect, shapes)
    missing = [f"{name} is missing" for name in expected if name not in shapes]
    wrong = [
        f"{name} is {str(shapes[name])[:60]}, expected {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    unexpected = [
        f"{printable(name)[:100]} is unexpected"
        for name in shapes
        if name not in expected and not is_ignored(name, dialect)
    ]
    misfits = missing + wrong + unexpected
    if misfits:
        shown = "; ".join(misfits[:SHOWN])
        more = f"; and {len(misfits) - SHOWN} more" if len(misfits) > SHOWN else ""
        count = f"{len(misfits)} tensors do" if len(misfits) > 1 else "1 tensor does"
        reason = f"{count} not fit {describe(config)}: {shown}{more}"
        raise WeightsError("weights.tensors", path, reason)


def stored_shapes(
    config: ViTConfig, dialect: Dialect, shapes: Mapping[str, Shape]
) -> dict[str, Shape]:
    """What `dialect` calls each tensor of a model, and the shape it then has."""
    result: dict[str, Shape] = {}
    for name, (rows, *rest) in tensor_shapes(config).items():
        parts = spellings(name, dialect)
        result |= {part: (rows // len(parts), *rest) for part in parts}
    if dialect.name == "timm" and config.num_register_tokens:
        positions = (1, config.grid**2, config.embed_dim)
        result |= {"pos_embed": positions} if shapes.get("pos_embed") == positions else {}
    return result


def describe(config: ViTConfig) -> str:
    """A model in words: "a ViT with embed_dim 384, depth 12, patch 14, 4 registers"."""
    registers = f", {config.num_register_tokens} registers" if config.num_register_tokens else ""
    kind = " (SwiGLU)" if config.swiglu else ""
    sizes = f"embed_dim {config.embed_dim}, depth {config.depth}, hidden_dim {config.hidden_dim}"
    return f"a ViT with {sizes}{kind}, patch {config.patch_size}, grid {config.grid}{registers}"


def agreed(path: Path, inferred: ViTConfig, claimed: ViTConfig) -> ViTConfig:
    """`claimed`, after a check that it differs from `inferred` only in what shapes do not say."""
    free = {"num_heads": 0, "pos_flavour": ""}
    if inferred.as_dict() | free == claimed.as_dict() | free:
        return claimed
    reason = (
        f"its tensors look like {describe(inferred)}, but its config says {describe(claimed)[:200]}"
    )
    raise WeightsError("weights.config", path, reason)
