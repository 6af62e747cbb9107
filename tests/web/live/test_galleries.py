"""A gallery that threads share, and that others add to and replace meanwhile."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from dinoseek.errors import GalleryError, MachineError, UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.search import search
from dinoseek.web.live.busy import Busy
from dinoseek.web.live.galleries import Galleries

from .made import descriptors, photo, soon


@pytest.fixture
def make(embedder, many):
    made = []

    def make(path, **options):
        made.append(Galleries(path, embedder, **options))
        return made[-1]

    yield make
    for galleries in made:
        galleries.close()


@pytest.fixture
def galleries(make, path):
    return make(path)


def found(gallery):
    """What a search finds; it also loads the matrix."""
    return [hit.id for hit in search(gallery, 1, 100)]


def replaced(path: Path, other: Path, gone: Path) -> None:
    """Puts another directory in the place of a gallery."""
    path.rename(gone)
    other.rename(path)


def everywhere(galleries, work, threads=4):
    """Has each of the threads do the work once."""
    barrier, results = threading.Barrier(threads), []

    def one(gallery):
        barrier.wait(60)
        results.append(work(gallery))

    callers = [threading.Thread(target=galleries.run, args=(one,)) for _ in range(threads)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return results


def test_work_is_done_with_the_gallery_and_its_result_or_error_comes_back(galleries):
    assert galleries.run(len) == 6
    with pytest.raises(UsageError) as caught:
        galleries.run(lambda gallery: gallery.get([99]))
    assert caught.value.code == "id.unknown"
    assert galleries.run(len) == 6


def test_threads_search_side_by_side(galleries, many):
    assert len(set(map(tuple, everywhere(galleries, found)))) == 1
    answers = list(many.map(lambda _: galleries.run(found), range(200)))
    assert len(answers[0]) == 6
    assert len(set(map(tuple, answers))) == 1


def test_stages_are_added_to_the_request_of_who_asked(galleries, timings):
    stages = timings.begin()

    def work(gallery):
        with timings.stage("search"):
            return len(gallery)

    galleries.run(work)
    assert list(stages) == ["search"]


def test_WEB_25_what_another_process_adds_is_found_by_the_next_search(
    galleries, path, photos, index
):
    assert len(galleries.run(found)) == 6
    (photos / "more.jpg").write_bytes(photo(99, size=(600, 400)))
    index(path, photos)
    assert {len(each) for each in everywhere(galleries, found)} == {7}


def test_WEB_25_a_gallery_that_is_replaced_is_found_by_the_next_search_and_the_old_one_let_go(
    galleries, path, photos, index, tmp_path
):
    assert {len(each) for each in everywhere(galleries, found)} == {6}
    old = (path / "gallery.sqlite").stat()
    (photos / "more.jpg").write_bytes(photo(99, size=(600, 400)))
    other = index(tmp_path / "other.dino", photos)
    gone = tmp_path / "gone.dino"
    assert any("photos.dino" in line for line in maps())

    replaced(path, other, gone)
    assert len(galleries.run(found)) == 7
    assert soon(lambda: not any("gone.dino" in name for name in descriptors()))
    assert soon(lambda: not any("gone.dino" in line for line in maps()))
    assert {len(each) for each in everywhere(galleries, found)} == {7}
    assert not any("gone.dino" in name for name in descriptors())

    # what closing the old one might have done to the new one, which has its name now
    with open_gallery(path) as gallery:
        assert gallery.verify() == []
    with open_gallery(gone) as gallery:
        assert (len(gallery), gallery.verify()) == (6, [])
    assert (gone / "gallery.sqlite").stat().st_ino == old.st_ino


def maps() -> list[str]:
    return Path("/proc/self/maps").read_text().splitlines()


def test_WEB_25_closing_a_replaced_gallery_leaves_the_log_of_the_new_one(
    galleries, path, index, photos, tmp_path, embedder
):
    everywhere(galleries, found)
    other = index(tmp_path / "other.dino", photos)
    with open_gallery(other, embedder) as writer:
        writer.remove([1])  # in the log, which is open
        assert (other / "gallery.sqlite-wal").stat().st_size
        replaced(path, other, tmp_path / "gone.dino")
        assert set(everywhere(galleries, len)) == {5}
        assert (path / "gallery.sqlite-wal").stat().st_size
    assert galleries.run(len) == 5


@pytest.mark.slow
def test_WEB_25_a_gallery_swapped_a_hundred_times_fails_no_request(
    galleries, path, index, photos, tmp_path, many, monkeypatch
):
    # as long as this thread may be kept from the second half of a swap
    monkeypatch.setattr("dinoseek.web.live.galleries._REPLACING", 30)
    (photos / "more.jpg").write_bytes(photo(99, size=(600, 400)))
    other, hidden = index(tmp_path / "other.dino", photos), tmp_path / "hidden.dino"
    ended, counts = threading.Event(), []
    assert galleries.run(len) == 6  # one that was never there would not be waited for

    def ask(_):
        while not ended.is_set():
            counts.append(len(galleries.run(found)))

    askers = [many.submit(ask, number) for number in range(8)]
    for _ in range(50):
        for new, old in ((other, hidden), (hidden, other)):
            path.rename(old)
            time.sleep(0.002)  # for a moment there is none
            new.rename(path)
            time.sleep(0.01)
    ended.set()
    for asker in askers:
        asker.result()
    assert set(counts) == {6, 7}
    assert not any("hidden.dino" in name or "other.dino" in name for name in descriptors())


def test_WEB_25_each_gallery_that_is_put_in_place_has_its_own_time_to_be_opened(
    galleries, path, index, photos, tmp_path, monkeypatch
):
    galleries.run(len)
    (photos / "more.jpg").write_bytes(photo(99, size=(600, 400)))
    others = [index(tmp_path / f"other{number}.dino", photos) for number in range(4)]
    gone = map(tmp_path.joinpath, "abcd")

    def opened_while_swapped(*args, **options):
        if others:
            time.sleep(0.2)
            replaced(path, others.pop(), next(gone))
            raise MachineError("gallery.io", path, "two galleries' files were read")
        return open_gallery(*args, **options)

    replaced(path, others.pop(), next(gone))
    monkeypatch.setattr("dinoseek.web.live.galleries._REPLACING", 0.3)
    monkeypatch.setattr("dinoseek.web.live.galleries.open_gallery", opened_while_swapped)
    assert galleries.run(len) == 7


def test_a_link_to_galleries_is_followed_to_the_new_one(make, path, index, photos, tmp_path):
    link, new = tmp_path / "now.dino", tmp_path / "new"
    link.symlink_to(path)
    galleries = make(link)
    assert galleries.run(len) == 6
    (photos / "more.jpg").write_bytes(photo(99, size=(600, 400)))
    new.symlink_to(index(tmp_path / "other.dino", photos))
    new.rename(link)
    assert galleries.run(len) == 7


def test_a_gallery_that_is_deleted_is_searched_on_until_another_is_there(galleries, path):
    everywhere(galleries, found)
    shutil.rmtree(path)
    assert len(galleries.run(found)) == 6


def test_WEB_24_a_gallery_that_is_not_there_is_told_at_once(make, tmp_path, monkeypatch):
    monkeypatch.setattr("dinoseek.web.live.galleries._REPLACING", 60)
    galleries = make(tmp_path / "none.dino")
    start = time.monotonic()
    with pytest.raises(MachineError) as caught:
        galleries.run(len)
    assert caught.value.code == "gallery.missing"
    assert time.monotonic() - start < 30
    assert not (tmp_path / "none.dino").exists()


def test_a_gallery_is_made_where_that_is_allowed(make, tmp_path):
    assert make(tmp_path / "new.dino", create=True).run(len) == 0


def test_damage_that_a_connection_reports_makes_it_open_the_gallery_anew(galleries):
    seen = []

    def work(gallery):
        seen.append(gallery)
        if len(seen) == 1:
            raise GalleryError("gallery.corrupt", "x", "the record is damaged")
        return len(gallery)

    assert galleries.run(work) == 6
    assert seen[0] is not seen[1]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        len(seen[0])


def test_WEB_24_damage_that_lasts_is_told(galleries, path):
    everywhere(galleries, len)
    broken = path.with_name("broken.dino")
    broken.mkdir()
    (broken / "gallery.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    replaced(path, broken, path.with_name("gone.dino"))
    with pytest.raises(GalleryError):
        galleries.run(len)
    shutil.rmtree(path)
    path.with_name("gone.dino").rename(path)
    assert galleries.run(len) == 6


READER = """
import os, sys
from pathlib import Path
import PIL.Image, PIL.JpegImagePlugin
from dinoseek.embedder import load_embedder
from dinoseek.search import search
from dinoseek.web.live.galleries import Galleries

