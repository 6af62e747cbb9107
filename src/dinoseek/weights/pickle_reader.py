"""Reads the pickle inside a PyTorch checkpoint as data, and can do nothing but build that data.

Python's own unpickler imports and calls what the file names. This one interprets the few opcodes
that a checkpoint is made of: dicts, lists, numbers, text, and descriptions of tensors. A global is
a pair of words, and "calling" one looks it up in a table of three. No path leads from file to code.
"""

import pickletools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dinoseek.errors import DinoseekError, WeightsError, printable

# A giant checkpoint's has 90 kB. Reading one takes about a second and 100 MB per 2 MB at worst.
MAX_BYTES = 2_000_000
MAX_RANK = 8


class Global(NamedTuple):
    """A name from the pickle; never imported."""

    module: str
    name: str


class Storage(NamedTuple):
    """A run of `numel` values of one dtype in the archive entry `key`."""

    dtype: str
    key: str
    numel: int


class TensorView(NamedTuple):
    """A tensor as a view of a storage; offset and strides count values, as in PyTorch."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


STORAGE_DTYPES = {
    Global("torch", f"{name}Storage"): dtype
    for name, dtype in {
        "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Double": "F64", "Long": "I64",
        "Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL",
    }.items()
}  # fmt: skip


def rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TensorView:
    sides = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
    if not isinstance(storage, Storage) or not sides or len(shape) > MAX_RANK:
        raise ValueError("a tensor is described wrongly")
    numbers = (offset, *shape, *strides)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a tensor has an offset, side or stride that is no natural number")
    return TensorView(storage, offset, shape, strides)


def rebuild_parameter(data: Any, *_: Any) -> TensorView:
    if not isinstance(data, TensorView):
        raise ValueError("a parameter is described wrongly")
    return data


def ordered_dict() -> dict[Any, Any]:
    return {}


CALLS: dict[Global, Callable[..., Any]] = {
    Global("collections", "OrderedDict"): ordered_dict,
    Global("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    Global("torch._utils", "_rebuild_parameter"): rebuild_parameter,
}


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What one kind of file is made of: its opcodes, and the globals that mean something in it.

    `calls` are those that may be called, `names` those that are only named. `refused` makes the
    error for any other; `operations` takes a pickle apart into opcodes and their arguments.
    """

    kind: str
    calls: Mapping[Global, Callable[..., Any]]
    names: Collection[Global]
    steps: "Mapping[str, Callable[[Machine, Any], None]]"
    refused: Callable[[Path, str], DinoseekError]
    operations: Callable[[bytes], Iterable[tuple[str, Any]]]


@dataclass
class Machine:
    """The state of one reading: the stack, the marks in it, and what was memoised."""

    path: Path
    dialect: Dialect
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise ValueError("its pickle takes more than it put down")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items


def read_pickle(path: Path, data: bytes, dialect: Dialect | None = None) -> Any:
    """The object in `data`, of MAX_BYTES at most: dicts, lists, tuples, numbers, text, TensorViews.

    Raises WeightsError "weights.unsafe_global" for any global but the few of a plain checkpoint,
    and ValueError, TypeError, KeyError or IndexError for nonsense. Another `dialect` reads another
    kind of file.
    """
    machine = Machine(path, dialect or CHECKPOINT)
    for name, argument in machine.dialect.operations(data):
        if name == "STOP":
            break
        step = machine.dialect.steps.get(name)
        if step is None:
            raise ValueError(f"its pickle uses {name}, which no {machine.dialect.kind} needs")
        step(machine, argument)
    (result,) = machine.stack
    return result


def skip(_: Machine, __: Any) -> None:
    pass


def push(machine: Machine, value: Any) -> None:
    machine.stack.append(value)


