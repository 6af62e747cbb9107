"""Exported models: what is inside, what they compute, and that a wrong one is not kept."""

import importlib
import json
import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from safetensors import safe_open

import dinoseek
from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.export import model as exporting
from dinoseek.export import parity
from dinoseek.export.model import export_model
from dinoseek.export.options import ExportOptions
from dinoseek.export.pictures import pictures_in
from dinoseek.export.trials import batch, pixels_of
from dinoseek.fingerprint import Fingerprint
from dinoseek.vit.model import forward
from dinoseek.vit.pos_embed import resample
from dinoseek.weights.digest import params_digest
from dinoseek.weights.load import load_params

from .conftest import drawn

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "npz": ".npz", "safetensors": ".safetensors"}
NEEDS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}
GRAPHS = ("onnx", "openvino")
SHAPES = {
    "plain": {},
    "registers": {"num_register_tokens": 2},
    "swiglu": {"swiglu": True, "num_register_tokens": 4, "num_heads": 2},
}


def need(format):
    for module in NEEDS.get(format, ()):
        pytest.importorskip(module)


@pytest.fixture
def export(weights, pictures, tmp_path):
    """Exports a tiny model: (the file, the report)."""

    def run(format, shape="plain", name="m", **said):
        need(format)
        target = tmp_path / f"{name}{SUFFIXES[format]}"
        options = ExportOptions(format=format, **said)
        return target, export_model(
            weights(**SHAPES[shape]), target, options, pictures=pictures, cache_dir=tmp_path / "c"
        )

    return run


def run_onnx(path, given):
    """What ONNX Runtime makes of an input, by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: given}), strict=True))


def run_openvino(path, given):
    import openvino

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = model([given])
    names = ("cls", "registers", "patches", "embedding")
    return {name: found[name] for out in model.outputs for name in names if name in out.names}


RUN = {"onnx": run_onnx, "openvino": run_openvino}


@pytest.mark.parametrize("format", SUFFIXES)
def test_the_report_beside_the_file_says_how_it_compares(export, format, tmp_path):
    target, report = export(format, "registers")

    told = json.loads((tmp_path / f"{target.name}.report.json").read_text("utf-8"))
    assert told == json.loads(json.dumps(report.as_dict()))
    assert told["tokens"].keys() == {"cls", "registers", "patches"}
    assert all(each["max_abs"] < 1e-4 for each in told["tokens"].values())
    assert [(each["height"], each["width"], each["images"]) for each in told["tried"]] == [
        (224, 224, 3),
        (140, 322, 2),
        (294, 182, 1),
        (70, 70, 1),  # the grid of the weights
    ]
    files = {target.name, "m.bin"} if format == "openvino" else {target.name}
    assert {name: (tmp_path / name).stat().st_size for name in files} == told["files"]
    assert {entry.name for entry in tmp_path.iterdir() if entry.is_file()} == {
        *files,
        f"{target.name}.report.json",
    }


@pytest.mark.parametrize("format", GRAPHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [None, (28, 42)])
def test_graphs_give_the_tokens_of_the_forward_pass(export, weights, format, shape, size):
    target, _ = export(format, shape, size=size)
    params, config = load_params(weights(**SHAPES[shape]))
    height, width = size or (42, 98)
    given = np.random.default_rng(3).standard_normal((2, 3, height, width), dtype=np.float32)

    found = RUN[format](target, given)

    expected = forward(given, params, config)
    assert np.abs(found["cls"] - expected.cls).max() < 1e-4
    assert np.abs(found["patches"] - expected.patches).max() < 1e-4
    assert ("registers" in found) == bool(config.num_register_tokens)
    if "registers" in found:
        assert np.abs(found["registers"] - expected.registers).max() < 1e-4


@pytest.mark.parametrize("format", GRAPHS)
def test_bytes_go_in_and_unit_vectors_come_out_when_asked_for(export, weights, pictures, format):
    target, report = export(format, normalize=True, unit_length=True)
    images = batch([picture.image for picture in pictures[:2]], 28, 56)

    found = RUN[format](target, images)

    params, config = load_params(weights())
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    cls = forward(pixels, params, config).cls
    assert np.abs(found["cls"] - cls).max() < 1e-4
    assert np.allclose(
        found["embedding"], cls / np.linalg.norm(cls, axis=1, keepdims=True), atol=1e-5
    )
    assert "embedding" in report.tokens


@pytest.mark.parametrize("format", GRAPHS)
def test_a_fixed_size_takes_any_batch_but_no_other_size(export, format):
    target, report = export(format, size=(28, 42))

    assert [(each.height, each.width, each.images) for each in report.tried] == [
        (28, 42, 3),
        (28, 42, 1),
    ]
    assert len(RUN[format](target, np.zeros((5, 3, 28, 42), np.float32))["cls"]) == 5
    with pytest.raises(Exception, match=r"(?i)dimension|shape"):
        RUN[format](target, np.zeros((1, 3, 42, 28), np.float32))


@pytest.mark.parametrize(
    ("format", "precision"),
    [
        ("safetensors", "float16"),
        ("safetensors", "bfloat16"),
        ("npz", "float16"),
        ("onnx", "float16"),
        ("onnx", "bfloat16"),
        ("openvino", "float16"),
    ],
)
def test_lower_precision_halves_the_file_and_stays_close(export, format, precision, tmp_path):
    _, full = export(format, name="full")
    _, half = export(format, name="half", precision=precision)

    assert sum(half.files.values()) < 0.75 * sum(full.files.values())
    assert 1e-12 < 1 - half.tokens["cls"].cosine_min < 1e-3  # but it is not the same


def metadata_of(format, path):
    """All that a file says of itself, read by the format's own library."""
    if format == "onnx":
        import onnx

        return {each.key: each.value for each in onnx.load(path).metadata_props}
    if format == "openvino":
        import openvino

        said = openvino.Core().read_model(path).get_rt_info("dinoseek").value
        return {f"dinoseek.{name}": value for name, value in said.items()}
    if format == "npz":
        return json.loads(np.load(path)["__dinoseek_config__"].tobytes())
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


