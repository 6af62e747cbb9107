"""Opening galleries: new, foreign, damaged, newer, unwritable; and what people are told."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from dinoseek.errors import GalleryError, MachineError
from dinoseek.gallery import factory, schema
from dinoseek.gallery.factory import open_gallery


@pytest.fixture
def filled(tmp_path, embedder, make_record, unit_vectors) -> Path:
    """A closed gallery of five images."""
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        gallery.add([make_record(i) for i in range(5)], unit_vectors(5))
    return tmp_path / "g.dino"


def sql(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_OPS_06_directories_are_0700_and_files_0600_whatever_the_umask(
    tmp_path, embedder, make_record, unit_vectors, umask
):
    before = os.umask(umask)
    try:
        with open_gallery(tmp_path / "g.dino", embedder) as gallery:
            gallery.add([make_record(1)], unit_vectors(1))
            gallery.search(unit_vectors(1), 1)
            inside = modes(gallery.path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "g.dino").stat().st_mode) == 0o700
    if umask != 0o777:  # which denies the owner too: the lock and the cache cannot be helped
        assert inside == {0o600}
        assert stat.S_IMODE((tmp_path / "g.dino/cache").stat().st_mode) == 0o700


def test_a_missing_gallery_names_the_command_that_makes_one(tmp_path, embedder):
    for how in ({"readonly": True}, {"create": False}):
        with pytest.raises(MachineError, match="dinoseek index FOLDER --gallery") as caught:
            open_gallery(tmp_path / "my photos.dino", embedder, **how)
        assert caught.value.code == "gallery.missing"
        assert f"'{tmp_path}/my photos.dino'" in str(caught.value)  # quoted for the shell
    assert not (tmp_path / "my photos.dino").exists()


def test_folders_above_a_new_gallery_are_made(tmp_path, embedder):
    with open_gallery(tmp_path / "a/b/g.dino", embedder) as gallery:
        assert len(gallery) == 0


def test_a_folder_of_photographs_never_becomes_a_gallery(tmp_path, embedder):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"x")
    for how in ({}, {"readonly": True}):
        with pytest.raises(GalleryError) as caught:
            open_gallery(tmp_path / "photos", embedder, **how)
        assert caught.value.code == "gallery.foreign"
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_a_file_is_no_gallery(tmp_path, embedder):
    (tmp_path / "g.dino").write_text("hello")
    with pytest.raises(GalleryError) as caught:
        open_gallery(tmp_path / "g.dino", embedder)
    assert caught.value.code == "gallery.foreign"


def test_another_programs_database_is_left_alone(tmp_path, embedder):
    (tmp_path / "g.dino").mkdir()
    sql(tmp_path / "g.dino", "CREATE TABLE theirs (a)", "PRAGMA user_version = 3")
    before = (tmp_path / "g.dino/gallery.sqlite").read_bytes()
    with pytest.raises(GalleryError) as caught:
        open_gallery(tmp_path / "g.dino", embedder)
    assert caught.value.code == "gallery.foreign"
    assert (tmp_path / "g.dino/gallery.sqlite").read_bytes() == before


@pytest.mark.parametrize("readonly", [False, True])
def test_IDX_04_a_newer_gallery_is_refused_untouched(filled, embedder, readonly):
    sql(filled, f"PRAGMA user_version = {schema.VERSION + 1}", "PRAGMA wal_checkpoint(TRUNCATE)")
    before = (filled / "gallery.sqlite").read_bytes()
    with pytest.raises(GalleryError, match="upgrade") as caught:
        open_gallery(filled, embedder, readonly=readonly)
    assert (caught.value.code, caught.value.exit_code) == ("gallery.newer", 5)
    assert (filled / "gallery.sqlite").read_bytes() == before


@pytest.mark.parametrize("left", ["nothing", "an empty record", "an empty log", "a lock"])
def test_a_gallery_whose_making_was_interrupted_can_be_made(tmp_path, embedder, left):
    folder = tmp_path / "g.dino"
    folder.mkdir()
    if left == "an empty record":
        (folder / "gallery.sqlite").touch()
    elif left == "an empty log":
        sql(folder, "PRAGMA journal_mode = WAL")
    elif left == "a lock":
        (folder / "lock").write_text("123")
    with pytest.raises(MachineError) as caught:
        open_gallery(folder, embedder, readonly=True)
    assert caught.value.code == "gallery.missing"
    with open_gallery(folder, embedder) as gallery:
        assert len(gallery) == 0


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_IDX_25_each_released_format_still_opens(tmp_path, embedder, unit_vectors, version):
    (tmp_path / "g.dino").mkdir()
    file = Path(__file__).parent / f"formats/{version}.sqlite"
    shutil.copy(file, tmp_path / "g.dino/gallery.sqlite")
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        assert gallery.verify() == []
        (hits,) = gallery.search(unit_vectors(3)[1:2], 3)
        assert hits[0].file.name == "b.jpg"
        assert hits[0].caption == "the second"
        assert gallery.get([hits[0].id])[0].metadata == {"year": 2024}
        assert len(gallery.info()["failures"]) == 1


def test_migrating_is_all_or_nothing(tmp_path, monkeypatch):
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None)

    def failing(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        raise KeyboardInterrupt

    schema.migrate(connection)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, failing))
    now = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", now + 1)
    with pytest.raises(KeyboardInterrupt):
        schema.migrate(connection)
    assert schema.version_of(connection) == (schema.APPLICATION_ID, now)
    assert connection.execute("SELECT * FROM sqlite_master WHERE name = 'half'").fetchall() == []
    connection.close()


def test_an_older_gallery_is_migrated_once_it_may_be_written(filled, embedder, monkeypatch):
    def add_column(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE images ADD COLUMN stars INTEGER")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, add_column))
    newer = schema.VERSION + 1
    monkeypatch.setattr(schema, "VERSION", newer)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(factory, "can_write", lambda _: False)
        with pytest.raises(GalleryError, match="can be written") as caught:
            open_gallery(filled, embedder, readonly=True)
    assert caught.value.code == "gallery.older"
    with open_gallery(filled, embedder, readonly=True) as gallery:
        assert len(gallery) == 5
        assert gallery.readonly
    with open_gallery(filled, embedder) as gallery:
        assert len(gallery) == 5
        assert gallery.info()["version"] == newer


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_IDX_26_a_record_that_is_no_database_is_refused(filled, embedder, content):
    (filled / "gallery.sqlite").write_bytes(content)
    with pytest.raises(GalleryError, match="backup") as caught:
        open_gallery(filled, embedder)
    assert (caught.value.code, caught.value.exit_code) == ("gallery.corrupt", 5)


def test_a_readonly_gallery_refuses_to_be_written(filled, embedder, make_record, unit_vectors):
    with open_gallery(filled, embedder, readonly=True) as gallery:
        with pytest.raises(MachineError) as caught:
            gallery.add([make_record(9)], unit_vectors(1))
        assert (caught.value.code, caught.value.exit_code) == ("gallery.readonly", 4)
        assert len(gallery) == 5


AS_NOBODY = """
become_nobody()
with open_gallery(sys.argv[1], embedder) as gallery:
    for _ in range(2):
        hits = gallery.search(vectors(1) / 3, 10)[0]
    print(len(hits), gallery.readonly)
    try:
        gallery.add([record(1)], vectors(1))
    except DinoseekError as exc:
        print(exc.code, exc.exit_code)
