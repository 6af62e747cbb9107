"""What DINOv2 checkpoints call their tensors: Facebook's names, which are ours, and other dialects.

Nothing here reads values: names and shapes go in, and out come recipes that say which stored
tensors make which canonical one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dinoseek.vit.ops import Params
from dinoseek.weights.stored import Shape

Table = dict[str, tuple[str, ...]]
BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")
CHUNKED_BLOCK = re.compile(r"^blocks\.\d+\.(\d+)\.(.+)")

FACEBOOK: Table = {
    name: (name,)
    for name in (
        "cls_token", "pos_embed", "register_tokens", "patch_embed.proj", "norm",
        "norm1", "attn.qkv", "attn.proj", "ls1.gamma", "norm2", "ls2.gamma",
        "mlp.fc1", "mlp.fc2", "mlp.w12", "mlp.w3",
    )
}  # fmt: skip

# timm packs the giant's SwiGLU under the names of an MLP.
TIMM: Table = {
    **FACEBOOK,
    "register_tokens": ("reg_token",),
    "mlp.w12": ("mlp.fc1",),
    "mlp.w3": ("mlp.fc2",),
}

HUGGING_FACE: Table = {
    "cls_token": ("embeddings.cls_token",),
    "pos_embed": ("embeddings.position_embeddings",),
    "register_tokens": ("embeddings.register_tokens",),
    "patch_embed.proj": ("embeddings.patch_embeddings.projection",),
    "norm": ("layernorm",),
    "norm1": ("norm1",),
    "attn.qkv": tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
    "attn.proj": ("attention.output.dense",),
    "ls1.gamma": ("layer_scale1.lambda1",),
    "norm2": ("norm2",),
    "ls2.gamma": ("layer_scale2.lambda1",),
    "mlp.fc1": ("mlp.fc1",),
    "mlp.fc2": ("mlp.fc2",),
    "mlp.w12": ("mlp.weights_in",),
    "mlp.w3": ("mlp.weights_out",),
}

# What transformers 5 holds in memory; its files keep the names above.
TRANSFORMERS_5: Table = {
    **HUGGING_FACE,
    "attn.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attn.proj": ("attention.o_proj",),
    "mlp.w12": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.w3": ("mlp.down_proj",),
}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one library spells the parameters; inference does not need the `ignored` ones."""

    name: str
    table: Table
    block: str
    ignored: tuple[str, ...] = ()


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(name="facebook", table=FACEBOOK, block="blocks", ignored=("mask_token",)),
        Dialect(name="timm", table=TIMM, block="blocks", ignored=("mask_token",)),
        Dialect(name="huggingface", table=HUGGING_FACE, block="encoder.layer",
                ignored=("embeddings.mask_token",)),
        Dialect(name="transformers-5", table=TRANSFORMERS_5, block="encoder.layer",
                ignored=("embeddings.mask_token",)),
    )
}  # fmt: skip

# A name that every backbone has, per spelling; the second counts only where the first is lacking.
ANCHORS = (
    ("patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"),
    ("pos_embed", "embeddings.position_embeddings"),
)
HEADS = ("head.", "classifier.", "dino_head.", "ibot_head.")


@dataclass(frozen=True)
class Recipe:
    """How a canonical tensor is made: a copy, sources joined as rows, or a row of zeros first."""

    sources: tuple[str, ...]
    how: Literal["copy", "rows", "blank_row"] = "copy"


def backbone_prefixes(names: Iterable[str]) -> list[str]:
    """What stands before the names of each backbone, sorted; only the teacher's if there is one."""
    names = list(names)
    for anchors in ANCHORS:
        found = {
            name.removesuffix(anchor)
            for name in names
            for anchor in anchors
            if name == anchor or name.endswith(f".{anchor}")
        }
        teachers = {prefix for prefix in found if "teacher" in prefix.split(".")}
        if found:
            return sorted(teachers or found)
    return []


def without_prefix(names: Iterable[str], prefix: str) -> dict[str, str]:
    """The backbone's own names and what the file calls them; chunked blocks get their plain number.

    Training with `block_chunks` writes blocks.{chunk}.{n}, in which n already counts all blocks.
    """
    result: dict[str, str] = {}
    for stored in names:
        if stored.startswith(prefix):
            name = CHUNKED_BLOCK.sub(r"blocks.\1.\2", stored.removeprefix(prefix))
            # The second of two tensors with one name keeps its own, so that it is unexpected later.
            result[stored if name in result else name] = stored
    return result


def detect_dialect(shapes: Mapping[str, Shape]) -> Dialect:
    """The dialect of a backbone's own names."""
    if any(name.startswith(("embeddings.", "encoder.layer.")) for name in shapes):
        in_memory = any("attention.q_proj." in name for name in shapes)
        return DIALECTS["transformers-5" if in_memory else "huggingface"]
    return DIALECTS["timm" if is_packed(shapes) or "reg_token" in shapes else "facebook"]


def is_packed(shapes: Mapping[str, Shape]) -> bool:
    """Whether fc1 and fc2 are the two halves and the output of a SwiGLU, as timm writes it."""
    up, down = (shapes.get(f"blocks.0.mlp.{name}.weight", ()) for name in ("fc1", "fc2"))
    return len(up) == len(down) == 2 and up[0] == 2 * down[1]


def spellings(canonical: str, dialect: Dialect) -> tuple[str, ...]:
    """What `dialect` calls a canonical tensor; several names if it stores the tensor in parts."""
    block = BLOCK.fullmatch(canonical)
    start = f"{dialect.block}.{block[1]}." if block else ""
    name = block[2] if block else canonical
    if name in dialect.table:
        return tuple(f"{start}{part}" for part in dialect.table[name])
    module, _, leaf = name.rpartition(".")
    return tuple(f"{start}{part}.{leaf}" for part in dialect.table[module])


def is_ignored(name: str, dialect: Dialect) -> bool:
    return name in dialect.ignored or name.startswith(HEADS)


def nest(flat: Mapping[str, object]) -> Params:
    """The engine's nested dict: blocks.0.norm1.bias becomes ["blocks"][0]["norm1"]["bias"]."""
    root: Params = {}
    for name, value in flat.items():
        *parents, leaf = name.split(".")
        node = root
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    if "blocks" in root:
        root["blocks"] = [root["blocks"][str(i)] for i in range(len(root["blocks"]))]
    return root


def flatten(params: Params) -> dict[str, object]:
    """The dotted names of the engine's nested dict, the inverse of `nest`."""
    flat: dict[str, object] = {}
    for name, value in params.items():
        children = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(children, dict):
            for rest, leaf in flatten({str(key): child for key, child in children.items()}).items():
                flat[f"{name}.{rest}"] = leaf
        else:
            flat[name] = value
    return flat
