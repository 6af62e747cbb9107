"""Hostile and damaged .npz files (NPZ cases of the threat list)."""

import io
import os
import resource
import struct
import zipfile

import numpy as np
import pytest

from dinoseek.errors import WeightsError
from dinoseek.weights.load import load_params


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    data = text.encode("latin1")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(data))
    return b"\x93NUMPY" + bytes(version) + length + data


def zipped(path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def entries_of(tiny) -> dict[str, bytes]:
    return {f"{name}.npy": npy(value) for name, value in tiny.flat.items()}


def refusal(path) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_params(path)
    assert str(caught.value).isprintable()
    return caught.value


def test_compressed_archives_load(tiny, same, tmp_path):
    np.savez_compressed(tmp_path / "m.npz", **tiny.flat)

    assert same(load_params(tmp_path / "m.npz")[0], tiny.flat)


def test_NPZ_01_pickled_objects_are_refused_and_never_loaded(tiny, tmp_path):
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {canary}",)

    evil = np.array([Evil()] * 64, dtype=object)
    path = tmp_path / "m.npz"
    np.savez(path, **{**tiny.flat, "norm.bias": evil})

    error = refusal(path)

    assert error.code == "weights.pickle"
    assert "norm.bias" in str(error)
    assert not canary.exists()
    with pytest.raises(ValueError, match="allow_pickle"):  # the file is what it is meant to be
        np.load(path)["norm.bias"]


def test_NPZ_02_a_bomb_is_refused_before_it_is_unpacked(tiny, tmp_path, costs_at_most):
    zeros = np.zeros(100_000_000, np.float32)
    path = zipped(
        tmp_path / "m.npz", {**entries_of(tiny), "bomb.npy": npy(zeros)}, zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 2_000_000
    del zeros
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with costs_at_most(0.1):
        error = refusal(path)

        assert error.code == "weights.too_large"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_NPZ_02_a_bomb_whose_directory_lies_about_its_size_is_refused(tiny, tmp_path):
    path = zipped(
        tmp_path / "m.npz",
        {**entries_of(tiny), "bomb.npy": npy(np.zeros(30_000_000, np.float32))},
        zipfile.ZIP_DEFLATED,
    )
    content = bytearray(path.read_bytes())
    at = content.rfind(b"bomb.npy") - 46  # its entry in the directory
    assert content[at : at + 4] == b"PK\x01\x02"
    content[at + 24 : at + 28] = struct.pack("<L", 1000)
    path.write_bytes(content)

    assert refusal(path).code == "weights.corrupt"


@pytest.mark.parametrize(
    "shape", ["(10**12,)", "(1000000000000,)", "(-5,)", "(9223372036854775807, 2)"]
)
def test_NPZ_03_shapes_that_do_not_fit_their_bytes_are_refused(tiny, tmp_path, shape):
    header = npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n")
    path = zipped(tmp_path / "m.npz", {**entries_of(tiny), "norm.bias.npy": header + bytes(256)})

    refusal(path)


def test_NPZ_03_a_header_of_twenty_megabytes_is_refused(tiny, tmp_path):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }" + " " * 20_000_000 + "\n"
    header = npy_header(text, (2, 0))
    path = zipped(
        tmp_path / "m.npz",
        {**entries_of(tiny), "norm.bias.npy": header + bytes(256)},
    )

    refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch canary')",
        "{'descr': __import__('os'), 'fortran_order': False, 'shape': (64,)}",
        "{'descr': 'O', 'fortran_order': False, 'shape': (64,)}",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (64,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 64}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (64,)}",
        "{'descr': '<f4'}",
        "(" * 5000,
        "\x00" * 100,
    ],
    ids=lambda text: text[:30],
)
def test_NPZ_03_headers_like_code_or_nonsense_are_refused(tiny, tmp_path, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = npy_header(text + "\n") + bytes(256)
    path = zipped(tmp_path / "m.npz", {**entries_of(tiny), "norm.bias.npy": data})

    refusal(path)

    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("version", [(0, 0), (3, 0), (9, 9)])
def test_NPZ_03_unknown_versions_are_refused(tiny, tmp_path, version):
    data = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (64,)}\n", version)
    path = zipped(tmp_path / "m.npz", {**entries_of(tiny), "norm.bias.npy": data + bytes(256)})

    assert "unknown .npy version" in str(refusal(path))


def test_NPZ_04_a_wrong_checksum_is_refused(tiny, tmp_path):
    path = zipped(tmp_path / "m.npz", entries_of(tiny))
    content = bytearray(path.read_bytes())
    value = tiny.flat["blocks.1.attn.qkv.weight"].tobytes()
    content[content.index(value) + 4] ^= 1
    path.write_bytes(content)

    assert "CRC" in str(refusal(path))


