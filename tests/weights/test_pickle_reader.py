"""Pickles that try to run code, to eat memory, or make no sense (PTH-01, PTH-04 and PTH-05)."""

import collections
import contextlib
import os
import pickle
import struct

import pytest

from dinoseek.errors import WeightsError
from dinoseek.weights.pickle_reader import Storage, TensorView, read_pickle

STORAGE = Storage("F32", "0", 8)


@pytest.fixture
def read(tmp_path):
    return lambda data: read_pickle(tmp_path / "m.pth", data)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_reads_as_pickle_reads_it(read, protocol):
    tree = {"a": [1, -2, 2**40, 1.5, None, True], "b": {"c": ("x", ("y", 3), ())}, 7: "é", "e": {}}
    tree["shared"] = tree["b"]
    tree["long"] = list(range(3000))

    assert read(pickle.dumps(tree, protocol)) == tree


def test_ordered_dicts_read_as_dicts_and_their_attributes_are_dropped(read):
    state = collections.OrderedDict(a=1, b=2)
    state._metadata = collections.OrderedDict(version=1)

    result = read(pickle.dumps(state, 2))

    assert result == {"a": 1, "b": 2}
    assert type(result) is dict


# What published bypasses of pickle scanners and of allowlists call, and where Python keeps exec.
CALLS = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("subprocess", "Popen"),
    ("subprocess", "check_output"), ("builtins", "eval"), ("builtins", "exec"),
    ("builtins", "getattr"), ("builtins", "__import__"), ("builtins", "open"),
    ("__builtin__", "eval"), ("__builtin__", "apply"), ("runpy", "_run_code"),
    ("runpy", "run_path"), ("cProfile", "run"), ("cProfile", "runctx"), ("profile", "run"),
    ("pdb", "run"), ("bdb", "Bdb"), ("timeit", "timeit"), ("trace", "Trace"), ("pty", "spawn"),
    ("ctypes", "CDLL"), ("pydoc", "locate"), ("pydoc", "pipepager"), ("pkgutil", "resolve_name"),
    ("_posixsubprocess", "fork_exec"), ("atexit", "register"), ("importlib", "import_module"),
    ("importlib._bootstrap", "_load"), ("types", "FunctionType"), ("types", "CodeType"),
    ("marshal", "loads"), ("code", "InteractiveInterpreter"), ("codeop", "compile_command"),
    ("operator", "attrgetter"), ("operator", "methodcaller"), ("functools", "partial"),
    ("functools", "reduce"), ("asyncio.unix_events", "_UnixSubprocessTransport"),
    ("multiprocessing.util", "spawnv_passfds"), ("webbrowser", "open"), ("socket", "socket"),
    ("urllib.request", "urlopen"), ("shutil", "rmtree"), ("pathlib", "Path.unlink"),
    ("numpy", "fromfile"), ("numpy", "load"), ("numpy.f2py.crackfortran", "getlincoef"),
    ("numpy.testing._private.utils", "runstring"), ("numpy.core.multiarray", "_reconstruct"),
    ("torch", "load"), ("torch.hub", "load"), ("torch.jit", "load"),
    ("torch.utils._config_module", "ConfigModule.load_config"),
    ("torch.utils.data.datapipes.utils.decoder", "basichandlers"),
    ("torch._utils", "_import_dotted_name"), ("site", "execsitecustomize"),
    ("torch.serialization", "load"), ("torch.storage", "_load_from_bytes"),
    ("torch._inductor.codecache", "compile_file"), ("idlelib.pyshell", "ModifiedInterpreter"),
    ("lib2to3.pgen2.pgen", "ParserGenerator"), ("distutils.file_util", "write_file"),
    ("ensurepip", "_run_pip"), ("venv", "main"), ("doctest", "debug_script"),
    ("logging.config", "_resolve"), ("collections", "namedtuple"),
    ("collections.OrderedDict", "fromkeys"),
    ("collections", "OrderedDict.__class__"), ("torch", "FloatStorage.__init__.__globals__"),
    ("torch._utils", "_rebuild_tensor"), ("copyreg", "_reconstructor"), ("_codecs", "encode"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), CALLS, ids=lambda part: part)
