"""--engine and --precision: what index, search and the others take, and what they tell."""

import os

import pytest

from dinoseek.gallery import spaces
from dinoseek.gallery.factory import fingerprints_in
from dinoseek.weights.save import save_params

from ..encoders.fake import install
from ..vit.tiny import tiny_config, tiny_params

FAST = [("openvino", "bfloat16", 1.0), ("openvino", "float32", 2.0), ("numpy", "float32", 3.0)]


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_params(path, tiny_params(tiny_config()), tiny_config())
    os.utime(path, (1, 1))  # what is new is not remembered by its time
    return path


@pytest.fixture
def index(dinoseek, photos, model):
    """`dinoseek index` of the photos into g.dino; checks that all went well."""

    def run(*more):
        result = dinoseek("index", photos, "--gallery", "g.dino", "--model", model, *more)
        assert result.code == 0, result.err
        return result

    return run


@pytest.fixture
def find(dinoseek, photos):
    """`dinoseek search` of a photo in g.dino: the scores."""

    def run(*more):
        result = dinoseek("search", photos / "red-0.png", "--gallery", "g.dino", "--json", *more)
        assert result.code == 0, result.err
        return [hit["score"] for hit in result.json], result.err

    return run


def made(folder="g.dino"):
    return [each.precision for each in fingerprints_in(folder)]


def test_index_takes_the_fastest_and_search_stays_with_numpy(index, find, monkeypatch):
    built = install(monkeypatch, "openvino", speeds=FAST)
    index()
    assert (built, made()) == ([("openvino", "bfloat16")], ["bfloat16"])
    built.clear()

    scores, told = find()

    assert built == [("numpy", "float32")]
    assert scores[0] == pytest.approx(1, abs=1e-3)
    assert told == ""


def test_index_says_why_it_waits_the_first_time(index, monkeypatch):
    install(monkeypatch, "openvino", speeds=FAST)
    monkeypatch.setattr("dinoseek.encoders.automatic.recalled", lambda *_: None)
    assert "timing the engines that are here, this once" in index().err


def test_a_space_keeps_the_precision_that_it_was_made_in(index, monkeypatch):
    index("--engine", "numpy")
    built = install(monkeypatch, "openvino", speeds=FAST)

    again = index()

    assert made() == ["float32"]
    assert "12 unchanged" in again.err
    assert built == [("openvino", "float32")]


def test_a_coarser_space_is_kept_up_by_an_engine_that_can(index, photos, monkeypatch):
    built = install(monkeypatch, "openvino", speeds=FAST)
    index()
    (photos / "red-0.png").rename(photos / "crimson.png")
    built.clear()

    index("--precision", "auto")

    assert (built, made()) == ([("openvino", "bfloat16")], ["bfloat16"])


def test_without_such_an_engine_float32_vectors_join_and_that_is_told_once(
    index, find, draw_more, monkeypatch, caplog
):
    install(monkeypatch, "openvino", speeds=FAST)
    index()
    install(monkeypatch)  # as on another machine
    draw_more("new.png")

    said = index().err

    assert made() == ["bfloat16"]
    assert "1 stored" in said
    (line,) = caplog.messages
    assert line.startswith("vectors in float32 join a space of bfloat16 vectors")
    assert len(find()[0]) == 10


@pytest.fixture
def draw_more(photos):
    def draw(name):
        from PIL import Image

        Image.linear_gradient("L").convert("RGB").save(photos / name)

    return draw


def test_another_precision_that_is_asked_for_gets_a_space_of_its_own(index, find, monkeypatch):
    install(monkeypatch, "openvino", speeds=FAST)
    index("--precision", "fp32")
    index("--precision", "bf16")
    assert made() == ["float32", "bfloat16"]
    index()  # the oldest goes on
    assert made() == ["float32", "bfloat16"]
    assert find()[1] == ""  # and is searched: they are one model


