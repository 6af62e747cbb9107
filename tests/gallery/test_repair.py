"""Checking a gallery, repairing what is derived in it, and saving what can be read."""

import os
import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dinoseek.errors import DinoseekError, GalleryError, UsageError
from dinoseek.gallery import filters
from dinoseek.gallery.backup import back_up
from dinoseek.gallery.checkup import problems
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.originals import changed_files
from dinoseek.gallery.repair import remove_unproven, repair
from dinoseek.gallery.salvage import salvage

RED = "label = 'red'"


@pytest.fixture
def folder(tmp_path, embedder, make_record, unit_vectors) -> Path:
    """A closed gallery of 40 images with metadata, searched once."""
    metadata = [{"label": "red" if i % 2 else "blue", "tags": ["a", i]} for i in range(40)]
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add(
            [make_record(i, caption=f"no. {i}", metadata=metadata[i]) for i in range(40)],
            unit_vectors(40),
        )
        gallery.search(unit_vectors(1), 1)
    return tmp_path / "g.dino"


def change(folder: Path, *statements: str) -> None:
    """Changes the record behind the back of everything that keeps it in order."""
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def found_in(folder: Path) -> list:
    with open_gallery(folder) as gallery, gallery.reading():
        return problems(gallery._connection)


def codes(folder: Path) -> set[str]:
    return {problem.code for problem in found_in(folder)}


def count(folder: Path, where: str) -> int:
    with open_gallery(folder, readonly=True) as gallery:
        return len(gallery.matching(filters.parse(where)))


# what a check finds


def test_a_whole_gallery_has_no_problems(folder):
    assert found_in(folder) == []


DAMAGE = {
    "UPDATE vectors SET checksum = checksum + 1 WHERE image_id = 3": "vector.damaged",
    "UPDATE vectors SET vector = 'text' WHERE image_id = 3": "vector.damaged",
    "DELETE FROM images WHERE id = 3": "record.references",
    "DROP TRIGGER vectors_INSERT": "record.tables",
    "DROP INDEX images_by_width": "record.tables",
    "UPDATE images SET width = 'wide' WHERE id = 3": "record.values",
    "UPDATE images SET digest = 'none' WHERE id = 3": "image.damaged",
    "UPDATE images SET metadata = '{' WHERE id = 3": "image.damaged",
    'UPDATE images SET metadata = \'{"label": "red"}\' WHERE id = 3': "attributes.differ",
    "UPDATE attributes SET value = 'x' WHERE image_id = 3 AND name = 'label'": "attributes.differ",
    "INSERT INTO attributes VALUES ('label', 'red', 999)": "attributes.differ",
    "UPDATE spaces SET vectors = vectors + 1": "space.counter",
    "UPDATE spaces SET vectors = 0": "space.counter",
    "UPDATE spaces SET dim = 9": "record.unreadable",
    "UPDATE spaces SET background = '{}'": "record.unreadable",
    "UPDATE spaces SET stamp = zeroblob(16)": "space.damaged",
    "INSERT INTO thumbnails VALUES (3, x'ffd8ff')": "thumbnail.damaged",
    "UPDATE files SET size = -1 WHERE image_id = 3": "record.values",
}


@pytest.mark.parametrize("statement", DAMAGE)
def test_each_kind_of_damage_is_found_and_named(folder, statement):
    change(folder, statement)
    assert DAMAGE[statement] in codes(folder)


def test_a_vector_that_is_not_of_unit_length_is_found_though_its_checksum_is_right(folder):
    import zlib

    for value in (0, 2, np.nan):
        blob = np.full(8, value, "<f2").tobytes()
        checksum = zlib.crc32(blob, zlib.crc32((3).to_bytes(8, "little")))
        with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
            query = "UPDATE vectors SET vector = ?, checksum = ? WHERE image_id = 3"
            connection.execute(query, (blob, checksum))
            connection.commit()
        assert [problem.text for problem in found_in(folder)] == [
            "the vector of image 3 is not of unit length"
        ]


def test_much_damage_is_told_briefly(folder):
    change(folder, "UPDATE vectors SET checksum = checksum + 1")
    *first, last = found_in(folder)
    assert len(first) == 20
    assert last.text == "and 20 more like these"


def test_IDX_03_each_flipped_bit_is_found_or_changes_nothing_that_is_searched(folder, unit_vectors):
    queries = unit_vectors(2, seed=4)
    expected = searched(folder, queries)
    whole, rng = (folder / "gallery.sqlite").read_bytes(), random.Random(2)
    outcomes = Counter()
    for _ in range(250):
        bent = bytearray(whole)
        bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
        outcomes[checked(folder, bytes(bent), queries, expected)] += 1
    assert outcomes.keys() <= {"found", "refused", "nothing changed"}
    assert outcomes["found"] > 10


def checked(folder, content, queries, expected) -> str:
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "gallery.sqlite").write_bytes(content)
    try:
        if found_in(folder):
            return "found"
        assert searched(folder, queries) == expected
    except DinoseekError:
        return "refused"
    return "nothing changed"


