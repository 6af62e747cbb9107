"""`dinoseek export --model`: what is refused, what is told, and searches with the files."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import dinoseek as library
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.load import save_params
from dinoseek.weights.naming import nest

CONFIG = ViTConfig(embed_dim=64, depth=2, num_heads=1, hidden_dim=48, grid=5)


@pytest.fixture
def model(tmp_path):
    """The weights of a tiny random model."""
    rng = np.random.default_rng(7)
    shapes = tensor_shapes(CONFIG).items()
    flat = {n: rng.standard_normal(s, dtype=np.float32) * np.float32(0.2) for n, s in shapes}
    path = tmp_path / "tiny.safetensors"
    save_params(path, nest(flat), CONFIG)
    return path


def test_the_path_is_on_stdout_and_the_comparison_on_stderr(dinoseek, model, tmp_path):
    result = dinoseek("export", "--model", model, "m.npz")

    assert (result.code, result.out) == (0, "m.npz\n")
    assert result.err.count("\n") == 1
    assert "7 images in 4 batches by dinoseek's NumPy engine: cls cosine 1.00000" in result.err
    report = json.loads((tmp_path / "m.npz.report.json").read_text("utf-8"))
    assert report["model"] == "tiny"


def test_what_is_there_is_replaced_when_asked(dinoseek, model):
    dinoseek("export", "--model", model, "m.npz")

    refused = dinoseek("export", "--model", model, "m.npz")

    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "use --force" in refused.err
    assert dinoseek("export", "--model", model, "m.npz", "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m.npz"], "it stands alone, without a gallery or --model"),
        ([], "not 0 paths"),
        (["a", "b", "c"], "not 3 paths"),
        (["--model", "x", "a.dino", "b.npz"], "--model: it is about models"),
        (["a.dino", "b.npz", "--precision", "fp32"], "--precision: it is about models"),
        (["a.dino", "b.npz", "--with-normalize"], "--with-normalize: it is about models"),
        (["--model", "x", "m.npz", "--where", "width > 1"], "--where: it is about vectors"),
        (["--model", "x", "m.npz", "--space", "y"], "--space: it is about vectors"),
        (["--model", "x", "m.pth"], "its name says no format"),
        (["--model", "x", "m.onnx", "--format", "openvino"], "name it m.xml"),
        (["--model", "x", "m.onnx", "--size", "224", "--dynamic"], "give one of them"),
        (["--model", "x", "m.npz", "--precision", "int8"], "use one of fp32, fp16"),
        (["--model", "x", "m.npz", "--size", "224"], "npz files have weights only"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(dinoseek, arguments, words, tmp_path):
    before = set(tmp_path.iterdir())

    result = dinoseek("export", *arguments)

    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert words in result.err
    assert set(tmp_path.iterdir()) == before


def test_settings_of_other_commands_decide_nothing(dinoseek, model, gallery, monkeypatch, tmp_path):
    (tmp_path / "dinoseek.toml").write_text('model = "dinov2-base"\nthreads = 2\n')
    monkeypatch.setenv("DINOSEEK_MODEL", "dinov2-base")

    assert "it stands alone" in dinoseek("export", "m.npz").err
    assert dinoseek("export", gallery, "v.npz").code == 0
    assert dinoseek("export", "--model", model, "m.npz").code == 0


def test_an_unknown_model_is_told_and_nothing_is_left(dinoseek, tmp_path):
    result = dinoseek("export", "--model", "dinov2-smal", "m.npz")

    assert result.code == 2
    assert "did you mean dinov2-small" in result.err
    assert not list(tmp_path.glob("*m.npz*"))


def test_own_pictures_are_looked_at(dinoseek, model, photos, gallery, tmp_path):
    for source in (photos, gallery):
        arguments = ("--model", model, "m.npz", "--force", "--images", source)
        assert dinoseek("export", *arguments).code == 0
    missing = dinoseek("export", "--model", model, "m.npz", "--force", "--images", "nowhere")
    assert missing.code == 4


def test_a_file_that_fails_is_told_with_exit_code_5(dinoseek, model, monkeypatch, tmp_path):
    from dinoseek.export import parity

    impossible = parity.Limit(cosine=1.1, tokens_mean=1)
    monkeypatch.setitem(parity.LIMITS, "float32", impossible)

    result = dinoseek("export", "--model", model, "m.npz")

    assert (result.code, result.out, result.err.count("\n")) == (5, "", 1)
    assert result.err.startswith("error: m.npz: the least cosine of cls is 1.0000000, at least 1.1")
    assert not list(tmp_path.glob("*m.npz*"))


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_export_leaves_nothing(model, tmp_path, name):
    folder = tmp_path / "out"
    folder.mkdir()
    arguments = ["export", "--model", str(model), str(folder / "m.npz")]
    child = subprocess.Popen([sys.executable, "-c", SLOW, *arguments], stderr=subprocess.PIPE)
    while not list(folder.glob(".*/m.npz")) and child.poll() is None:
        time.sleep(0.02)

    child.send_signal(getattr(signal, name))

    _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + getattr(signal, name), err.decode()
    assert list(folder.iterdir()) == []


# The file is written, and then comparing it never ends.
SLOW = """
import time
from dinoseek.cli.main import main
import dinoseek.export.model as model
model._loaded_anew = lambda *_: time.sleep(600)
main()
"""


@pytest.fixture
def filled(dinoseek, model, photos, tmp_path):
    """The pictures indexed by the NumPy engine, and the first hits of each of them."""
    path = tmp_path / "tiny.dino"
    assert dinoseek("index", photos, "--gallery", path, "--model", model).code == 0
    return path


def first_hits(dinoseek, gallery, photos, model):
    queries = sorted(photos.rglob("*.png"))
    flags = ("--gallery", gallery, "--model", model, "-k", 3, "--json")
    found = dinoseek("search", *queries, *flags)
    assert (found.code, found.err) == (0, "")
    return [(hit["query"], hit["path"]) for hit in found.json]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_exported_weights_search_the_gallery_of_the_model(dinoseek, model, photos, filled, suffix):
    dinoseek("export", "--model", model, f"m{suffix}")

    found = first_hits(dinoseek, filled, photos, f"m{suffix}")

    assert found == first_hits(dinoseek, filled, photos, model)


@pytest.mark.parametrize(("suffix", "runtime"), [(".onnx", "onnxruntime"), (".xml", "openvino")])
def test_vectors_of_an_exported_graph_search_the_gallery_of_the_model(
    dinoseek, model, photos, filled, suffix, runtime, tmp_path
):
    pytest.importorskip(runtime)
    flags = ("--with-normalize", "--with-unit-length")
    assert dinoseek("export", "--model", model, f"m{suffix}", *flags).code == 0
    queries = sorted(photos.rglob("*.png"))
    embedder = library.load_embedder(model)
    images = np.stack([embedder.open(path) for path in queries])  # (b, 224, 224, 3) of bytes

    vectors = RUN[runtime](tmp_path / f"m{suffix}", images)

    expected = first_hits(dinoseek, filled, photos, model)
    with library.open_gallery(filled, embedder) as gallery:
        found = [
            (str(query), hit.path)
            for query, vector in zip(queries, vectors, strict=True)
            for hit in library.search(gallery, vector, k=3)
        ]
    assert found == expected


def run_onnx(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["embedding"], {"image": images})[0]


def run_openvino(path, images):
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", settings)([images])["embedding"]


RUN = {"onnxruntime": run_onnx, "openvino": run_openvino}