def test_a_folder_of_queries_is_worth_the_fastest_engine(dinoseek, index, photos, monkeypatch):
    built = install(monkeypatch, "openvino", speeds=FAST)
    index()
    built.clear()
    assert dinoseek("search", photos / "sub", "--gallery", "g.dino", "--json").code == 0
    assert built == [("openvino", "bfloat16")]


def test_what_is_kept_of_a_folder_is_float32_and_kept_up_by_numpy(
    dinoseek, photos, model, draw_more, monkeypatch
):
    built = install(monkeypatch, "openvino", speeds=FAST)
    asked = ("search", photos / "red-0.png", "-d", photos, "--model", model, "--json")

    first, second = dinoseek(*asked), dinoseek(*asked)

    assert built == [("openvino", "float32"), ("numpy", "float32")]
    assert [hit["id"] for hit in first.json] == [hit["id"] for hit in second.json]
    draw_more("new.png")
    assert len(dinoseek(*asked, "-k", 20).json) == 13


def test_two_pictures_are_explained_with_numpy(dinoseek, index, photos, monkeypatch):
    built = install(monkeypatch, "openvino", speeds=FAST)
    index()
    built.clear()
    pair = (photos / "red-0.png", photos / "red-1.png")
    assert dinoseek("explain", *pair, "--gallery", "g.dino", "--json").code == 0
    assert built == [("numpy", "float32")]


def test_a_coarser_search_is_told_in_one_line(index, find, monkeypatch, caplog):
    spaces._tell_coarser.cache_clear()
    install(monkeypatch, "openvino", speeds=FAST)
    index("--precision", "fp32")

    scores, _ = find("--precision", "bf16")

    assert len(scores) == 10
    (line,) = caplog.messages
    assert "bfloat16" in line
    assert "float32" in line


