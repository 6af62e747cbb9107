"""The ground truth of revisited Oxford and Paris: hostile, damaged and odd files."""

import gzip
import json
import pickle
import resource
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest

from dinoseek.errors import DataError, DinoseekError, MachineError
from dinoseek.evaluation.ground_truth import MAX_BYTES, load_ground_truth
from dinoseek.evaluation.numpy_pickle import read_numpy_pickle

QUERY = {"bbx": [10.5, 20.0, 110.0, 220.5], "easy": [0, 3], "hard": [1], "junk": [4]}
PLAIN = {
    "imlist": ["a", "b", "c", "d", "e"],
    "qimlist": ["q0", "q1"],
    "gnd": [QUERY, {"bbx": [1, 2, 3, 4], "easy": [], "hard": [2], "junk": []}],
}
HOSTILE = runpy.run_path(str(Path(__file__).parents[1] / "weights/test_pickle_reader.py"))
# Arrays and bytes are made of these two; what they can do here has tests of its own.
ALLOWED = {("numpy.core.multiarray", "_reconstruct"), ("_codecs", "encode")}
FORBIDDEN = [call for call in HOSTILE["CALLS"] if call not in ALLOWED]


@pytest.fixture
def load(tmp_path):
    def call(content):
        path = tmp_path / "gnd.pkl"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, 2))
        return load_ground_truth(path)

    return call


def changed(**parts):
    """PLAIN with a first query that differs."""
    return {**PLAIN, "gnd": [{**QUERY, **parts}, PLAIN["gnd"][1]]}


def code_of(load, content):
    with pytest.raises(DinoseekError) as caught:
        load(content)
    assert str(caught.value).isprintable()
    return caught.value.code


@pytest.mark.parametrize(("module", "name"), FORBIDDEN, ids=lambda part: part)
def test_GT_01_a_pickle_that_calls_anything_is_refused_and_nothing_runs(
    load, tmp_path, module, name
):
    canary = tmp_path / "canary"
    for opcodes in ("call_opcodes", "stacked"):
        start = b"\x80\x04" if opcodes == "stacked" else b"\x80\x02"
        content = HOSTILE[opcodes](module, name, canary)
        content = content if content.startswith(start) else start + content
        with pytest.raises(DataError) as caught:
            load(content)
        assert caught.value.code == "gt.unsafe_global"
        assert f"{module}.{name}" in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.",
        b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(c_codecs\nencode\n)tR.",
        b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00echoo.",
        b"\x80\x02(X\x04\x00\x00\x00echoios\nsystem\n.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
    ],
    ids=["hex", "rot13", "subtype", "OBJ", "INST", "NEWOBJ", "EXT1", "NEXT_BUFFER"],
)
def test_GT_01_what_is_allowed_can_do_nothing_else(load, content):
    assert code_of(load, content) in ("gt.format", "gt.unsafe_global")


def test_GT_01_text_is_encoded_as_latin_1_and_as_nothing_else(tmp_path):
    path = tmp_path / "gnd.pkl"

    def encoded(name):
        words = b"".join(b"X" + struct.pack("<I", len(word)) + word for word in (b"a", name))
        return b"\x80\x02c_codecs\nencode\n(" + words + b"tR."

    assert read_numpy_pickle(path, encoded(b"latin1")) == b"a"
    for name in (b"hex", b"rot13", b"zip", b"idna", b"utf-8"):
        with pytest.raises(ValueError, match="latin1"):
            read_numpy_pickle(path, encoded(name))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("make", [list, np.array, tuple], ids=["list", "array", "tuple"])
def test_GT_02_every_protocol_with_lists_or_arrays_reads_the_same(load, protocol, make):
    content = {
        **PLAIN,
        "imlist": make(PLAIN["imlist"]) if make is np.array else PLAIN["imlist"],
        "gnd": [
            {
                key: make(value) if len(value) else np.array([], np.int64)
                for key, value in query.items()
            }
            for query in PLAIN["gnd"]
        ],
    }
    gnd = load(pickle.dumps(content, protocol))
    assert list(gnd.names) == PLAIN["imlist"]
    assert [each.tolist() for each in gnd.easy] == [[0, 3], []]
    assert [each.tolist() for each in gnd.hard] == [[1], [2]]
    assert gnd.boxes[0] == (10.5, 20.0, 110.0, 220.5)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("protocol", range(6))