@pytest.mark.parametrize("format", SUFFIXES)
def test_the_file_says_what_it_is(export, weights, format):
    target, report = export(format)

    said = metadata_of(format, target)

    params, config = load_params(weights())
    fingerprint = Fingerprint.from_json(said["dinoseek.fingerprint"])
    assert fingerprint == report.fingerprint
    assert (fingerprint.weights, fingerprint.dim) == (params_digest(params), 64)
    assert json.loads(said["dinoseek.config"]) == config.as_dict()
    assert said["dinoseek.model"] == "tiny"
    assert said["dinoseek.licence"] == "unknown"
    assert said["dinoseek.precision"] == "float32"
    assert said["dinoseek.version"] == version("dinoseek")
    if format in GRAPHS:
        assert said["dinoseek.input"] == "pixels: (b, 3, H, W) float32"
        assert json.loads(said["dinoseek.mean"]) == [0.485, 0.456, 0.406]
        assert said["dinoseek.size"] == "any"


def test_name_and_licence_survive_another_export(weights, pictures, tmp_path):
    need("onnx")
    models = tmp_path / "models"
    models.mkdir()
    (models / "dinov2-small.safetensors").write_bytes(weights().read_bytes())
    first, second = tmp_path / "a.safetensors", tmp_path / "b.onnx"

    export_model(
        "dinov2-small",
        first,
        ExportOptions(format="safetensors"),
        pictures=pictures,
        models_dir=models,
        cache_dir=tmp_path / "c",
    )
    export_model(first, second, ExportOptions(format="onnx"), pictures=pictures)

    said = metadata_of("onnx", second)
    assert (said["dinoseek.model"], said["dinoseek.licence"]) == ("dinov2-small", "Apache-2.0")


def test_the_fingerprint_of_half_precision_weights_is_that_of_the_file(export, tmp_path):
    target, report = export("safetensors", precision="float16")

    embedder = dinoseek.load_embedder(target, cache_dir=tmp_path / "c")

    assert embedder.fingerprint == replace(report.fingerprint, model="m")


