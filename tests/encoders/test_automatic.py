"""Which engine is chosen: the fastest that is right, and NumPy where nothing else is."""

import numpy as np
import pytest

from dinoseek.encoders import automatic, parity
from dinoseek.encoders.automatic import Wish, considered
from dinoseek.encoders.engines import build, usual_precisions
from dinoseek.encoders.factory import load_encoder, make_encoder
from dinoseek.encoders.parity import LIMITS, Parity
from dinoseek.errors import UsageError
from dinoseek.vit.model import Tokens, forward
from dinoseek.weights.save import save_params

from ..vit.tiny import tiny_config, tiny_params
from .fake import install

CONFIG = tiny_config(num_register_tokens=2)
OPENVINO = [("openvino", "bfloat16", 1.0), ("openvino", "float32", 2.0)]
NUMPY = [("numpy", "float32", 3.0)]


@pytest.fixture
def make(tmp_path):
    """An encoder of the tiny model, by what was wished."""
    return lambda *engine, **wish: make_encoder(
        tiny_params(CONFIG), CONFIG, *engine, cache_dir=tmp_path, **wish
    )


def of(encoder):
    return encoder.engine, encoder.precision


def tilted(tokens):
    """All tokens turned by the same, small angle."""
    return Tokens(*(each + 0.3 * np.roll(each, 1, axis=-1) for each in tokens))


# the choice


def test_the_fastest_is_taken(make, monkeypatch):
    install(monkeypatch, "onnx", "openvino", speeds=OPENVINO + NUMPY)
    assert of(make()) == ("openvino", "bfloat16")
    install(monkeypatch, "onnx", speeds=[("onnx", "float32", 2.0), *NUMPY])
    assert of(make()) == ("onnx", "float32")
    install(monkeypatch, "torch", speeds=[*NUMPY, ("torch", "float32", 9.0)])
    assert of(make()) == ("numpy", "float32")


def test_a_chosen_engine_gives_the_tokens_of_the_model(make, monkeypatch):
    install(monkeypatch, "openvino", speeds=OPENVINO)
    pixels = np.random.default_rng(0).standard_normal((2, 3, 70, 70), dtype=np.float32)

    found = make(precision="float32").class_tokens(pixels)

    np.testing.assert_allclose(found, forward(pixels, tiny_params(CONFIG), CONFIG).cls, atol=2e-5)


def test_an_engine_with_other_tokens_is_skipped_by_name(make, monkeypatch, caplog):
    spoil = {"openvino": tilted}
    install(monkeypatch, "openvino", "onnx", spoil=spoil,
            speeds=[*OPENVINO, ("onnx", "float32", 2.5), *NUMPY])  # fmt: skip

    assert of(make()) == ("onnx", "float32")

    first, second = caplog.messages
    assert "engine openvino in bfloat16 is not used: its tokens are not the model's" in first
    assert "openvino in float32" in second


def test_an_engine_that_cannot_be_made_is_skipped_with_its_reason(make, monkeypatch, caplog):
    spoil = {"openvino": RuntimeError("no such instruction\nat line 3")}
    install(monkeypatch, "openvino", spoil=spoil, speeds=[*OPENVINO, *NUMPY])

    assert of(make()) == ("numpy", "float32")

    assert "RuntimeError: no such instruction" in caplog.messages[0]
    assert not any("\n" in message for message in caplog.messages)


def test_a_library_that_is_damaged_is_told_with_what_it_lacks(make, monkeypatch, caplog):
    lacks = ImportError("libtbb.so.12: cannot open shared object file")
    install(monkeypatch, "openvino", spoil={"openvino": lacks}, speeds=[*OPENVINO, *NUMPY])
    assert of(make()) == ("numpy", "float32")
    assert "openvino in bfloat16 is not used: it cannot be loaded (libtbb" in caplog.messages[0]


