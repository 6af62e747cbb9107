"""The levels on photographs with the real model: the figures of docs/duplicates.md hold."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dinoseek.duplicates.find import find_duplicates
from dinoseek.embedder import load_embedder
from dinoseek.gallery.factory import open_gallery
from dinoseek.images.decode import load_image
from dinoseek.images.perceptual_hash import distances, look

from .conftest import MOMENT, record_of

pytestmark = pytest.mark.weights

PHOTOGRAPHS = 6


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def part(image, left, top, right, bottom):
    width, height = image.size
    return image.crop((width * left, height * top, width * right, height * bottom))


NEAR = {
    "jpeg": lambda i: encoded(i, "JPEG", quality=50),
    "webp": lambda i: encoded(i, "WEBP", quality=80),
    "half": lambda i: encoded(i.resize((i.width // 2, i.height // 2)), "JPEG", quality=75),
    "small": lambda i: encoded(i.resize((i.width // 4, i.height // 4)), "PNG"),
    "bright": lambda i: encoded(ImageEnhance.Brightness(i).enhance(1.15), "JPEG", quality=90),
}
SIMILAR = {
    "moved": lambda i: encoded(part(i, 0.05, 0.03, 0.95, 0.93), "JPEG", quality=90),
    "moved back": lambda i: encoded(part(i, 0.0, 0.07, 0.9, 0.97), "JPEG", quality=90),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The groups of some photographs, copies of them, and others as a burst has them."""
    import os
    from pathlib import Path

    shared = os.environ.get("DINOSEEK_SHARED")
    if not shared:
        pytest.skip("set DINOSEEK_SHARED to the folder with the real weights and photographs")
    folder = tmp_path_factory.mktemp("album")
    originals = sorted(Path(shared, "data/coco128/images").glob("*.jpg"))[:PHOTOGRAPHS]
    for original in originals:
        image = load_image(original)
        (folder / f"{original.stem}.jpg").write_bytes(original.read_bytes())
        for name, edit in {**NEAR, **SIMILAR}.items():
            (folder / f"{original.stem}-{name}.img").write_bytes(edit(image))
    files = sorted(folder.iterdir())
    for file in files:
        os.utime(file, ns=(MOMENT, MOMENT))
    embedder = load_embedder(Path(shared, "weights/dav2-vits14-fp16.safetensors"))
    with open_gallery(tmp_path_factory.mktemp("g") / "album.dino", embedder) as gallery:
        gallery.add([record_of(file, folder) for file in files], embedder.embed(files))
        yield {
            "near": list(find_duplicates(gallery, "near")),
            "similar": list(find_duplicates(gallery, "similar", min_score=0.85)),
        }


def kinds(group):
    names = [member.copy.path.decode().rpartition(".")[0] for member in group.members]
    stems = {name.partition("-")[0] for name in names}
    assert len(stems) == 1, "two photographs in one group"
    return {name.partition("-")[2] for name in names}


def test_copies_are_near_and_frames_of_a_burst_are_not(found):
    assert len(found["near"]) == PHOTOGRAPHS
    for group in found["near"]:
        assert group.level == "near"
        assert kinds(group) == {"", *NEAR}


def test_frames_of_a_burst_are_similar(found):
    assert len(found["similar"]) == PHOTOGRAPHS
    for group in found["similar"]:
        assert kinds(group) == {"", *NEAR, *SIMILAR}
        levels = Counter(member.evidence.level for member in group.members[1:])
        assert levels == {"near": len(NEAR), "similar": len(SIMILAR)}


def test_no_two_of_128_photographs_come_near_each_other(shared):
    files = sorted((shared / "data/coco128/images").glob("*.jpg"))
    hashes = np.stack([np.frombuffer(look(Image.open(f).convert("RGB")), np.uint8) for f in files])

    apart = [distances(bytes(each), hashes[i + 1 :]) for i, each in enumerate(hashes[:-1])]

    assert len(files) == 128
    assert np.concatenate(apart).min() > 90
