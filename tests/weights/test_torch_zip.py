"""PyTorch files without PyTorch: views, checksums, and archives that lie (PTH cases)."""

import resource
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from dinoseek.errors import WeightsError
from dinoseek.weights.load import load_params
from dinoseek.weights.torch_zip import LEGACY_MAGIC, read_torch_zip


def read(path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        values = {}
        for tensor in read_torch_zip(path, file):
            values[tensor.name] = np.empty(tensor.shape, np.float32)
            tensor.read_into(values[tensor.name])
        return values


def refusal(path) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        load_params(path)
    assert str(caught.value).isprintable()
    return caught.value


def test_views_of_one_storage_give_their_own_values(torch_file, tmp_path):
    base = np.arange(24, dtype=np.float32)
    torch_file.storages["0"] = base.tobytes()
    tree = {
        "whole": torch_file.view("0", 24, 0, (24,), (1,)),
        "middle": torch_file.view("0", 24, 6, (2, 3), (3, 1)),
        "transposed": torch_file.view("0", 24, 0, (4, 6), (1, 4)),
        "every_other": torch_file.view("0", 24, 1, (5,), (2,)),
        "repeated": torch_file.view("0", 24, 5, (3, 2), (0, 1)),
        "scalar": torch_file.view("0", 24, 7, (), ()),
    }

    values = read(torch_file.write(tmp_path / "m.pth", tree))

    assert np.array_equal(values["whole"], base)
    assert np.array_equal(values["middle"], base[6:12].reshape(2, 3))
    assert np.array_equal(values["transposed"], base.reshape(6, 4).T)
    assert np.array_equal(values["every_other"], base[1:11:2])
    assert np.array_equal(values["repeated"], np.broadcast_to(base[5:7], (3, 2)))
    assert values["scalar"] == 7


def test_a_big_endian_file_gives_the_right_values(tiny, torch_file, same, tmp_path):
    state = {name: torch_file.tensor(value.astype(">f4")) for name, value in tiny.flat.items()}

    path = torch_file.write(tmp_path / "m.pth", state, byteorder=b"big")

    assert same(load_params(path)[0], tiny.flat)


@pytest.mark.parametrize("order", [b"middle", b"", b"little\n", b"x" * 100])
def test_PTH_03_an_unknown_byte_order_is_refused(tiny, torch_file, tmp_path, order):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}

    refusal(torch_file.write(tmp_path / "m.pth", state, byteorder=order))


@pytest.mark.parametrize("root", ["archive", "dinov2_vits14_pretrain", "a/b"])
def test_the_folder_in_the_archive_may_have_any_name(tiny, torch_file, same, tmp_path, root):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}

    assert same(load_params(torch_file.write(tmp_path / "m.pth", state, root))[0], tiny.flat)


def test_PTH_02_files_from_before_the_zip_format_are_refused_with_advice(tmp_path):
    path = tmp_path / "m.pth"
    path.write_bytes(LEGACY_MAGIC + bytes(1000))

    error = refusal(path)

    assert error.code == "weights.format"
    assert "convert to safetensors" in str(error)


def test_PTH_02_tar_files_are_refused_with_advice(tmp_path):
    path = tmp_path / "m.pth"
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "storages")

    assert "convert to safetensors" in str(refusal(path))


def test_PTH_02_a_bare_pickle_is_refused(tmp_path):
    path = tmp_path / "m.pth"
    path.write_bytes(b"\x80\x02}q\x00.")

    assert refusal(path).code == "weights.format"


def test_PTH_02_torchscript_is_refused(tiny, torch_file, tmp_path):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    path = torch_file.write(tmp_path / "m.pt", state, **{"constants.pkl": b"\x80\x02)."})

    assert "TorchScript" in str(refusal(path))


def test_PTH_02_two_pickles_are_refused(tiny, torch_file, tmp_path):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    path = torch_file.write(tmp_path / "m.pth", state)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02}.")

    assert "holds 2 descriptions" in str(refusal(path))


def test_PTH_03_a_wrong_checksum_is_refused(tiny, torch_file, tmp_path):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    path = torch_file.write(tmp_path / "m.pth", state)
    content = bytearray(path.read_bytes())
    value = tiny.flat["blocks.1.attn.qkv.weight"].tobytes()
    content[content.index(value) + 5] ^= 4
    path.write_bytes(content)

    assert "CRC" in str(refusal(path))


@pytest.mark.parametrize("key", ["../0", "0/../0", "/etc/passwd", "", "0\x00", ".."])
def test_PTH_03_storages_outside_the_data_folder_are_refused(torch_file, tmp_path, key):
    torch_file.storages["0"] = bytes(32)
    tree = {"cls_token": torch_file.view(key, 8, 0, (8,), (1,))}

    refusal(torch_file.write(tmp_path / "m.pth", tree))


def test_PTH_03_storages_that_are_not_as_long_as_claimed_are_refused(torch_file, tmp_path):
    torch_file.storages["0"] = bytes(32)
    for numel in (0, 7, 9, 2**40, 2**70):
        tree = {"cls_token": torch_file.view("0", numel, 0, (1,), (1,))}
        refusal(torch_file.write(tmp_path / "m.pth", tree))