def test_only_what_rounds_too_much_is_skipped(make, monkeypatch):
    spoil = {("openvino", "bfloat16"): tilted}
    install(monkeypatch, "openvino", spoil=spoil, speeds=[*OPENVINO, *NUMPY])
    assert of(make()) == ("openvino", "float32")


def test_where_all_are_broken_numpy_is_left(make, monkeypatch):
    spoil = {"openvino": ValueError(), "onnx": lambda tokens: tokens._replace(cls=tokens.cls * 2)}
    install(monkeypatch, "openvino", "onnx", spoil=spoil,
            speeds=[*OPENVINO, ("onnx", "float32", 2.5)])  # fmt: skip
    assert of(make()) == ("numpy", "float32")


def test_for_a_few_pictures_numpy_is_taken_without_a_look_at_others(make, monkeypatch):
    built = install(monkeypatch, "openvino")
    assert of(make(expect="few")) == ("numpy", "float32")
    assert built == [("numpy", "float32")]


def test_where_nothing_else_is_here_nothing_is_timed(make, monkeypatch):
    install(monkeypatch)
    assert of(make()) == ("numpy", "float32")


def test_float32_leaves_coarser_ways_out(make, monkeypatch):
    install(monkeypatch, "openvino", speeds=[*OPENVINO, *NUMPY])
    assert of(make(precision="float32")) == ("openvino", "float32")


def test_a_named_precision_is_had_from_whatever_has_it(make, monkeypatch):
    install(monkeypatch, "onnx", "openvino", speeds=[*OPENVINO, *NUMPY])
    assert of(make(precision="bf16")) == ("openvino", "bfloat16")
    install(monkeypatch, "onnx", speeds=NUMPY)
    assert of(make(precision="fp16")) == ("onnx", "float16")
    install(monkeypatch, "openvino", "torch")
    assert of(make(precision="bf16", expect="few")) == ("torch", "bfloat16")


def test_a_machine_that_cannot_is_no_fault_of_an_engine(make, monkeypatch, caplog):
    cannot = UsageError("engine.precision", "bfloat16", "not on this processor")
    install(monkeypatch, "openvino", "torch", spoil={"torch": cannot}, speeds=NUMPY)
    assert of(make(precision="bf16")) == ("openvino", "bfloat16")
    assert caplog.messages == []


def test_a_named_precision_that_nobody_gives_rightly_is_an_error(make, monkeypatch):
    install(monkeypatch, "openvino", spoil={"openvino": tilted}, speeds=NUMPY)
    with pytest.raises(UsageError, match=r"bfloat16: no engine.*'dinoseek\[openvino\]'"):
        make(precision="bf16")


def test_a_named_engine_takes_bfloat16_where_it_is_made_for_it(make, monkeypatch):
    install(monkeypatch, "openvino", "torch")
    assert of(make("openvino")) == ("openvino", "bfloat16")
    assert of(make("torch")) == ("torch", "float32")


def test_a_named_engine_falls_back_to_float32_where_bfloat16_is_wrong(make, monkeypatch):
    install(monkeypatch, "openvino", spoil={("openvino", "bfloat16"): tilted})
    assert of(make("openvino")) == ("openvino", "float32")


def test_a_named_engine_with_a_named_precision_is_taken_at_its_word(make, monkeypatch):
    built = install(monkeypatch, "openvino", spoil={"openvino": tilted})
    assert of(make("openvino", precision="float32")) == ("openvino", "float32")
    assert built == [("openvino", "float32")]


# what cannot be