Path("/").as_uri()  # Python 3.13 imports its parts late, from where "nobody" may not read
embedder = load_embedder("color-histogram", preprocess="squash@28")
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
galleries = Galleries(Path(sys.argv[1]), embedder)
for line in sys.stdin:
    print(galleries.run(lambda gallery: (gallery.readonly, len(search(gallery, 1, 100)))))
    print(galleries.summary(), flush=True)
galleries.close()
"""


def test_a_gallery_that_cannot_be_written_is_searched_and_seen_to_change(template, index):
    with tempfile.TemporaryDirectory() as name:  # as pytest's folders are for one user only
        folder = Path(name)
        folder.chmod(0o755)
        photos = Path(shutil.copytree(template / "photos", folder / "photos"))
        path = Path(shutil.copytree(template / "photos.dino", folder / "photos.dino"))
        for file in (path, *path.rglob("*")):
            file.chmod(0o755 if file.is_dir() else 0o644)
        command = [sys.executable, "-c", READER, str(path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            print("look", file=process.stdin, flush=True)
            assert process.stdout.readline() == "(True, 6)\n"
            assert process.stdout.readline() == "(6, 'color-histogram')\n"
            (photos / "more.jpg").write_bytes(photo(99, size=(600, 400)))
            index(path, photos)
            found, _ = process.communicate("look again\n", timeout=60)
    assert found.startswith("(True, 7)\n")
    assert process.returncode == 0


def test_a_gallery_that_can_only_be_read_is_opened_anew_when_its_record_changed(
    make, path, monkeypatch
):
    readonly = partial(open_gallery, readonly=True)
    monkeypatch.setattr("dinoseek.web.live.galleries.open_gallery", readonly)
    galleries = make(path, threads=1)
    first = galleries.run(lambda gallery: gallery)
    assert galleries.run(lambda gallery: gallery) is first
    os.utime(path / "gallery.sqlite")
    assert galleries.run(lambda gallery: gallery) is not first


def test_the_summary_is_at_most_a_second_old_and_outlives_the_gallery(galleries, path, monkeypatch):
    assert galleries.summary() == (6, "color-histogram")
    galleries.run(lambda gallery: gallery.remove([1]))
    assert galleries.summary() == (6, "color-histogram")
    galleries._summary_until = 0
    assert galleries.summary() == (5, "color-histogram")
    monkeypatch.setattr(galleries, "run", lambda _: 1 / 0)
    assert galleries.summary() == (5, "color-histogram")

    def fail(_):
        raise MachineError("gallery.locked", "x", "another process is writing")

    monkeypatch.setattr(galleries, "run", fail)
    galleries._summary_until = 0
    assert galleries.summary() == (5, "color-histogram")


def test_closing_ends_the_threads_closes_the_files_and_turns_away_who_comes(make, path, many):
    before = descriptors()
    galleries = make(path)
    everywhere(galleries, found)
    assert descriptors() != before
    begun, go_on = threading.Event(), threading.Event()
    at_work = many.submit(galleries.run, lambda _: begun.set() or go_on.wait(60))
    assert begun.wait(60)
    threading.Timer(0.1, go_on.set).start()
    galleries.close()
    assert at_work.result() is True
    assert descriptors() == before
    assert not any("photos.dino" in line for line in maps())
    with pytest.raises(Busy):
        galleries.run(len)
