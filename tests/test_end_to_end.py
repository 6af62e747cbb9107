"""The main job on real photographs with a real model, as a user does it."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from dinoseek import from_folder, ingest, load_embedder, open_gallery, search
from dinoseek.errors import DinoseekError

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def material():
    folder = os.environ.get("DINOSEEK_SHARED")
    if not folder:
        pytest.skip("set DINOSEEK_SHARED to the folder with the real weights and photographs")
    from pathlib import Path

    return Path(folder)


@pytest.fixture(scope="module")
def coco(material, tmp_path_factory):
    """The 128 photographs indexed by the real ViT-S, and the neighbours of each."""
    embedder = load_embedder(material / "weights/dav2-vits14-fp16.safetensors")
    photos = sorted((material / "data/coco128/images").iterdir())
    with open_gallery(tmp_path_factory.mktemp("coco") / "coco.dino", embedder) as gallery:
        outcomes = list(ingest(from_folder(photos[0].parent), gallery))
        hits = {photo.name: search(gallery, photo, k=2) for photo in photos}
    return outcomes, hits


def test_every_photograph_is_stored(coco):
    outcomes, _ = coco

    assert [type(outcome).__name__ for outcome in outcomes] == ["Stored"] * 128


def test_each_photograph_finds_itself_first(coco):
    _, hits = coco

    for name, (first, _) in hits.items():
        assert first.file.name == name
        assert first.score >= 0.999


def test_the_next_neighbour_shares_labels_far_above_chance(coco, material):
    """Chance is an intersection over union of 0.056."""
    _, hits = coco
    labels = json.loads((material / "data/coco128/labels.json").read_text())

    shared = []
    for name, (_, neighbour) in hits.items():
        ours, theirs = set(labels.get(name, [])), set(labels.get(neighbour.file.name, []))
        if ours or theirs:
            shared.append(len(ours & theirs) / len(ours | theirs))

    assert np.mean(shared) >= 0.28, np.mean(shared)


def test_the_real_model_disagrees_with_colours_alone(coco, material, tmp_path):
    """Guards against the baseline being used in the model's place."""
    _, hits = coco
    baseline = load_embedder("color-histogram")
    folder = material / "data/coco128/images"
    with open_gallery(tmp_path / "colours.dino", baseline) as gallery:
        for _ in ingest(from_folder(folder), gallery):
            pass
        others = {name: search(gallery, folder / name, k=2)[1].file.name for name in hits}

    same = [hits[name][1].file.name == others[name] for name in hits]
    assert np.mean(same) < 0.5


@pytest.mark.slow
def test_ten_thousand_photographs_survive_kill_and_resume(material, tmp_path):
    with zipfile.ZipFile(material / "data/tiny-imagenet-val.zip") as archive:
        archive.extractall(tmp_path)
    folder, gallery = tmp_path / "val/images", tmp_path / "val.dino"
    command = [sys.executable, "-m", "dinoseek", "index", str(folder), "--gallery", str(gallery)]
    command += ["--model", "color-histogram", "--json"]

    for least in (1_000, 2_000):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while run.poll() is None and kept(gallery) < least:
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        run.wait()
    partial = info(gallery)["images"]
    subprocess.run(command, check=True, capture_output=True)

    photos = sorted(folder.iterdir())
    assert 2_000 <= partial <= len(photos) == 10_000
    with open_gallery(gallery, load_embedder("color-histogram"), readonly=True) as resumed:
        distinct = len(resumed)
        hits = [search(resumed, photo, k=1)[0] for photo in photos[::997]]
    assert [hit.score >= 0.999 for hit in hits] == [True] * len(hits)
    assert info(gallery)["failures"] == []
    again = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert again["skipped"] == 10_000, again
    assert distinct == info(gallery)["images"]


def kept(gallery):
    """How many images are in it by now; 0 while it is being made."""
    try:
        with open_gallery(gallery, readonly=True) as opened:
            return len(opened)
    except DinoseekError:
        return 0


def info(gallery):
    command = [sys.executable, "-m", "dinoseek", "info", str(gallery), "--json"]
    return json.loads(subprocess.check_output(command))
