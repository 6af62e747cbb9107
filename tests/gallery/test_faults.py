"""A record on a disk that loses power, fails, or is moved away: what was promised is kept."""

import errno
import mmap
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dinoseek.errors import MachineError
from dinoseek.gallery.factory import open_gallery

BATCHES = 4
# Adds batches of three images, and says after each that it is kept.
WRITER = """
import hashlib, os, sys
import numpy as np
sys.path.insert(0, sys.argv[3])
from conftest import no_features
from dinoseek.embedder import Embedder, Fingerprint
from dinoseek.gallery import connection
from dinoseek.gallery.base import Record
from dinoseek.gallery.factory import open_gallery
from dinoseek.images.preprocess import find_preset
if sys.argv[2] == "careless":
    connection._PRAGMAS = ("PRAGMA synchronous = OFF",)
fingerprint = Fingerprint(model="tiny", weights="0" * 64, preprocess="squash", pooling="cls",
                          pos_flavour="hub", dim=8)
embedder = Embedder(no_features, find_preset("squash"), fingerprint)
vectors = np.eye(3, 8, dtype=np.float32)
with open_gallery(sys.argv[1], embedder) as gallery:
    for batch in range(4):
        names = [f"{batch}-{n}" for n in range(3)]
        gallery.add([Record(path=f"{name}.jpg".encode(), root="/photos",
                            digest=hashlib.sha256(name.encode()).hexdigest(), width=4, height=3,
                            bytes=100, mtime_ns=5, format="JPEG") for name in names], vectors)
        os.write(1, b"kept %d\\n" % batch)
"""


def traced(folder: Path, *flags: str, kind: str = "careful"):
    """Runs the writer under strace."""
    works = shutil.which("strace") and subprocess.run(
        ["strace", "-o", os.devnull, "true"], capture_output=True, check=False
    )
    if not works or works.returncode:
        pytest.skip("needs strace, and the right to trace")
    here = str(Path(__file__).parent)
    writer = [sys.executable, "-c", WRITER, str(folder), kind, here]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        ["strace", "-f", *flags, *writer],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=120,
    )


