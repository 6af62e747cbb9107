"""Reads a pickle of lists, text, numbers and NumPy arrays as data; arrays come out as lists.

The ground truth of revisited Oxford and Paris is such a file, and copies of it were written by
every version of Python and NumPy. Nothing is imported or called; see weights/pickle_reader.py.
"""

import codecs
import io
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from dinoseek.errors import DataError
from dinoseek.weights.pickle_reader import (
    STEPS,
    Dialect,
    Global,
    Machine,
    get,
    push,
    put,
    read_pickle,
    set_items,
    skip,
)

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_KINDS = "iufbUS"  # of dtypes that are plain values
_MAX_ITEM_BYTES = 4096


def read_numpy_pickle(path: Path, data: bytes) -> Any:
    """The object in `data`: dicts, lists, tuples, numbers, text and bytes.

    Raises DataError gt.unsafe_global for a global that such data never needs, and ValueError,
    TypeError, KeyError, IndexError or AttributeError for nonsense.
    """
    return read_pickle(path, data, NUMPY)


class Array(list[Any]):
    """A NumPy array of one axis as the list that it becomes once its state is known."""


@dataclass
class Dtype:
    """A dtype by its code, such as i8; the byte order follows in its state."""

    code: str
    order: str = "<"

    @property
    def numpy(self) -> np.dtype[Any]:
        found = np.dtype(self.code)
        if found.kind not in _KINDS or found.itemsize > _MAX_ITEM_BYTES:
            raise ValueError(f"an array holds {found}, which is neither numbers nor text")
        return found.newbyteorder(">" if self.order == ">" else "<")


def _dtype(code: Any, *_: Any) -> Dtype:
    text = code.decode("ascii") if isinstance(code, bytes) else code
    if not isinstance(text, str) or len(text) > 8 or not text[1:].isdecimal():
        raise ValueError("a dtype has no plain code")
    return Dtype(text)


def _reconstruct(subtype: Any, shape: Any, _code: Any) -> Array:
    """An array before its state is set: NumPy always writes it empty."""
    if subtype not in NDARRAYS or shape != (0,):
        raise ValueError("an array is described wrongly")
    return Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, _order: Any) -> Array:
    return Array(_values(data, dtype, shape))


def _scalar(dtype: Any, data: Any) -> Any:
    (value,) = _values(data, dtype, (1,))
    return value


def _values(data: Any, dtype: Any, shape: Any) -> list[Any]:
    """The values of an array; its shape must take exactly the bytes that there are."""
    sides = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    if not isinstance(dtype, Dtype) or not sides or not 1 <= len(shape) <= 4:
        raise ValueError("an array is described wrongly")
    if prod(shape) != max(shape):
        raise ValueError(f"an array has the shape {shape}, expected one axis")
    raw = data.encode("latin-1") if isinstance(data, str) else data  # text in Python 2's pickles
    kind = dtype.numpy
    if not isinstance(raw, bytes | bytearray) or len(raw) != prod(shape) * kind.itemsize:
        raise ValueError(f"an array of shape {shape} does not have the bytes that this takes")
    found: list[Any] = np.frombuffer(bytes(raw), kind).tolist()
    return found


def _encode(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes in the old protocols; any other encoding has no use here."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("its pickle encodes text as something else than latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _build(machine: Machine, _: Any) -> None:
    """Sets the state of an array or a dtype; nothing else has any."""
    target, state = machine.pop(2)
    match target, state:
        case Array(), (_, (int() as count,), Dtype(code="O8" | "O4"), _, list() as values):
            if len(values) != count:
                raise ValueError("an array of objects has more or fewer than it says")
            target[:] = values
        case Array(), (_, shape, Dtype() as dtype, _, data):
            target[:] = _values(data, dtype, shape)
        case Dtype(), (_, str() as order, *_):
            target.order = order
        case Dtype(), (_, bytes() as order, *_):
            target.order = order.decode("ascii")
        case _:
            raise ValueError("its pickle sets attributes of what has none")
    machine.stack.append(target)


def _dict(machine: Machine, _: Any) -> None:
    pairs = machine.pop_to_mark()
    machine.stack.append({})
    set_items(machine, pairs)


def _refused(path: Path, name: str) -> DataError:
    reason = f"its pickle asks for {name}, which a ground truth never needs; nothing was run"
    return DataError("gt.unsafe_global", path, reason, fix="download it again from its source")


def _operations(data: bytes) -> Iterator[tuple[str, Any]]:
    """The opcodes and arguments of a pickle; text of Python 2 is read as latin-1."""
    stream = io.BytesIO(data)
    while code := stream.read(1):
        opcode = _OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError("it is no pickle")
        reader: Callable[[io.BytesIO], Any] | None = opcode.arg.reader if opcode.arg else None
        if opcode.name == "STRING":
            raw = pickletools.read_stringnl(stream, decode=False)
            yield "STRING", codecs.escape_decode(raw)[0].decode("latin-1")
        else:
            yield opcode.name, reader(stream) if reader else None
        if opcode.name == "STOP":
            return
    raise ValueError("it ends early")


_CORES = ("numpy.core", "numpy._core")  # before and since NumPy 2
NDARRAYS = {Global("numpy", "ndarray")}
_BUILTINS = ("__builtin__", "builtins")

NUMPY = Dialect(
    kind="ground truth",
    calls={
        **{Global(f"{core}.multiarray", "_reconstruct"): _reconstruct for core in _CORES},
        **{Global(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
        **{Global(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORES},
        **{Global(name, "bytes"): _no_bytes for name in _BUILTINS},
        Global("numpy", "dtype"): _dtype,
        Global("_codecs", "encode"): _encode,
    },
    names=NDARRAYS,
    steps={
        **{name: step for name, step in STEPS.items() if name != "BINPERSID"},
        **dict.fromkeys(("INT", "LONG", "FLOAT", "STRING", "UNICODE"), push),
        **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), push),
        **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), push),
        "READONLY_BUFFER": skip,
        "LIST": lambda machine, _: push(machine, machine.pop_to_mark()),
        "DICT": _dict,
        "PUT": put,
        "GET": get,
        "BUILD": _build,
    },
    refused=_refused,
    operations=_operations,
)
