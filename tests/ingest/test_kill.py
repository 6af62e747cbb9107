"""Indexing that is killed anywhere: what was acknowledged is there, and the next run finishes."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.outcomes import Stored, Summary
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

POINTS = int(os.environ.get("KILL_POINTS", "20"))  # per kind of death and scenario
DEAD = (signal.SIGKILL, signal.SIGXFSZ)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in memory where there is one: it is the order of writes that matters here."""
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if os.access(fast, os.W_OK) else None) as name:
        yield Path(name).resolve()


def draw(file: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture(scope="module")
def photos(place) -> Path:
    """Where the photographs of both scenarios are."""
    folder = place / "photos"
    (folder / "sub").mkdir(parents=True)
    for i in range(60):
        draw(folder / f"{'sub/' * (i % 2)}{i:02}.png", i)
    (folder / "broken.jpg").write_bytes(b"broken")
    return folder


def change(photos: Path) -> None:
    """What a person does between two runs: renames, deletes, edits, copies and adds."""
    for i in range(0, 10):
        file = photos / f"{'sub/' * (i % 2)}{i:02}.png"
        file.rename(file.with_name(f"renamed-{i}.png"))
    for i in range(10, 18):
        (photos / f"{'sub/' * (i % 2)}{i:02}.png").unlink()
    for i in range(18, 26):
        draw(photos / f"{'sub/' * (i % 2)}{i:02}.png", 1000 + i)
    for i in range(26, 30):
        shutil.copy(photos / f"{'sub/' * (i % 2)}{i:02}.png", photos / f"copy-{i}.png")
    for i in range(20):
        draw(photos / f"sub/new-{i:02}.png", 2000 + i)
    (photos / "31.jpg").write_bytes(b"broken too")


@pytest.fixture(scope="module")
def base(place, photos, embedder) -> Path:
    """A gallery of the photographs as they were before `change`."""
    with open_gallery(place / "base.dino", embedder) as gallery:
        list(ingest(from_folder(photos), gallery))
    change(photos)
    return place / "base.dino"


@pytest.fixture(scope="module")
def order(place) -> Iterator[Callable[..., int]]:
    """Gives an order to the process of killed.py, and returns how its child ended."""
    script = Path(__file__).parent / "killed.py"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )

    def give(**what: object) -> int:
        process.stdin.write(json.dumps(what, default=str) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield give
    process.communicate(timeout=60)


class Scenario:
    """Runs that are killed over copies of one gallery, compared with one that was not."""

    def __init__(self, place, photos, base, embedder, order, content_of):
        self.place, self.photos, self.base, self.embedder = place, photos, base, embedder
        self.order, self.content_of = order, content_of
        self.gallery, self.acks = place / "killed.dino", place / "acks"
        self.start()
        began = time.monotonic()
        assert self.run(statement=0) == 0
        self.seconds = time.monotonic() - began
        counts = self.acks.with_name("acks.count").read_text().split()
        self.statements, self.log_bytes = map(int, counts)
        self.acks_bytes = self.acks.stat().st_size
        self.expected = self.finished()

    def start(self) -> None:
        shutil.rmtree(self.gallery, ignore_errors=True)
        self.acks.unlink(missing_ok=True)
        if self.base:
            shutil.copytree(self.base, self.gallery)

    def run(self, **death) -> int:
        return self.order(photos=self.photos, gallery=self.gallery, acks=self.acks, **death)

    def finished(self):
        """Runs to the end in this process; what is then in the gallery."""
        with open_gallery(self.gallery, self.embedder) as gallery:
            list(ingest(from_folder(self.photos), gallery))
            again = Summary.of(ingest(from_folder(self.photos), gallery))
            assert (again.stored, again.duplicates, again.removed) == (0, 0, 0)
            assert gallery.verify() == []
            failures = [(failed["path"], failed["code"]) for failed in gallery.info()["failures"]]
            return self.content_of(gallery), failures, gallery.info()["images"]

    def check(self) -> int:
        """That the gallery is whole and has all that was acknowledged; how much that is."""
        if not (self.gallery / "gallery.sqlite").exists():
            assert not self.acks.exists() or not self.acks.read_text()
            return 0
        with open_gallery(self.gallery, self.embedder) as gallery:
            assert gallery.verify() == []
            files, vectors = self.content_of(gallery)
            failed = {failure["path"] for failure in gallery.info()["failures"]}
        lines = self.acks.read_text().splitlines(keepends=True) if self.acks.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        for kind, path in whole:
            if kind == "Removed":
                assert path.encode() not in files
            elif kind == "Failed":
                assert str(self.photos / path) in failed
            else:
                digest = hashlib.sha256((self.photos / path).read_bytes()).hexdigest()
                assert files[path.encode()] == digest
                assert digest in vectors
        self.check_untouched(files, vectors)
        return len(whole)

    def check_untouched(self, files, vectors) -> None:
        """That files which were there before and have not changed kept their image and vector."""
        if self.base:
            for i in range(30, 60):
                path = f"{'sub/' * (i % 2)}{i:02}.png"
                digest = hashlib.sha256((self.photos / path).read_bytes()).hexdigest()
                assert files[path.encode()] == digest
                assert vectors[digest] == self.expected[0][1][digest]


@pytest.fixture(scope="module", params=["fresh", "update"])
def scenario(request, place, photos, base, embedder, order, content_of) -> Scenario:
    start = base if request.param == "update" else None
    return Scenario(place, photos, start, embedder, order, content_of)


def deaths(scenario: Scenario, kind: str) -> list[dict[str, float]]:
    rng = random.Random(kind)
    if kind == "statement":
        points = np.linspace(1, scenario.statements, POINTS).astype(int).tolist()
        return [{kind: max(1, point + rng.randrange(-3, 4))} for point in points]
    if kind == "bytes":
        return [{kind: rng.randrange(scenario.log_bytes)} for _ in range(POINTS)]
    # by the clock alone for some; it runs faster or slower as the machine has other things to do
    after = [rng.randrange(scenario.acks_bytes) if number % 4 else -1 for number in range(POINTS)]
    return [
        {"after": size, kind: rng.uniform(0, scenario.seconds / (1 if size < 0 else 50))}
        for size in after
    ]


@pytest.mark.parametrize("kind", ["statement", "bytes", "seconds"])
def test_IDX_09_a_killed_run_keeps_its_word_and_the_next_one_finishes_it(scenario, kind):
    died, acknowledged = 0, set()
    for number, death in enumerate(deaths(scenario, kind)):
        scenario.start()
        died += scenario.run(**death) in DEAD
        acknowledged.add(scenario.check())
        if number % 4 == 3:  # IDX-11: killed again, while it repairs
            died += scenario.run(statement=40 + 17 * number) in DEAD
            scenario.check()
        assert scenario.finished() == scenario.expected, death
    assert died >= max(1, POINTS // 10)  # by the clock, some will have finished before
    assert len(acknowledged) > 2  # some died early and some late


def test_IDX_11_a_run_killed_over_and_over_gets_there(scenario):
    scenario.start()
    deaths = 0
    while scenario.run(statement=scenario.statements * 2 // 3) in DEAD:
        deaths += 1
        assert deaths < 20
        scenario.check()
    assert deaths > 0
    assert scenario.finished() == scenario.expected


def test_what_is_stored_is_not_embedded_again_after_a_kill(scenario):
    scenario.start()
    assert scenario.run(statement=scenario.statements * 2 // 3) in DEAD
    acknowledged = [json.loads(line) for line in scenario.acks.read_text().splitlines()]
    stored = {path for kind, path in acknowledged if kind == "Stored"}
    with open_gallery(scenario.gallery, scenario.embedder) as gallery:
        again = {
            outcome.item.path.decode()
            for outcome in ingest(from_folder(scenario.photos), gallery)
            if isinstance(outcome, Stored)
        }
    assert stored
    assert not stored & again