def test_PTH_03_missing_storages_are_refused(torch_file, tmp_path):
    tree = {"cls_token": torch_file.view("9", 8, 0, (8,), (1,))}

    refusal(torch_file.write(tmp_path / "m.pth", tree))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (8,), (1,)),
        (8, (1,), (1,)),
        (0, (9,), (1,)),
        (0, (2, 2), (7, 2)),
        (0, (1_000_000, 1_000_000), (0, 0)),
        (0, (9, 1), (0, 1)),
        (0, (0,), (1,)),
        (2**80, (1,), (1,)),
        (0, (2,), (2**80,)),
    ],
    ids=str,
)
def test_PTH_03_views_larger_than_their_storage_are_refused(
    torch_file, tmp_path, offset, shape, strides
):
    torch_file.storages["0"] = bytes(32)
    tree = {"cls_token": torch_file.view("0", 8, offset, shape, strides)}

    assert "does not fit its storage" in str(refusal(torch_file.write(tmp_path / "m.pth", tree)))


def test_PTH_03_many_tensors_over_one_storage_claim_too_much(make_tiny, torch_file, tmp_path):
    model = make_tiny(depth=200)
    largest = max(value.size for value in model.flat.values())
    torch_file.storages["0"] = np.zeros(largest, np.float32).tobytes()
    state = {
        name: torch_file.view("0", largest, 0, value.shape, strides_of(value))
        for name, value in model.flat.items()
    }

    error = refusal(torch_file.write(tmp_path / "m.pth", state))

    assert error.code == "weights.too_large"


def strides_of(value: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // value.itemsize for stride in value.strides)


def test_PTH_03_compressed_storages_are_refused(tiny, torch_file, tmp_path):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    stored = torch_file.write(tmp_path / "stored.pth", state)
    with (
        zipfile.ZipFile(stored) as source,
        zipfile.ZipFile(tmp_path / "m.pth", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))

    refusal(tmp_path / "m.pth")


def test_PTH_05_dicts_shared_many_times_over_are_refused(torch_file, tmp_path):
    """Each holds the one before it twice, which makes 2^60 ways to the first."""
    dicts = [b"K\x00}q\x00"]
    for i in range(1, 61):
        before = b"h" + bytes([i - 1])
        dicts.append(
            b"K" + bytes([i]) + b"}q" + bytes([i]) + b"(K\x00" + before + b"K\x01" + before + b"u"
        )
    data = b"\x80\x02}(" + b"".join(dicts) + b"u."

    assert "too many objects" in str(refusal(torch_file.write_pickle(tmp_path / "m.pth", data)))


def test_PTH_05_a_dict_within_itself_is_refused(torch_file, tmp_path):
    for key in (b"X\x01\x00\x00\x00a", b"X\x00\x00\x00\x00"):
        data = b"\x80\x02}q\x00" + key + b"h\x00s."
        error = refusal(torch_file.write_pickle(tmp_path / "m.pth", data))
        assert "objects within themselves" in str(error)


def test_PTH_05_long_names_do_not_multiply(torch_file, tmp_path):
    long = b"X" + struct.pack("<L", 500_000) + b"a" * 500_000
    many = b"".join(b"M" + struct.pack("<H", i) + b"N" for i in range(4000))
    data = b"\x80\x02}" + long + b"}(" + many + b"us."

    assert "too many objects" in str(refusal(torch_file.write_pickle(tmp_path / "m.pth", data)))


def test_PTH_05_one_long_name_of_many_tensors_does_not_multiply(torch_file, pickle_parts, tmp_path):
    torch_file.storages["0"] = bytes(32)
    tensor = pickle_parts.pickled(torch_file.view("0", 8, 0, (8,), (1,)))[2:-1] + b"q\x01"
    long = b"X" + struct.pack("<L", 500_000) + b"a" * 500_000 + b"q\x02"
    many = b"".join(b"J" + struct.pack("<l", i) + b"}h\x02h\x01s" for i in range(50_000))
    data = b"\x80\x02}(" + b"K\x00" + tensor + long + b"N" + many + b"u."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert "too many objects" in str(refusal(torch_file.write_pickle(tmp_path / "m.pth", data)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("key", [b"X\x00\x00\x00\x00", b"X\x01\x00\x00\x00a"])
def test_PTH_05_a_wide_dict_within_itself_takes_no_memory(torch_file, tmp_path, key):
    many = b"".join(b"J" + struct.pack("<l", i) + b"N" for i in range(190_000))
    data = b"\x80\x02}q\x00(" + many + key + b"h\x00u."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert "too many objects" in str(refusal(torch_file.write_pickle(tmp_path / "m.pth", data)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_PTH_05_a_pickle_of_many_megabytes_is_refused_unread(torch_file, tmp_path):
    data = b"\x80\x02" + b"N0" * 10_000_000 + b"}."

    assert "more than 2000000" in str(refusal(torch_file.write_pickle(tmp_path / "m.pth", data)))


def test_PTH_06_this_reader_never_imports_torch(tiny, torch_file, tmp_path):
    import subprocess
    import sys

    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    path = torch_file.write(tmp_path / "m.pth", state)
    code = f"""
import sys
sys.modules["torch"] = None  # importing it raises
from dinoseek.weights.load import load_params
params, config = load_params({str(path)!r})
print(config.embed_dim)
"""

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "64\n"


def test_WTS_09_files_cut_anywhere_are_refused(tiny, torch_file, tmp_path):
    state = {name: torch_file.tensor(value) for name, value in tiny.flat.items()}
    path = torch_file.write(tmp_path / "m.pth", state)
    content = path.read_bytes()

    for cut in (0, 1, 4, 30, len(content) // 2, len(content) - 23, len(content) - 1):
        path.write_bytes(content[:cut])
        refusal(path)