def test_GT_02_names_of_old_and_new_numpy_are_known(load, core, protocol):
    content = pickle.dumps(changed(easy=np.array([0, 3])), protocol)
    own = b"numpy._core" if b"numpy._core" in content else b"numpy.core"
    if core != own:  # text in protocol 4 and later has its length before it
        for end in (b".multiarray", b".numeric"):
            old, new = own + end, core + end
            content = content.replace(bytes([len(old)]) + old, bytes([len(new)]) + new)
            content = content.replace(b"c" + old, b"c" + new)
        if protocol >= 4:
            frame = struct.pack("<Q", len(content) - 11)
            content = content[:3] + frame + content[11:]
    assert core + b"." in content
    assert load(content).easy[0].tolist() == [0, 3]


def test_GT_02_text_and_arrays_of_python_2_read_as_latin_1(load):
    """As Python 2 and its NumPy wrote them: byte strings, also for the bytes of an array."""
    data = np.array([0, 3], "<i8").tobytes()

    def text(value):
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
        b"(K\x01(K\x02tcnumpy\ndtype\n(" + text(b"i8") + b"K\x00K\x01tR(K\x03" + text(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(data) + b"tb"
    )  # fmt: skip
    names = b"](" + b"".join(text(name) for name in (b"caf\xe9", b"b", b"c", b"d", b"e")) + b"e"
    query = (
        b"}(" + text(b"bbx") + b"](K\x01K\x02K\x03K\x04e" + text(b"easy") + array
        + text(b"hard") + b"]" + text(b"junk") + b"]u"
    )  # fmt: skip
    content = (
        b"\x80\x02}(" + text(b"imlist") + names + text(b"qimlist") + b"](" + text(b"q") + b"e"
        + text(b"gnd") + b"](" + query + b"eu."
    )  # fmt: skip
    gnd = load(content)
    assert gnd.names[0] == "café"
    assert gnd.easy[0].tolist() == [0, 3]
    by_lines = pickle.dumps(PLAIN, 0).replace(b"Va\n", b"S'caf\\xe9'\n")
    assert load(by_lines).names[0] == "café"


def test_GT_02_arrays_of_either_byte_order_and_of_objects_and_numpys_numbers_read(load):
    easy = np.array([0, 3], ">i4")
    names = np.array(PLAIN["imlist"], object)
    gnd = load({**changed(easy=easy, hard=[np.int64(1)]), "imlist": names})
    assert gnd.easy[0].tolist() == [0, 3]
    assert gnd.hard[0].tolist() == [1]
    assert list(gnd.names) == PLAIN["imlist"]


