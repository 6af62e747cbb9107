"""Indexing beside the searches: watched, stopped, and never more than was allowed."""

import threading

import pytest

from dinoseek.errors import UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest import pipeline
from dinoseek.web.live.jobs import Jobs

from .conftest import QuickPool
from .made import flat, photo, soon


@pytest.fixture
def told():
    return []


@pytest.fixture
def jobs(path, embedder, told, monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "DecoderPool", QuickPool)
    jobs = Jobs(path, embedder, told.append, below=[tmp_path])
    yield jobs
    jobs.close()


def ended(jobs):
    assert soon(lambda: jobs.state().finished is not None)
    return jobs.state()


def counts(state):
    summary = state.summary
    return summary.stored, summary.skipped, summary.duplicates, summary.failed, summary.removed


def test_a_folder_is_indexed_and_its_files_are_counted(jobs, path, photos, told):
    assert jobs.state() is None
    (photos / "new.jpg").write_bytes(photo(50))
    (photos / "copy.jpg").write_bytes(photo(50))
    (photos / "bad.jpg").write_bytes(b"no picture")
    (photos / "0.jpg").unlink()
    begun = jobs.start(photos)
    assert (begun.source, begun.state, begun.finished) == (photos, "running", None)
    state = ended(jobs)
    assert (state.state, state.error, state.total) == ("done", "", 8)
    assert counts(state) == (1, 5, 1, 1, 1)
    assert state.started <= state.finished
    ((what, code, reason),) = state.failures
    assert (what, code) == (str(photos / "bad.jpg"), "image.unrecognised")
    assert reason
    jobs.close()
    assert [each.state for each in told] == ["running", "done"]
    with open_gallery(path) as gallery:
        assert len(gallery) == 6


@pytest.mark.parametrize("kind", ["image", "list", "archive"])
def test_an_image_a_list_and_an_archive_are_indexed_too(jobs, tmp_path, kind):
    (tmp_path / "one.png").write_bytes(flat("red"))
    source = tmp_path / "one.png"
    if kind == "list":
        source = tmp_path / "list.csv"
        source.write_text("path,caption\none.png,red\nnone.png,no\n")
    if kind == "archive":
        import tarfile

        source = tmp_path / "A.TAR"
        with tarfile.open(source, "w") as archive:
            archive.add(tmp_path / "one.png", "one.png")
    jobs.start(source)
    state = ended(jobs)
    assert (state.state, state.error) == ("done", "")
    assert state.summary.stored == 1
    assert state.summary.failed == (kind == "list")


def test_a_list_cannot_name_files_outside_of_what_may_be_indexed(
    path, embedder, tmp_path, monkeypatch
):
    monkeypatch.setattr(pipeline, "DecoderPool", QuickPool)
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for number, folder in enumerate((inside, outside)):
        folder.mkdir()
        (folder / "a.png").write_bytes(flat("red", (10 + number, 10)))
    (inside / "link.png").symlink_to(outside / "a.png")
    names = ["a.png", "../outside/a.png", str(outside / "a.png"), "link.png"]
    (inside / "list.txt").write_text("\n".join(names))
    jobs = Jobs(path, embedder, below=[inside])
    jobs.start(inside / "list.txt")
    state = ended(jobs)
    jobs.close()
    assert (state.state, state.summary.stored, state.summary.failed) == ("done", 1, 3)
    assert [code for _, code, _ in state.failures] == ["path.outside"] * 3


def test_one_run_at_a_time(jobs, photos, monkeypatch):
    go_on = holding(monkeypatch)
    (photos / "new.jpg").write_bytes(photo(50))
    jobs.start(photos)
    with pytest.raises(UsageError) as caught:
        jobs.start(photos)
    assert caught.value.code == "index.running"
    go_on.set()
    ended(jobs)
    assert soon(lambda: not jobs._thread.is_alive())
    jobs.start(photos)
    assert counts(ended(jobs)) == (0, 7, 0, 0, 0)


def holding(monkeypatch):
    """Has decoding wait until the event is set."""
    go_on = threading.Event()
    decode = QuickPool.decode

    def hold(self, data, subject):
        go_on.wait(60)
        return decode(self, data, subject)

    monkeypatch.setattr(QuickPool, "decode", hold)
    return go_on


def test_progress_can_be_watched_and_stopping_keeps_what_was_done(
    jobs, path, tmp_path, monkeypatch
):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.png").write_bytes(flat((number, 0, 0), (8, 8)))
    steps = threading.Semaphore(0)
    decode = QuickPool.decode

    def step(self, data, subject):
        steps.acquire(timeout=60)
        return decode(self, data, subject)

    monkeypatch.setattr(QuickPool, "decode", step)
    jobs.start(folder)
    assert soon(lambda: jobs.state().total == 60)
    assert jobs.state().summary.total == 0
    steps.release(20)
    assert soon(lambda: jobs.state().summary.stored >= 8)
    assert jobs.state().state == "running"
    jobs.stop()
    steps.release(100)
    state = ended(jobs)
    assert state.state == "stopped"
    assert 8 <= state.summary.stored < 60
    with open_gallery(path) as gallery:
        assert len(gallery) >= 6 + state.summary.stored
    assert soon(lambda: not jobs._thread.is_alive())
    jobs.start(folder)  # goes on
    assert ended(jobs).state == "done"
    with open_gallery(path) as gallery:
        assert len(gallery) == 66


def test_failures_beyond_a_hundred_are_only_counted(jobs, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(130):
        (folder / f"{number}.png").write_text(f"no {number}")
    jobs.start(folder)
    state = ended(jobs)
    assert (state.summary.failed, len(state.failures)) == (130, 100)


def test_what_goes_wrong_is_told_and_the_next_run_works(jobs, path, photos, tmp_path, embedder):
    jobs.start(tmp_path / "nothing")
    state = ended(jobs)
    assert (state.state, state.summary.total) == ("failed", 0)
    assert state.error == f"{tmp_path / 'nothing'}: there is no such folder or file"
    assert soon(lambda: not jobs._thread.is_alive())
    with open_gallery(path, embedder) as other, other.writing():
        jobs.start(photos)
        assert "writing" in ended(jobs).error
    assert soon(lambda: not jobs._thread.is_alive())
    jobs.start(photos)
    assert ended(jobs).state == "done"


def test_a_fault_of_ours_does_not_end_more_than_the_run(jobs, photos, monkeypatch, caplog):
    monkeypatch.setattr("dinoseek.web.live.jobs.ingest", lambda *_, **__: 1 / 0)
    jobs.start(photos)
    state = ended(jobs)
    assert (state.state, state.error) == (
        "failed",
        "unexpected ZeroDivisionError: division by zero",
    )
    assert "Traceback" in caplog.text


def test_who_is_told_may_fail(jobs, photos, caplog):
    jobs.on_change = lambda _: 1 / 0
    jobs.start(photos)
    assert ended(jobs).state == "done"
    jobs.close()
    assert "nobody was told" in caplog.text


def test_closing_stops_the_run_and_waits_for_it(jobs, photos, monkeypatch):
    go_on = holding(monkeypatch)
    for seed in range(50, 80):
        (photos / f"{seed}.jpg").write_bytes(photo(seed))
    jobs.start(photos)
    threading.Timer(0.2, go_on.set).start()
    jobs.close()
    assert jobs.state().state in ("stopped", "done")
    assert not jobs._thread.is_alive()
