"""`dinoseek serve`: how it starts, what it refuses to start with, and how it ends."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(24):
        noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(noise).resize((160, 120)).save(folder / f"{seed}.png")
    with open_gallery(tmp_path / "photos.dino", load_embedder("color-histogram")) as opened:
        list(ingest(from_folder(folder), opened))
    return tmp_path / "photos.dino"


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self.port = 0

    def wait(self) -> "Running":
        """Until it says where it is."""
        for _ in range(1200):
            for line in self.log.read_text().splitlines():
                if " images at http://" in line:
                    self.port = int(line.split("http://")[1].split("/")[0].rpartition(":")[2])
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@pytest.fixture
def serve(gallery: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts `dinoseek serve`; whatever runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object, **environment: str) -> Running:
        log = tmp_path / f"serve{len(started)}.log"
        words = [str(word) for word in (*arguments, "--state-dir", tmp_path / "state")]
        if "--port" not in words:
            words += ["--port", "0"]
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "dinoseek", "serve", *words],
                stdout=stream,
                stderr=stream,
                cwd=tmp_path,
                env={**os.environ, **environment},
                text=True,
            )
        started.append(process)
        return Running(process, log)

    yield run
    for process in started:
        process.kill()
        process.wait()


def refused(running: Running) -> tuple[int, str]:
    """The exit code and the last line of a server that does not start."""
    code = running.process.wait(120)
    return code, running.log.read_text().strip().splitlines()[-1]


def test_it_serves_pages_and_ends_with_zero_when_it_is_told_to(serve, gallery) -> None:
    running = serve(gallery).wait()
    status, page = running.ask("/")
    assert status == 200
    assert b"24" in page
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "which gallery"),
        (("{gallery}", "--host", "0.0.0.0"), "--token or --accounts"),
        (("{gallery}", "--public-url", "https://a.example"), "--token or --accounts"),
        (("{gallery}", "--token", "short"), "at least 16"),
        (("{gallery}", "--operator", "alice"), "--accounts"),
        (("{gallery}", "--public-url", "ftp://x", "--token", "t" * 20), "no address of a site"),
        (("{gallery}", "--port", "70000"), "65535"),
    ],
)
def test_what_makes_no_sense_or_is_not_safe_is_refused_in_one_line(
    serve, gallery, arguments, words
) -> None:
    running = serve(*(word.format(gallery=gallery) for word in arguments))
    code, line = refused(running)
    assert code == 2
    assert words in line
    assert len(running.log.read_text().strip().splitlines()) == 1


def test_WEB_24_a_gallery_that_is_not_there_is_refused_with_what_to_do(serve, tmp_path) -> None:
    code, line = refused(serve(tmp_path / "none.dino"))
    assert code == 4
    assert "dinoseek index" in line


def test_WEB_24_a_damaged_gallery_is_refused(serve, gallery) -> None:
    (gallery / "gallery.sqlite").write_bytes(b"SQLite format 3\0" + bytes(5000))
    code, _ = refused(serve(gallery))
    assert code == 5


def test_WEB_24_a_gallery_of_another_model_is_refused(serve, gallery) -> None:
    code, line = refused(serve(gallery, "--model", "color-histogram", "--preprocess", "official"))
    assert code == 5
    assert "color-histogram" in line


@pytest.mark.parametrize("content", [None, b"", b"\x10\0\0\0\0\0\0\0{}junk"])
def test_WEB_23_without_its_model_it_does_not_start(serve, gallery, tmp_path, content) -> None:
    weights = tmp_path / "model.safetensors"
    if content is not None:
        weights.write_bytes(content)
    code, line = refused(serve(gallery, "--model", weights))
    assert code == (4 if content is None else 5)
    assert "model.safetensors" in line


def test_a_port_that_is_taken_is_told_with_what_to_do(serve, gallery) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, line = refused(serve(gallery, "--port", port))
    assert code == 4
    assert str(port) in line
    assert "--port" in line


def test_WEB_29_a_secret_that_others_can_read_is_refused(serve, gallery, tmp_path) -> None:
    running = serve(gallery).wait()
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(60)
    (secret,) = [
        file for file in (tmp_path / "state").iterdir() if file.is_file() and "secret" in file.name
    ]
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    secret.chmod(0o644)
    code, line = refused(serve(gallery))
    assert code == 4
    assert secret.name in line


def test_WEB_29_no_setting_of_the_environment_switches_debugging_on(serve, gallery) -> None:
    running = serve(gallery, DEBUG="1", DJANGO_DEBUG="1", DJANGO_SETTINGS_MODULE="evil").wait()
    status, page = running.ask("/no-such-page")
    assert status == 404
    assert b"URLconf" not in page


@pytest.mark.slow
def test_WEB_27_what_is_being_answered_when_it_is_told_to_end_is_answered(serve, gallery) -> None:
    running = serve(gallery, "--uploads", "0", "--requests", "0").wait()
    boundary, file = "x" * 20, (gallery.parent / "photos/3.png").read_bytes()
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    ).encode() + file
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answers: list[int] = []
    cut: list[str] = []

    def ask(number: int) -> None:
        picture = body + bytes([number]) + f"\r\n--{boundary}--\r\n".encode()
        while True:
            try:
                answers.append(running.ask("/api/v1/search?k=1", "POST", picture, **kind)[0])
            except (ConnectionRefusedError, ConnectionResetError):
                return  # it has stopped listening
            except (http.client.HTTPException, OSError) as exc:
                cut.append(repr(exc))
                return

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while len(answers) < 12 and time.monotonic() < until:
        time.sleep(0.01)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    for thread in threads:
        thread.join(30)
    assert len(answers) >= 12
    assert set(answers) <= {200, 503}
    assert cut == []


def test_another_gallery_may_take_the_place_of_this_one(serve, gallery, tmp_path) -> None:
    running = serve(gallery).wait()
    shutil.copytree(gallery, tmp_path / "new.dino")
    with open_gallery(tmp_path / "new.dino") as opened:
        opened.remove([1, 2, 3])
    gallery.rename(tmp_path / "old.dino")
    (tmp_path / "new.dino").rename(gallery)
    status, body = running.ask("/api/v1/items/1")
    assert status == 404, body
    assert running.ask("/api/v1/items/4")[0] == 200
