"""What cannot be read is reported, and never taken for deleted. Runs as an ordinary user."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HERE = str(Path(__file__).parent)  # of the decoder without processes

# Root may read everything, so as root the work is done by "nobody", in a process of its own.
SCRIPT = """
import json, os, sys
from pathlib import Path
from dinoseek.embedder import load_embedder
from dinoseek.errors import DinoseekError
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest import pipeline
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder

sys.path.insert(0, sys.argv[3])  # "nobody" may not start the interpreter of root's home
from here import HerePool
pipeline.DecoderPool = HerePool
Path("/").as_uri()  # Python 3.13 imports its parts late, from where "nobody" may not read
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
folder, steps = Path(sys.argv[1]), json.loads(sys.argv[2])
embedder = load_embedder("color-histogram", preprocess="squash@14")
for step in steps:
    for name, mode in step.items():
        (folder / name).chmod(int(mode, 8))
    try:
        with open_gallery(folder / "g.dino", embedder) as gallery:
            source = from_folder(folder / "photos")
            outcomes = [
                [o.item.path.decode(), type(o).__name__, getattr(o, "code", None)]
                for o in ingest(source, gallery)
            ]
            print(json.dumps({"outcomes": outcomes, "size": len(gallery)}))
    except DinoseekError as exc:
        print(json.dumps({"error": exc.code, "exit": exc.exit_code}))
"""

NAMES = ["a.png", "closed/b.png", "closed/deep/c.png", "closed-too.png", "z.png"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of nobody's with photographs in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, path in enumerate(
            ["a.png", "closed/b.png", "closed/deep/c.png", "closed-too.png", "z.png"]
        ):
            file = folder / "photos" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((6, 6, 3), 40 * i, np.uint8)).save(file)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)
            if os.getuid() == 0:
                os.chown(path, 65534, 65534)
        yield folder
        for path in (folder / "photos", folder / "photos/closed"):
            path.chmod(0o700)


@pytest.fixture
def index(folder) -> Callable[..., list[dict]]:
    """Indexes once for each step, a change of modes; what happened each time."""

    def run(*steps: dict[str, str]) -> list[dict]:
        command = [sys.executable, "-c", SCRIPT, folder, json.dumps(steps), HERE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_FS_06_an_unreadable_folder_is_reported_and_its_images_are_kept(index):
    first, closed, opened = index({}, {"photos/closed": "000"}, {"photos/closed": "700"})
    assert first["size"] == 5
    assert ["closed/", "Failed", "path.unreadable"] in closed["outcomes"]
    assert [kind for _, kind, _ in closed["outcomes"]].count("Skipped") == 3
    assert closed["size"] == 5
    assert {kind for _, kind, _ in opened["outcomes"]} == {"Skipped"}


def test_FS_06_an_unreadable_file_is_reported_and_its_image_kept(index):
    closed, opened, again = index(
        {"photos/z.png": "000"}, {"photos/z.png": "600"}, {"photos/z.png": "000"}
    )
    assert ["z.png", "Failed", "path.unreadable"] in closed["outcomes"]
    assert closed["size"] == 4
    assert ["z.png", "Stored", None] in opened["outcomes"]  # tried again, though nothing changed
    assert again["size"] == 5


def test_FS_06_a_changed_file_that_cannot_be_read_keeps_its_image(folder, index):
    index({})
    file = folder / "photos/z.png"
    owner = file.stat()
    file.write_bytes(file.read_bytes() + b"more")
    os.chown(file, owner.st_uid, owner.st_gid)
    (closed,) = index({"photos/z.png": "000"})
    assert ["z.png", "Failed", "path.unreadable"] in closed["outcomes"]
    assert closed["size"] == 5


def test_FS_10_an_unreadable_root_is_refused_and_nothing_forgotten(index):
    _, refused, after = index({}, {"photos": "000"}, {"photos": "700"})
    assert refused == {"error": "path.unreadable", "exit": 4}
    assert after["size"] == 5
    assert {kind for _, kind, _ in after["outcomes"]} == {"Skipped"}


def test_FS_13_a_folder_that_cannot_be_written_to_is_indexed(index):
    (only,) = index({"photos": "500", "photos/closed": "500", "photos/a.png": "400"})
    assert only["size"] == 5