@pytest.mark.parametrize("format", GRAPHS)
def test_the_flavour_of_positions_is_that_which_was_asked_for(weights, pictures, format, tmp_path):
    need(format)
    target = tmp_path / f"m{SUFFIXES[format]}"
    options = ExportOptions(format=format)
    export_model(weights(), target, options, pictures=pictures, pos_flavour="timm")
    params, config = load_params(weights())
    given = np.zeros((1, 3, 42, 98), np.float32)

    found = RUN[format](target, given)["patches"]

    timm = replace(config, pos_flavour="timm")
    grid = params["pos_embed"][0, 1:]
    assert np.abs(resample(grid, 3, 7, timm) - resample(grid, 3, 7, config)).max() > 1e-2
    assert np.abs(found - forward(given, params, timm).patches).max() < 1e-4


@pytest.mark.parametrize("format", SUFFIXES)
@pytest.mark.parametrize("before", [None, b"precious"], ids=["new", "replaced"])
def test_a_file_that_computes_something_else_is_not_kept(
    export, format, before, tmp_path, monkeypatch, weights, pictures
):
    need(format)
    target = tmp_path / f"m{SUFFIXES[format]}"
    if before:
        target.write_bytes(before)
    real = exporting._write

    def wrong(path, loaded, *others):
        params = {**loaded.params, "cls_token": loaded.params["cls_token"][..., ::-1]}
        real(path, replace(loaded, params=params), *others)

    monkeypatch.setattr(exporting, "_write", wrong)
    options = ExportOptions(format=format)

    with pytest.raises(WeightsError, match="cosine of cls is") as caught:
        export_model(weights(), target, options, pictures=pictures, force=True)

    assert caught.value.code == "export.parity"
    assert caught.value.subject == str(target)
    assert [entry.name for entry in tmp_path.iterdir()] == ([target.name] if before else [])
    assert not before or target.read_bytes() == before


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_file_that_was_cut_short_is_not_kept(format, tmp_path, monkeypatch, weights, pictures):
    need(format)
    real = exporting._write

    def cut(path, *arguments):
        real(path, *arguments)
        file = path.with_suffix(".bin") if format == "openvino" else path
        file.write_bytes(file.read_bytes()[:-5000])

    monkeypatch.setattr(exporting, "_write", cut)
    target, options = tmp_path / f"m{SUFFIXES[format]}", ExportOptions(format=format)

    with pytest.raises(WeightsError) as caught:
        export_model(weights(), target, options, pictures=pictures)

    assert caught.value.subject == str(target)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("format", "module"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_without_the_runtime_nothing_is_written_and_the_extra_named(
    weights, pictures, format, module, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(UsageError, match=rf"needs: pip install 'dinoseek\[{format}\]'"):
        export_model(
            weights(),
            tmp_path / f"m{SUFFIXES[format]}",
            ExportOptions(format=format),
            pictures=pictures,
        )

    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_refused_before_anything_is_read(tmp_path, pictures):
    options = ExportOptions(format="npz")
    for name in ("m.npz", "m.npz.report.json"):
        (tmp_path / name).write_text("old")
        with pytest.raises(UsageError, match="use --force"):
            export_model("nowhere.npz", tmp_path / "m.npz", options, pictures=pictures)
        (tmp_path / name).unlink()


def test_a_size_that_the_model_cannot_take_is_refused(weights, pictures, tmp_path):
    need("onnx")
    options = ExportOptions(format="onnx", size=(30, 28))

    with pytest.raises(UsageError, match="the nearest is 28x28"):
        export_model(weights(), tmp_path / "m.onnx", options, pictures=pictures)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_full_disk_is_told_and_nothing_is_left(weights, tmp_path, format):
    import resource
    import subprocess

    need(format)
    target = tmp_path / f"m{SUFFIXES[format]}"
    source = weights(embed_dim=256)
    code = f"""
import resource, signal
from pathlib import Path
from PIL import Image
from dinoseek.errors import DinoseekError
from dinoseek.export.model import export_model
from dinoseek.export.options import ExportOptions
from dinoseek.export.pictures import Picture
options = ExportOptions(format={format!r})
pictures = [Picture(image=Image.new("RGB", (20, 20)))]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
try:
    export_model({str(source)!r}, Path({str(target)!r}), options, pictures=pictures)
except DinoseekError as error:
    print(error.exit_code, error.subject)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout in (f"4 {target}\n", f"5 {target}\n")
    assert list(tmp_path.iterdir()) == []


def test_what_openvino_cannot_write_is_told(weights, pictures, tmp_path, monkeypatch):
    openvino = pytest.importorskip("openvino")

    def refuse(*_arguments, **_options):
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(openvino, "save_model", refuse)
    options = ExportOptions(format="openvino")

    with pytest.raises(MachineError, match=r"cannot write it .*; check .* the space") as caught:
        export_model(weights(), tmp_path / "m.xml", options, pictures=pictures)

    assert caught.value.subject == str(tmp_path / "m.xml")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(weights, pictures, tmp_path):
    options = ExportOptions(format="npz")

    with pytest.raises(MachineError, match="No such file"):
        export_model(weights(), tmp_path / "no" / "m.npz", options, pictures=pictures)


def test_pixels_of_a_batch_are_those_of_the_preset(pictures):
    images = [picture.image for picture in pictures[:2]]
    preset = dinoseek.load_embedder("color-histogram", preprocess="official").preset

    assert np.array_equal(batch(images, 224, 224), np.stack([preset.apply(i) for i in images]))
    assert pixels_of(batch(images, 28, 42)).shape == (2, 3, 28, 42)


def many(count):
    return [drawn(number, label=str(number % 4)) for number in range(count)]


INT8 = {"format": "onnx", "precision": "int8", "size": (28, 28)}


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_is_measured_by_searches(weights, tmp_path, format):
    need(format)
    pictures, path = many(66), tmp_path / f"m{SUFFIXES[format]}"

    options = ExportOptions(**INT8 | {"format": format})

    report = export_model(weights(), path, options, pictures=pictures)

    told = json.loads(path.with_name(f"{path.name}.report.json").read_text("utf-8"))["retrieval"]
    assert told["pictures"] == 50
    assert 0.95 <= told["overlap"] <= 1
    assert told["chance"] == pytest.approx(10 / 49)
    assert 0 <= told["recall_at_1"] <= 1
    assert abs(told["recall_at_1"] - told["recall_at_1_float32"]) < 0.1
    assert "of the first 10 hits" in report.line()
    assert "Recall@1" in report.line()


def test_int8_that_finds_other_hits_is_not_kept(weights, tmp_path, monkeypatch):
    need("onnx")
    calibrate = importlib.import_module("dinoseek.graph.calibrate")
    real = calibrate.calibrate

    def coarse(*arguments):
        steps = real(*arguments).items()
        return {name: replace(each, scale=each.scale * 100) for name, each in steps}

    monkeypatch.setattr(calibrate, "calibrate", coarse)
    monkeypatch.setitem(parity.LIMITS, "int8", parity.Limit(cosine=-1, tokens_mean=-1))

    with pytest.raises(WeightsError, match="of the first hits stay, 95% must") as caught:
        export_model(weights(), tmp_path / "m.onnx", ExportOptions(**INT8), pictures=many(66))

    assert caught.value.code == "export.retrieval"
    assert list(tmp_path.iterdir()) == []


def test_int8_is_not_measured_on_a_few_pictures(weights, tmp_path):
    need("onnx")
    with pytest.raises(UsageError, match="these are 65, not 66; name a folder"):
        export_model(weights(), tmp_path / "m.onnx", ExportOptions(**INT8), pictures=many(65))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.weights
@pytest.mark.parametrize(
    ("format", "precision", "gap"),
    [("onnx", "float32", 1e-9), ("openvino", "float32", 1e-9), ("openvino", "bfloat16", 1e-3)],
)
def test_real_weights_stay_what_they_are_on_photographs(shared, tmp_path, format, precision, gap):
    need(format)
    report = export_model(
        shared / "weights" / "dav2-vits14-fp16.safetensors",
        tmp_path / f"m{SUFFIXES[format]}",
        ExportOptions(format=format, precision=precision, size=(224, 224)),
        pictures=pictures_in(shared / "data" / "coco128" / "images", most=4),
    )

    assert 1 - report.tokens["cls"].cosine_min < gap
    assert (report.fingerprint.dim, report.licence) == (384, "unknown")
