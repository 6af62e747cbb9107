"""Putting vectors of others into a gallery: what is kept, and what a second run does."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import UsageError
from dinoseek.gallery import filters
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.address import normalised
from dinoseek.interchange.files import read_vectors
from dinoseek.interchange.given import Entry, Given, imported_fingerprint
from dinoseek.interchange.importing import check_dim, embedder_of, import_vectors

from .conftest import COUNT, stored_of


def ranked_by_hand(features, query):
    rows = stored_of(features).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.argsort(-(rows @ query), kind="stable")[:10].tolist()


def test_imported_features_are_searched_as_sorting_does(npy, features, fill):
    folder, batches = fill(read_vectors(npy))
    assert sum(batch.stored for batch in batches) == COUNT
    query = features[7] / np.linalg.norm(features[7])
    with open_gallery(folder, readonly=True) as gallery:
        (hits,) = gallery.search(query.astype(np.float32)[None], 10)
        assert gallery.verify() == []
        assert gallery.background() is not None
    assert [hit.id - 1 for hit in hits] == ranked_by_hand(features, query)


def test_captions_addresses_and_metadata_come_with_each_hit(npy, said, features, fill):
    folder, _ = fill(read_vectors(npy))
    with open_gallery(folder, readonly=True) as gallery:
        query = stored_of(features[9:10]).astype(np.float32)
        (hits,) = gallery.search(query, 1, filters.parse("label = 'red' and tags = 9"))
        (record,) = gallery.get([10])
    (hit,) = hits
    assert hit.url == hit.path == normalised(said[9]["url"])
    assert hit.caption == said[9]["caption"]
    assert hit.metadata == {name: said[9][name] for name in ("label", "stars", "mixed", "tags")}
    assert record.digest == hashlib.sha256(b"imported\0" + hit.path.encode()).hexdigest()
    assert (record.width, record.bytes, record.format) == (0, 0, "")


def test_a_second_run_stores_nothing_and_a_stopped_one_goes_on(npy, tmp_path):
    given = read_vectors(npy)
    embedder = embedder_of(imported_fingerprint(given))
    with open_gallery(tmp_path / "g.dino", embedder) as gallery:
        run = import_vectors(gallery, given, normalised)
        first = next(run)
        run.close()
        assert len(gallery) == first.stored == 256
    for stored, skipped in ((COUNT - 256, 256), (0, COUNT)):
        with open_gallery(tmp_path / "g.dino", embedder) as gallery:
            batches = list(import_vectors(gallery, given, normalised))
            assert sum(batch.stored for batch in batches) == stored
            assert sum(batch.skipped for batch in batches) == skipped
            assert len(gallery) == COUNT


def test_files_that_are_there_say_themselves_what_they_are(tmp_path, fill):
    folder = tmp_path / "photos" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 40), "red").save(folder / "1.png")
    (folder / "2.png").write_bytes(b"no picture")
    names = [folder / "1.png", folder / "2.png", folder.parent / "3.png"]
    np.savez(tmp_path / "f.npz", features=np.eye(3), paths=np.array([str(name) for name in names]))
    gallery_folder, _ = fill(read_vectors(tmp_path / "f.npz"))
    with open_gallery(gallery_folder, readonly=True) as gallery:
        there, broken, missing = gallery.get([1, 2, 3])
        (hits,) = gallery.search(np.eye(3, dtype=np.float32)[:1], 1)
        assert len(gallery.info()["roots"]) == 1
    content = names[0].read_bytes()
    assert there.digest == hashlib.sha256(content).hexdigest()
    assert (there.width, there.height, there.bytes) == (64, 40, len(content))
    assert (there.format, there.mtime_ns) == ("PNG", names[0].stat().st_mtime_ns)
    assert (broken.width, missing.width) == (0, 0)
    assert hits[0].file == names[0]


def test_relative_paths_start_at_the_file_or_at_a_folder(tmp_path, fill):
    np.savez(tmp_path / "f.npz", features=np.eye(2), paths=np.array(["a.jpg", "sub/b.jpg"]))
    folder, _ = fill(read_vectors(tmp_path / "f.npz"))
    with open_gallery(folder, readonly=True) as gallery:
        (hits,) = gallery.search(np.eye(2, dtype=np.float32)[1:], 1)
    assert hits[0].file == tmp_path / "sub" / "b.jpg"


def given_of(entries, tmp_path):
    vectors = np.eye(len(entries))
    source = tmp_path / "given.npy"
    np.save(source, vectors)
    return Given(
        source=source, rows=len(entries), dim=len(entries), batches=lambda: [(entries, vectors)]
    )


def test_rows_that_name_no_image_fail_and_do_not_stop_the_others(tmp_path, fill):
    entries = [
        Entry(url="http://a.example/1.jpg"),
        Entry(url="ftp://a.example/1.jpg"),
        Entry(url="no address"),
        Entry(path="a\0b"),
        Entry(path="\ud800.jpg"),
        Entry(path="good.jpg"),
    ]
    folder, (batch,) = fill(given_of(entries, tmp_path))
    assert (batch.stored, [row for row, _ in batch.failed]) == (2, [2, 3, 4, 5])
    assert {error.code for _, error in batch.failed} == {"url.scheme", "import.place"}
    with open_gallery(folder, readonly=True) as gallery:
        assert len(gallery) == 2


def test_of_two_rows_of_one_image_the_first_counts(tmp_path, fill):
    entries = [
        Entry(url="http://A.example/1.jpg", caption="first"),
        Entry(url="http://a.example/%31.jpg", caption="second"),
    ]
    folder, (batch,) = fill(given_of(entries, tmp_path))
    assert (batch.stored, batch.skipped) == (1, 1)
    with open_gallery(folder, readonly=True) as gallery:
        (hits,) = gallery.search(np.eye(2, dtype=np.float32)[:1], 1)
    assert (hits[0].caption, hits[0].score) == ("first", pytest.approx(1))


def test_members_of_archives_are_found_in_their_archive(tmp_path, fill):
    with tarfile.open(tmp_path / "shard.tar", "w"):
        pass
    folder, _ = fill(given_of([Entry(path=str(tmp_path / "shard.tar" / "d/1.jpg"))], tmp_path))
    with open_gallery(folder, readonly=True) as gallery:
        (record,) = gallery.get([1])
        (hits,) = gallery.search(np.ones((1, 1), np.float32), 1)
    assert (record.root, record.path) == (str(tmp_path / "shard.tar"), b"d/1.jpg")
    assert (hits[0].path, hits[0].file) == (str(tmp_path / "shard.tar/d/1.jpg"), None)


def test_a_file_with_an_address_has_both(tmp_path, fill):
    (tmp_path / "1.jpg").write_bytes(b"picture")
    entry = Entry(path=str(tmp_path / "1.jpg"), url="http://a.example/1.jpg")
    folder, _ = fill(given_of([entry], tmp_path))
    with open_gallery(folder, readonly=True) as gallery:
        (hits,) = gallery.search(np.ones((1, 1), np.float32), 1)
    assert (hits[0].file, hits[0].url) == (tmp_path / "1.jpg", "http://a.example/1.jpg")


def test_a_wrong_length_is_refused_for_the_model_that_is_named(npy, make_fingerprint):
    with pytest.raises(UsageError, match=r"8 numbers, those of dinov2-base.* have 768"):
        check_dim(read_vectors(npy), make_fingerprint(768))


@pytest.fixture
def make_fingerprint():
    from dinoseek.embedder import Fingerprint

    def make(dim):
        return Fingerprint(
            model="dinov2-base",
            weights="0" * 64,
            preprocess="crop224",
            pooling="cls",
            pos_flavour="hub",
            dim=dim,
        )

    return make


def test_vectors_of_two_files_of_unknown_make_are_never_compared(npy, npz, fill):
    fill(read_vectors(npy))
    folder, _ = fill(read_vectors(npz))
    with open_gallery(folder, readonly=True) as gallery:
        assert [space["vectors"] for space in gallery.info()["spaces"]] == [COUNT, COUNT]
        with pytest.raises(UsageError, match="several models"):
            gallery.search(np.eye(8, dtype=np.float32), 1)


def test_nothing_is_kept_of_a_file_with_a_bad_vector(npy, features, tmp_path):
    features[-1] = 0
    np.save(npy, features)
    with pytest.raises(UsageError):
        read_vectors(npy)
    assert not Path(tmp_path / "g.dino").exists()
