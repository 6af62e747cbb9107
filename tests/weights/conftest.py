"""Tiny models in every dialect and container, written without the code under test."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dinoseek.vit.config import ViTConfig
from dinoseek.vit.ops import Params

Flat = dict[str, np.ndarray]


@dataclass(frozen=True)
class TinyModel:
    """A model of 64 values per token under Facebook's names; depth 2, patch 2, 3 x 3 positions."""

    config: ViTConfig
    flat: Flat

    @property
    def params(self) -> Params:
        """The engine's nested dict."""
        return nested(self.flat)

    @property
    def hugging_face(self) -> Flat:
        """The same under the names of Hugging Face's files, q, k and v apart."""
        return {name: value for old in self.flat.items() for name, value in hugging_face(*old)}

    @property
    def timm(self) -> Flat:
        """As timm keeps it: with registers, the class token has its position inside it."""
        result = {
            name.replace("w12", "fc1").replace("w3", "fc2"): value
            for name, value in self.flat.items()
        }
        if self.config.num_register_tokens:
            result["reg_token"] = result.pop("register_tokens")
            result["cls_token"] = result["cls_token"] + result["pos_embed"][:, :1]
            result["pos_embed"] = result["pos_embed"][:, 1:]
        return result


def nested(flat: Flat) -> Params:
    params: Params = {"blocks": []}
    for name, value in flat.items():
        node, parts = params, name.split(".")
        if parts[0] == "blocks":
            params["blocks"] += [{} for _ in range(int(parts[1]) + 1 - len(params["blocks"]))]
            node, parts = params["blocks"][int(parts[1])], parts[2:]
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = value
    return params


def hugging_face(name: str, value: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """One tensor of Facebook's as the one or three of Hugging Face's."""
    for old, new in (
        ("cls_token", "embeddings.cls_token"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("register_tokens", "embeddings.register_tokens"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("blocks.", "encoder.layer."),
        ("attn.proj", "attention.output.dense"),
        ("ls1.gamma", "layer_scale1.lambda1"),
        ("ls2.gamma", "layer_scale2.lambda1"),
        ("mlp.w12", "mlp.weights_in"),
        ("mlp.w3", "mlp.weights_out"),
    ):
        name = name.replace(old, new)
    if name.startswith("norm."):
        return [(f"layer{name}", value)]
    if "attn.qkv" not in name:
        return [(name, value)]
    parts = zip(("query", "key", "value"), np.split(value, 3), strict=True)
    return [(name.replace("attn.qkv", f"attention.attention.{part}"), rows) for part, rows in parts]


def tiny_model(
    *, registers: int = 0, swiglu: bool = False, d: int = 64, depth: int = 2
) -> TinyModel:
    config = ViTConfig(
        embed_dim=d, depth=depth, num_heads=1, hidden_dim=16, patch_size=2,
        num_register_tokens=registers, swiglu=swiglu, grid=3,
    )  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, d), "pos_embed": (1, 10, d)}
    if registers:
        shapes["register_tokens"] = (1, registers, d)
    shapes |= {"patch_embed.proj.weight": (d, 3, 2, 2), "patch_embed.proj.bias": (d,)}
    up, down = ("w12", "w3") if swiglu else ("fc1", "fc2")
    for i in range(depth):
        linears = {"attn.qkv": (3 * d, d), "attn.proj": (d, d)}
        linears |= {f"mlp.{up}": (32 if swiglu else 16, d), f"mlp.{down}": (d, 16)}
        for layer, shape in linears.items():
            shapes |= {f"blocks.{i}.{layer}.weight": shape, f"blocks.{i}.{layer}.bias": shape[:1]}
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{norm}.weight": (d,), f"blocks.{i}.{norm}.bias": (d,)}
        shapes |= {f"blocks.{i}.ls1.gamma": (d,), f"blocks.{i}.ls2.gamma": (d,)}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,)}
    generator = np.random.default_rng(registers * 2 + swiglu)
    # Sixteenths below 8 have few enough bits for bfloat16.
    values = {name: generator.integers(-127, 128, shape) / 16 for name, shape in shapes.items()}
    return TinyModel(config, {name: value.astype(np.float32) for name, value in values.items()})


@pytest.fixture(scope="session")
def make_tiny() -> Callable[..., TinyModel]:
    return tiny_model


@pytest.fixture(scope="session")
def tiny() -> TinyModel:
    return tiny_model()


@dataclass
class Global:
    """A name that a pickle asks for."""

    module: str
    name: str


@dataclass
class Call:
    """A call that a pickle asks for."""

    function: Global
    arguments: tuple[Any, ...]


@dataclass
class Persistent:
    """A storage, as PyTorch's pickles refer to it."""

    identity: tuple[Any, ...]


STORAGE_NAMES = {"float32": "Float", "float16": "Half", "float64": "Double", "int64": "Long"}