def searched(folder, queries):
    """What can be proven of an answer: ids, scores, metadata, and what filters find."""
    with open_gallery(folder, readonly=True) as gallery:
        answers = gallery.search(queries, 99)
        red = gallery.search(queries, 99, filters.parse(RED))
    return [[(hit.id, hit.score, dict(hit.metadata)) for hit in hits] for hits in [*answers, *red]]


# repairs


def test_attributes_are_made_again_from_what_the_images_say(folder):
    change(folder, "DELETE FROM attributes", "INSERT INTO attributes VALUES ('label', 'red', 999)")
    assert count(folder, RED) == 1
    with open_gallery(folder) as gallery:
        assert {problem.code for problem in repair(gallery, problems(gallery._connection))} == {
            "attributes.differ"
        }
    assert found_in(folder) == []
    assert count(folder, RED) == 20
    assert count(folder, "tags = 7") == 1


def test_counters_are_counted_again_and_nothing_older_is_searched(folder, embedder, unit_vectors):
    change(folder, "UPDATE spaces SET vectors = 7, version = 1")
    with open_gallery(folder) as gallery:
        repair(gallery, problems(gallery._connection))
    assert found_in(folder) == []
    with open_gallery(folder, embedder, readonly=True) as gallery:
        assert len(gallery.search(unit_vectors(1), 99)[0]) == 40


def test_a_repair_changes_nothing_else(folder):
    change(folder, "DELETE FROM attributes", "UPDATE images SET caption = 5 WHERE id = 1")
    tables = ("images", "files", "vectors", "roots", "thumbnails", "failures")
    tables += ("decisions", "choices")
    before = {table: rows(folder, table) for table in tables}
    with open_gallery(folder) as gallery:
        repair(gallery, problems(gallery._connection))
    assert {table: rows(folder, table) for table in tables} == before


def rows(folder, table):
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def test_a_record_whose_tables_are_damaged_is_not_written_to(folder):
    change(folder, "DELETE FROM attributes", "DROP TRIGGER vectors_INSERT")
    with open_gallery(folder) as gallery, pytest.raises(GalleryError, match="nothing is written"):
        repair(gallery, problems(gallery._connection))
    assert count(folder, RED) == 0


# derived files


def cached(folder):
    return sorted(file.name for file in (folder / "cache").iterdir())


def test_a_derived_file_that_is_whole_is_kept(folder):
    before = cached(folder)
    with open_gallery(folder) as gallery:
        assert remove_unproven(gallery) == []
    assert cached(folder) == before != []


def test_IDX_03_a_derived_file_with_any_flipped_bit_is_removed_and_made_again(
    folder, embedder, unit_vectors
):
    (name,), rng = cached(folder), random.Random(3)
    file = folder / "cache" / name
    whole, expected = file.read_bytes(), searched(folder, unit_vectors(2))
    padding = range(80, 128)
    places = [rng.randrange(len(whole)) for _ in range(100)]
    for place in [0, 63, len(whole) - 1, *(place for place in places if place not in padding)]:
        bent = bytearray(whole)
        bent[place] ^= 1 << rng.randrange(8)
        file.write_bytes(bent)
        with open_gallery(folder, embedder) as gallery:
            assert remove_unproven(gallery) == [file], place
        assert not file.exists()
    assert searched(folder, unit_vectors(2)) == expected
    assert cached(folder) == [name]