def test_PTH_01_any_other_global_is_refused_by_name_and_never_run(
    read, pickle_parts, tmp_path, module, name
):
    canary = tmp_path / "canary"
    call = pickle_parts.call(pickle_parts.global_(module, name), (f"touch {canary}",))

    for data in (
        pickle_parts.pickled({"cls_token": call}),
        b"\x80\x02" + call_opcodes(module, name, canary),
        stacked(module, name, canary),
    ):
        with pytest.raises(WeightsError) as caught:
            read(data)
        assert caught.value.code == "weights.unsafe_global"
        assert f"{module}.{name}" in str(caught.value)
    assert not canary.exists()


def call_opcodes(module: str, name: str, canary: object) -> bytes:
    """The classic three lines of an exploit: GLOBAL, a tuple, REDUCE."""
    text = f"touch {canary}".encode()
    return f"c{module}\n{name}\n(X".encode() + struct.pack("<I", len(text)) + text + b"tR."


def stacked(module: str, name: str, canary: object) -> bytes:
    """The same in protocol 4, where the names lie on the stack."""
    words = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
    text = f"touch {canary}".encode()
    return b"\x80\x04" + words + b"\x93X" + struct.pack("<I", len(text)) + text + b"\x85R."


def test_PTH_01_the_canary_test_itself_bites(tmp_path):
    canary = tmp_path / "canary"

    pickle.loads(call_opcodes("os", "system", canary))

    assert canary.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02(X\x04\x00\x00\x00echoios\nsystem\n.",  # INST
        b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00echoo.",  # OBJ
        b"\x80\x02cos\nsystem\n)\x81.",  # NEWOBJ
        b"\x80\x02\x82\x01.",  # EXT1
        b"\x80\x02P1\n.",  # PERSID
        b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00\x97.",  # NEXT_BUFFER
    ],
    ids=["INST", "OBJ", "NEWOBJ", "EXT1", "PERSID", "NEXT_BUFFER"],
)
def test_PTH_01_other_opcodes_that_make_objects_are_refused(read, data):
    with pytest.raises((WeightsError, ValueError), match=r"which (no checkpoint|plain weights)"):
        read(data)


def test_PTH_01_hostile_names_of_globals_are_shown_escaped(read):
    with pytest.raises(WeightsError) as caught:
        read(b"\x80\x02c\x1b[2Jos\nsystem\n.")

    assert str(caught.value).isprintable()


def rebuild(parts, *arguments):
    return parts.pickled(parts.call(parts.global_("torch._utils", "_rebuild_tensor_v2"), arguments))


def storage(parts, kind="FloatStorage", key="0", numel=8, word="storage"):
    return parts.persistent((word, parts.global_("torch", kind), key, "cpu", numel))


def test_a_tensor_is_described_and_not_built(read, pickle_parts):
    data = rebuild(pickle_parts, storage(pickle_parts), 2, (3, 2), (2, 1), False, {})

    assert read(data) == TensorView(STORAGE, 2, (3, 2), (2, 1))


def test_a_parameter_is_its_tensor(read, pickle_parts):
    parts = pickle_parts
    rebuilder = parts.global_("torch._utils", "_rebuild_tensor_v2")
    tensor = parts.call(rebuilder, (storage(parts), 0, (8,), (1,), False, {}))
    data = parts.pickled(
        parts.call(parts.global_("torch._utils", "_rebuild_parameter"), (tensor, True, {}))
    )

    assert read(data) == TensorView(STORAGE, 0, (8,), (1,))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0.5, (2,), (1,)),
        (True, (2,), (1,)),
        (None, (2,), (1,)),
        (0, "ab", "cd"),
        (0, (), None),
        (0, (1,) * 9, (1,) * 9),
    ],
    ids=str,
)
def test_PTH_04_tensors_described_wrongly_are_refused(read, pickle_parts, offset, shape, strides):
    with pytest.raises(ValueError, match="a tensor "):
        read(rebuild(pickle_parts, storage(pickle_parts), offset, shape, strides, False, {}))