print(sorted(os.listdir(sys.argv[1])))
"""


def test_IDX_16_a_gallery_on_a_readonly_medium_is_searched_from_memory(
    open_folder, filled, run_python
):
    folder = shutil.move(filled, open_folder / "g.dino")
    shutil.rmtree(folder / "cache", ignore_errors=True)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    names = sorted(path.name for path in folder.iterdir())
    printed = run_python(AS_NOBODY, folder)
    assert printed.splitlines() == ["5 True", "gallery.readonly 4", str(names)]


def test_a_gallery_where_none_can_be_made_is_explained(open_folder, run_python):
    (open_folder / "closed").mkdir(mode=0o555)
    script = """
become_nobody()
try:
    open_gallery(sys.argv[1], embedder)
except DinoseekError as exc:
    print(exc.code, exc.exit_code)
"""
    printed = run_python(script, open_folder / "closed/g.dino")
    assert printed == "gallery.unwritable 4\n"


def test_OPS_07_a_gallery_of_another_user_is_explained(open_folder, filled, run_python):
    folder = shutil.move(filled, open_folder / "g.dino")  # 0700, of the user who runs the tests
    if os.getuid():
        folder.chmod(0o000)
    script = """
become_nobody()
try:
    open_gallery(sys.argv[1], embedder)
except DinoseekError as exc:
    print(exc.exit_code)
"""
    printed = run_python(script, folder)
    folder.chmod(0o700)
    assert printed == "4\n"