def test_settings_can_name_engine_and_precision(dinoseek, index, monkeypatch, tmp_path):
    built = install(monkeypatch, "openvino", "torch", speeds=FAST)
    (tmp_path / "dinoseek.toml").write_text('engine = "openvino"\nprecision = "bf16"\n')
    rows = dinoseek("config", "--json").json
    assert {"name": "precision", "value": "bf16", "source": "dinoseek.toml"} in rows
    index()
    monkeypatch.setenv("DINOSEEK_ENGINE", "torch")
    index()
    monkeypatch.setenv("DINOSEEK_PRECISION", "fp16")
    index()
    assert built == [("openvino", "bfloat16"), ("torch", "bfloat16"), ("torch", "float16")]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--engine", "abacus"), "abacus: no such engine; use auto, numpy, onnx, openvino"),
        (("--precision", "fp8"), "fp8: no such precision; use auto, fp32, fp16, bf16, int8"),
        (("--engine", "numpy", "--precision", "bf16"), "numpy: it cannot calculate in bfloat16;"),
        (("--engine", "onnx"), "onnx: it is not installed; needs: pip install 'dinoseek[onnx]'"),
        (("--precision", "bf16"), "bfloat16: no engine that works here calculates in it; needs:"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_clear_line(dinoseek, photos, model, monkeypatch, flags, line):
    install(monkeypatch)
    result = dinoseek("index", photos, "--gallery", "g.dino", "--model", model, *flags)
    assert result.code == 2
    assert line in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_comparisons_with_a_reference_are_in_float32(dinoseek, photos, model, monkeypatch):
    built = install(monkeypatch, "openvino", speeds=FAST)
    asked = ("verify", "--no-reference", photos / "red-0.png", "--model", model)
    dinoseek(*asked)
    dinoseek(*asked, "--engine", "openvino")
    dinoseek(*asked, "--engine", "openvino", "--precision", "bf16")
    assert built == [("numpy", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]


def test_vlad_chooses_numpy_by_itself(dinoseek, index, photos, model, monkeypatch):
    built = install(monkeypatch, "openvino", speeds=FAST)
    index()
    built.clear()
    fitted = dinoseek("fit", "vlad", "g.dino", "words.safetensors", "--clusters", 2,
                      "--model", model)  # fmt: skip
    assert fitted.code == 0, fitted.err
    places = dinoseek("index", photos, "--gallery", "p.dino", "--model", model,
                      "--pooling", "vlad", "--vocabulary", "words.safetensors")  # fmt: skip
    assert places.code == 0, places.err
    assert built == [("numpy", "float32"), ("numpy", "float32")]
    assert made("p.dino") == ["float32"]


def test_a_projection_of_float32_vectors_takes_coarser_ones(dinoseek, index, photos, model,
                                                             monkeypatch):  # fmt: skip
    index("--engine", "numpy")
    assert dinoseek("fit", "pca", "g.dino", "pca.safetensors", "--dim", 4).code == 0
    install(monkeypatch, "openvino", speeds=FAST)
    short = dinoseek("index", photos, "--gallery", "s.dino", "--model", model,
                     "--projection", "pca.safetensors")  # fmt: skip
    assert short.code == 0, short.err
    assert made("s.dino") == ["bfloat16"]


def test_what_was_exported_in_a_precision_comes_back_in_it(dinoseek, index, model, monkeypatch):
    pytest.importorskip("pyarrow")
    install(monkeypatch, "openvino", speeds=FAST)
    index()
    assert dinoseek("export", "g.dino", "all.parquet").code == 0
    back = dinoseek("import", "all.parquet", "--gallery", "back.dino", "--model", model)
    assert back.code == 0, back.err
    assert made("back.dino") == ["bfloat16"]


def test_info_shows_the_choice_and_every_reason(dinoseek, monkeypatch):
    install(monkeypatch, "openvino", speeds=FAST)
    facts = dinoseek("info", "--json").json["auto"]
    assert (facts["engine"], facts["precision"]) == ("openvino", "bfloat16")
    rows = {(row["engine"], row["precision"]): row for row in facts["considered"]}
    assert rows["openvino", "bfloat16"] == {
        "engine": "openvino", "precision": "bfloat16", "ms": 1.0, "why_not": ""
    }  # fmt: skip
    assert rows["numpy", "float32"]["why_not"] == "3.00 times as long"
    assert "not installed" in rows["torch", "float32"]["why_not"]

    shown = dinoseek("info").out

    assert "openvino in bf16\n" in shown
    assert "1.0 ms  taken" in shown
    assert "pip install 'dinoseek[torch]'" in shown


def test_info_shows_a_space_with_its_precision(dinoseek, index, monkeypatch):
    install(monkeypatch, "openvino", speeds=FAST)
    index()
    assert ", cls, bfloat16: 12 vectors" in dinoseek("info", "g.dino").out


def test_info_times_anew_where_it_is_asked_to(dinoseek, monkeypatch):
    install(monkeypatch, "openvino", speeds=FAST)
    forgot = []
    monkeypatch.setattr("dinoseek.encoders.speeds.forget", lambda *a: forgot.append(a))
    dinoseek("info")
    assert forgot == []
    dinoseek("info", "--measure")
    assert len(forgot) == 1


def test_doctor_says_how_to_get_engines_and_which_are_broken(dinoseek, monkeypatch):
    from dinoseek.encoders.speeds import Speed

    install(monkeypatch, "onnx", "openvino")
    broken = [Speed(engine="openvino", precision="float32", fault="it ended with status -4")]
    monkeypatch.setattr("dinoseek.encoders.speeds.recalled", lambda *_: broken)
    monkeypatch.setattr("dinoseek.cli.doctor._SECONDS", 0.005)

    checks = {each["name"]: each for each in dinoseek("doctor", "--json").json["checks"]}

    assert checks["numpy"]["status"] == checks["onnx"]["status"] == "good"
    assert checks["openvino"]["status"] == "warning"
    assert "it ended with status -4" in checks["openvino"]["found"]
    assert checks["torch"]["found"] == "not here: pip install 'dinoseek[torch]' brings it"