def test_PTH_04_allowed_globals_used_wrongly_are_refused(read, pickle_parts):
    parts = pickle_parts
    ordered_dict = parts.global_("collections", "OrderedDict")
    parameter = parts.global_("torch._utils", "_rebuild_parameter")
    float_storage = parts.global_("torch", "FloatStorage")
    wrong = [
        parts.pickled(parts.call(ordered_dict, ("x",))),
        parts.pickled(parts.call(parameter, ("no tensor", True, {}))),
        parts.pickled(parts.call(float_storage, (8,))),
        rebuild(parts, "no storage", 0, (8,), (1,)),
        rebuild(parts),
        parts.pickled(storage(parts, key=7)),
        parts.pickled(storage(parts, numel=-8)),
        parts.pickled(storage(parts, numel=8.0)),
        parts.pickled(storage(parts, word="module")),
        parts.pickled(parts.persistent(("storage", "FloatStorage", "0", "cpu", 8))),
        parts.pickled(parts.persistent(("storage", ordered_dict, "0", "cpu", 8))),
        parts.pickled(parts.persistent(())),
        b"\x80\x02ccollections\nOrderedDict\n}b.",  # BUILD on a global
        b"\x80\x02ccollections\nOrderedDict\n)R)\x81.",  # NEWOBJ of an instance
        b"\x80\x02X\x01\x00\x00\x00a)R.",  # a text called
        b"\x80\x02}}}s.",  # a dict as a key
        b"\x80\x02}K\x01a.",  # APPEND to a dict
        b"\x80\x02]K\x01K\x02s.",  # SETITEM in a list
    ]
    for data in wrong:
        with pytest.raises((ValueError, TypeError, KeyError)):
            read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02NN.",
        b"\x80\x02R.",
        b"\x80\x02t.",
        b"\x80\x02(R.",
        b"\x80\x02h\x07.",
        b"\x80\x02q\x00.",
        b"\x80\x02(K\x01u.",
        b"\x80\x02K\x01(\x85.",
        b"\x80\x02Q.",
        b"hello",
        b"\xff" * 9,
    ],
)
def test_nonsense_is_refused_and_the_stack_never_runs_dry_silently(read, data):
    with pytest.raises((ValueError, IndexError, KeyError)):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"]" * 1_900_000 + b"a" * 10 + b".",
        b"\x80\x02" + b"(" * 1_900_000 + b".",
        b"\x80\x02Nr" + struct.pack("<L", 2**31) + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40),
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40),
        b"\x80\x02X" + struct.pack("<L", 2**32 - 1),
        b"\x80\x02\x8b" + struct.pack("<l", 2**31 - 1),
        b"\x80\x02I" + b"9" * 1_000_000 + b"\n.",
    ],
    ids=["deep", "marks", "memo", "bytes8", "unicode8", "unicode", "long4", "int"],
)
def test_PTH_05_pickles_that_would_eat_time_or_memory_end_soon(read, data, costs_at_most):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with costs_at_most(5), contextlib.suppress(ValueError, IndexError):
        read(data)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_PTH_05_tuples_within_tuples_are_never_hashed(read, costs_at_most):
    """Sixty lines that would take 2^60 steps, as a key or as a storage's type."""
    memo = b"\x80\x02)q\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(60)
    )
    key = b"}" + b"h\x3c" + b"K\x01s."
    storage_type = b"(X\x07\x00\x00\x00storageh\x3cX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQ."

    for end in (key, storage_type):
        with costs_at_most(1), pytest.raises(ValueError, match=r"key|storage"):
            read(memo + end)


def test_reading_imports_nothing(read, pickle_parts):
    import sys

    sys.modules.pop("this", None)
    with pytest.raises(WeightsError):
        read(pickle_parts.pickled(pickle_parts.global_("this", "s")))

    assert "this" not in sys.modules
    assert os.name  # os is imported here, and still could not be reached