def test_GT_03_what_is_no_pickle_is_refused_with_what_it_is(load):
    whole = pickle.dumps(PLAIN, 2)
    for content, word in [
        (b"", "empty"),
        (gzip.compress(whole), "gzip"),
        (json.dumps(PLAIN).encode(), "JSON"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (pickle.dumps([1, 2]), "dict"),
    ]:
        with pytest.raises(DataError, match=word) as caught:
            load(content)
        assert caught.value.code == "gt.format"


def test_GT_03_a_file_cut_anywhere_is_refused(load):
    whole = pickle.dumps(PLAIN, 2)
    for length in range(1, len(whole)):
        assert code_of(load, whole[:length]) == "gt.format", length


@pytest.mark.parametrize("key", ["gnd", "imlist", "qimlist"])
def test_GT_04_a_missing_list_is_named(load, key):
    with pytest.raises(DataError, match=repr(key)) as caught:
        load({name: value for name, value in PLAIN.items() if name != key})
    assert caught.value.code == "gt.key"


@pytest.mark.parametrize("key", ["bbx", "easy", "hard", "junk"])
def test_GT_04_a_missing_part_is_named_with_its_query(load, key):
    broken = {name: value for name, value in QUERY.items() if name != key}
    with pytest.raises(DataError, match=f"query 1 .*{key}") as caught:
        load({**PLAIN, "gnd": [QUERY, broken]})
    assert caught.value.code == "gt.key"


@pytest.mark.parametrize(
    "names", [["a", "a", "c", "d", "e"], ["../a", "b", "c", "d", "e"], ["/a", "b", "c", "d", "e"],
              [1, 2, 3, 4, 5]], ids=str,
)  # fmt: skip
def test_GT_04_names_that_are_none_or_lead_elsewhere_are_refused(load, names):
    assert code_of(load, {**PLAIN, "imlist": names}) == "gt.key"
    assert code_of(load, {**PLAIN, "qimlist": ["q0"]}) == "gt.key"


@pytest.mark.parametrize(
    "parts",
    [{"easy": [5]}, {"easy": [-1]}, {"hard": [1.0]}, {"easy": [0, 0]}, {"easy": [0], "junk": [0]},
     {"easy": [1]}, {"junk": ["0"]}, {"easy": [True]}, {"hard": [10**30]}, {"hard": [None]}],
    ids=str,
)  # fmt: skip
def test_GT_05_positions_that_no_image_has_or_two_parts_share_are_refused(load, parts):
    with pytest.raises(DataError, match="query 0") as caught:
        load(changed(**parts))
    assert caught.value.code == "gt.index"


@pytest.mark.parametrize(
    "box",
    [[0, 0, 0, 10], [5, 5, 4, 10], [5, 5, 10, 5], [float("nan"), 0, 1, 1], [0, 0, float("inf"), 1],
     [-9, -9, -1, -1], [1, 2, 3], ["a", 0, 1, 1], [None] * 4],
    ids=str,
)  # fmt: skip
def test_GT_06_a_box_in_which_nothing_lies_is_refused(load, box):
    with pytest.raises(DataError, match="query 0") as caught:
        load(changed(bbx=box))
    assert caught.value.code == "gt.box"


@pytest.mark.parametrize("shape", [(10**12,), (2**40, 2**40), (1,) * 64])
def test_GT_11_an_array_of_a_size_that_it_does_not_have_takes_no_memory(load, shape):
    class Lie:
        def __reduce__(self):
            state = (1, shape, np.dtype("<i8"), False, b"\0" * 8)
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert code_of(load, pickle.dumps(changed(easy=Lie()), 2)) == "gt.format"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB

    class Wide:
        def __reduce__(self):
            return np._core.multiarray._reconstruct, (np.ndarray, (10**12,), b"b")

    assert code_of(load, pickle.dumps(changed(easy=Wide()), 2)) == "gt.format"


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 20_000_000, 1_000_000_000])
def test_GT_12_a_file_of_another_size_is_refused_unread(tmp_path, size, costs_at_most):
    path = tmp_path / "gnd.pkl"
    with path.open("wb") as file:
        file.write(pickle.dumps(PLAIN))
        file.truncate(size)
    with costs_at_most(1):
        with pytest.raises(DataError) as caught:
            load_ground_truth(path)
        assert caught.value.code == "gt.too_large"


def test_a_file_that_is_not_there_is_the_machines_fault(tmp_path):
    with pytest.raises(MachineError, match="prepare") as caught:
        load_ground_truth(tmp_path / "gnd.pkl")
    assert caught.value.code == "gt.missing"


@pytest.mark.parametrize(("name", "count"), [("roxford5k", 4993), ("rparis6k", 6322)])
@pytest.mark.weights
def test_GT_13_the_published_file_is_known_by_its_hash_and_whole(shared, name, count):
    gnd = load_ground_truth(shared / f"data/revisitop/gnd_{name}.pkl")
    assert gnd.official == name
    assert (len(gnd.names), len(gnd.queries)) == (count, 70)
    with (shared / f"data/revisitop/gnd_{name}.pkl").open("rb") as file:
        expected = pickle.load(file)
    assert list(gnd.names) == expected["imlist"]
    for part in ("easy", "hard", "junk"):
        assert [each.tolist() for each in getattr(gnd, part)] == [
            sorted(query[part]) for query in expected["gnd"]
        ]
