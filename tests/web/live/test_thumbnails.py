"""What of the gallery's pictures is shown: pixels only, made once, and never another's file."""

import os
import threading
import time

import pytest
from PIL import Image

from dinoseek.errors import DinoseekError, ImageError, UsageError
from dinoseek.gallery.factory import open_gallery
from dinoseek.images.limits import DEFAULT_LIMITS
from dinoseek.ingest.archives import from_archive
from dinoseek.web.live.busy import Busy, Gone
from dinoseek.web.live.galleries import Galleries
from dinoseek.web.live.thumbnails import Thumbnails
from dinoseek.web.live.turns import PATIENCE

from .made import HereDecoders, encoded, flat, opened, photo, soon


@pytest.fixture
def decoders(embedder):
    return HereDecoders(embedder, DEFAULT_LIMITS)


@pytest.fixture
def make(embedder, decoders, many, tmp_path):
    made = []

    def make(path, **options):
        galleries = Galleries(path, embedder)
        cache = options.get("cache", tmp_path / "state" / "thumbnails.sqlite")
        thumbnails = Thumbnails(galleries, decoders, cache)
        made.extend([galleries, thumbnails])
        return thumbnails

    yield make
    decoders.go_on.set()
    for each in made:
        each.close()


@pytest.fixture
def thumbnails(make, path):
    return make(path)


@pytest.fixture
def file(photos, path):
    """The file of image 1."""
    with open_gallery(path) as gallery:
        return photos / os.fsdecode(gallery.get([1])[0].path)


def test_a_thumbnail_is_a_small_jpeg_that_is_made_once(thumbnails, decoders, make, path):
    small = thumbnails.get(1, "thumb")
    assert (opened(small.jpeg).format, opened(small.jpeg).size) == ("JPEG", (320, 213))
    assert thumbnails.get(1, "thumb") == small
    large = thumbnails.get(1, "large")
    assert opened(large.jpeg).size == (600, 400)  # never enlarged
    assert large.etag != small.etag
    assert decoders.shrunk == [("image 1", 320), ("image 1", 1280)]
    again = make(path)  # another start of the server
    assert again.get(1, "thumb") == small
    assert len(decoders.shrunk) == 2


@pytest.mark.parametrize("id", [0, -1, 7, 10**18])
def test_WEB_09_only_ids_of_images_have_thumbnails(thumbnails, id):
    with pytest.raises(UsageError) as caught:
        thumbnails.get(id, "thumb")
    assert caught.value.code == "id.unknown"


