"""Files of images: only those that were indexed, where they were indexed, and only pictures."""

import os
import shutil
from pathlib import Path

import pytest

from dinoseek.errors import DinoseekError, ImageError, UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.images.limits import Limits
from dinoseek.ingest.archives import from_archive
from dinoseek.web.live.galleries import Galleries
from dinoseek.web.live.originals import Originals

from .made import descriptors, flat, photo


@pytest.fixture
def galleries(path, embedder):
    galleries = Galleries(path, embedder, threads=1)
    yield galleries
    galleries.close()


@pytest.fixture
def originals(galleries):
    return Originals(galleries)


def id_of(path: Path, name: str) -> int:
    with open_gallery(path) as gallery:
        return next(id for id in range(1, 99) if gallery.get([id])[0].path == name.encode())


def refused(originals, id):
    with pytest.raises(DinoseekError) as caught:
        originals.read(id)
    assert caught.value.subject in (f"image {id}", f"id {id}")  # a page shows it: no path
    assert "/" not in str(caught.value)
    return caught.value.code


@pytest.fixture
def file(photos, path):
    """The file of image 1."""
    with open_gallery(path) as gallery:
        return photos / os.fsdecode(gallery.get([1])[0].path)


def test_the_bytes_are_those_of_the_file(originals, file):
    assert originals.read(1) == (file.read_bytes(), file.name)


@pytest.mark.parametrize("id", [0, -1, 7, 10**18])
def test_WEB_09_an_id_that_is_none_is_refused(originals, id):
    with pytest.raises(UsageError) as caught:
        originals.read(id)
    assert caught.value.code == "id.unknown"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.jpg", "/dev/zero", "/proc/self/mem"])
def test_WEB_11_a_file_that_became_a_link_out_of_its_folder_is_refused(originals, file, target):
    (file.parent.parent / "secret.jpg").write_bytes(photo(5))
    file.unlink()
    file.symlink_to(target)
    assert refused(originals, 1) == "path.outside"


def test_WEB_11_what_lies_outside_is_not_even_opened(originals, file, monkeypatch):
    file.unlink()
    file.symlink_to("/dev/null")  # opening a device can do something
    monkeypatch.setattr("dinoseek.web.live.originals.os.open", lambda *_: 1 / 0)
    assert refused(originals, 1) == "path.outside"


def test_WEB_11_a_folder_that_became_a_link_out_of_the_root_is_refused(index, tmp_path, embedder):
    (tmp_path / "root" / "inner").mkdir(parents=True)
    (tmp_path / "root" / "inner" / "a.jpg").write_bytes(photo(1))
    path = index(tmp_path / "g.dino", tmp_path / "root")
    shutil.move(tmp_path / "root" / "inner", tmp_path / "outside")
    (tmp_path / "root" / "inner").symlink_to(tmp_path / "outside")
    galleries = Galleries(path, embedder, threads=1)
    assert refused(Originals(galleries), 1) == "path.outside"
    galleries.close()


def test_WEB_11_a_link_put_there_after_the_check_is_not_followed(originals, file, monkeypatch):
    secret = file.parent.parent / "secret.jpg"
    secret.write_bytes(photo(5))
    real = os.path.realpath

    def late(path, **options):
        found = real(path, **options)
        if str(path) == str(file):
            file.unlink()
            file.symlink_to(secret)
        return found

    monkeypatch.setattr("dinoseek.web.live.originals.os.path.realpath", late)
    assert refused(originals, 1) == "path.unreadable"


def test_WEB_11_a_folder_replaced_after_the_check_is_noticed(originals, file, monkeypatch):
    outside = file.parent.parent / "outside"
    real = os.path.realpath

    def late(path, **options):
        found = real(path, **options)
        if str(path) == str(file):
            file.parent.rename(outside)
            file.parent.symlink_to(outside)
        return found

    monkeypatch.setattr("dinoseek.web.live.originals.os.path.realpath", late)
    assert refused(originals, 1) == "path.outside"


def test_a_link_to_another_file_of_the_folder_is_followed_as_when_indexing(originals, file):
    other = next(each for each in file.parent.iterdir() if each != file)
    file.unlink()
    file.symlink_to(other.name)
    assert originals.read(1)[0] == other.read_bytes()


def test_a_folder_beside_the_root_with_a_longer_name_is_outside(originals, file):
    beside = file.parent.with_name(file.parent.name + "-private")
    beside.mkdir()
    (beside / "a.jpg").write_bytes(photo(5))
    file.unlink()
    file.symlink_to(beside / "a.jpg")
    assert refused(originals, 1) == "path.outside"


def test_a_pipe_in_its_place_does_not_hang(originals, file):
    file.unlink()
    os.mkfifo(file)
    assert refused(originals, 1) == "path.not_regular"  # or this test would never end


def test_what_is_gone_unreadable_too_large_or_no_picture_is_refused(originals, galleries, file):
    originals.read(1)
    before = descriptors()
    file.write_text("<script>alert(1)</script>")
    assert refused(originals, 1) == "image.unrecognised"
    file.write_bytes(b"")
    assert refused(originals, 1) == "image.empty"
    file.write_bytes(photo(1))
    assert refused(Originals(galleries, Limits(max_bytes=100)), 1) == "image.too_large_bytes"
    file.unlink()
    assert refused(originals, 1) == "path.vanished"
    file.mkdir()
    assert refused(originals, 1) == "path.not_regular"
    file.rmdir()
    shutil.rmtree(file.parent)
    assert refused(originals, 1) == "path.vanished"
    assert descriptors() == before


def test_another_file_of_the_image_is_read_when_the_first_is_gone(
    photos, index, tmp_path, embedder
):
    shutil.copy(photos / "0.jpg", photos / "a-copy.jpg")
    path = index(tmp_path / "g.dino", photos)
    (photos / "0.jpg").unlink()
    galleries = Galleries(path, embedder, threads=1)
    assert Originals(galleries).read(id_of(path, "0.jpg"))[1] == "a-copy.jpg"
    galleries.close()


def test_an_image_in_an_archive_has_no_file_of_its_own(index, tmp_path, embedder):
    import tarfile

    (tmp_path / "a.png").write_bytes(flat("red"))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "a.png")
    path = index(tmp_path / "g.dino", from_archive(tmp_path / "a.tar"))
    galleries = Galleries(path, embedder, threads=1)
    assert refused(Originals(galleries), 1) == "image.no_file"
    galleries.close()


def test_an_error_is_one_of_a_picture(originals, file):
    file.unlink()
    with pytest.raises(ImageError):
        originals.read(1)
