"""Spaces, derived files, damage and disks that are full: what is particular to the SQLite store."""

import contextlib
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dinoseek.errors import DinoseekError, GalleryError, MachineError, UsageError
from dinoseek.gallery import matrix_cache, sqlite_gallery, view
from dinoseek.gallery.base import Gallery
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.ledger import Failure


@pytest.fixture
def fill(tmp_path, embedder, make_record, unit_vectors):
    """Makes a closed gallery of `count` images and returns its folder."""

    def make(count: int = 30, name: str = "g.dino", seed: int = 0) -> Path:
        with open_gallery(tmp_path / name, embedder) as gallery:
            gallery.add([make_record(i) for i in range(count)], unit_vectors(count, seed=seed))
        return tmp_path / name

    return make


def ranking(gallery, queries, k=10**6):
    return [[(hit.id, hit.score) for hit in hits] for hits in gallery.search(queries, k)]


def ranked_naively(vectors, queries):
    """Ids, in the order of a float64 argsort of what half precision left of the vectors."""
    rows = vectors.astype(np.float16).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [(np.argsort(-(rows @ query), kind="stable") + 1).tolist() for query in queries]


# spaces


def test_two_embedders_share_images_and_nothing_else(
    tmp_path, make_embedder, make_record, unit_vectors
):
    small, large = make_embedder("small", 8), make_embedder("large", 16)
    records = [make_record(i) for i in range(4)]
    with open_gallery(tmp_path / "g.dino", small) as gallery:
        gallery.add(records, unit_vectors(4))
    with open_gallery(tmp_path / "g.dino", large) as gallery:
        assert len(gallery) == 0
        assert gallery.known([records[0].digest]) == set()
        gallery.add(records[:2], unit_vectors(2, dim=16))
        assert len(gallery) == 2
        assert gallery.known(r.digest for r in records) == {records[0].digest, records[1].digest}
        assert len(gallery.search(unit_vectors(1, dim=16), 9)[0]) == 2
        info = gallery.info()
    assert (info["images"], info["files"]) == (4, 4)
    assert [(s["model"], s["dim"], s["vectors"]) for s in info["spaces"]] == [
        ("small", 8, 4),
        ("large", 16, 2),
    ]
    with open_gallery(tmp_path / "g.dino", small) as gallery:
        assert len(gallery.search(unit_vectors(1), 9)[0]) == 4


def test_IDX_20_a_mismatch_says_which_model_made_what_and_how_to_fix_it(
    fill, make_embedder, unit_vectors
):
    folder, other = fill(3), make_embedder("dinov2-base", 8, "official")
    with pytest.raises(GalleryError) as caught:
        open_gallery(folder, other, readonly=True)
    line = str(caught.value)
    assert caught.value.code == "gallery.model_mismatch"
    assert "no vectors of dinov2-base, official, cls" in line
    assert "tiny, squash, cls" in line
    assert "3 images" in line
    assert f"dinoseek index FOLDER --gallery {folder} --model dinov2-base" in line
    with open_gallery(folder, other) as gallery, pytest.raises(GalleryError):
        gallery.search(unit_vectors(1), 1)


def test_the_same_weights_under_another_name_are_the_same_space(fill, embedder, unit_vectors):
    from dataclasses import replace

    from dinoseek.embedder import Embedder

    renamed = Embedder(np.stack, embedder.preset, replace(embedder.fingerprint, model="my copy"))
    with open_gallery(fill(3), renamed, readonly=True) as gallery:
        assert len(gallery.search(unit_vectors(1), 9)[0]) == 3


def test_without_an_embedder_the_only_space_is_searched(
    fill, tmp_path, make_embedder, make_record, unit_vectors
):
    with open_gallery(fill(3)) as gallery:
        assert len(gallery) == 3
        assert len(gallery.search(unit_vectors(1), 9)[0]) == 3
        with pytest.raises(UsageError, match="without an embedder"):
            gallery.add([make_record(9)], unit_vectors(1))
    with open_gallery(tmp_path / "g.dino", make_embedder("second", 4)) as gallery:
        gallery.add([make_record(1)], unit_vectors(1, dim=4))
    with (
        open_gallery(tmp_path / "g.dino") as gallery,
        pytest.raises(UsageError, match=r"tiny.*second") as caught,
    ):
        gallery.search(unit_vectors(1), 9)
    assert caught.value.code == "gallery.several_spaces"
    with open_gallery(tmp_path / "g.dino", readonly=True) as gallery:
        assert len(gallery.info()["spaces"]) == 2