def test_an_index_is_kept_while_it_is_whole_and_removed_when_a_byte_changed(
    tmp_path, make_embedder, make_record, unit_vectors
):
    pytest.importorskip("faiss")
    folder = tmp_path / "g.dino"
    with open_gallery(folder, make_embedder(dim=16)) as gallery:
        gallery.use_index_key(tmp_path / "keys" / "index.key")
        gallery.add([make_record(i) for i in range(300)], unit_vectors(300, 16))
        gallery.build_index("hnsw")
        assert remove_unproven(gallery) == []
        (file,) = (folder / "cache").glob("*.ann")
        for place in (0, file.stat().st_size // 2, -1):
            bent = bytearray(file.read_bytes())
            bent[place] ^= 1
            file.write_bytes(bent)
            assert remove_unproven(gallery) == [file]
            gallery.build_index("hnsw")
        gallery.use_index_key(tmp_path / "no key")
        assert remove_unproven(gallery) == [], "what nobody can prove or disprove stays"


def test_IDX_07_a_derived_file_of_another_gallery_or_version_misleads_nobody(
    folder, tmp_path, embedder, make_record, unit_vectors
):
    (name,) = cached(folder)
    with open_gallery(folder) as gallery:
        back_up(gallery, tmp_path / "older.dino")
    expected = searched(tmp_path / "older.dino", unit_vectors(2))
    with open_gallery(folder, embedder) as gallery:
        gallery.remove(range(1, 30))
        gallery.search(unit_vectors(1), 1)
    for content in ((folder / "cache" / name).read_bytes(), b"", b"x" * 4096):
        (tmp_path / "older.dino/cache" / name).write_bytes(content)
        with open_gallery(tmp_path / "older.dino") as gallery:
            remove_unproven(gallery)
        assert searched(tmp_path / "older.dino", unit_vectors(2)) == expected


def test_IDX_08_leftovers_of_our_own_go_and_files_of_others_stay(folder):
    (name,) = cached(folder)
    ours = [f"{name[:16]}.abc.tmp", "0123456789abcdef.matrix", f"{name[:16]}.hnsw"]
    others = ["notes.txt", "photo.jpg", ".hidden"]
    for file in [*ours, *others]:
        (folder / "cache" / file).write_bytes(b"?")
    (folder / "cache" / "folder").mkdir()
    (folder / "extra.bin").touch()
    with open_gallery(folder) as gallery:
        remove_unproven(gallery)
    assert cached(folder) == sorted([name, "folder", *others])
    assert (folder / "extra.bin").exists()
    assert found_in(folder) == []


# photographs


@pytest.fixture
def photographed(tmp_path, embedder, make_record, unit_vectors) -> Path:
    """A gallery of six files that are there, and one image on the web."""
    import hashlib

    photos = tmp_path / "photos"
    photos.mkdir()
    records = []
    for number in range(6):
        content = b"picture %d" % number
        (photos / f"{number}.jpg").write_bytes(content)
        status = (photos / f"{number}.jpg").stat()
        made = {"digest": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        records.append(make_record(number, mtime_ns=status.st_mtime_ns, **made))
    records.append(make_record(b"http://example.org/a.jpg", root="web:"))
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add(records, unit_vectors(7))
    return photos


def test_files_that_are_as_they_were_are_no_problem(photographed, tmp_path):
    with open_gallery(tmp_path / "g.dino") as gallery:
        assert list(changed_files(gallery)) == [None] * 6


def test_files_that_are_missing_changed_damaged_or_none_are_told_apart(photographed, tmp_path):
    (photographed / "0.jpg").unlink()
    (photographed / "1.jpg").write_bytes(b"another picture")
    status = (photographed / "2.jpg").stat()
    (photographed / "2.jpg").write_bytes(b"picturE 2")
    os.utime(photographed / "2.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    (photographed / "3.jpg").unlink()
    os.mkfifo(photographed / "3.jpg")
    with open_gallery(tmp_path / "g.dino") as gallery:
        found = [problem and problem.code for problem in changed_files(gallery)]
    assert found == [
        "file.missing",
        "file.changed",
        "file.damaged",
        "file.unreadable",
        None,
        None,
    ]


# saving what can be read


def test_a_whole_gallery_is_saved_whole(folder, tmp_path, unit_vectors):
    expected = searched(folder, unit_vectors(2))
    saved = salvage(folder, tmp_path / "saved.dino")
    assert (saved.images, saved.files, saved.vectors) == (40, 40, 40)
    assert found_in(tmp_path / "saved.dino") == []
    assert searched(tmp_path / "saved.dino", unit_vectors(2)) == expected


def test_IDX_26_of_a_record_with_lost_pages_everything_else_is_saved(
    tmp_path, embedder, make_record, unit_vectors
):
    folder = tmp_path / "g.dino"
    with open_gallery(folder, embedder) as gallery:
        gallery.add([make_record(i, caption="c" * 50) for i in range(400)], unit_vectors(400))
    file = folder / "gallery.sqlite"
    whole, rng = file.read_bytes(), random.Random(5)
    vectors = dict(rows_of_vectors(folder))
    kept, refused = [], 0
    for turn in range(25):
        page = rng.randrange(2, len(whole) // 4096)  # the first says where everything is
        file.write_bytes(whole[: page * 4096] + rng.randbytes(4096) + whole[(page + 1) * 4096 :])
        try:
            saved = salvage(folder, tmp_path / f"saved-{turn}.dino")
        except GalleryError:  # of a page that says where the tables are
            refused += 1
            continue
        assert found_in(tmp_path / f"saved-{turn}.dino") == []
        assert set(rows_of_vectors(tmp_path / f"saved-{turn}.dino")) <= set(vectors.items())
        kept.append(saved.images)
    assert sorted(kept)[len(kept) // 2] == 400, "most pages are not those of images"
    assert sum(300 <= images < 400 for images in kept) >= 3
    assert refused <= 3


def rows_of_vectors(folder):
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        return connection.execute("SELECT image_id, vector FROM vectors").fetchall()


def test_damaged_vectors_are_left_out_and_their_images_are_indexed_again(folder, tmp_path):
    change(folder, "UPDATE vectors SET checksum = checksum + 1 WHERE image_id < 4")
    saved = salvage(folder, tmp_path / "saved.dino")
    assert (saved.images, saved.vectors) == (40, 37)
    assert found_in(tmp_path / "saved.dino") == []


def test_a_target_that_is_there_is_refused(folder):
    with pytest.raises(UsageError, match="is there already"):
        salvage(folder, folder)
