"""What becomes of new, changed, renamed, copied, deleted and broken files."""

import gc
import os
import shutil
from collections import Counter

import numpy as np
import pytest

from dinoseek.embedder import Embedder
from dinoseek.errors import MachineError, UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest import pipeline, prepare
from dinoseek.ingest.outcomes import Duplicate, Failed, Removed, Skipped, Stored, Summary
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.search import search

from .here import HerePool


def kinds(outcomes):
    """The kind of each file's outcome, or the reason of those that have one, by path."""
    found = {}
    for outcome in outcomes:
        name = type(outcome).__name__
        if isinstance(outcome, Skipped):
            name = outcome.reason
        elif isinstance(outcome, Failed):
            name = outcome.code
        found[os.fsdecode(outcome.item.path)] = name
    return found


def count(outcomes):
    return Counter(kinds(outcomes).values())


@pytest.fixture
def engine_calls(monkeypatch) -> list[int]:
    """How many images each call of the engine got."""
    calls = []
    vectors = Embedder.vectors

    def counted(self, prepared):
        calls.append(len(prepared))
        return vectors(self, prepared)

    monkeypatch.setattr(Embedder, "vectors", counted)
    return calls


def test_new_files_are_stored_and_found(photos, draw, index, gallery):
    for i in range(40):
        draw(f"{'sub/' * (i % 3)}{i}.png")
    outcomes = index()
    assert count(outcomes) == {"Stored": 40}
    assert len(gallery) == 40
    for outcome in outcomes:
        best, *_ = search(gallery, outcome.item.file, 3)
        assert (best.file, best.id) == (outcome.item.file, outcome.id)
        assert best.score == pytest.approx(1, abs=1e-5)


def test_what_is_recorded_of_an_image_is_right(photos, draw, index, gallery):
    import hashlib

    file = draw("sub/a.png")
    (stored,) = index()
    (record,) = gallery.get([stored.id])
    status, data = file.stat(), file.read_bytes()
    assert (record.root, record.path) == (str(photos), b"sub/a.png")
    assert record.digest == hashlib.sha256(data).hexdigest()
    assert (record.width, record.height, record.format) == (8, 6, "PNG")
    assert (record.bytes, record.mtime_ns) == (len(data), status.st_mtime_ns)


def test_I8_unchanged_files_are_not_even_read(photos, draw, index, engine_calls, monkeypatch):
    for i in range(10):
        draw(f"{i}.png")
    index()
    engine_calls.clear()
    monkeypatch.setattr(prepare, "read_bytes", None)
    assert count(index()) == {"unchanged": 10}
    assert engine_calls == []


def test_FS_17_a_touched_file_is_not_embedded_again(draw, index, engine_calls):
    file = draw("a.png")
    index()
    os.utime(file, ns=(0, -(10**18)))  # long before 1970
    assert kinds(index()) == {"a.png": "touched"}
    assert kinds(index()) == {"a.png": "unchanged"}
    os.utime(file, ns=(0, 4 * 10**18))  # in the future
    assert kinds(index()) == {"a.png": "touched"}
    assert sum(engine_calls) == 1


def test_a_changed_file_is_embedded_again_and_its_old_image_forgotten(
    draw, index, gallery, content_of
):
    draw("a.png", 1)
    index()
    (before,) = content_of(gallery)[1]
    draw("a.png", 2)
    assert kinds(index()) == {"a.png": "Stored"}
    (after,) = content_of(gallery)[1]
    assert before != after
    assert gallery.info()["images"] == 1


