"""Hostile and damaged safetensors files (ST cases of the threat list)."""

import json
import resource
import struct

import numpy as np
import pytest

from dinoseek.errors import WeightsError
from dinoseek.weights.load import load_params
from dinoseek.weights.safetensors_file import MAX_HEADER_BYTES, read_safetensors

F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def file_of(header: bytes | dict, data: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def refuse(path, content: bytes) -> WeightsError:
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught, path.open("rb") as file:
        read_safetensors(path, file)
    assert "\n" not in str(caught.value)
    assert caught.value.code == "weights.corrupt"
    return caught.value


def test_a_plain_file_gives_its_tensors_and_metadata(tmp_path):
    path = tmp_path / "m.safetensors"
    header = {"__metadata__": {"format": "pt"}, "b": F32, "a": {**F32, "data_offsets": [4, 8]}}
    path.write_bytes(file_of(header, struct.pack("<2f", 1.5, -2.5)))

    with path.open("rb") as file:
        tensors, metadata = read_safetensors(path, file)
        values = {}
        for tensor in tensors:
            values[tensor.name] = np.empty(tensor.shape, np.float32)
            tensor.read_into(values[tensor.name])

    assert metadata == {"format": "pt"}
    assert {name: float(value[0]) for name, value in values.items()} == {"b": 1.5, "a": -2.5}


@pytest.mark.parametrize("size", [0, 1, 2**63, 2**64 - 1, 10_000, 10**7 + 1, 10**8])
def test_ST_01_lying_header_lengths_are_refused(tmp_path, size):
    refuse(tmp_path / "m.safetensors", file_of({"a": F32}, b"1234", size=size))


def test_ST_01_a_hundred_megabytes_of_header_are_refused_at_once(tmp_path, costs_at_most):
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:  # sparse
        file.write(struct.pack("<Q", 10**8) + b"{")
        file.truncate(10**8 + 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason = f"more than the limit of {MAX_HEADER_BYTES}"
    with costs_at_most(0.1), pytest.raises(WeightsError, match=reason):
        load_params(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b"\xff\xfe{}",
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}} junk',
        b'["a"]',
        b'"text"',
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a": ' * 100_000,
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}',
    ],
    ids=lambda header: str(header[:20]),
)
def test_ST_02_headers_that_are_no_plain_json_object_are_refused(tmp_path, header):
    refuse(tmp_path / "m.safetensors", file_of(header, b"1234"))


@pytest.mark.parametrize(
    "offsets",
    [[0, 8], [4, 8], [4, 0], [-4, 0], [0, 2**62], [2**64, 2**64 + 4], [0.0, 4.0], ["0", "4"], []],
    ids=str,
)
def test_ST_03_offsets_that_do_not_cover_the_data_exactly_are_refused(tmp_path, offsets):
    refuse(tmp_path / "m.safetensors", file_of({"a": {**F32, "data_offsets": offsets}}, b"1234"))


def test_ST_03_a_hundred_thousand_tensors_over_one_block_are_refused(tmp_path, costs_at_most):
    header = {f"t{i}": F32 for i in range(50_000)}
    with costs_at_most(2):
        refuse(tmp_path / "m.safetensors", file_of(header, b"1234"))


@pytest.mark.parametrize("data", [b"", b"123", b"12345", b"1234" * 100])
def test_ST_03_missing_or_left_over_data_is_refused(tmp_path, data):
    refuse(tmp_path / "m.safetensors", file_of({"a": F32}, data))


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [2**32, 2**32]},
        {"shape": [2]},
        {"shape": [-1]},
        {"shape": [1.0]},
        {"shape": "1"},
        {"dtype": "F31"},
        {"dtype": 7},
        {"dtype": "F16"},
        {"shape": None},
    ],
    ids=str,
)
def test_ST_04_shapes_and_dtypes_that_do_not_fit_the_bytes_are_refused(tmp_path, entry):
    refuse(tmp_path / "m.safetensors", file_of({"a": {**F32, **entry}}, b"1234"))


def test_ST_04_a_tensor_of_ten_thousand_sides_is_merely_unexpected(tmp_path, tiny, write):
    path = write(tmp_path / "m.safetensors", tiny.flat)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    end = len(content) - 8 - size
    header["deep"] = {"dtype": "F32", "shape": [1] * 10_000, "data_offsets": [end, end + 4]}
    path.write_bytes(file_of(header, content[8 + size :] + b"1234"))

    with pytest.raises(WeightsError, match="deep is unexpected"):
        load_params(path)


def test_ST_05_large_metadata_is_refused_and_never_shown(tmp_path, tiny):
    header = {"__metadata__": {"note": "<script>" * 2_000_000}, "a": F32}

    error = refuse(tmp_path / "m.safetensors", file_of(header, b"1234"))

    assert "script" not in str(error)


def test_ST_05_metadata_that_is_no_text_is_refused(tmp_path):
    refuse(tmp_path / "m.safetensors", file_of({"__metadata__": {"a": 1}, "b": F32}, b"1234"))


def test_WTS_09_files_cut_anywhere_are_refused(tmp_path, tiny, write):
    path = write(tmp_path / "m.safetensors", tiny.flat)
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    cuts = {
        0,
        1,
        7,
        8,
        9,
        8 + size - 1,
        8 + size,
        8 + size + 1,
        len(content) // 2,
        len(content) - 1,
    }

    for cut in sorted(cuts | set(range(0, len(content), 7919))):
        path.write_bytes(content[:cut])
        with pytest.raises(WeightsError):
            load_params(path)


def test_hostile_names_cannot_write_to_the_terminal(tmp_path, tiny, write):
    path = write(tmp_path / "m.npz", tiny.flat)
    path = write(tmp_path / "m.safetensors", tiny.flat | {"\x1b[2Jevil\n": np.ones(1, np.float32)})

    with pytest.raises(WeightsError) as caught:
        load_params(path)

    assert str(caught.value).isprintable()
    assert r"\x1b[2Jevil\n is unexpected" in str(caught.value)


def test_huge_claims_of_a_well_formed_header_take_no_memory(tmp_path):
    # A sparse file of 64 GB whose header describes it rightly: refused for its names, not read.
    path = tmp_path / "m.safetensors"
    size = 1 << 36
    header = {"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    content = file_of(header)
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(len(content) + size)

    with pytest.raises(WeightsError, match="no DINOv2 backbone"):
        load_params(path)