def test_an_engine_that_is_not_here_says_how_to_get_it(make, monkeypatch):
    install(monkeypatch)
    for precision in ("auto", "float32"):
        with pytest.raises(UsageError, match=r"openvino: it is not installed; needs: pip install") as caught:  # fmt: skip  # noqa: E501
            make("openvino", precision=precision)
        assert caught.value.code == "engine.not_installed"
        assert "'dinoseek[openvino]'" in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "precision", "way_out"),
    [
        ("numpy", "bf16", "use --engine openvino or --engine torch or --precision fp32"),
        ("onnx", "bf16", "or --precision fp32 or --precision fp16"),
        ("numpy", "int8", "--precision fp32"),
    ],
)
def test_a_precision_that_an_engine_has_not_is_refused_before_any_work(
    monkeypatch, tmp_path, engine, precision, way_out
):
    install(monkeypatch, "torch")
    with pytest.raises(UsageError, match=f"{engine}: it cannot calculate in") as caught:
        load_encoder(tmp_path / "no such file", engine, precision=precision)
    assert way_out in str(caught.value)


def test_a_precision_that_nothing_here_has_is_refused_before_any_work(monkeypatch, tmp_path):
    install(monkeypatch)
    with pytest.raises(UsageError, match="bfloat16: no engine that works here") as caught:
        load_encoder(tmp_path / "no such file", precision="bf16")
    assert "pip install 'dinoseek[openvino]' or pip install 'dinoseek[torch]'" in str(caught.value)


def test_an_unknown_precision_is_refused_by_name(make):
    with pytest.raises(UsageError, match="fp17: no such precision; use auto, fp32, fp16, bf16"):
        make(precision="fp17")


# the comparison


def test_the_comparison_is_made_once_for_weights_and_version(monkeypatch, tmp_path):
    install(monkeypatch, "openvino", speeds=[*OPENVINO, *NUMPY])
    measured = []
    real = parity.measured
    monkeypatch.setattr(parity, "measured", lambda *a: (measured.append(1), real(*a))[1])
    save_params(tmp_path / "a.safetensors", tiny_params(CONFIG), CONFIG)
    save_params(tmp_path / "b.safetensors", tiny_params(CONFIG, seed=1), CONFIG)

    for name in ("a", "a", "b"):
        encoder = load_encoder(tmp_path / f"{name}.safetensors", cache_dir=tmp_path)
        assert of(encoder) == ("openvino", "bfloat16")
    assert len(measured) == 2

    monkeypatch.setattr(parity, "installed_version", lambda _: "99")
    load_encoder(tmp_path / "a.safetensors", cache_dir=tmp_path)
    assert len(measured) == 3


def test_what_was_wrong_once_is_not_even_made_again(make, monkeypatch, caplog):
    built = install(monkeypatch, "openvino", spoil={"openvino": tilted}, speeds=[*OPENVINO, *NUMPY])
    make()
    built.clear()
    caplog.clear()

    assert of(make()) == ("numpy", "float32")

    assert built == [("numpy", "float32")]
    assert "engine openvino in bfloat16 is not used" in caplog.messages[0]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": 1, "results": {"a": 3}}', b"\xff" * 1000]
)
def test_a_damaged_memory_is_not_used(make, monkeypatch, tmp_path, content):
    (tmp_path / "engine-parity.json").write_bytes(content)
    install(monkeypatch, "openvino", speeds=[*OPENVINO, *NUMPY])
    assert of(make()) == ("openvino", "bfloat16")
    assert list(parity.failures(tmp_path)) == []


def test_a_memory_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    install(monkeypatch, "openvino", speeds=[*OPENVINO, *NUMPY])
    params = tiny_params(CONFIG)
    assert of(make_encoder(params, CONFIG, cache_dir=tmp_path / "file")) == OPENVINO[0][:2]


class Wrong:
    """An engine whose tokens are right but in one way."""

    def __init__(self, **changes):
        self.config, self.changes = CONFIG, changes

    def __call__(self, pixels):
        tokens = forward(pixels, tiny_params(CONFIG), CONFIG)
        changes = {k: c(getattr(tokens, k)) for k, c in self.changes.items() if k != "alone"}
        return tokens._replace(**changes)

    def class_tokens(self, pixels):
        cls = forward(pixels, tiny_params(CONFIG), CONFIG).cls
        return self.changes.get("alone", lambda x: x)(cls)