@dataclass
class TorchFile:
    """Assembles what torch.save writes, opcode by opcode, so that wrong ones can be made too."""

    storages: dict[str, bytes] = field(default_factory=dict)

    def tensor(self, value: np.ndarray, storage_name: str | None = None) -> Call:
        """A tensor in a storage of its own."""
        key = str(len(self.storages))
        self.storages[key] = value.tobytes()
        strides = tuple(stride // value.itemsize for stride in value.strides)
        name = storage_name or STORAGE_NAMES[value.dtype.name]
        return self.view(key, value.size, 0, value.shape, strides, name)

    def view(
        self,
        key: str,
        numel: int,
        offset: Any,
        shape: Any,
        strides: Any,
        storage_name: str = "Float",
    ) -> Call:
        kind = Global("torch", f"{storage_name}Storage")
        storage = Persistent(("storage", kind, key, "cpu", numel))
        hooks = Call(Global("collections", "OrderedDict"), ())
        rebuild = Global("torch._utils", "_rebuild_tensor_v2")
        return Call(rebuild, (storage, offset, shape, strides, False, hooks))

    def write(self, path: Path, tree: Any, root: str = "archive", **entries: bytes) -> Path:
        return self.write_pickle(path, pickled(tree), root, **entries)

    def write_pickle(
        self, path: Path, data: bytes, root: str = "archive", **entries: bytes
    ) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{root}/data.pkl", data)
            archive.writestr(f"{root}/byteorder", entries.pop("byteorder", b"little"))
            for key, values in self.storages.items():
                archive.writestr(f"{root}/data/{key}", values)
            for name, content in entries.items():
                archive.writestr(f"{root}/{name}", content)
            archive.writestr(f"{root}/version", b"3\n")
        return path


def pickled(tree: Any) -> bytes:
    return b"\x80\x02" + opcodes(tree) + b"."


def opcodes(node: Any) -> bytes:
    match node:
        case Global(module, name):
            return b"c" + f"{module}\n{name}\n".encode()
        case Call(function, arguments):
            return opcodes(function) + opcodes(arguments) + b"R"
        case Persistent(identity):
            return opcodes(identity) + b"Q"
        case dict():
            items = b"".join(opcodes(key) + opcodes(value) for key, value in node.items())
            return b"}(" + items + b"u"
        case tuple():
            return b"(" + b"".join(map(opcodes, node)) + b"t"
        case str():
            return b"X" + struct.pack("<I", len(node.encode())) + node.encode()
        case bytes():
            return node  # opcodes given as they are
        case _:
            return pickle.dumps(node, 2)[2:-1]


@pytest.fixture
def torch_file() -> TorchFile:
    return TorchFile()


@pytest.fixture(scope="session")
def pickle_parts() -> type[Any]:
    """The parts that hostile pickles are made of."""

    class Parts:
        call, global_, persistent, pickled = Call, Global, Persistent, staticmethod(pickled)

    return Parts


def write_torch(path: Path, flat: Mapping[str, np.ndarray]) -> Path:
    file = TorchFile()
    return file.write(path, {name: file.tensor(value) for name, value in flat.items()})


def write_safetensors(path: Path, flat: Mapping[str, np.ndarray]) -> Path:
    """Written by hand from the format's description; bfloat16 comes as uint16 under that name."""
    codes = {"float32": "F32", "float16": "F16", "float64": "F64", "uint16": "BF16", "int8": "I8"}
    header, data = {}, io.BytesIO()
    for name, value in flat.items():
        start = data.tell()
        data.write(np.ascontiguousarray(value).tobytes())
        offsets = [start, data.tell()]
        code = codes[value.dtype.name]
        header[name] = {"dtype": code, "shape": list(value.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data.getvalue())
    return path


def write_npz(path: Path, flat: Mapping[str, np.ndarray]) -> Path:
    np.savez(path, **flat)
    return path


WRITERS = {".safetensors": write_safetensors, ".npz": write_npz, ".pth": write_torch}


@pytest.fixture(scope="session")
def write() -> Callable[[Path, Mapping[str, np.ndarray]], Path]:
    """Writes flat tensors to a file of the kind that its suffix says."""
    return lambda path, flat: WRITERS[path.suffix](path, flat)


@pytest.fixture(scope="session")
def same() -> Callable[[Any, Mapping[str, np.ndarray]], bool]:
    """Whether loaded parameters are exactly these flat tensors, as C-contiguous float32."""

    def compare(params: Any, flat: Mapping[str, np.ndarray]) -> bool:
        found = dict(walk(params))
        assert all(v.dtype == np.float32 and v.flags.c_contiguous for v in found.values())
        assert found.keys() == flat.keys()
        return all(np.array_equal(found[name], value) for name, value in flat.items())

    return compare


def walk(node: Any, prefix: str = "") -> Any:
    if isinstance(node, np.ndarray):
        yield prefix[:-1], node
    else:
        for key, child in enumerate(node) if isinstance(node, list) else node.items():
            yield from walk(child, f"{prefix}{key}.")