def test_NPZ_04_a_wrong_checksum_of_a_compressed_array_is_refused(tiny, tmp_path):
    path = zipped(tmp_path / "m.npz", entries_of(tiny), zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    at = content.rfind(b"blocks.1.attn.qkv.weight.npy") - 46
    content[at + 16] ^= 1
    path.write_bytes(content)

    assert "CRC" in str(refusal(path))


@pytest.mark.parametrize("change", [b"x", b"\x00" * 400])
def test_NPZ_03_bytes_after_the_values_are_refused(tiny, tmp_path, change):
    entries = entries_of(tiny)
    entries["norm.bias.npy"] += change

    assert "does not take" in str(refusal(zipped(tmp_path / "m.npz", entries)))


def test_NPZ_04_encrypted_entries_are_refused(tiny, tmp_path):
    path = zipped(tmp_path / "m.npz", entries_of(tiny))
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)

    assert "is encrypted" in str(refusal(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_NPZ_04_unusual_compression_is_refused(tiny, tmp_path, method):
    path = zipped(tmp_path / "m.npz", entries_of(tiny), method)

    assert "compression method" in str(refusal(path))


def test_NPZ_04_two_entries_of_one_name_are_refused(tiny, tmp_path):
    path = zipped(tmp_path / "m.npz", entries_of(tiny))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("norm.bias.npy", npy(np.zeros(64, np.float32)))

    assert "same name" in str(refusal(path))


@pytest.mark.parametrize("name", ["../x.npy", "/etc/x.npy", "a/../../x.npy", "..\\x.npy"])
def test_NPZ_04_names_that_point_outside_are_refused_and_nothing_is_written(tiny, tmp_path, name):
    folder = tmp_path / "deep"
    folder.mkdir()
    path = zipped(folder / "m.npz", {**entries_of(tiny), name: npy(np.ones(3))})

    assert "points outside" in str(refusal(path))
    assert [entry.name for entry in tmp_path.rglob("*")] == ["deep", "m.npz"]


def test_NPZ_04_a_directory_of_a_million_entries_is_refused_at_once(tmp_path, costs_at_most):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, *[0] * 4, *[0] * 3,
                        5, 0, 0, 0, 0, 0, 0) + b"a.npy"  # fmt: skip
    count = 1_000_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 0, 0)
    path = tmp_path / "m.npz"
    path.write_bytes(entry * count + end)
    with costs_at_most(0.5):
        assert "directory takes 51000000 bytes" in str(refusal(path))


def test_NPZ_04_a_zip64_directory_that_claims_too_much_is_refused(tiny, tmp_path):
    content = zipped(tmp_path / "m.npz", entries_of(tiny)).read_bytes()
    at = content.rfind(b"PK\x05\x06")
    count = len(tiny.flat)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, 10**9, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, 2**32 - 1, 2**32 - 1, 0)
    (tmp_path / "m.npz").write_bytes(content[:at] + record + locator + end)

    assert "directory takes 1000000000 bytes" in str(refusal(tmp_path / "m.npz"))


def test_NPZ_04_a_directory_that_lies_about_offsets_is_refused(tiny, tmp_path):
    path = zipped(tmp_path / "m.npz", entries_of(tiny))
    content = bytearray(path.read_bytes())
    at = content.rfind(b"norm.bias.npy") - 46
    content[at + 42 : at + 46] = struct.pack("<L", 0)  # the first entry's
    path.write_bytes(content)

    refusal(path)


def test_NPZ_05_column_order_big_endian_and_strided_arrays_give_the_right_values(
    tiny, same, tmp_path
):
    stored = dict(tiny.flat)
    stored["blocks.0.attn.qkv.weight"] = np.asfortranarray(stored["blocks.0.attn.qkv.weight"])
    stored["blocks.0.attn.proj.weight"] = stored["blocks.0.attn.proj.weight"].astype(">f4")
    stored["patch_embed.proj.weight"] = np.asfortranarray(
        stored["patch_embed.proj.weight"].astype(">f8")
    )
    stored["blocks.1.attn.proj.weight"] = np.repeat(stored["blocks.1.attn.proj.weight"], 2, 1)[
        :, ::2
    ]
    np.savez(tmp_path / "m.npz", **stored)

    assert same(load_params(tmp_path / "m.npz")[0], tiny.flat)


def test_WTS_09_files_cut_anywhere_are_refused(tiny, tmp_path):
    path = zipped(tmp_path / "m.npz", entries_of(tiny))
    content = path.read_bytes()

    for cut in (
        0,
        1,
        4,
        30,
        len(content) // 2,
        len(content) - 23,
        len(content) - 22,
        len(content) - 1,
    ):
        path.write_bytes(content[:cut])
        refusal(path)


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff", b"[" * 50_000])
def test_own_metadata_that_is_damaged_is_refused(tiny, tmp_path, text):
    entries = entries_of(tiny) | {"__dinoseek_config__.npy": npy(np.frombuffer(text, np.uint8))}

    assert refusal(zipped(tmp_path / "m.npz", entries)).code == "weights.corrupt"


def test_own_metadata_that_is_no_text_is_refused(tiny, tmp_path):
    entries = entries_of(tiny) | {"__dinoseek_config__.npy": npy(np.zeros(10))}

    assert "is no text" in str(refusal(zipped(tmp_path / "m.npz", entries)))