def test_the_gallery_follows_the_protocol(fill):
    with open_gallery(fill(1)) as gallery:
        for name in ("add", "search", "known", "get", "remove", "__len__", "close"):
            assert getattr(type(gallery), name).__doc__
            assert callable(getattr(Gallery, name))


# the derived matrix


def test_the_cache_is_written_once_and_then_mapped(fill, embedder, unit_vectors, monkeypatch):
    folder = fill()
    with open_gallery(folder, embedder) as gallery:
        first = ranking(gallery, unit_vectors(3))
    monkeypatch.setattr(view, "read_matrix", None)
    with open_gallery(folder, embedder, readonly=True) as gallery:
        assert ranking(gallery, unit_vectors(3)) == first


@pytest.mark.parametrize("change", ["add", "remove", "replace"])
def test_a_change_of_the_record_makes_the_cache_stale(
    fill, embedder, make_record, unit_vectors, change
):
    folder, query = fill(), unit_vectors(1, seed=5)
    with open_gallery(folder, embedder, readonly=True) as reader:
        ranking(reader, query)
        with open_gallery(folder, embedder) as writer:
            if change == "add":
                writer.add([make_record("new")], query)
            elif change == "replace":
                writer.add([make_record(7)], query)
            else:
                writer.remove([reader.search(query, 1)[0][0].id])
        for gallery in (reader, open_gallery(folder, embedder)):  # one that was open, and a new one
            with gallery:
                top, *_ = gallery.search(query, 100)[0]
                if change != "remove":
                    assert top.score == pytest.approx(1, abs=1e-5)
                assert len(gallery.search(query, 100)[0]) == {"add": 31, "remove": 29}.get(
                    change, 30
                )


def test_IDX_06_the_cache_of_another_gallery_is_not_used(fill, embedder, unit_vectors):
    one, other = fill(seed=1), fill(name="h.dino", seed=2)
    with open_gallery(one, embedder) as gallery:
        expected = ranking(gallery, unit_vectors(2))
    with open_gallery(other, embedder) as gallery:
        ranking(gallery, unit_vectors(2))
    shutil.rmtree(one / "cache")
    shutil.copytree(other / "cache", one / "cache")  # the same space, version, rows and dim
    with open_gallery(one, embedder) as gallery:
        assert ranking(gallery, unit_vectors(2)) == expected


def test_IDX_31_a_record_restored_from_a_backup_does_not_use_a_later_cache(
    fill, embedder, make_record, unit_vectors
):
    folder = fill()
    backup = (folder / "gallery.sqlite").read_bytes()
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record("x")], unit_vectors(1, seed=8))
        ranking(gallery, unit_vectors(1))
    for left in folder.glob("gallery.sqlite*"):
        left.unlink()
    (folder / "gallery.sqlite").write_bytes(backup)
    with open_gallery(folder, embedder) as gallery:
        gallery.add(
            [make_record("y")], unit_vectors(1, seed=9)
        )  # the version counts up to the same
        top, *_ = gallery.search(unit_vectors(1, seed=9), 3)[0]
        assert top.file.name == "y.jpg"


def test_IDX_02_03_a_damaged_cache_never_changes_a_result(fill, embedder, unit_vectors):
    folder, queries = fill(40), unit_vectors(3, seed=4)
    expected = ranked_naively(unit_vectors(40), queries)
    with open_gallery(folder, embedder) as gallery:
        gallery.search(queries, 1)
    (file,) = (folder / "cache").iterdir()
    whole, rng = file.read_bytes(), random.Random(0)
    for _ in range(150):
        bent = bytearray(whole)
        for _ in range(rng.choice([1, 1, 3])):
            bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
        file.write_bytes(bent[: rng.choice([len(bent), rng.randrange(len(bent))])])
        with open_gallery(folder, embedder, readonly=True) as gallery:
            ids = [[hit.id for hit in hits] for hits in gallery.search(queries, 10**6)]
        assert ids == expected