def test_WEB_10_place_comment_profile_and_what_follows_the_picture_are_gone(make, index, tmp_path):
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}  # where it was taken
    exif[0x010F] = "SECRET"
    profile = b"SECRET" * 30
    data = flat("red", (800, 600), "JPEG", exif=exif, comment=b"SECRET", icc_profile=profile)
    folder = tmp_path / "risky"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(data + b"<html><script>alert('SECRET')</script>")
    png = encoded(Image.new("P", (800, 600)), "PNG")
    (folder / "b.png").write_bytes(png + b"PK\x03\x04 SECRET")
    thumbnails = make(index(tmp_path / "risky.dino", folder))
    for id in (1, 2):
        for size in ("thumb", "large"):
            jpeg = thumbnails.get(id, size).jpeg
            assert jpeg.startswith(b"\xff\xd8")
            assert jpeg.endswith(b"\xff\xd9")
            assert not any(word in jpeg for word in (b"SECRET", b"script", b"Exif", b"PK\x03\x04"))
            assert set(opened(jpeg).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_picture_that_lies_on_its_side_is_shown_upright(make, index, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = tmp_path / "turned"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(flat("red", (800, 600), "JPEG", exif=exif))
    assert opened(make(index(tmp_path / "g.dino", folder)).get(1, "thumb").jpeg).size == (240, 320)


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.jpg"])
def test_WEB_11_a_link_out_of_the_folder_is_not_shown(thumbnails, file, target):
    (file.parent.parent / "secret.jpg").write_bytes(photo(5))
    file.unlink()
    file.symlink_to(target)
    with pytest.raises(ImageError) as caught:
        thumbnails.get(1, "thumb")
    assert caught.value.code == "path.outside"
    assert "/" not in str(caught.value)


def test_a_pipe_in_place_of_a_file_does_not_hang(thumbnails, file):
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ImageError) as caught:  # or this test would never end
        thumbnails.get(1, "large")
    assert caught.value.code == "path.not_regular"


def test_a_file_that_is_gone_or_broken_is_told_and_shown_again_when_it_is_back(thumbnails, file):
    data = file.read_bytes()
    for content, code in ((None, "path.vanished"), (data[:1000], "image.truncated")):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(DinoseekError) as caught:
            thumbnails.get(1, "thumb")
        assert caught.value.code == code
        assert caught.value.subject == "image 1"
    file.write_bytes(data)
    kept = thumbnails.get(1, "thumb")
    file.unlink()
    assert thumbnails.get(1, "thumb") == kept


def test_a_file_that_changed_is_shown_as_it_is_and_not_kept_under_the_old_name(thumbnails, file):
    data = file.read_bytes()
    file.write_bytes(flat("blue"))
    changed = thumbnails.get(1, "thumb")
    assert not changed.is_same
    assert opened(changed.jpeg).getpixel((5, 5))[2] > 200
    file.write_bytes(data)
    right = thumbnails.get(1, "thumb")
    assert right.is_same
    assert right.etag != changed.etag
    assert opened(right.jpeg).size == (320, 213)


def test_an_image_without_a_file_is_shown_by_what_the_gallery_keeps(make, index, tmp_path):
    import tarfile

    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "a.png").write_bytes(flat("red", (1000, 500)))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(folder / "a.png", "a.png")
    thumbnails = make(index(tmp_path / "g.dino", from_archive(tmp_path / "a.tar")))
    for size in ("thumb", "large"):
        assert opened(thumbnails.get(1, size).jpeg).size == (256, 128)


def test_many_requests_for_one_thumbnail_decode_once(thumbnails, decoders, many):
    decoders.go_on.clear()
    calls = [many.submit(thumbnails.get, 1, "thumb") for _ in range(60)]
    flights = thumbnails._flights._flights
    assert soon(lambda: sum(flight.followers for flight in flights.values()) == 59)
    decoders.go_on.set()
    assert len({call.result().jpeg for call in calls}) == 1
    assert len(decoders.shrunk) == 1


def test_WEB_18_no_more_than_two_are_made_at_once_and_too_many_are_turned_away(
    thumbnails, decoders, many, monkeypatch
):
    monkeypatch.setattr(thumbnails._turns, "_most", 3)
    decoders.go_on.clear()
    calls = [many.submit(thumbnails.get, id, "thumb") for id in range(1, 6)]
    assert soon(lambda: thumbnails._turns._waiting == 3)
    assert len(decoders.shrunk) == 2
    start = time.monotonic()
    with pytest.raises(Busy):
        thumbnails.get(6, "thumb")
    assert time.monotonic() - start < PATIENCE / 2
    decoders.go_on.set()
    for call in calls:
        call.result()
    assert opened(thumbnails.get(6, "thumb").jpeg).size == (320, 213)


def test_WEB_20_who_leaves_is_not_waited_for(thumbnails, decoders, many):
    decoders.go_on.clear()
    calls = [many.submit(thumbnails.get, id, "thumb") for id in (1, 2)]
    assert soon(lambda: len(decoders.shrunk) == 2)
    here = threading.Event()
    with pytest.raises(Gone):
        thumbnails.get(3, "thumb", is_wanted=here.is_set)
    with pytest.raises(Gone):
        thumbnails.get(1, "thumb", is_wanted=here.is_set)
    decoders.go_on.set()
    for call in calls:
        call.result()
    assert len(decoders.shrunk) == 2


def test_WEB_25_another_gallery_in_its_place_has_its_own_thumbnails(
    thumbnails, path, index, tmp_path
):
    thumbnails.get(1, "thumb")
    folder = tmp_path / "others"
    folder.mkdir()
    (folder / "a.png").write_bytes(flat("blue", (400, 400)))
    other = index(tmp_path / "other.dino", folder)
    path.rename(tmp_path / "gone.dino")
    other.rename(path)
    assert opened(thumbnails.get(1, "thumb").jpeg).size == (320, 320)