def with_nan(array):
    array = array.copy()
    array[-1, ..., 3] = np.nan
    return array


@pytest.mark.parametrize(
    "changes",
    [
        {"cls": lambda x: x + 2e-3},
        {"cls": with_nan},
        {"patches": with_nan},
        {"alone": lambda x: np.roll(x, 1, axis=1)},
        {"alone": with_nan},
        {"patches": lambda x: x[:, ::-1]},  # the pictures are not symmetric
        {"patches": lambda x: x.reshape(2, 8, 10, -1).swapaxes(1, 2).reshape(x.shape)},
    ],
)
def test_no_way_of_being_wrong_passes(changes):
    found = parity.measured(Wrong(**changes), tiny_params(CONFIG))
    assert not found.holds("float32")
    if "cls" not in changes or changes["cls"] is with_nan:
        assert not found.holds("bfloat16")


def test_what_is_right_passes_and_another_order_of_sums_does_too():
    found = parity.measured(Wrong(cls=lambda x: x + np.float32(2e-5)), tiny_params(CONFIG))
    assert found.holds("float32")
    assert found.cls > 1 - 1e-8
    assert 1e-5 < found.error < 1e-4


def test_limits_get_wider_with_coarser_precisions():
    limits = [LIMITS[name].cls for name in ("float32", "float16", "bfloat16", "int8")]
    assert limits == sorted(limits, reverse=True)
    assert not Parity(cls=0.9989, patches=1.0, error=0.1).holds("bfloat16")
    assert not Parity(cls=1.0, patches=0.99, error=0.1).holds("bfloat16")
    assert not Parity(cls=1.0, patches=1.0, error=2e-3).holds("float32")


# what is told


def test_each_engine_that_is_not_taken_has_its_reason(monkeypatch, tmp_path):
    spoil = {("openvino", "bfloat16"): tilted}
    install(monkeypatch, "openvino", "onnx", spoil=spoil,
            speeds=[*OPENVINO, ("onnx", "float32", 5.0), *NUMPY])  # fmt: skip
    make_encoder(tiny_params(CONFIG), CONFIG, cache_dir=tmp_path)

    rows = {(each.engine, each.precision): each.why_not
            for each in considered(Wish(cache_dir=tmp_path))}  # fmt: skip

    assert "wrong for weights" in rows["openvino", "bfloat16"]
    assert rows["openvino", "float32"] == ""
    assert rows["onnx", "float32"] == "2.50 times as long"
    assert rows["numpy", "float32"] == "1.50 times as long"
    absent = "it is not installed; needs: pip install 'dinoseek[torch]'"
    assert rows["torch", "float32"] == absent

    monkeypatch.setattr(parity, "installed_version", lambda _: "99")  # what failed was replaced
    assert considered(Wish(cache_dir=tmp_path))[0].why_not == ""


def test_an_engine_that_failed_its_trial_says_how(monkeypatch, tmp_path):
    install(monkeypatch, "onnx", speeds=NUMPY)
    broken = [automatic.Speed(engine="onnx", precision="float32", fault="it ended with status -4")]
    real = automatic.speeds
    monkeypatch.setattr(automatic, "speeds", lambda *a: real(*a) + broken)

    rows = {each.engine: each.why_not for each in considered(Wish(cache_dir=tmp_path))}

    assert rows["onnx"] == "it failed: it ended with status -4"
    assert rows["numpy"] == ""


# the real ones


@pytest.mark.parametrize(
    ("engine", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino"), ("torch", "torch")]
)
def test_engines_that_are_here_pass_the_comparison(engine, package):
    pytest.importorskip(package, reason=f"needs: pip install 'dinoseek[{engine}]'")
    for precision in usual_precisions(engine):
        encoder = build(engine, tiny_params(CONFIG), CONFIG, precision=precision, threads=1)
        found = parity.measured(encoder, tiny_params(CONFIG))
        assert of(encoder) == (engine, precision)
        assert found.holds(precision), found
