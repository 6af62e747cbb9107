"""What a scan finds, in which order, and what it leaves out."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.errors import MachineError
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.outcomes import Item
from dinoseek.ingest.sources import Link, Unreadable, from_folder, scan


def found(folder: Path, exclude: Path | None = None):
    source = from_folder(folder)
    entries = list(scan(source, str(folder), b"", exclude))
    assert len(entries) == source.count(exclude)
    return entries


def paths(folder: Path, exclude: Path | None = None) -> list[bytes]:
    return [entry.path for entry in found(folder, exclude) if isinstance(entry, Item)]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_images_are_known_by_their_suffix_in_any_case(photos):
    images = [
        "JPEG.JPEG",
        "Png.Png",
        "TIFF.TIFF",
        "bmp.bmp",
        "gif.gif",
        "jpg.jpg",
        "sub/deep/x.jpg",
    ]
    images += ["tif.tif", "webp.webp"]
    touch(photos, *images, "x.txt", "x.jpg~", "x.heic", "jpg")
    assert paths(photos) == [name.encode() for name in images]


@given(
    names=st.lists(
        st.lists(
            st.sampled_from(["a", "b", "a.jpg", "a-", "b.jpg", "é", "\udcff"]),
            min_size=1,
            max_size=4,
        ),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None)
def test_paths_are_sorted_as_their_bytes(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("photos")
    expected = set()
    for parts in names:
        name = "/".join(f"{part}d" for part in parts[:-1]) + f"/{parts[-1]}.png"
        touch(folder, name.lstrip("/"))
        expected.add(os.fsencode(name.lstrip("/")))
    assert paths(folder) == sorted(expected)


def test_FS_01_a_directory_named_like_an_image_is_entered(photos):
    touch(photos, "x.jpg/y.jpg")
    assert paths(photos) == [b"x.jpg/y.jpg"]


def test_FS_03_links_between_folders_end(photos):
    touch(photos, "a/x.jpg", "b/y.jpg")
    (photos / "a/b").symlink_to(photos / "b")
    (photos / "b/a").symlink_to(photos / "a")
    (photos / "a/up").symlink_to("..")
    (photos / "a/self.jpg").symlink_to("self.jpg")
    assert paths(photos) == [b"a/self.jpg", b"a/x.jpg", b"b/y.jpg"]
    assert [e.path for e in found(photos) if isinstance(e, Link)] == [b"a/b", b"a/up", b"b/a"]


def test_FS_04_links_that_leave_the_folder_are_counted_and_not_followed(photos, tmp_path):
    touch(tmp_path, "outside/x.jpg", "photos-2/y.jpg")
    touch(photos, "in.jpg")
    (photos / "file.jpg").symlink_to(tmp_path / "outside/x.jpg")
    (photos / "near.jpg").symlink_to(
        tmp_path / "photos-2/y.jpg"
    )  # its path begins like the folder's
    (photos / "folder").symlink_to(tmp_path / "outside")
    (photos / "link.jpg").symlink_to("in.jpg")
    assert paths(photos) == [b"in.jpg", b"link.jpg"]
    links = [entry.path for entry in found(photos) if isinstance(entry, Link)]
    assert links == [b"file.jpg", b"folder", b"near.jpg"]


def test_FS_04_a_link_to_the_folder_itself_may_be_given(photos, tmp_path):
    touch(photos, "x.jpg")
    (photos / "y.jpg").symlink_to("x.jpg")
    (tmp_path / "link").symlink_to(photos)
    assert paths(tmp_path / "link") == [b"x.jpg", b"y.jpg"]


def test_FS_07_names_of_any_bytes_are_found(photos):
    names = [
        b"\xff.jpg",
        b"a\nb.jpg",
        b"a\tb.jpg",
        b"-rf.jpg",
        "\u202egpj.png".encode(),
        "🐱.gif".encode(),
    ]
    names += ["é.jpg".encode(), "e\u0301.jpg".encode(), b"x" * 251 + b".jpg"]
    for name in names:
        (photos / os.fsdecode(name)).write_bytes(b"x")
    assert paths(photos) == sorted(names)


def test_FS_08_two_hundred_levels_are_found(photos):
    deep = "d/" * 200 + "x.jpg"
    touch(photos, deep)
    assert paths(photos) == [deep.encode()]


def test_FS_08_a_path_too_long_for_the_system_is_reported(photos):
    descriptor = os.open(photos, os.O_RDONLY)
    for _ in range(20):  # 20 x 250 bytes is more than 4096: only reachable step by step
        os.mkdir("d" * 250, dir_fd=descriptor)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    touch(photos, "x.jpg")
    unreadable, item = found(photos)
    assert isinstance(unreadable, Unreadable)
    assert unreadable.code == "path.too_long"
    assert item.path == b"x.jpg"


def test_FS_09_an_empty_folder_has_nothing(photos):
    touch(photos, "notes.txt")
    assert found(photos) == []


def test_FS_10_a_missing_folder_is_refused(photos):
    with pytest.raises(MachineError) as caught:
        from_folder(photos / "nowhere")
    assert (caught.value.code, caught.value.exit_code) == ("path.missing", 4)


def test_hidden_files_and_folders_are_left_out(photos):
    touch(photos, ".x.jpg", "._y.jpg", ".git/z.jpg", "sub/.thumbnails/w.jpg", "v.jpg")
    assert paths(photos) == [b"v.jpg"]


def test_a_hidden_folder_may_be_given(photos):
    touch(photos, ".private/x.jpg")
    assert paths(photos / ".private") == [b"x.jpg"]


def test_FS_14_galleries_are_left_out(photos, embedder):
    touch(photos, "x.jpg", "not-one.dino/y.jpg")
    for name in ("g.dino", "sub/h.dino", "unusual"):
        open_gallery(photos / name, embedder).close()
        touch(photos / name, "cache/thumbnail.jpg")
    assert paths(photos, exclude=photos / "unusual") == [b"not-one.dino/y.jpg", b"x.jpg"]


def test_FS_15_names_that_differ_in_case_are_two_files(photos):
    touch(photos, "A.jpg", "a.jpg")
    assert paths(photos) == [b"A.jpg", b"a.jpg"]


def test_size_and_time_are_those_of_the_file(photos):
    touch(photos, "x.jpg")
    (photos / "x.jpg").write_bytes(b"12345")
    os.utime(photos / "x.jpg", ns=(1, 2**40 + 7))
    (photos / "y.jpg").symlink_to("x.jpg")
    assert [(item.size, item.mtime_ns) for item in found(photos)] == [(5, 2**40 + 7)] * 2


def test_a_single_file_is_a_source_of_any_name(photos):
    touch(photos, "picture.of.me", "x.jpg")
    assert paths(photos / "picture.of.me") == [b"picture.of.me"]


def test_FS_02_pipes_and_sockets_are_offered_to_be_refused(photos):
    os.mkfifo(photos / "p.jpg")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(photos / "s.jpg"))
        assert paths(photos) == [b"p.jpg", b"s.jpg"]