def test_a_large_gallery_ranks_as_sorting_does(tmp_path, make_embedder, make_record, unit_vectors):
    embedder, vectors = make_embedder(dim=64), unit_vectors(5000, 64)
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(i) for i in range(5000)], vectors)
        ids = [[hit.id for hit in hits] for hits in gallery.search(vectors[:5], 200)]
    assert ids == [row[:200] for row in ranked_naively(vectors, vectors[:5])]


# images without files


def test_images_that_lost_their_file_give_way_to_others(fill, embedder, make_record, unit_vectors):
    with open_gallery(fill(30), embedder) as gallery:
        (before,) = gallery.search(unit_vectors(1), 30)
        with gallery.writing() as writer:
            for hit in before[:10]:
                writer.forget(make_record(0).root, hit.file.name.encode())
            (after,) = gallery.search(unit_vectors(1), 5)
            assert [hit.id for hit in after] == [hit.id for hit in before[10:15]]
            assert [hit.rank for hit in after] == [1, 2, 3, 4, 5]
            assert writer.prune() == 10
        assert len(gallery) == 20


# transactions


def test_a_batch_is_kept_whole_or_not_at_all(fill, embedder, make_record, unit_vectors):
    folder = fill(3)
    with open_gallery(folder, embedder) as gallery:
        with gallery.writing() as writer, contextlib.suppress(KeyboardInterrupt), writer.batch():
            writer.add([make_record("new", root="/another/root")], unit_vectors(1))
            raise KeyboardInterrupt
        assert len(gallery) == 3
        assert len(gallery.info()["roots"]) == 1
        with gallery.writing() as writer:  # nothing of the first attempt is remembered
            writer.add([make_record("new", root="/another/root")], unit_vectors(1))
        assert gallery.verify() == []


def test_compacting_gives_disk_space_back(tmp_path, make_embedder, make_record, unit_vectors):
    embedder = make_embedder(dim=512)
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(i) for i in range(300)], unit_vectors(300, 512))
        gallery.compact()
        full = gallery.info()["bytes"]["record"]
        gallery.remove(range(1, 300))
        gallery.compact()
        assert gallery.info()["bytes"]["record"] < full / 3
        assert len(gallery.search(unit_vectors(1, 512), 9)[0]) == 1


def test_info_lists_failures(fill, embedder, make_record):
    with open_gallery(fill(1), embedder) as gallery:
        with gallery.writing() as writer:
            failure = Failure(size=1, mtime_ns=1, code="image.truncated", reason="it ends early")
            writer.fail(make_record(0).root, b"bad\xff\n.jpg", failure, replaced=False)
        (failed,) = gallery.info()["failures"]
    assert (failed["code"], failed["reason"]) == ("image.truncated", "it ends early")
    assert failed["path"].endswith("/photos/bad\\udcff\\n.jpg")


# damage to the record


def test_IDX_03_26_a_damaged_record_never_changes_a_ranking(fill, embedder, unit_vectors):
    folder, queries = fill(60), unit_vectors(2, seed=4)
    with open_gallery(folder, embedder, readonly=True) as gallery:
        expected = ranking(gallery, queries)
    file = folder / "gallery.sqlite"
    whole, rng = file.read_bytes(), random.Random(1)
    outcomes = Counter()
    for _ in range(400):
        bent = bytearray(whole)
        bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
        outcomes[answered(folder, embedder, queries, bent, expected)] += 1
    assert outcomes.keys() <= {"right", "gallery.corrupt", "gallery.newer", "gallery.foreign"}
    assert outcomes["gallery.corrupt"] > 10


