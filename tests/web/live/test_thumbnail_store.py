"""A file of thumbnails that may be damaged, full or not writable, and harms nobody by it."""

import random
import sqlite3

import pytest

from dinoseek.web.live.thumbnail_store import ThumbnailStore

from .made import descriptors


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "thumbnails.sqlite"


@pytest.fixture
def make(file):
    made = []

    def make(**options):
        made.append(ThumbnailStore(options.pop("path", file), **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


def test_what_was_put_is_there_after_a_restart(make, file):
    store = make()
    assert store.get("a") is None
    store.put("a", b"jpeg")
    store.put("a", b"another")  # a name says what is in it: the first is as good
    assert store.get("a") == b"jpeg"
    store.close()
    assert make().get("a") == b"jpeg"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_the_first_that_came_go_first_and_the_file_does_not_grow(make, file):
    store = make(most=100_000)
    for number in range(1000):
        store.put(str(number), bytes([number % 256]) * 1000)
    kept = [number for number in range(1000) if store.get(str(number)) is not None]
    assert kept == list(range(kept[0], 1000))
    assert 90 <= len(kept) <= 100
    store.close()
    assert file.stat().st_size < 300_000
    again = make(most=100_000)
    again.put("new", bytes(20_000))
    assert sum(again.get(str(number)) is not None for number in kept) <= 80


def test_a_thumbnail_whose_bytes_changed_is_forgotten(make, file):
    store = make()
    store.put("a", b"jpeg" * 100)
    store.close()
    data = file.read_bytes()
    at = data.index(b"jpegjpeg")
    file.write_bytes(data[:at] + b"J" + data[at + 1 :])
    again = make()
    assert again.get("a") is None
    again.put("a", b"new")
    assert again.get("a") == b"new"


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_is_survived_and_never_served(make, file, seed):
    store = make()
    for number in range(30):
        store.put(str(number), bytes([number]) * 3000)
    store.close()
    damaged = bytearray(file.read_bytes())
    chance = random.Random(seed)
    for _ in range(2000 if seed % 2 else 20):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    file.write_bytes(damaged[: len(damaged) // (1 + seed % 3)])
    again = make()
    for number in range(30):
        assert again.get(str(number)) in (None, bytes([number]) * 3000)
        again.put(str(number), bytes([number]) * 3000)
    assert all(again.get(str(number)) == bytes([number]) * 3000 for number in range(30))


def test_a_file_that_is_something_else_is_made_anew(make, file):
    file.parent.mkdir()
    file.write_text("nothing of the kind " * 100)
    store = make()
    store.put("a", b"jpeg")
    assert store.get("a") == b"jpeg"
    store.close()
    assert make().get("a") == b"jpeg"


def test_a_file_of_another_version_is_made_anew(make, file):
    make().put("a", b"jpeg")
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    store = make()
    assert store.get("a") is None
    store.put("a", b"new")
    assert store.get("a") == b"new"


@pytest.mark.parametrize("place", ["a folder", "below a file", "/proc/nothing/x.sqlite"])
def test_where_nothing_can_be_written_they_are_kept_in_memory(make, tmp_path, place):
    (tmp_path / "a folder").mkdir()
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "x" if place == "below a file" else tmp_path / place
    store = make(path=path)
    store.put("a", b"jpeg")
    assert store.get("a") == b"jpeg"
    assert store.get("b") is None


def test_without_a_path_they_are_kept_in_memory(make):
    store = make(path=None)
    store.put("a", b"jpeg")
    assert store.get("a") == b"jpeg"


def test_WEB_26_a_full_disk_is_survived_and_writing_goes_on_when_there_is_room(make, file):
    store = make()
    store.put("a", b"jpeg")
    store._connection.execute("PRAGMA max_page_count = 1")  # SQLite then says: disk is full
    store.put("b", bytes(100_000))
    assert store.get("b") == bytes(100_000)
    assert store.get("a") == b"jpeg"
    store.put("c", bytes(100_000))
    store.close()
    again = make()
    assert (again.get("b"), again.get("c")) == (None, bytes(100_000))


def test_a_file_that_is_deleted_meanwhile_harms_nobody(make, file):
    store = make()
    store.put("a", b"jpeg")
    for left in file.parent.iterdir():
        left.unlink()
    store.put("b", b"jpeg")
    assert store.get("b") == b"jpeg"


@pytest.mark.parametrize("change", ["DROP TABLE thumbnails", "ALTER TABLE thumbnails DROP crc"])
def test_a_file_whose_table_is_not_as_it_was_made_is_made_anew(make, file, change):
    make().put("a", b"jpeg")
    with sqlite3.connect(file) as other:
        other.execute(change)
    other.close()
    store = make()
    store.put("b", b"jpeg")
    store.close()
    assert make().get("b") == b"jpeg"


def test_threads_share_it(make, many):
    store = make()

    def work(number):
        name = str(number % 40)
        store.put(name, name.encode() * 500)
        return store.get(name) == name.encode() * 500

    assert all(many.map(work, range(800)))


def test_two_servers_may_share_it(make):
    one, other = make(), make()
    one.put("a", b"1")
    other.put("b", b"2")
    assert (one.get("b"), other.get("a")) == (b"2", b"1")


def test_closing_closes_the_file_for_good(make, tmp_path):
    before = descriptors()
    store = make()
    store.put("a", b"jpeg")
    store.close()
    assert descriptors() == before
    store.put("b", b"jpeg")
    assert store.get("a") is None
    assert descriptors() == before
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["thumbnails.sqlite"]
