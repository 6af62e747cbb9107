"""Archives of images: read without being unpacked, shown without a file of their own."""

import io
import json
import os
import tarfile

import pytest
from PIL import Image

from dinoseek.ingest import archives
from dinoseek.ingest.archives import from_archive
from dinoseek.ingest.outcomes import Summary
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder

from .test_lists import short


@pytest.fixture
def pack(draw, tmp_path):
    """Packs numbered pictures, each with a caption and metadata, into an archive."""

    def make(count, name="shard.tar", mode="w"):
        file = tmp_path / name
        with tarfile.open(file, mode) as archive:
            for number in range(count):
                parts = {
                    "png": draw(f"unpacked/{number}.png").read_bytes(),
                    "txt": f"caption {number}".encode(),
                    "json": json.dumps({"label": number % 2}).encode(),
                }
                for suffix, data in parts.items():
                    member = tarfile.TarInfo(f"{number:05}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        return file

    return make


@pytest.fixture
def run(gallery):
    def index(source, **options):
        outcomes = list(ingest(source, gallery, **options))
        assert Summary.of(outcomes).total == len(outcomes)
        assert gallery.verify() == []
        return outcomes

    return index


@pytest.mark.parametrize(("name", "mode"), [("shard.tar", "w"), ("shard.tar.gz", "w:gz")])
def test_images_of_an_archive_come_with_captions_metadata_and_thumbnails(
    pack, run, gallery, name, mode
):
    archive = pack(5, name, mode)
    assert short(run(from_archive(archive))) == ["Stored"] * 5
    (hits,) = gallery.search(gallery.vectors([3]), 1)
    assert hits[0].path == f"{archive}/00002.png"
    assert (hits[0].file, hits[0].caption, hits[0].metadata) == (None, "caption 2", {"label": 0})
    small = Image.open(io.BytesIO(gallery.thumbnail(3)))
    assert (small.format, small.size) == ("JPEG", (8, 6))
    assert (gallery.get([3])[0].width, gallery.get([3])[0].height) == (8, 6)


def test_an_unchanged_archive_is_not_read_again(pack, run, monkeypatch):
    archive = pack(5)
    run(from_archive(archive))
    monkeypatch.setattr(archives, "_read", None)
    assert short(run(from_archive(archive))) == ["unchanged"] * 5


def test_a_changed_archive_gives_what_is_new_in_it(pack, run, gallery):
    run(from_archive(pack(3)))
    archive = pack(5)
    os.utime(archive, ns=(1, 1))
    assert sorted(short(run(from_archive(archive)))) == ["Stored"] * 2 + ["touched"] * 3


def test_an_archive_that_is_cut_off_gives_what_it_has(pack, run, gallery):
    archive = pack(5)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    words = short(run(from_archive(archive)))
    assert set(words) == {"Stored", "shard.truncated"}
    assert len(gallery) == len(words) - 1 > 0


def test_a_file_and_a_member_of_the_same_bytes_are_one_image(pack, run, gallery, photos):
    archive = pack(3)
    run(from_archive(archive))
    assert short(run(from_folder(photos))) == ["Duplicate"] * 3
    (hits,) = gallery.search(gallery.vectors([1]), 1)
    assert hits[0].file == photos / "unpacked/0.png"


def test_a_broken_member_costs_only_itself(pack, run, draw, tmp_path):
    archive = tmp_path / "shard.tar"
    good = draw("a.png").read_bytes()
    with tarfile.open(archive, "w") as packed:
        for name, data in (("a.png", good), ("b.png", good[:-20]), ("c.png", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    assert sorted(short(run(from_archive(archive)))) == [
        "Stored",
        "image.empty",
        "image.truncated",
    ]
