"""Which caption and metadata an image has when several rows and files speak of it."""

import itertools
import sqlite3
from pathlib import Path
from shutil import copy

import pytest

from dinoseek.errors import GalleryError
from dinoseek.gallery.base import WEB
from dinoseek.gallery.descriptions import Description, attributes
from dinoseek.gallery.factory import open_gallery

DIGEST = "d" * 64


def stored_attributes(folder):
    with sqlite3.connect(folder / "gallery.sqlite") as connection:
        return set(connection.execute("SELECT name, value, image_id FROM attributes"))


def described(gallery, id=1):
    (record,) = gallery.get([id])
    return record.caption, dict(record.metadata)


def test_metadata_comes_back_with_the_record_and_every_hit(
    tmp_path, embedder, make_record, unit_vectors
):
    metadata = {"label": "cat", "price": 9.5, "tags": ["a", "b"], "more": {"deep": [1]}, "no": None}
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record("a", caption="A cat", metadata=metadata)], unit_vectors(1))
        assert described(gallery) == ("A cat", metadata)
        (hits,) = gallery.search(unit_vectors(1), 1)
        assert (hits[0].caption, hits[0].metadata) == ("A cat", metadata)


def test_filters_find_scalars_and_elements_of_lists():
    metadata = {
        "label": "cat",
        "price": 9.5,
        "tags": ["a", 2, True],
        "more": {"deep": 1},
        "no": None,
        "huge": 1 << 70,
    }
    assert list(attributes(metadata)) == [
        ("label", "cat"),
        ("price", 9.5),
        ("tags", "a"),
        ("tags", 2),
        ("tags", 1),
    ]


def test_attributes_follow_metadata_and_go_with_the_image(
    tmp_path, embedder, make_record, unit_vectors
):
    path = tmp_path / "g.dino"
    with open_gallery(path, embedder) as gallery:
        first = make_record("a", metadata={"label": "cat", "size": 3}, row=1)
        gallery.add([first], unit_vectors(1))
        assert stored_attributes(path) == {("label", "cat", 1), ("size", 3, 1)}
        gallery.add([make_record("a", metadata={"label": "dog"}, row=1)], unit_vectors(1))
        assert stored_attributes(path) == {("label", "dog", 1)}
        gallery.remove([1])
        assert stored_attributes(path) == set()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_CSV_13_the_lowest_row_describes_an_image_in_whatever_order_rows_arrive(
    tmp_path, embedder, make_record, unit_vectors, order
):
    rows = [
        make_record(f"{n}", digest=DIGEST, caption=f"caption {n}", metadata={"n": n}, row=n + 1)
        for n in range(4)
    ]
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        for n in order:
            gallery.add([rows[n]], unit_vectors(1))
        assert described(gallery) == ("caption 0", {"n": 0})


def test_the_row_of_the_same_file_may_change_what_it_said(
    tmp_path, embedder, make_record, unit_vectors
):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record("a", caption="old", metadata={"x": 1}, row=5)], unit_vectors(1))
        root = make_record("a").root
        with gallery.writing() as writer:
            same = Description(caption="old", metadata={"x": 1}, row=5)
            news = Description(caption="new", metadata={"y": 2}, row=9)
            assert not writer.is_news(root, b"a.jpg", same)
            assert not writer.is_news(root, b"absent.jpg", news)
            assert writer.is_news(root, b"a.jpg", news)
            writer.describe(root, b"a.jpg", news)
            writer.describe(root, b"absent.jpg", news)
        assert described(gallery) == ("new", {"y": 2})


def test_a_file_without_a_row_never_takes_a_description_away(
    tmp_path, embedder, make_record, unit_vectors
):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record("a", caption="from a list", row=1)], unit_vectors(1))
        gallery.add([make_record("copy", digest=make_record("a").digest)], unit_vectors(1))
        assert described(gallery)[0] == "from a list"