def kept(folder: Path) -> set[int]:
    """The batches that a record has, each whole; it is checked on the way."""
    with open_gallery(folder) as gallery:
        assert gallery.verify() == []
        count = gallery.info()["images"]
    assert count % 3 == 0
    return set(range(count // 3))


LINE = re.compile(
    r"^(?:\d+ +)?(?P<call>\w+)\((?:\d+<(?P<path>[^>]*)>)(?:, \"(?P<data>(?:\\x[0-9a-f]{2})*)\")?"
    r"(?:, (?P<numbers>[0-9, ]+))?\) += (?P<result>\d+)"
)

UNLINK = re.compile(r"unlink(?:at)?\((?:AT_FDCWD[^,]*, )?\"((?:\\x[0-9a-f]{2})*)\".*\) += 0")


def plain(escaped: str | None) -> bytes:
    """What strace wrote as \\x.. for each byte."""
    return bytes.fromhex((escaped or "").replace("\\x", ""))


def operations(log: str, folder: Path):
    """What the writer did to the record: (call, file, offset, data); and when it made a promise."""
    for line in log.splitlines():
        if gone := UNLINK.search(line):
            yield "unlink", Path(os.fsdecode(plain(gone[1]))).name, 0, b""
        found = LINE.match(line)
        if found is None:
            continue
        data, path = plain(found["data"]), Path(os.fsdecode(plain(found["path"])))
        if found["call"] == "write" and data.startswith(b"kept "):
            yield "promise", "", 0, data
        elif path == folder:
            yield found["call"], "", 0, b""
        elif path.parent == folder:
            numbers = [int(each) for each in (found["numbers"] or "0").split(",")]
            yield found["call"], path.name, numbers[-1], data


def after_power_loss(done, rng):
    """A state that the disk may be in: what was not yet synced is there, missing, or torn."""
    files, unsynced, unlinked = {}, {}, []

    def apply(name, call, offset, data):
        content = files.setdefault(name, bytearray())
        if call == "ftruncate":
            del content[offset:]
        else:
            content.extend(b"\0" * (offset - len(content)))
            content[offset : offset + len(data)] = data

    for call, name, offset, data in done:
        if call == "unlink":
            unlinked.append(name)
            unsynced.pop(name, None)
        elif not name and call != "promise":  # the folder was synced
            for each in unlinked:
                files.pop(each, None)
            unlinked = []
        elif call in ("fsync", "fdatasync"):
            for write in unsynced.pop(name, []):
                apply(name, *write)
        elif call in ("pwrite64", "ftruncate"):
            if name in unlinked:  # a new file of that name
                unlinked.remove(name)
                files.pop(name, None)
            unsynced.setdefault(name, []).append((call, offset, data))
    for name, writes in unsynced.items():
        for call, offset, data in writes:
            if rng.random() < 0.5:
                apply(name, call, offset, data[: rng.choice([len(data), len(data) // 2])])
    for name in unlinked:
        if rng.random() < 0.5:
            files.pop(name, None)
    return files


@pytest.mark.parametrize("kind", ["careful", "careless"])
def test_IDX_10_nothing_promised_is_lost_with_the_power(tmp_path, kind):
    folder = tmp_path.resolve() / "g.dino"
    calls = "trace=pwrite64,write,fsync,fdatasync,ftruncate,unlink,unlinkat"
    log = tmp_path / "log"
    run = traced(folder, "-o", str(log), "-y", "-xx", "-s", "1000000", "-e", calls, kind=kind)
    assert run.stdout == "".join(f"kept {batch}\n" for batch in range(BATCHES)), run.stderr
    done = list(operations(log.read_text(), folder))
    rng = random.Random(0)
    start = next(n for n, each in enumerate(done) if each[0] == "promise")
    lost = 0
    for state in range(200):
        upto = rng.randrange(start, len(done) + 1)
        promised = {int(data[5:]) for call, *_, data in done[:upto] if call == "promise"}
        place = tmp_path / f"state-{state}.dino"
        place.mkdir()
        for name, content in after_power_loss(done[:upto], rng).items():
            if not name.endswith("-shm"):
                (place / name).write_bytes(content)
        try:
            lost += not promised <= kept(place)
        except (AssertionError, Exception):
            lost += 1
        shutil.rmtree(place)
    # without syncing, states are lost: so the test can tell
    assert (lost == 0) == (kind == "careful"), lost


@pytest.mark.parametrize(
    ("call", "when"),
    [
        *(("pwrite64", n) for n in (1, 2, 4, 8, 12, 17, 23)),
        *(("fdatasync", n) for n in (1, 2, 3)),
        ("fdatasync", "2+"),
        ("pwrite64", "9+"),
    ],
)
@pytest.mark.parametrize("error", ["EIO"])
def test_IDX_12_a_failing_disk_is_named_and_loses_nothing(tmp_path, call, when, error):
    folder = tmp_path / "g.dino"
    run = traced(
        folder,
        "-o",
        os.devnull,
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:error={error}:when={when}",
    )
    promised = {int(line.split()[1]) for line in run.stdout.splitlines()}
    if run.returncode:
        assert "MachineError" in run.stderr or "GalleryError" in run.stderr, run.stderr
    else:
        assert promised == set(range(BATCHES))
    if promised:
        assert promised <= kept(folder)
    assert traced(folder, "-o", os.devnull).returncode == 0  # the disk is well again
    assert kept(folder) == set(range(BATCHES))


def test_IDX_14_without_a_file_descriptor_left_it_is_said_and_passes(
    tmp_path, embedder, make_record, unit_vectors
):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record("a")], unit_vectors(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        with pytest.raises(MachineError):
            open_gallery(tmp_path / "g.dino", embedder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert len(gallery.search(unit_vectors(1), 1)[0]) == 1


def test_IDX_14_without_address_space_for_a_map_the_record_is_read(
    tmp_path, embedder, make_record, unit_vectors, monkeypatch
):
    def refused(*_arguments, **_options):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(n) for n in range(3)], unit_vectors(3))
        gallery.search(unit_vectors(1), 1)
    monkeypatch.setattr(mmap, "mmap", refused)
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert gallery.search(unit_vectors(3)[2:], 3)[0][0].id == 3


def test_IDX_29_a_gallery_that_is_moved_while_it_is_open_stays_whole(
    tmp_path, embedder, make_record, unit_vectors
):
    old, new = tmp_path / "old.dino", tmp_path / "new.dino"
    with open_gallery(old, embedder) as gallery:
        gallery.add([make_record("a")], unit_vectors(1))
        old.rename(new)
        assert len(gallery.search(unit_vectors(1), 5)[0]) == 1
        try:
            gallery.add([make_record("b")], unit_vectors(2)[1:])
            added = 1
        except MachineError:
            added = 0
    assert not old.exists() or not (old / "gallery.sqlite").exists()
    with open_gallery(new, embedder) as gallery:
        assert gallery.verify() == []
        assert len(gallery) == 1 + added


def test_IDX_32_a_clock_that_runs_backwards_changes_nothing(
    tmp_path, embedder, make_record, unit_vectors, monkeypatch
):
    with open_gallery(tmp_path / "g.dino", embedder) as reader:
        for n, now in enumerate([2e9, 1e9, 0.0]):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            monkeypatch.setattr(time, "time_ns", lambda now=now: int(now * 1e9))
            with open_gallery(tmp_path / "g.dino", embedder) as writer:
                writer.add([make_record(n)], unit_vectors(3)[n : n + 1])
            (hits,) = reader.search(unit_vectors(3)[n : n + 1], 1)
            assert hits[0].id == n + 1
