"""How the program behaves on machines that are odd: old processors, full disks, closed streams."""

import io
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.images.pool import DecoderPool
from dinoseek.images.preprocess import find_preset
from dinoseek.ingest.sources import from_folder

MODEL = ("--model", "color-histogram")


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def program(tmp_path):
    """Runs `dinoseek ...` in a process of its own, with these changes of its environment."""

    def run(*arguments, stderr=subprocess.PIPE, **environment):
        command = [sys.executable, "-m", "dinoseek", *map(str, arguments)]
        own = {**os.environ, "DINOSEEK_CACHE_DIR": str(tmp_path / "cache"), **environment}
        return subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=own,
            cwd=tmp_path,
            check=False,
            timeout=120,
        )

    return run


def test_FS_11_the_memory_of_a_scan_is_that_of_the_names_of_one_folder(tmp_path):
    names = [f"{number:06}.jpg" for number in range(20_000)]
    for name in names:
        (tmp_path / name).touch()
    tracemalloc.start()
    try:
        assert from_folder(tmp_path).count() == len(names)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / len(names) < 250  # bytes a file: 250 MB for a million of them


def test_FS_19_a_deleted_file_stays_a_hit_until_the_folder_is_indexed_again(
    program, pictures, tmp_path
):
    assert program("index", pictures, "--gallery", "g.dino", *MODEL).returncode == 0
    gone = pictures / "0.png"
    kept = gone.read_bytes()
    gone.unlink()
    (tmp_path / "query.png").write_bytes(kept)

    search = ("search", "query.png", "--gallery", "g.dino", "--json", "--html", "page.html")
    found = program(*search)

    assert json.loads(found.stdout)[0]["path"] == str(gone)
    assert "file missing" in (tmp_path / "page.html").read_text()
    assert "1 removed" in program("index", pictures, "--gallery", "g.dino", *MODEL).stderr
    assert str(gone) not in program(*search).stdout


@pytest.mark.parametrize("processor", ["Prescott", "Nehalem", "Haswell"])
def test_OPS_04_old_processors_give_the_same_vectors(processor):
    """OpenBLAS is told to use the kernels of an older processor, in a process of its own."""
    script = """
import sys, numpy as np
from dinoseek.vit.config import ViTConfig
from dinoseek.vit.model import forward
from dinoseek.vit.ops import Array
rng = np.random.default_rng(0)
d, depth, grid = 64, 2, 4
f = lambda *shape: rng.standard_normal(shape).astype(np.float32) * np.float32(0.2)
norm = lambda: {"weight": 1 + f(d), "bias": f(d)}
linear = lambda o, i: {"weight": f(o, i), "bias": f(o)}
block = lambda: {"norm1": norm(), "attn": {"qkv": linear(3 * d, d), "proj": linear(d, d)},
    "ls1": {"gamma": f(d)}, "norm2": norm(),
    "mlp": {"fc1": linear(4 * d, d), "fc2": linear(d, 4 * d)},
    "ls2": {"gamma": f(d)}}
params = {"cls_token": f(1, 1, d), "pos_embed": f(1, 1 + grid * grid, d),
    "patch_embed": {"proj": {"weight": f(d, 3, 14, 14), "bias": f(d)}},
    "blocks": [block() for _ in range(depth)], "norm": norm()}
config = ViTConfig(embed_dim=d, depth=depth, num_heads=4, hidden_dim=4 * d, grid=grid)
np.save(sys.stdout.buffer, forward(f(2, 3, 56, 56), params, config).cls)
"""

    def tokens(**environment):
        own = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            capture_output=True,
            env={**own, **environment},
            check=True,
            timeout=120,
        )
        return np.load(io.BytesIO(done.stdout))

    assert np.abs(tokens(OPENBLAS_CORETYPE=processor) - tokens()).max() < 1e-4


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/full")
def test_OPS_08_without_a_folder_for_temporary_files_everything_works(program, pictures, tmp_path):
    nowhere = str(tmp_path / "not-there")
    temporary = {"TMPDIR": nowhere, "TEMP": nowhere, "TMP": nowhere, "SQLITE_TMPDIR": nowhere}

    index = program("index", pictures, "--gallery", "g.dino", *MODEL, **temporary)
    search = program("search", pictures / "1.png", "--gallery", "g.dino", "--paths", **temporary)

    assert (index.returncode, search.returncode) == (0, 0), index.stderr + search.stderr
    assert search.stdout.splitlines()[0] == str(pictures / "1.png")


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York", "UTC"])
def test_OPS_09_zones_locales_and_years_past_2038_change_nothing(program, pictures, zone):
    os.utime(pictures / "0.png", (2**31 + 10**8, 2**31 + 10**8))
    os.utime(pictures / "1.png", (0, 0))
    own = {"TZ": zone, "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}

    first = program("index", pictures, "--gallery", "g.dino", *MODEL, "--json", TZ="UTC")
    again = program("index", pictures, "--gallery", "g.dino", *MODEL, "--json", **own)

    assert json.loads(first.stdout)["stored"] == 3
    assert json.loads(again.stdout)["skipped"] == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_OPS_10_messages_that_cannot_be_written_stop_nothing(program, pictures):
    with Path("/dev/full").open("w") as full:
        done = program("index", pictures, "--gallery", "g.dino", *MODEL, "--json", stderr=full)

    assert json.loads(done.stdout)["stored"] == 3
    assert done.returncode == 0


def test_OPS_10_a_closed_stderr_stops_nothing(tmp_path, pictures):
    command = f"{sys.executable} -m dinoseek index {pictures} --gallery g.dino --json"
    environment = {**os.environ, "DINOSEEK_MODEL": "color-histogram"}
    done = subprocess.run(
        ["sh", "-c", f"{command} 2>&-"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0
    assert json.loads(done.stdout)["stored"] == 3


def test_OPS_02_decoders_start_while_BLAS_is_busy_and_never_hang():
    stop = threading.Event()

    def multiply():
        rows = np.ones((400, 400), np.float32)
        while not stop.is_set():
            rows @ rows

    busy = [threading.Thread(target=multiply) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        file = io.BytesIO()
        Image.new("RGB", (30, 20), "red").save(file, "PNG")
        for _ in range(15):
            with DecoderPool(find_preset("squash@14"), workers=1) as pool:
                assert pool.decode(file.getvalue(), "x").width == 30
    finally:
        stop.set()
        for thread in busy:
            thread.join()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_OPS_03_a_decoder_computes_with_one_thread():
    file = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(file, "PNG")
    with DecoderPool(find_preset("squash@14"), workers=1) as pool:
        pool.decode(file.getvalue(), "x")
        children = [
            each.parent.name
            for each in Path("/proc").glob("[0-9]*/cmdline")
            if b"dinoseek.images.decoder" in each.read_bytes()
            and f"\nPPid:\t{os.getpid()}\n" in (each.parent / "status").read_text()
        ]
        threads = [len(list(Path("/proc", child, "task").iterdir())) for child in children]
    assert threads == [1]
