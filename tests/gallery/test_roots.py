"""Photographs and galleries that move, folders inside folders, and paths of any bytes."""

import os
import shutil
from pathlib import Path

import pytest

from dinoseek.errors import UsageError
from dinoseek.gallery.factory import open_gallery

NAMES = ["a.jpg", "sub/b.jpg", "sub/deep/\udcff.jpg"]


@pytest.fixture
def trip(tmp_path) -> Path:
    """A folder with photographs in it."""
    for name in NAMES:
        file = tmp_path / "trip/photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name, errors="surrogateescape")
    return tmp_path / "trip"


@pytest.fixture
def fill(embedder, make_record, unit_vectors):
    """Makes a closed gallery of the photographs of a folder."""

    def make(gallery_folder: Path, photos: Path) -> None:
        with open_gallery(gallery_folder, embedder) as gallery:
            records = [make_record(os.fsencode(name), root=str(photos)) for name in NAMES]
            gallery.add(records, unit_vectors(3))

    return make


def files(gallery, unit_vectors):
    return sorted(hit.file for hit in gallery.search(unit_vectors(1), 9)[0])


def expected(photos: Path) -> list[Path]:
    return sorted(photos / name for name in NAMES)


def test_gallery_and_photographs_move_together(trip, fill, embedder, unit_vectors, tmp_path):
    fill(trip / "g.dino", trip / "photos")
    moved = trip.rename(tmp_path / "elsewhere")
    with open_gallery(moved / "g.dino", embedder) as gallery:
        assert files(gallery, unit_vectors) == expected(moved / "photos")
        assert not gallery.info()["roots"][0]["missing"]


def test_after_a_move_the_folder_is_still_the_same_root(
    trip, fill, embedder, unit_vectors, tmp_path
):
    fill(trip / "g.dino", trip / "photos")
    moved = trip.rename(tmp_path / "elsewhere")
    with open_gallery(moved / "g.dino", embedder) as gallery, gallery.writing() as writer:
        assert writer.place(moved / "photos", whole=True) == (str(moved / "photos"), b"")
        assert len(gallery.info()["roots"]) == 1
    (moved / "g.dino").rename(
        tmp_path / "g.dino"
    )  # the first move is forgotten: this is the second
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert files(gallery, unit_vectors) == expected(moved / "photos")


def test_a_gallery_that_moves_alone_finds_its_photographs(
    trip, fill, embedder, unit_vectors, tmp_path
):
    fill(trip / "g.dino", trip / "photos")
    (tmp_path / "far/away").mkdir(parents=True)
    shutil.move(trip / "g.dino", tmp_path / "far/away/h.dino")
    with open_gallery(tmp_path / "far/away/h.dino", embedder) as gallery:
        assert files(gallery, unit_vectors) == expected(trip / "photos")


def test_photographs_that_move_alone_are_relocated(trip, fill, embedder, unit_vectors, tmp_path):
    fill(trip / "g.dino", trip / "photos")
    old, new = trip / "photos", tmp_path / "new"
    old.rename(new)
    with open_gallery(trip / "g.dino", embedder) as gallery:
        assert gallery.info()["roots"] == [{"path": str(old), "files": 3, "missing": True}]
        gallery.relocate(old, new)
        assert gallery.info()["roots"] == [{"path": str(new), "files": 3, "missing": False}]
        assert files(gallery, unit_vectors) == expected(new)


def test_relocating_onto_another_root_joins_them(trip, fill, embedder, make_record, unit_vectors):
    fill(trip / "g.dino", trip / "photos")
    with open_gallery(trip / "g.dino", embedder) as gallery:
        gallery.add([make_record("z", root=str(trip / "more"))], unit_vectors(1, seed=9))
        gallery.relocate(trip / "more", trip / "photos")
        assert gallery.info()["roots"] == [
            {"path": str(trip / "photos"), "files": 4, "missing": False}
        ]
        assert gallery.verify() == []


def test_relocating_an_unknown_root_names_the_known(trip, fill, embedder):
    fill(trip / "g.dino", trip / "photos")
    with (
        open_gallery(trip / "g.dino", embedder) as gallery,
        pytest.raises(UsageError, match=str(trip / "photos")),
    ):
        gallery.relocate(trip / "nowhere", trip / "photos")


def test_a_folder_inside_a_root_belongs_to_it(trip, fill, embedder):
    fill(trip / "g.dino", trip / "photos")
    with open_gallery(trip / "g.dino", embedder) as gallery, gallery.writing() as writer:
        place = writer.place(trip / "photos/sub/deep", whole=True)
        assert place == (str(trip / "photos"), b"sub/deep/")
        assert writer.place(trip / "photos2", whole=True) == (str(trip / "photos2"), b"")


def test_a_folder_around_roots_takes_their_files(trip, fill, embedder, make_record, unit_vectors):
    sub = trip / "photos/sub"
    with open_gallery(trip / "g.dino", embedder) as gallery:
        records = [
            make_record(b"b.jpg", root=str(sub)),
            make_record(b"deep/\xff.jpg", root=str(sub)),
        ]
        gallery.add(records, unit_vectors(2))
        with gallery.writing() as writer:
            assert writer.place(trip / "photos", whole=True) == (str(trip / "photos"), b"")
        assert [root["path"] for root in gallery.info()["roots"]] == [str(trip / "photos")]
        assert {record.path for record in gallery.get([1, 2])} == {
            b"sub/b.jpg",
            b"sub/deep/\xff.jpg",
        }
        assert files(gallery, unit_vectors) == sorted([sub / "b.jpg", sub / "deep/\udcff.jpg"])


def test_a_single_file_takes_over_no_roots(trip, fill, embedder):
    fill(trip / "g.dino", trip / "photos")
    with open_gallery(trip / "g.dino", embedder) as gallery, gallery.writing() as writer:
        assert writer.place(trip, whole=False) == (str(trip), b"")
        assert len(gallery.info()["roots"]) == 2


def test_a_link_to_a_folder_is_that_folder(trip, fill, embedder, tmp_path):
    (tmp_path / "link").symlink_to(trip / "photos")
    fill(trip / "g.dino", tmp_path / "link")
    with open_gallery(trip / "g.dino", embedder) as gallery, gallery.writing() as writer:
        assert writer.place(trip / "photos", whole=True) == (str(trip / "photos"), b"")


def test_the_top_of_the_file_system_is_a_root_too(tmp_path, embedder, make_record, unit_vectors):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(b"etc/x.jpg", root="/")], unit_vectors(1))
        assert files(gallery, unit_vectors) == [Path("/etc/x.jpg")]
        with gallery.writing() as writer:
            assert writer.place(Path("/etc"), whole=True) == ("/", b"etc/")


def test_of_several_files_one_that_exists_is_shown(trip, embedder, make_record, unit_vectors):
    record = make_record(b"missing.jpg", root=str(trip / "photos"))
    with open_gallery(trip / "g.dino", embedder) as gallery:
        gallery.add([record], unit_vectors(1))
        assert files(gallery, unit_vectors) == [
            trip / "photos/missing.jpg"
        ]  # FS-19: shown all the same
        with gallery.writing() as writer:
            writer.link(record.root, b"sub/b.jpg", record.digest, 1, 1)
        assert files(gallery, unit_vectors) == [trip / "photos/sub/b.jpg"]
