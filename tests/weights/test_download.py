"""Downloads from a hub on this machine: resumed, checked, mirrored, and failing in one line."""

import hashlib
import http.server
import subprocess
import sys
import threading
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from dinoseek.errors import MachineError, WeightsError
from dinoseek.weights import hub
from dinoseek.weights.load import load_params

REVISION = "1234567890" * 4
pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost", "::1"])


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for one file: HEAD with hash and commit, GET with ranges."""

    content = b""
    etag = ""
    cut_after: int | None = None
    requests: list[tuple[str, str, str | None]]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        span = self.headers.get("Range")
        self.requests.append((self.command, self.path, span))
        if self.path != f"/facebook/dinov2-small/resolve/{REVISION}/model.safetensors":
            self.send_error(404)
            return
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        data = self.content[start:]
        self.send_response(206 if span else 200)
        if span:
            whole = len(self.content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{self.etag}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if body:
            self.wfile.write(data if self.cut_after is None else data[: self.cut_after])
            type(self).cut_after = None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tiny, write, tmp_path, socket_enabled):
    """A hub that serves the tiny model as dinov2-small."""
    (tmp_path / "served").mkdir()
    Hub.content = write(tmp_path / "served" / "m.safetensors", tiny.flat).read_bytes()
    Hub.etag = hashlib.sha256(Hub.content).hexdigest()
    Hub.cut_after, Hub.requests = None, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model(tiny, server, tmp_path, monkeypatch):
    """dinov2-small, as far as the code under test knows, is what the server has."""
    model = replace(
        hub.KNOWN["dinov2-small"], revision=REVISION, config=tiny.config,
        sha256=Hub.etag, bytes=len(Hub.content),
    )  # fmt: skip
    monkeypatch.setitem(hub.KNOWN, model.name, model)
    # The library reads the environment when it is imported, and that may have happened.
    for name, value in {
        "ENDPOINT": server,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{server}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    return model


def test_a_downloaded_model_is_found_and_loads(model, tiny, same, tmp_path):
    path = hub.download("small", tmp_path, progress=False)

    assert path == tmp_path / "dinov2-small" / "model.safetensors"
    assert same(load_params(path)[0], tiny.flat)
    assert hub.find_weights("dinov2-small", tmp_path) == path


def test_a_second_download_fetches_nothing(model, tmp_path):
    hub.download("small", tmp_path, progress=False)
    Hub.requests.clear()

    hub.download("small", tmp_path, progress=False)

    assert not [request for request in Hub.requests if request[0] == "GET"]


def test_an_interrupted_download_goes_on_where_it_stopped(model, tiny, same, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    Hub.cut_after = 100_000

    path = hub.download("small", tmp_path, progress=False)

    spans = [span for command, _, span in Hub.requests if command == "GET"]
    assert spans == [None, "bytes=100000-"]
    assert same(load_params(path)[0], tiny.flat)


def test_WTS_10_a_tampered_file_is_refused_and_the_next_try_succeeds(model, tmp_path):
    good = Hub.content
    Hub.content = good[:-1] + bytes([good[-1] ^ 1])

    with pytest.raises(WeightsError, match="SHA-256") as caught:
        hub.download("small", tmp_path, progress=False)

    assert caught.value.code == "weights.digest"
    assert hub.find_weights("small", tmp_path) is None
    Hub.content = good
    assert hub.download("small", tmp_path, progress=False).is_file()


def test_a_model_without_a_pinned_hash_is_checked_against_the_hubs_own(
    model, tmp_path, monkeypatch
):
    monkeypatch.setitem(hub.KNOWN, model.name, replace(model, sha256=None))
    assert hub.download("small", tmp_path / "good", progress=False).is_file()

    Hub.content = Hub.content[:-1] + b"x"
    with pytest.raises(WeightsError, match="SHA-256"):
        hub.download("small", tmp_path / "bad", progress=False)


def test_a_hub_that_states_no_hash_is_told_about_and_its_file_taken(
    model, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(hub.KNOWN, model.name, replace(model, sha256=None))
    Hub.etag = "1234-5"

    assert hub.download("small", tmp_path, progress=False).is_file()
    assert "no SHA-256 is published" in caplog.text


def test_WTS_05_another_model_under_the_same_name_is_refused(model, tmp_path, monkeypatch):
    larger = replace(model.config, embed_dim=384, num_heads=6)
    monkeypatch.setitem(hub.KNOWN, model.name, replace(model, config=larger))

    with pytest.raises(WeightsError, match="look like a ViT with embed_dim 64"):
        hub.download("small", tmp_path, progress=False)


def test_a_failed_download_is_one_line_with_what_to_do(model, tmp_path, monkeypatch):
    monkeypatch.setitem(hub.KNOWN, model.name, replace(model, revision="0" * 40))

    with pytest.raises(MachineError) as caught:
        hub.download("small", tmp_path, progress=False)

    assert caught.value.code == "weights.download"
    assert "\n" not in str(caught.value)
    for part in ("HF_ENDPOINT", model.url, str(tmp_path), "dinoseek-tiny"):
        assert part in str(caught.value)


def test_offline_mode_is_honoured(model, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(MachineError, match="could not be downloaded"):
        hub.download("small", tmp_path, progress=False)

    assert Hub.requests == []


def test_HF_ENDPOINT_names_the_mirror_and_the_command_prints_the_path(model, server, tmp_path):
    code = f"""
from dataclasses import replace
from dinoseek.vit.config import ViTConfig
from dinoseek.weights import hub
model = hub.KNOWN["dinov2-small"]
hub.KNOWN[model.name] = replace(model, revision={REVISION!r}, sha256={Hub.etag!r},
                                config=ViTConfig(**{model.config.as_dict()!r}))
from dinoseek.cli.models import command
command(["download", "small", "--models-dir", {str(tmp_path / "models")!r}])
"""
    environment = {
        "HF_ENDPOINT": server, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1",
        "HOME": str(tmp_path),
    }  # fmt: skip

    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    path = tmp_path / "models" / "dinov2-small" / "model.safetensors"
    assert run.stdout == f"{path}\n"
    assert path.read_bytes() == Hub.content
    assert "Apache-2.0" in run.stderr
    assert {urlsplit(request[1]).path for request in Hub.requests} == {
        f"/facebook/dinov2-small/resolve/{REVISION}/model.safetensors"
    }