def test_an_image_of_the_web_is_shown_by_its_address_and_thumbnail(
    tmp_path, embedder, make_record, unit_vectors
):
    url = "https://example.org/a%20b.jpg"
    record = make_record(url.encode(), root=WEB, thumbnail=b"jpeg")
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([record, make_record("local")], unit_vectors(2))
        (hits,) = gallery.search(unit_vectors(2)[:1], 1)
        assert (hits[0].path, hits[0].file, hits[0].url) == (url, None, url)
        assert gallery.thumbnail(1) == b"jpeg"
        assert gallery.thumbnail(2) is None
        (found,) = gallery.get([1])
        assert (found.root, found.path) == (WEB, url.encode())
        web = next(root for root in gallery.info()["roots"] if root["path"] == WEB)
        assert (web["files"], web["missing"]) == (1, False)
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:  # the root is found again
        gallery.add([make_record(b"https://example.org/2.jpg", root=WEB)], unit_vectors(1))
        assert [root["path"] for root in gallery.info()["roots"]].count(WEB) == 1


def test_an_image_that_was_fetched_and_kept_is_shown_by_its_file(
    tmp_path, embedder, make_record, unit_vectors
):
    digest = make_record("a").digest
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        web = make_record(b"http://example.org/a.jpg", root=WEB, digest=digest)
        gallery.add([web], unit_vectors(1))
        gallery.add([make_record("a")], unit_vectors(1))
        (hits,) = gallery.search(unit_vectors(1), 1)
        assert hits[0].url == "http://example.org/a.jpg"
        assert str(hits[0].file) == hits[0].path == str(tmp_path / "photos/a.jpg")


def test_a_member_of_an_archive_has_a_path_but_no_file(
    tmp_path, embedder, make_record, unit_vectors
):
    archive = tmp_path / "shard.tar"
    archive.write_bytes(b"")
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record("in/a", root=str(archive))], unit_vectors(1))
        (hits,) = gallery.search(unit_vectors(1), 1)
        assert hits[0].path == f"{archive}/in/a.jpg"
        assert hits[0].file is None
        assert hits[0].url is None


def test_archives_move_with_the_gallery(tmp_path, embedder, make_record, unit_vectors):
    old = tmp_path / "old"
    old.mkdir()
    (old / "shard.tar").write_bytes(b"")
    with open_gallery(old / "g.dino", embedder) as gallery:
        gallery.add([make_record("a", root=str(old / "shard.tar"))], unit_vectors(1))
    old.rename(tmp_path / "new")
    with open_gallery(tmp_path / "new/g.dino", embedder) as gallery:
        (hits,) = gallery.search(unit_vectors(1), 1)
        assert hits[0].path == str(tmp_path / "new/shard.tar/a.jpg")


@pytest.mark.parametrize("damage", ["{", "[1]", ""])
def test_damaged_metadata_is_reported(tmp_path, embedder, make_record, unit_vectors, damage):
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record("a", metadata={"x": 1})], unit_vectors(1))
    with sqlite3.connect(tmp_path / "g.dino/gallery.sqlite") as connection:
        connection.execute("UPDATE images SET metadata = ?", (damage,))
    with (
        open_gallery(tmp_path / "g.dino", embedder) as gallery,
        pytest.raises(GalleryError, match="metadata"),
    ):
        gallery.search(unit_vectors(1), 1)


def test_every_change_of_a_vector_is_logged(tmp_path, embedder, make_record, unit_vectors):
    path = tmp_path / "g.dino"
    with open_gallery(path, embedder) as gallery:
        gallery.add([make_record("a"), make_record("b")], unit_vectors(2))
        gallery.add([make_record("a")], unit_vectors(1, seed=1))
        gallery.remove([2])
    with sqlite3.connect(path / "gallery.sqlite") as connection:
        log = connection.execute("SELECT version, image_id, stamp FROM changes").fetchall()
        (space,) = connection.execute("SELECT version, vectors, stamp FROM spaces").fetchall()
    assert [(version, id) for version, id, _ in log] == [(1, 1), (2, 2), (3, 1), (4, 2)]
    assert len({stamp for *_, stamp in log}) == 4
    assert space == (4, 1, log[-1][2])


def test_a_gallery_of_the_first_format_gets_what_is_new(tmp_path, embedder):
    folder = tmp_path / "old.dino"
    folder.mkdir()
    copy(Path(__file__).parent / "formats/v1.sqlite", folder / "gallery.sqlite")
    with open_gallery(folder) as gallery:
        assert gallery.info()["version"] == 3
    with sqlite3.connect(folder / "gallery.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        before = connection.execute("SELECT version FROM spaces").fetchone()[0]
        connection.execute("DELETE FROM vectors WHERE image_id = 1")
        assert connection.execute("SELECT version, image_id FROM changes").fetchall() == [
            (before + 1, 1)
        ]
