"""Which files a person keeps and which can go: by file, for the bytes that it had then."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.backup import back_up
from dinoseek.gallery.choices import (
    Choice,
    choices,
    discard,
    discards,
    forget_choices,
    keep,
    key_of,
    put_choices,
)
from dinoseek.gallery.decisions import decide, decisions, put_decisions
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.holdings import copies
from dinoseek.gallery.salvage import salvage
from dinoseek.gallery.schema import VERSION

OTHER = "f" * 64


@pytest.fixture
def folder(tmp_path, embedder, make_record, unit_vectors) -> Path:
    """A closed gallery of a.jpg, b.jpg and c.jpg, and a second file with the bytes of a.jpg."""
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(name) for name in "abc"], unit_vectors(3))
        with gallery.writing() as writer:
            first = make_record("a")
            writer.link(first.root, b"sub/a.jpg", first.digest, 100, 5)
    return tmp_path / "g.dino"


@pytest.fixture
def gallery(folder, embedder):
    with open_gallery(folder, embedder) as opened:
        yield opened


@pytest.fixture
def files(gallery):
    return {copy.path.decode(): copy for copy in copies(gallery)}


def test_one_of_two_files_of_the_same_bytes_can_go(gallery, files):
    copy = files["sub/a.jpg"]

    assert discard(gallery, copy, copy.digest) is None

    assert discards(gallery) == {(copy.root, b"sub/a.jpg"): copy.digest}
    assert choices(gallery) == {key_of(copy): Choice(digest=copy.digest, instead=copy.digest)}


def test_the_last_word_counts_and_what_was_is_returned(gallery, files):
    copy = files["b.jpg"]
    gone, kept = Choice(digest=copy.digest, instead=OTHER), Choice(digest=copy.digest)

    assert discard(gallery, copy, OTHER) is None
    assert keep(gallery, copy) == gone
    assert discards(gallery) == {}
    assert choices(gallery) == {key_of(copy): kept}
    assert discard(gallery, copy, OTHER) == kept
    assert put_choices(gallery, {key_of(copy): None}) == {key_of(copy): gone}
    assert choices(gallery) == {}


def test_what_was_is_put_back_exactly(gallery, files):
    discard(gallery, files["a.jpg"], OTHER)
    keep(gallery, files["b.jpg"])
    before = choices(gallery)

    was = put_choices(
        gallery,
        {
            key_of(files["a.jpg"]): None,
            key_of(files["b.jpg"]): Choice(digest=files["b.jpg"].digest, instead=OTHER),
            key_of(files["c.jpg"]): Choice(digest=files["c.jpg"].digest),
        },
    )
    assert choices(gallery) != before
    put_choices(gallery, was)

    assert choices(gallery) == before


def test_choices_are_kept_on_the_disk_and_for_other_connections(folder, gallery, files, embedder):
    discard(gallery, files["a.jpg"], OTHER)
    with open_gallery(folder, embedder) as other:
        assert discards(other) == {key_of(files["a.jpg"]): OTHER}


def test_a_choice_ends_when_the_gallery_finds_other_bytes_in_the_file(
    gallery, files, make_record, unit_vectors
):
    copy = files["b.jpg"]
    discard(gallery, copy, OTHER)

    gallery.add([make_record("b", digest="d" * 64)], unit_vectors(1))

    assert choices(gallery) == {}
    with pytest.raises(UsageError, match="other bytes"):
        discard(gallery, copy, OTHER)
    with pytest.raises(UsageError, match="other bytes"):
        keep(gallery, copy)
    assert forget_choices(gallery) == 0


def test_a_choice_ends_with_its_file(gallery, files):
    for name in ("a.jpg", "sub/a.jpg", "b.jpg"):
        discard(gallery, files[name], OTHER)

    with gallery.writing() as writer:
        writer.forget(files["a.jpg"].root, b"a.jpg")
    assert {path for _, path in discards(gallery)} == {b"sub/a.jpg", b"b.jpg"}
    gallery.remove([files["b.jpg"].id])
    assert {path for _, path in discards(gallery)} == {b"sub/a.jpg"}

    with pytest.raises(UsageError, match="or none"):
        discard(gallery, files["b.jpg"], OTHER)
    with pytest.raises(UsageError, match="or none"):
        keep(gallery, replace(files["a.jpg"], root="/elsewhere"))
    assert put_choices(gallery, {key_of(files["b.jpg"]): Choice(digest=OTHER)}) == {}


def test_choices_go_along_when_roots_move_or_join(gallery, files, tmp_path):
    root = files["a.jpg"].root
    discard(gallery, files["sub/a.jpg"], OTHER)
    keep(gallery, files["b.jpg"])

    gallery.relocate(root, tmp_path / "moved")
    moved = str(tmp_path / "moved")
    assert set(choices(gallery)) == {(moved, b"sub/a.jpg"), (moved, b"b.jpg")}

    with gallery.writing() as writer:
        writer.place(tmp_path, whole=True)  # a new root, which takes over the one inside
    joined = str(tmp_path)
    assert set(choices(gallery)) == {(joined, b"moved/sub/a.jpg"), (joined, b"moved/b.jpg")}
    assert gallery.verify() == []


def test_only_files_of_their_own_can_go(gallery, files, tmp_path, make_record, unit_vectors):
    gallery.add([make_record(b"http://example.org/a.jpg", root="web:")], unit_vectors(1))
    (tmp_path / "x.tar").touch()
    gallery.add([make_record("member", root=str(tmp_path / "x.tar"))], unit_vectors(1))
    elsewhere = [copy for copy in copies(gallery) if copy.kind != "file"]
    assert {copy.kind for copy in elsewhere} == {"archive", "web"}
    for copy in elsewhere:
        with pytest.raises(UsageError, match="left alone"):
            discard(gallery, copy, OTHER)
        keep(gallery, copy)
    assert len(choices(gallery)) == 2


def test_all_are_forgotten_and_counted(gallery, files):
    discard(gallery, files["a.jpg"], OTHER)
    keep(gallery, files["b.jpg"])
    assert forget_choices(gallery) == 2
    assert choices(gallery) == {}


def test_while_another_process_writes_nothing_is_chosen(folder, gallery, files, embedder):
    with (
        open_gallery(folder, embedder) as other,
        other.writing(),
        pytest.raises(MachineError) as caught,
    ):
        discard(gallery, files["a.jpg"], OTHER)
    assert caught.value.code == "gallery.locked"
    assert choices(gallery) == {}


def test_choices_are_checked_backed_up_and_saved(folder, gallery, files, tmp_path):
    discard(gallery, files["sub/a.jpg"], files["a.jpg"].digest)
    keep(gallery, files["a.jpg"])
    expected = choices(gallery)
    assert gallery.verify() == []

    back_up(gallery, tmp_path / "backup.dino")
    gallery.close()
    salvage(folder, tmp_path / "saved.dino")
    for copy in ("backup.dino", "saved.dino"):
        with open_gallery(tmp_path / copy) as other:
            assert choices(other) == expected, copy
            assert other.verify() == []


def test_what_was_chosen_of_a_file_is_saved_though_the_row_of_the_file_is_lost(
    folder, gallery, files, tmp_path
):
    discard(gallery, files["b.jpg"], OTHER)
    gallery.close()
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        # the row is only found by the index of images any more
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'files'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (folder / "gallery.sqlite").open("r+b") as stream:
        stream.seek((page - 1) * size)
        stream.write(b"\xff" * size)

    assert salvage(folder, tmp_path / "saved.dino").files == 4
    with open_gallery(tmp_path / "saved.dino") as saved:
        assert discards(saved) == {key_of(files["b.jpg"]): OTHER}


@pytest.mark.parametrize(
    "damage",
    ["UPDATE choices SET digest = x'05'", "UPDATE choices SET instead = x'00'"],
)
def test_values_that_are_never_written_are_found(folder, gallery, files, damage):
    keep(gallery, files["a.jpg"])
    with closing(sqlite3.connect(folder / "gallery.sqlite")) as connection:
        connection.execute(damage)
        connection.commit()
    assert gallery.verify() == ["1 rows of choices have values that are never written"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_gallery_of_an_older_format_gets_choices_and_keeps_its_decisions(tmp_path, version):
    old = tmp_path / "old.dino"
    old.mkdir()
    shutil.copy(Path(__file__).parent / f"formats/{version}.sqlite", old / "gallery.sqlite")
    with open_gallery(old) as gallery:
        assert gallery.info()["version"] == VERSION == 3
        assert gallery.verify() == []
        copy = copies(gallery)[0]
        discard(gallery, copy, OTHER)
        assert discards(gallery) == {("/photos", b"a.jpg"): OTHER}
        assert list(decisions(gallery).values()) == ["not-duplicate"] * (version == "v2")


# what is said of pairs, put back


def test_verdicts_on_pairs_are_put_back_exactly(gallery):
    pairs = [("a" * 64, other * 64) for other in "bcd"]
    decide(gallery, *pairs[0], "not-duplicate")
    decide(gallery, *pairs[1], "keep-both")
    before = decisions(gallery)

    was = put_decisions(gallery, {pairs[0]: "keep-both", pairs[1]: None, pairs[2]: "keep-both"})
    assert decisions(gallery) == {pairs[0]: "keep-both", pairs[2]: "keep-both"}
    put_decisions(gallery, was)

    assert decisions(gallery) == before
