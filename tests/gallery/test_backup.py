"""Backups: whole versions taken while others write, which find the photographs and restore."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from dinoseek.errors import GalleryError, MachineError, UsageError
from dinoseek.gallery.backup import back_up
from dinoseek.gallery.factory import open_gallery


@pytest.fixture
def fill(tmp_path, embedder, make_record, unit_vectors):
    """Makes a closed gallery of `count` images and returns its folder."""

    def make(count: int = 20, name: str = "g.dino") -> Path:
        with open_gallery(tmp_path / name, embedder) as gallery:
            gallery.add([make_record(i) for i in range(count)], unit_vectors(count))
        return tmp_path / name

    return make


def copy(source: Path, target: Path) -> None:
    with open_gallery(source, readonly=True) as gallery:
        back_up(gallery, target)


def ranking(folder, queries):
    with open_gallery(folder, readonly=True) as gallery:
        return [
            [(hit.id, hit.score, hit.path) for hit in hits] for hits in gallery.search(queries, 99)
        ]


WRITER = """
with open_gallery(sys.argv[1], embedder) as gallery:
    with gallery.writing() as writer:
        for turn in range(100_000):
            # the second image of a pair never is without the first
            names = [f"{turn}a", f"{turn}b"]
            with writer.batch():
                for name in names:
                    writer.add([record(name)], vectors(1, turn))
            print(turn, flush=True)
"""


def test_IDX_31_a_backup_taken_while_another_process_writes_is_a_whole_version(
    tmp_path, embedder, start_python
):
    folder = tmp_path / "g.dino"
    writer = start_python(WRITER, folder)
    for turn in range(6):
        last = int(writer.stdout.readline())
        target = tmp_path / f"backup-{turn}.dino"
        copy(folder, target)
        with open_gallery(target, embedder) as gallery:
            assert gallery.verify() == []
            count = len(gallery)
            names = {record.path for record in gallery.get(range(1, count + 1))}
            assert count % 2 == 0
            assert count >= 2 * (last + 1), "what was acknowledged is there"
            assert names == {
                b"%d%s.jpg" % (n, ab) for n in range(count // 2) for ab in (b"a", b"b")
            }
    assert writer.poll() is None, "nobody waited for the backups to end"


def test_IDX_26_a_gallery_that_was_destroyed_is_restored_by_copying_the_backup_back(
    tmp_path, fill, embedder, unit_vectors
):
    folder, queries = fill(), unit_vectors(3, seed=7)
    before = ranking(folder, queries)
    copy(folder, tmp_path / "backup.dino")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup.dino", folder)
    assert ranking(folder, queries) == before
    with open_gallery(folder, embedder) as gallery:
        assert gallery.verify() == []
        gallery.remove([1])
        assert len(gallery) == 19


def test_a_restored_older_version_is_not_searched_with_what_was_derived_from_the_newer(
    tmp_path, fill, embedder, make_record, unit_vectors
):
    folder, queries = fill(), unit_vectors(1, seed=7)
    copy(folder, tmp_path / "backup.dino")
    before = ranking(folder, queries)
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record(3)], unit_vectors(1, seed=99))
        changed = ranking(folder, queries)
    shutil.copy(tmp_path / "backup.dino" / "gallery.sqlite", folder)
    assert changed != before
    assert ranking(folder, queries) == before


def test_a_backup_is_private_and_has_nothing_that_is_derived(tmp_path, fill, unit_vectors):
    folder, target = fill(), tmp_path / "backup.dino"
    ranking(folder, unit_vectors(1))
    old = os.umask(0)
    try:
        copy(folder, target)
    finally:
        os.umask(old)
    assert [entry.name for entry in target.iterdir()] == ["gallery.sqlite"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert stat.S_IMODE((target / "gallery.sqlite").stat().st_mode) == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["backup.dino", "g.dino"]


@pytest.mark.parametrize("made", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_there_already_is_left_alone(tmp_path, fill, made):
    made(tmp_path / "there")
    with pytest.raises(UsageError, match="is there already") as caught:
        copy(fill(), tmp_path / "there")
    assert caught.value.code == "file.exists"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["g.dino", "there"]


def test_a_backup_does_not_go_into_the_gallery_itself(fill):
    folder = fill()
    with pytest.raises(UsageError, match="inside the gallery itself"):
        copy(folder, folder / "backup.dino")


@pytest.mark.parametrize("place", ["backup.dino", "deep/er/backup.dino", "x/backup.dino"])
def test_the_copy_finds_the_photographs_from_wherever_it_lies_and_when_it_is_restored(
    tmp_path, fill, unit_vectors, place
):
    folder, target = fill(name="x/g.dino"), tmp_path / place
    target.parent.mkdir(parents=True, exist_ok=True)
    # other photographs, to which a way leads that is gone from another place
    for wrong in (tmp_path / "photos", target.parent / "photos", folder.parent / "photos"):
        wrong.mkdir(exist_ok=True)
    before = ranking(folder, unit_vectors(1))
    copy(folder, target)
    assert ranking(target, unit_vectors(1)) == before
    shutil.rmtree(folder)
    shutil.copytree(target, folder)
    assert ranking(folder, unit_vectors(1)) == before


def test_a_backup_beside_the_gallery_moves_with_the_photographs(tmp_path, fill, unit_vectors):
    home = tmp_path / "photos"
    home.mkdir()
    fill()
    copy(tmp_path / "g.dino", tmp_path / "backup.dino")
    new = tmp_path / "elsewhere"
    new.mkdir()
    home.rename(new / "photos")
    (tmp_path / "backup.dino").rename(new / "backup.dino")
    ((_, _, path), *_), *_ = ranking(new / "backup.dino", unit_vectors(1))
    assert path.startswith(str(new / "photos"))


def test_IDX_26_a_damaged_gallery_is_not_backed_up_as_if_it_were_good(tmp_path, fill):
    folder = fill()
    connection = sqlite3.connect(folder / "gallery.sqlite")
    connection.execute("UPDATE vectors SET vector = zeroblob(16) WHERE image_id = 3")
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match="no backup was made") as caught:
        copy(folder, tmp_path / "backup.dino")
    assert "dinoseek check" in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.dino"]


def test_a_folder_that_is_not_there_is_named(tmp_path, fill):
    with pytest.raises(MachineError) as caught:
        copy(fill(), tmp_path / "no" / "backup.dino")
    assert caught.value.code == "backup.unwritable"


FULL = """
import resource
from dinoseek.gallery.backup import back_up
source, target = sys.argv[1:]
with open_gallery(source, readonly=True) as gallery:
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    try:
        back_up(gallery, Path(target))
    except DinoseekError as exc:
        print(exc.code)
"""


def test_IDX_13_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path, fill, run_python):
    folder = fill(200)
    assert run_python(FULL, folder, tmp_path / "backup.dino").strip() in ("disk.full", "gallery.io")
    assert [entry.name for entry in tmp_path.iterdir()] == ["g.dino"]