def answered(folder, embedder, queries, content, expected) -> str:
    """How a record with this content answers: right, or with which error; wrong is not allowed."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "gallery.sqlite").write_bytes(content)
    try:
        with open_gallery(folder, embedder, readonly=True) as gallery:
            assert ranking(gallery, queries) == expected
    except DinoseekError as exc:
        return exc.code
    return "right"


def test_IDX_26_a_truncated_record_is_refused(fill, embedder, unit_vectors):
    folder, queries = fill(60), unit_vectors(2, seed=4)
    with open_gallery(folder, embedder, readonly=True) as gallery:
        expected = ranking(gallery, queries)
    whole = (folder / "gallery.sqlite").read_bytes()
    for length in range(512, len(whole), 1117):
        code = answered(folder, embedder, queries, whole[:length], expected)
        assert code in ("gallery.corrupt", "right"), length
    assert answered(folder, embedder, queries, b"", expected) == "gallery.missing"
    assert answered(folder, embedder, queries, whole, expected) == "right"


def test_a_changed_vector_is_found_by_search_and_verify(fill, embedder, unit_vectors):
    folder = fill()
    connection = sqlite3.connect(folder / "gallery.sqlite")
    (blob,) = connection.execute("SELECT vector FROM vectors WHERE image_id = 7").fetchone()
    connection.execute(
        "UPDATE vectors SET vector = ? WHERE image_id = 7", (bytes([blob[0] ^ 1]) + blob[1:],)
    )
    connection.commit()
    connection.close()
    with open_gallery(folder, embedder) as gallery:
        with pytest.raises(GalleryError, match="image 7 changed"):
            gallery.search(unit_vectors(1), 1)
        assert any("image 7" in problem for problem in gallery.verify())


def test_IDX_27_nothing_is_pickled(fill, embedder, unit_vectors):
    folder = fill()
    with open_gallery(folder, embedder) as gallery:
        gallery.search(unit_vectors(1), 1)
    for module in (sqlite_gallery, matrix_cache):
        assert "pickle" not in Path(module.__file__).read_text()
    assert all(not f.read_bytes().startswith(b"\x80") for f in folder.rglob("*") if f.is_file())


# full disks


@pytest.fixture
def size_limit():
    """Lets no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails with EFBIG
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def add_until_refused(gallery, make_record, unit_vectors) -> tuple[int, str]:
    """How many images were kept, in fives, before the disk was full; and the code of the error."""
    for i in range(1000):
        try:
            gallery.add([make_record(f"{i}-{j}") for j in range(5)], unit_vectors(5, seed=i))
        except MachineError as exc:
            return 5 * i, exc.code
    return 5000, "none"


@pytest.mark.parametrize("room", range(0, 60_000, 4_357))
def test_IDX_15_a_file_that_cannot_grow_stops_the_writing_and_nothing_else(
    fill, embedder, make_record, unit_vectors, size_limit, room
):
    with open_gallery(fill(5), embedder) as gallery:
        size_limit(room)
        kept, code = add_until_refused(gallery, make_record, unit_vectors)
        assert code in ("disk.full", "gallery.io")
        assert len(ranking(gallery, unit_vectors(1))[0]) == 5 + kept
        size_limit(resource.RLIM_INFINITY)
        gallery.add([make_record("after")], unit_vectors(1))
        assert len(gallery) == 6 + kept
        assert gallery.verify() == []


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of a size, such as "100k"; asked again, it makes that disk larger."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(*options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(disk)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs the right to mount a small disk")

    def make(size: str) -> Path:
        mount(*(["remount"] if disk.is_mount() else []), f"size={size}")
        return disk

    yield make
    if disk.is_mount():
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("size", ["160k", "300k", "900k"])
def test_IDX_13_a_full_disk_is_named_and_loses_nothing(
    small_disk, embedder, make_record, unit_vectors, size
):
    folder = small_disk(size) / "g.dino"
    with open_gallery(folder, embedder) as gallery:
        kept, code = add_until_refused(gallery, make_record, unit_vectors)
        assert code == "disk.full"
        assert len(ranking(gallery, unit_vectors(1))[0] if kept else []) == kept
    small_disk("10m")
    with open_gallery(folder, embedder) as gallery:
        assert len(gallery) == kept
        gallery.add([make_record("after")], unit_vectors(1))
        assert gallery.verify() == []


@pytest.mark.parametrize("size", ["4k", "12k", "40k", "60k"])
def test_IDX_13_a_gallery_that_does_not_fit_can_be_made_later(small_disk, embedder, size):
    folder = small_disk(size) / "g.dino"
    with pytest.raises(MachineError) as caught:
        open_gallery(folder, embedder)
    assert (caught.value.code, caught.value.exit_code) == ("disk.full", 4)
    small_disk("10m")
    with open_gallery(folder, embedder) as gallery:
        assert gallery.verify() == []