def push_global(machine: Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(allowed(machine, Global(module, name)))


def stack_global(machine: Machine, _: Any) -> None:
    module, name = machine.pop(2)
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("its pickle names a global by what is no text")
    machine.stack.append(allowed(machine, Global(module, name)))


def allowed(machine: Machine, wanted: Global) -> Global:
    if wanted in machine.dialect.calls or wanted in machine.dialect.names:
        return wanted
    raise machine.dialect.refused(machine.path, printable(".".join(wanted))[:200])


def refused(path: Path, name: str) -> WeightsError:
    reason = f"its pickle asks for {name}, which plain weights never need; nothing was run"
    fix = "save only the tensors, best as safetensors"
    return WeightsError("weights.unsafe_global", path, reason, fix=fix)


def call(machine: Machine, _: Any) -> None:
    function, arguments = machine.pop(2)
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise ValueError("its pickle calls what is no function")
    machine.stack.append(machine.dialect.calls[function](*arguments))


def persistent(machine: Machine, _: Any) -> None:
    ((kind, dtype, key, _device, numel),) = machine.pop(1)
    known = isinstance(dtype, Global) and dtype in STORAGE_DTYPES
    counted = type(numel) is int and numel >= 0
    if kind != "storage" or not known or not isinstance(key, str) or not counted:
        raise ValueError("a storage is described wrongly")
    machine.stack.append(Storage(STORAGE_DTYPES[dtype], key, numel))


def make_tuple(count: int) -> Callable[[Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.pop(count)))


def set_items(machine: Machine, pairs: list[Any]) -> None:
    (target,) = machine.pop(1)
    if not isinstance(target, dict) or len(pairs) % 2:
        raise ValueError("its pickle fills what is no dict")
    # Hashing tuples within tuples takes time exponential in their depth.
    if not all(isinstance(key, str | int) for key in pairs[::2]):
        raise ValueError("its pickle has a key that is neither text nor a whole number")
    target.update(zip(pairs[::2], pairs[1::2], strict=True))
    machine.stack.append(target)


def append(machine: Machine, items: list[Any]) -> None:
    (target,) = machine.pop(1)
    if not isinstance(target, list):
        raise ValueError("its pickle fills what is no list")
    target.extend(items)
    machine.stack.append(target)


def build(machine: Machine, _: Any) -> None:
    """Drops the attributes of an OrderedDict (PyTorch's module versions); nothing else has any."""
    target, _state = machine.pop(2)
    if not isinstance(target, dict):
        raise ValueError("its pickle sets attributes of what is no dict")
    machine.stack.append(target)


def put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def get(machine: Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), skip),
    "NONE": lambda machine, _: push(machine, None),
    "NEWTRUE": lambda machine, _: push(machine, True),
    "NEWFALSE": lambda machine, _: push(machine, False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE"), push),
    "EMPTY_DICT": lambda machine, _: push(machine, {}),
    "EMPTY_LIST": lambda machine, _: push(machine, []),
    "EMPTY_TUPLE": make_tuple(0),
    "TUPLE1": make_tuple(1),
    "TUPLE2": make_tuple(2),
    "TUPLE3": make_tuple(3),
    "TUPLE": lambda machine, _: push(machine, tuple(machine.pop_to_mark())),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "SETITEM": lambda machine, _: set_items(machine, machine.pop(2)),
    "SETITEMS": lambda machine, _: set_items(machine, machine.pop_to_mark()),
    "APPEND": lambda machine, _: append(machine, machine.pop(1)),
    "APPENDS": lambda machine, _: append(machine, machine.pop_to_mark()),
    "BINPUT": put,
    "LONG_BINPUT": put,
    "MEMOIZE": lambda machine, _: put(machine, len(machine.memo)),
    "BINGET": get,
    "LONG_BINGET": get,
    "GLOBAL": push_global,
    "STACK_GLOBAL": stack_global,
    "REDUCE": call,
    "BINPERSID": persistent,
    "BUILD": build,
}


def operations(data: bytes) -> Iterable[tuple[str, Any]]:
    """The opcodes of a pickle with their arguments; nothing is done with them."""
    return ((opcode.name, argument) for opcode, argument, _ in pickletools.genops(data))


CHECKPOINT = Dialect(
    kind="checkpoint",
    calls=CALLS,
    names=STORAGE_DTYPES,
    steps=STEPS,
    refused=refused,
    operations=operations,
)