def test_FS_17_verify_finds_what_size_and_time_hide(draw, index):
    file = draw("a.png", 1)
    index()
    status, data = file.stat(), bytearray(file.read_bytes())
    other = draw("a.png", 2).read_bytes()
    assert len(other) == len(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert kinds(index()) == {"a.png": "unchanged"}
    assert kinds(index(verify=True)) == {"a.png": "Stored"}
    assert kinds(index(verify=True)) == {"a.png": "unchanged"}


def test_FS_18_a_renamed_file_keeps_its_image(photos, draw, index, gallery, engine_calls):
    draw("a.png")
    (stored,) = index()
    (photos / "sub").mkdir()
    (photos / "a.png").rename(photos / "sub/b.png")
    assert kinds(index()) == {"sub/b.png": "renamed", "a.png": "Removed"}
    assert [hit.file for hit in search(gallery, stored.id, 5)] == [photos / "sub/b.png"]
    assert sum(engine_calls) == 1


def test_files_that_swap_names_are_not_embedded_again(photos, draw, index, gallery, engine_calls):
    draw("a.png", 1)
    draw("b.png", 2)
    ids = {outcome.item.path: outcome.id for outcome in index()}
    (photos / "a.png").rename(photos / "c.png")
    (photos / "b.png").rename(photos / "a.png")
    (photos / "c.png").rename(photos / "b.png")
    assert "Stored" not in count(index())
    assert [hit.file.name for hit in search(gallery, ids[b"a.png"], 1)] == ["b.png"]
    assert sum(engine_calls) == 2
    assert gallery.info()["images"] == 2


def test_FS_15_copies_and_hard_links_are_one_image(photos, draw, index, gallery, engine_calls):
    draw("a.png")
    shutil.copy(photos / "a.png", photos / "b.png")
    os.link(photos / "a.png", photos / "c.png")
    (photos / "d.png").symlink_to("a.png")
    outcomes = index()
    assert kinds(outcomes) == {
        "a.png": "Stored",
        **dict.fromkeys(["b.png", "c.png", "d.png"], "Duplicate"),
    }
    assert {o.of for o in outcomes if isinstance(o, Duplicate)} == {photos / "a.png"}
    assert (gallery.info()["images"], gallery.info()["files"]) == (1, 4)
    assert engine_calls == [1]
    assert count(index()) == {"unchanged": 4}
    (photos / "a.png").unlink()
    (photos / "d.png").unlink()
    assert count(index()) == {"unchanged": 2, "Removed": 2}
    assert len(gallery) == 1


def test_a_copy_found_later_is_a_duplicate(photos, draw, index):
    draw("b.png")
    index()
    shutil.copy(photos / "b.png", photos / "a.png")
    assert kinds(index()) == {"a.png": "Duplicate", "b.png": "unchanged"}


def test_many_copies_across_batches_are_one_image(photos, draw, gallery, engine_calls):
    draw("0000.png")
    for i in range(1, 150):
        if i % 3:
            shutil.copy(photos / "0000.png", photos / f"{i:04}.png")
        else:
            draw(f"{i:04}.png")
    outcomes = list(ingest(from_folder(photos), gallery, batch_size=4))
    assert count(outcomes) == {"Stored": 50, "Duplicate": 100}
    assert sum(engine_calls) == 50
    assert max(engine_calls) <= 4


def test_deleted_files_are_forgotten(photos, draw, index, gallery, content_of):
    for i in range(6):
        draw(f"{i}.png")
    index()
    (photos / "2.png").unlink()
    (photos / "5.png").unlink()
    assert count(index()) == {"unchanged": 4, "Removed": 2}
    assert set(content_of(gallery)[0]) == {b"0.png", b"1.png", b"3.png", b"4.png"}
    assert len(gallery) == 4


def test_everything_below_a_deleted_folder_is_forgotten(photos, draw, index, gallery):
    for name in ("a/1.png", "a/b/2.png", "a-/3.png", "a.png", "z.png"):
        draw(name)
    index()
    shutil.rmtree(photos / "a")
    assert count(index()) == {"unchanged": 3, "Removed": 2}
    assert len(gallery) == 3


def test_a_folder_that_is_suddenly_empty_is_not_believed(photos, draw, index, gallery):
    for i in range(3):
        draw(f"{i}.png")
    index()
    photos.rename(photos.with_name("away"))
    photos.mkdir()  # where a disk was mounted
    outcomes = list(ingest(from_folder(photos), gallery))
    assert [outcome.code for outcome in outcomes] == ["path.empty"]
    assert len(gallery) == 3
    photos.rmdir()
    photos.with_name("away").rename(photos)
    assert count(index()) == {"unchanged": 3}
    assert gallery.info()["failures"] == []


def test_a_folder_that_is_really_empty_is_believed_when_asked(photos, draw, index, gallery):
    draw("a.png").unlink()
    draw("b.png")
    index()
    (photos / "b.png").unlink()
    assert count(ingest(from_folder(photos), gallery)) == {"path.empty": 1}
    assert count(ingest(from_folder(photos), gallery, verify=True)) == {"Removed": 1}
    assert gallery.info()["failures"] == []


def test_FS_10_a_missing_folder_is_refused_and_nothing_forgotten(photos, draw, index, gallery):
    draw("a.png")
    index()
    source = from_folder(photos)
    shutil.rmtree(photos)
    with pytest.raises(MachineError) as caught:
        list(ingest(source, gallery))
    assert caught.value.code == "path.missing"
    assert len(gallery) == 1


def test_IMG_01_broken_files_fail_one_by_one_and_are_remembered(
    photos, draw, index, gallery, engine_calls, monkeypatch
):
    draw("good.png")
    whole = draw("cut.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_bytes(b"hello")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "dangling.jpg").symlink_to("nowhere")
    expected = {
        "good.png": "Stored",
        "cut.png": "image.truncated",
        "empty.jpg": "image.empty",
        "text.jpg": "image.unrecognised",
        "pipe.jpg": "path.not_regular",
        "dangling.jpg": "path.vanished",
    }
    outcomes = index()
    assert kinds(outcomes) == expected
    assert not any(outcome.known for outcome in outcomes if isinstance(outcome, Failed))
    assert {failure["code"] for failure in gallery.info()["failures"]} == set(expected.values()) - {
        "Stored"
    }

    again = index()
    assert kinds(again) == {**expected, "good.png": "unchanged"}
    known = {outcome.code for outcome in again if isinstance(outcome, Failed) and outcome.known}
    assert known == {"image.truncated", "image.empty", "image.unrecognised"}  # path.* may be over
    assert not any(o.known for o in index(retry_failed=True) if isinstance(o, Failed))

    (photos / "cut.png").write_bytes(whole)
    (photos / "text.jpg").unlink()
    (photos / "pipe.jpg").unlink()
    assert kinds(index())["cut.png"] == "Stored"
    assert {failure["code"] for failure in gallery.info()["failures"]} == {
        "image.empty",
        "path.vanished",
    }


def test_a_failure_from_a_limit_is_tried_again(photos, draw, gallery, embedder):
    from dataclasses import replace

    draw("a.png")
    strict = Embedder(
        embedder._features,
        embedder.preset,
        embedder.fingerprint,
        replace(embedder.limits, max_pixels=40),
    )
    with open_gallery(gallery.path, strict) as limited:
        assert count(ingest(from_folder(photos), limited)) == {"image.too_many_pixels": 1}
    assert count(ingest(from_folder(photos), gallery)) == {"Stored": 1}


def test_a_file_that_breaks_loses_its_image(photos, draw, index, gallery):
    draw("a.png")
    index()
    (photos / "a.png").write_bytes(b"overwritten")
    assert kinds(index()) == {"a.png": "image.unrecognised"}
    assert len(gallery) == 0


def test_copies_of_a_broken_file_fail_alike(photos, draw, index, engine_calls):
    data = draw("a.png").read_bytes()
    for name in "abc":
        (photos / f"{name}.png").write_bytes(data[:-20])
    assert count(index()) == {"image.truncated": 3}
    assert engine_calls == []


def test_I2_a_fault_of_ours_costs_one_file(photos, draw, index, monkeypatch, caplog):
    for i in range(5):
        draw(f"{i}.png")
    decode = HerePool.decode

    def faulty(self, data, subject):
        if subject.file.name == "3.png":
            raise ZeroDivisionError("oops")
        return decode(self, data, subject)

    with monkeypatch.context() as patch:
        patch.setattr(HerePool, "decode", faulty)
        outcomes = index()
    assert kinds(outcomes)["3.png"] == "path.unexpected"
    assert count(outcomes)["Stored"] == 4
    assert "ZeroDivisionError" in caplog.text
    assert kinds(index())["3.png"] == "Stored"  # it is tried again: the file is not to blame


def test_IDX_21_an_image_without_a_vector_costs_one_file(photos, draw, index, gallery, monkeypatch):
    for i in range(5):
        draw(f"{i}.png")
    shutil.copy(photos / "2.png", photos / "9.png")
    vectors = Embedder.vectors

    def blind(self, prepared):
        rows = vectors(self, prepared)
        rows[2] = np.nan
        return rows

    monkeypatch.setattr(Embedder, "vectors", blind)
    assert kinds(index()) == {
        **{f"{i}.png": "Stored" for i in (0, 1, 3, 4)},
        "2.png": "vector.invalid",
        "9.png": "vector.invalid",
    }
    assert len(gallery) == 4


def test_FS_12_a_file_deleted_between_listing_and_reading(photos, draw, gallery, monkeypatch):
    for i in range(4):
        draw(f"{i}.png")
    read = prepare.read_bytes

    def late(path, limits):
        (photos / "2.png").unlink(missing_ok=True)
        return read(path, limits)

    monkeypatch.setattr(prepare, "read_bytes", late)
    outcomes = list(ingest(from_folder(photos), gallery))
    assert kinds(outcomes) == {
        "0.png": "Stored",
        "1.png": "Stored",
        "2.png": "path.vanished",
        "3.png": "Stored",
    }


def test_a_large_file_is_read_twice_and_must_not_change_meanwhile(photos, draw, index, monkeypatch):
    draw("a.png", 1)
    draw("b.png", 2)
    monkeypatch.setattr(prepare, "_KEPT_BYTES", 10)
    read, reads = prepare.read_bytes, Counter()

    def changing(path, limits):
        reads[path.name] += 1
        data = read(path, limits)
        return data + b"more" if path.name == "b.png" and reads[path.name] == 2 else data

    monkeypatch.setattr(prepare, "read_bytes", changing)
    assert kinds(index()) == {"a.png": "Stored", "b.png": "path.changed"}
    assert reads == {"a.png": 2, "b.png": 2}


# several sources, several spaces


def test_a_second_embedder_computes_what_it_lacks(photos, draw, index, gallery, other_embedder):
    for i in range(8):
        draw(f"{i}.png")
    shutil.copy(photos / "1.png", photos / "9.png")
    (photos / "bad.jpg").write_bytes(b"bad")
    index()
    with open_gallery(gallery.path, other_embedder) as second:
        assert count(ingest(from_folder(photos), second)) == {
            "Stored": 8,
            "Duplicate": 1,
            "image.unrecognised": 1,
        }
        assert count(ingest(from_folder(photos), second)) == {
            "unchanged": 9,
            "image.unrecognised": 1,
        }
        assert [space["vectors"] for space in second.info()["spaces"]] == [8, 8]
        assert len(second.info()["failures"]) == 1
    assert count(index()) == {"unchanged": 9, "image.unrecognised": 1}


def test_a_deleted_file_is_gone_from_every_space(photos, draw, index, gallery, other_embedder):
    draw("a.png", 1)
    draw("b.png", 2)
    index()
    with open_gallery(gallery.path, other_embedder) as second:
        list(ingest(from_folder(photos), second))
    (photos / "a.png").unlink()
    index()
    assert [space["vectors"] for space in gallery.info()["spaces"]] == [1, 1]


def test_several_sources_are_indexed_together(photos, draw, gallery):
    for name in ("x/1.png", "x/4.png", "y/2.png", "z/3.png"):
        draw(name)
    sources = [from_folder(photos / "x"), from_folder(photos / "y")]
    assert count(ingest(sources, gallery)) == {"Stored": 3}
    (photos / "x/1.png").rename(photos / "y/5.png")
    assert count(ingest(sources, gallery)) == {"Removed": 1, "renamed": 1, "unchanged": 2}


def test_a_source_is_only_compared_with_its_own_files(photos, draw, index, gallery):
    for name in ("x/1.png", "y/2.png", "z.png"):
        draw(name)
    index()
    assert count(ingest(from_folder(photos / "x"), gallery)) == {"unchanged": 1}
    (photos / "x/1.png").unlink()
    draw("x/4.png")
    (photos / "y/2.png").unlink()
    assert count(ingest(from_folder(photos / "x"), gallery)) == {"Stored": 1, "Removed": 1}
    assert gallery.info()["files"] == 3
    assert len(gallery.info()["roots"]) == 1


def test_a_folder_around_an_indexed_one_has_the_same_files(photos, draw, gallery):
    for name in ("x/1.png", "x/2.png", "y.png"):
        draw(name)
    list(ingest(from_folder(photos / "x"), gallery))
    assert count(ingest(from_folder(photos), gallery)) == {"Stored": 1, "unchanged": 2}
    both = [from_folder(photos / "x"), from_folder(photos)]
    (photos / "x/2.png").unlink()
    assert count(ingest(both, gallery)) == {"unchanged": 2, "Removed": 1}
    assert [root["path"] for root in gallery.info()["roots"]] == [str(photos)]


def test_a_folder_and_one_around_it_can_be_given_together(photos, draw, gallery):
    for name in ("x/1.png", "x/2.png", "y.png"):
        draw(name)
    both = [from_folder(photos / "x"), from_folder(photos)]
    outcomes = list(ingest(both, gallery))
    assert Counter(type(outcome) for outcome in outcomes) == {Stored: 3, Skipped: 2}
    (photos / "x/2.png").unlink()
    assert count(ingest(both, gallery))["Removed"] == 1
    assert [root["path"] for root in gallery.info()["roots"]] == [str(photos)]


def test_a_single_file_can_be_indexed_and_forgets_no_other(photos, draw, index, gallery):
    for name in ("a.png", "a.png.jpg", "b.png"):
        draw(name)
    index()
    (photos / "b.png").unlink()
    (photos / "a.png.jpg").unlink()
    assert kinds(ingest(from_folder(photos / "a.png"), gallery)) == {"a.png": "unchanged"}
    assert gallery.info()["files"] == 3
    draw("new")
    assert kinds(ingest(from_folder(photos / "new"), gallery)) == {"new": "Stored"}


def test_FS_14_a_gallery_inside_the_folder_is_not_indexed(photos, draw, embedder):
    draw("a.png")
    with open_gallery(photos / "inside", embedder) as gallery:
        (gallery.path / "cache").mkdir()
        shutil.copy(photos / "a.png", gallery.path / "cache/thumbnail.png")
        assert kinds(ingest(from_folder(photos), gallery)) == {"a.png": "Stored"}


def test_FS_09_an_empty_folder_is_no_error(photos, index, gallery):
    assert index() == []
    assert len(gallery) == 0
    assert search_nothing(gallery) == []


def search_nothing(gallery):
    return search(gallery, np.ones(gallery.embedder.dim, np.float32), 5)


def test_FS_07_hostile_names_go_through(photos, draw, index, gallery):
    for i, name in enumerate(["\udcff.png", "a\nb.png", "-rf.png", "🐱.png", "\u202egnp.png"]):
        draw(name, i)
    assert count(index()) == {"Stored": 5}
    assert count(index()) == {"unchanged": 5}
    for hit in search_nothing(gallery):
        assert hit.path.isprintable()
        assert hit.file.exists()


# stopping, and who may write


def test_a_gallery_without_an_embedder_cannot_be_indexed(photos, gallery):
    with open_gallery(gallery.path) as bare, pytest.raises(UsageError) as caught:
        ingest(from_folder(photos), bare)
    assert caught.value.code == "gallery.no_embedder"


def test_a_readonly_gallery_cannot_be_indexed(photos, draw, gallery, embedder):
    draw("a.png")
    with (
        open_gallery(gallery.path, embedder, readonly=True) as readonly,
        pytest.raises(MachineError) as caught,
    ):
        list(ingest(from_folder(photos), readonly))
    assert caught.value.code == "gallery.readonly"


def test_IDX_17_a_second_writer_is_refused_from_start_to_end(photos, draw, gallery, embedder):
    for i in range(10):
        draw(f"{i}.png")
    running = ingest(from_folder(photos), gallery, batch_size=2)
    next(running)
    with open_gallery(gallery.path, embedder) as second:
        with pytest.raises(MachineError, match=f"process {os.getpid()}") as caught:
            next(ingest(from_folder(photos), second))
        assert caught.value.code == "gallery.locked"
        assert len(search(second, photos / "0.png", 100)) == len(second)
        list(running)
        assert count(ingest(from_folder(photos), second)) == {"unchanged": 10}


@pytest.mark.parametrize("stop_after", range(1, 12, 2))
def test_I3_what_was_yielded_stays_when_the_consumer_stops(
    photos, draw, gallery, embedder, content_of, stop_after
):
    for i in range(12):
        draw(f"{i:02}.png")
    running = ingest(from_folder(photos), gallery, batch_size=3)
    seen = [next(running).item.path for _ in range(stop_after)]
    running.close()
    files = set(content_of(gallery)[0])
    assert set(seen) <= files
    assert gallery.verify() == []
    with open_gallery(gallery.path, embedder) as again:  # and the lock is free
        outcomes = list(ingest(from_folder(photos), again))
        assert count(outcomes) == Counter(unchanged=len(files), Stored=12 - len(files))


@pytest.mark.parametrize("stage", ["read_step", "decode_step", "is_empty", "_forgotten"])
def test_an_interrupt_in_any_stage_leaves_a_whole_gallery(
    photos, draw, index, gallery, monkeypatch, stage
):
    for i in range(12):
        draw(f"{i:02}.png")
    index()
    for i in range(0, 12, 2):
        (photos / f"{i:02}.png").unlink()
        draw(f"new-{i}.png")

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, stage, interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(ingest(from_folder(photos), gallery, batch_size=2))
    gc.collect()
    assert gallery.verify() == []
    assert len(gallery) >= 12
    index()
    assert len(gallery) == 12


def test_a_batch_is_one_transaction(photos, draw, gallery):
    for i in range(40):
        draw(f"{i}.png")
    commits = []
    gallery._connection.set_trace_callback(
        lambda sql: commits.append(sql) if sql == "COMMIT" else 0
    )
    list(ingest(from_folder(photos), gallery, batch_size=20))
    assert len(commits) < 10


def test_I3_a_stored_image_is_seen_by_others_at_once(photos, draw, gallery, embedder):
    for i in range(9):
        draw(f"{i}.png")
    with open_gallery(gallery.path, embedder, readonly=True) as reader:
        for outcome in ingest(from_folder(photos), gallery, batch_size=2):
            assert isinstance(outcome, Stored)
            best, *_ = search(reader, outcome.item.file, 1)
            assert best.id == outcome.id


def test_removals_come_last_and_are_counted_beside_the_total(photos, draw, index):
    for i in range(4):
        draw(f"{i}.png")
    index()
    (photos / "0.png").unlink()
    *others, last = index()
    assert isinstance(last, Removed)
    assert Summary.of([*others, last]).total == 3


def test_images_of_many_sizes_go_through_the_engine_in_groups(tmp_path, photos, draw):
    from PIL import Image

    from dinoseek.images.preprocess import find_preset

    preset = find_preset("short-side@28")
    for i in range(30):
        Image.new("RGB", (40 + 20 * (i % 3), 40), (i, 9 * i % 256, 40)).save(photos / f"{i}.png")

    def mean_colours(prepared):
        assert len({image.shape for image in prepared}) == 1
        return np.stack([image.mean(axis=(0, 1), dtype=np.float32) for image in prepared])

    from dinoseek.embedder import Fingerprint

    fingerprint = Fingerprint(
        model="mean", weights="0" * 64, preprocess=preset.name, pooling="", pos_flavour="", dim=3
    )
    with open_gallery(tmp_path / "g.dino", Embedder(mean_colours, preset, fingerprint)) as gallery:
        assert count(ingest(from_folder(photos), gallery, batch_size=8)) == {"Stored": 30}
        for i in range(30):
            assert search(gallery, photos / f"{i}.png", 1)[0].file.name == f"{i}.png"


@pytest.mark.parametrize(("cores", "expected"), [(1, 2), (2, 2), (7, 3), (16, 8), (96, 8)])
def test_half_of_the_cores_decode(index, draw, monkeypatch, cores, expected):
    from dinoseek.ingest import pipeline

    made = []

    class Pool(pipeline.DecoderPool):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self.workers)

    monkeypatch.setattr(pipeline, "DecoderPool", Pool)
    monkeypatch.setattr(pipeline, "core_count", lambda: cores)
    draw("a.png")

    index()
    assert made == [expected]
