"""Thousands of damaged files of each kind: either they load, or one WeightsError says why not."""

import random
import struct
import zipfile
from pathlib import Path

import pytest

from dinoseek.errors import WeightsError
from dinoseek.weights.load import load_params

ROUNDS = 400
pytestmark = pytest.mark.filterwarnings("ignore")  # of NumPy and zipfile, about odd headers


@pytest.fixture(scope="module")
def small(make_tiny):
    return make_tiny(d=8, depth=1)


def mutate(content: bytes, chance: random.Random, head: int) -> bytes:
    """One of the usual injuries; most hit the first `head` bytes or the end, where structure is."""
    data = bytearray(content)
    near_end = len(data) - 1 - chance.randrange(min(400, len(data)))
    at = chance.choice([chance.randrange(head), chance.randrange(len(data)), near_end])
    match chance.randrange(7):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            data[at] = chance.choice(b"\x00\x01\x7f\x80\xff.(R9}h")
        case 2:
            del data[at:]
        case 3:
            del data[at : at + chance.randrange(1, 20)]
        case 4:
            other, size = chance.randrange(len(data)), chance.randrange(1, 40)
            data[at : at + size] = data[other : other + size]
        case 5:
            number = chance.choice([0, 1, 2**31 - 1, 2**32 - 1, len(data), len(data) + 1])
            data[at : at + 4] = struct.pack("<L", number)
        case _:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
    return bytes(data)


def outcome(path: Path) -> str:
    """ "loaded", or the code of the WeightsError; any other exception fails the test."""
    try:
        load_params(path)
    except WeightsError as error:
        return error.code if str(error).isprintable() and len(str(error)) < 3000 else "unprintable"
    return "loaded"


def hurt(outcomes: list[str]) -> bool:
    """Whether the injuries did something, and each was told well."""
    return len(outcomes) - outcomes.count("loaded") > ROUNDS // 5 and "unprintable" not in outcomes


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 8, "num_attention_heads": 1}')
    return tmp_path


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
def test_damaged_files_load_or_raise_one_kind_of_error(small, write, folder, suffix, seed):
    path = write(folder / f"m{suffix}", small.flat)
    content = path.read_bytes()
    assert outcome(path) == "loaded"
    chance, outcomes = random.Random(f"{suffix}{seed}"), []

    for _ in range(ROUNDS):
        path.write_bytes(mutate(content, chance, 4000))
        outcomes.append(outcome(path))

    assert hurt(outcomes)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_pickles_under_a_right_checksum_load_or_raise_the_same(
    small, torch_file, pickle_parts, folder, seed
):
    state = {name: torch_file.tensor(value) for name, value in small.flat.items()}
    content = pickle_parts.pickled(state)
    chance, outcomes = random.Random(seed), []

    for _ in range(ROUNDS):
        damaged = mutate(content, chance, len(content))
        outcomes.append(outcome(torch_file.write_pickle(folder / "m.pth", damaged)))

    assert hurt(outcomes)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_arrays_under_a_right_checksum_load_or_raise_the_same(small, write, folder, seed):
    path = write(folder / "m.npz", small.flat)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    chance, outcomes = random.Random(seed), []

    for _ in range(ROUNDS):
        victim = chance.choice(sorted(entries))
        with zipfile.ZipFile(path, "w", chance.choice([0, zipfile.ZIP_DEFLATED])) as archive:
            for name, data in entries.items():
                archive.writestr(name, mutate(data, chance, 100) if name == victim else data)
        outcomes.append(outcome(path))

    assert hurt(outcomes)
