"""`dinoseek bench`: what it measures, what it writes, what it refuses."""

import json

import pytest

from dinoseek.bench import rounds
from dinoseek.bench.models import random_params
from dinoseek.bench.pictures import photograph
from dinoseek.cli import bench_options
from dinoseek.errors import MachineError
from dinoseek.vit.config import ViTConfig
from dinoseek.weights.save import save_params

TINY = ViTConfig(embed_dim=16, depth=2, num_heads=2, hidden_dim=32, grid=4)
QUICK = ("--size", "28", "--rounds", "3", "--repeats", "1", "--warm-up", "1", "--threads", "1")


@pytest.fixture(autouse=True)
def short_peaks(monkeypatch):
    monkeypatch.setattr(rounds, "_PEAK_SECONDS", 0.0)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_params(path, random_params(TINY), TINY)
    return path


@pytest.fixture
def measure(dinoseek, weights):
    """Runs `dinoseek bench` on the tiny model, quickly."""

    def call(*arguments, expected=0):
        result = dinoseek("bench", "--model", weights, *QUICK, *arguments)
        assert result.code == expected, result.err
        return result

    return call


@pytest.fixture
def saved(tmp_path):
    """A run that was measured before: numpy with batch 1 and 8, its rates given."""

    def write(name="before.json", rates=(10.0, 10.0, 10.0), **more):
        result = {
            "engine": "numpy", "precision": "float32", "model": "tiny", "is_random": False,
            "size": [28, 28], "batch": 1, "threads": 1, "tokens": "class", "device": "cpu",
            "images_per_s": sorted(rates)[len(rates) // 2], "rounds": list(rates),
            "ms": {"avg": 100.0, "min": 90.0, "max": 130.0, "p50": 100.0, "p99": 120.5},
            "calls": 21, "gflop_per_image": 0.5, "gflops": 5.0, "peak_share": 0.25,
            "peak_memory_mb": 12.0, "load_s": 0.1, "cosine": 1.0,
            "end_to_end_images_per_s": None,
        }  # fmt: skip
        content = {
            "dinoseek": "bench", "format": 1, "date": "2026-11-20T12:00:00+00:00",
            "machine": {"processor": "A|B", "cores": 2, "kernels": "SkylakeX"},
            "versions": {"dinoseek": "0.1.0", "numpy": "2.4.6"}, "settings": {},
            "peak_gflops": {"1": 20.0}, "results": [result, {**result, "batch": 8}],
            "left_out": [],
        }  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps({**content, **more}))
        return path

    return write


def test_json_has_the_keys_that_others_build_on(measure):
    run = measure("--engine", "numpy", "--batch", "2", "--json").json

    (result,) = run["results"]
    assert run["dinoseek"] == "bench"
    assert {"date", "machine", "versions", "settings", "peak_gflops", "left_out"} <= run.keys()
    named = {name: result[name] for name in ("engine", "precision", "model", "batch", "threads")}
    assert named == {
        "engine": "numpy", "precision": "float32", "model": "tiny", "batch": 2, "threads": 1,
    }  # fmt: skip
    assert result["size"] == [28, 28]
    assert result["ms"].keys() == {"avg", "min", "max", "p50", "p90", "p95", "p99"}
    assert 0 < result["ms"]["min"] <= result["ms"]["p50"] <= result["ms"]["max"]
    assert result["calls"] == len(result["rounds"]) == 3
    assert result["gflops"] == pytest.approx(result["images_per_s"] * result["gflop_per_image"])
    assert result["peak_share"] > 0
    assert result["cosine"] == pytest.approx(1)
    assert result["end_to_end_images_per_s"] is None


def test_every_combination_has_a_row(measure):
    run = measure("--engine", "numpy", "--batch", "1", "--batch", "2", "--size", "42x28", "--json")

    found = [(tuple(each["size"]), each["batch"]) for each in run.json["results"]]
    assert found == [((28, 28), 1), ((28, 28), 2), ((42, 28), 1), ((42, 28), 2)]


def test_pictures_of_a_folder_are_embedded_from_their_files(measure, tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for seed in range(2):
        (tmp_path / "photos/sub" / f"{seed}.JPG").write_bytes(photograph(seed, 60, 40))
    (tmp_path / "photos/notes.txt").write_text("no picture")

    result = measure("--engine", "numpy", "--batch", "1", "--images", tmp_path / "photos", "--json")

    assert result.json["results"][0]["end_to_end_images_per_s"] > 0
    assert result.json["settings"]["pictures"] == 2


def test_engines_that_are_named_by_all_are_left_out_where_they_cannot(measure, monkeypatch):
    monkeypatch.setattr("dinoseek.bench.plan.is_installed", lambda name: name == "numpy")

    result = measure("--batch", "1", "--precision", "fp32", "--precision", "bf16", "--json")

    found = [(each["engine"], each["precision"]) for each in result.json["results"]]
    assert found == [("numpy", "float32")]
    left_out = [(each["engine"], each["code"]) for each in result.json["left_out"]]
    assert left_out[0] == ("numpy", "engine.precision")
    assert ("torch", "engine.not_installed") in left_out
    assert "left out: numpy bfloat16, tiny, 28 x 28, batch 1, 1 thread: it cannot" in result.err


def test_an_engine_that_breaks_half_way_makes_the_run_partial(measure, monkeypatch):
    def broken(self, seconds, repeats=None, *, turn=rounds.Worker.turn):
        if "batch 2" in self._subject:
            raise MachineError("bench.crashed", self._subject, "its process ended")
        return turn(self, seconds, repeats)

    monkeypatch.setattr(rounds.Worker, "turn", broken)

    result = measure("--engine", "numpy", "--batch", "1", "--batch", "2", "--json", expected=3)
    assert [each["batch"] for each in result.json["results"]] == [1]

    result = measure("--engine", "numpy", "--batch", "2", expected=4)
    assert result.err.splitlines()[-1].startswith("error: numpy auto, tiny, 28 x 28, batch 2")


def test_the_users_model_is_measured_where_none_is_named(dinoseek, weights, monkeypatch):
    monkeypatch.setenv("DINOSEEK_MODEL", str(weights))

    result = dinoseek("bench", "--engine", "numpy", "--batch", "1", *QUICK)

    assert result.code == 0
    assert result.out.startswith("tiny, 28 x 28, class token, 1 thread, batch 1\n")


def test_a_file_of_settings_may_name_the_model(dinoseek, weights, tmp_path):
    (tmp_path / "dinoseek.toml").write_text('model = "tiny.safetensors"\nengine = "numpy"\n')

    result = dinoseek("bench", "--engine", "numpy", "--batch", "1", *QUICK, "--json")

    assert result.json["results"][0]["model"] == "tiny"


def test_random_weights_say_that_they_are(dinoseek, monkeypatch):
    import dataclasses

    from dinoseek.bench import models

    small = dataclasses.replace(models.KNOWN["dinov2-small"], config=TINY)
    monkeypatch.setattr(models, "find_model", lambda _name: small)

    asked = dinoseek("bench", "--random", "--engine", "numpy", "--batch", "1", *QUICK)
    unasked = dinoseek("bench", "--engine", "numpy", "--batch", "1", *QUICK)

    assert asked.out.startswith("dinov2-small (random weights), 28 x 28")
    assert "random" not in asked.err
    assert "no weights are here" in unasked.err


def test_a_table_has_a_row_for_each_and_says_where_it_was_measured(dinoseek, saved):
    lines = dinoseek("bench", "--read", saved()).out.splitlines()

    assert lines == [
        "tiny, 28 x 28, class token, 1 thread",
        "engine      batch  images/s  p50 ms  p99 ms  GFLOP/s  of peak  MB    cosine",
        "numpy fp32      1     10.00   100.0   120.5        5      25%  12  1.000000",
        "numpy fp32      8     10.00   100.0   120.5        5      25%  12  1.000000",
        "A|B, 2 cores (SkylakeX kernels), 2026-11-20T12:00:00+00:00",
        "dinoseek 0.1.0, numpy 2.4.6; float32 matrix products: 20 GFLOP/s on 1 thread",
    ]


def test_markdown_is_a_table_in_which_nothing_of_a_name_is_markup(dinoseek, saved):
    lines = dinoseek("bench", "--read", saved(), "--markdown").out.splitlines()

    assert lines[2].startswith("| engine | batch | images/s |")
    assert lines[3].startswith("|---|--:|--:|")
    assert len({line.count("|") for line in lines[2:6]}) == 1
    assert any(line.startswith("- A\\|B") for line in lines)


def test_two_runs_side_by_side_say_what_exceeds_the_spread(dinoseek, saved):
    before = saved()
    now = saved(
        "now.json",
        rates=(12.0, 12.0, 12.0),
        machine={"processor": "C", "cores": 2},
        versions={"dinoseek": "0.1.0", "numpy": "2.5"},
    )

    result = dinoseek("bench", "--read", now, "--against", before)

    lines = result.out.split("\n\n")[1].splitlines()
    assert lines == [
        "Against 2026-11-20T12:00:00+00:00, images/s:",
        "engine      batch  before    now  ratio",
        "numpy fp32      1   10.00  12.00   1.20  faster",
        "numpy fp32      8   10.00  12.00   1.20  faster",
        "processor: A|B before, C now",
        "kernels: SkylakeX before, none now",
        "numpy: 2.4.6 before, 2.5 now",
    ]


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ((8.0, 9.5, 12.0), "within the spread"),
        ((5.0, 5.0, 5.0), "slower"),
        ((20.0,), "too few rounds to tell"),
    ],
)
def test_verdicts_are_in_words_and_in_json(dinoseek, saved, rates, verdict):
    arguments = ("bench", "--read", saved("now.json", rates=rates), "--against", saved())

    assert dinoseek(*arguments).out.count(verdict) == 2
    change = dinoseek(*arguments, "--json").json["against"]["changes"][0]
    expected = {"within the spread": False, "slower": True}.get(verdict)
    assert change["exceeds_spread"] is expected
    assert (change["before"], change["batch"]) == (10.0, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--engine", "abacus"], 2, "abacus: no such engine"),
        (["--size", "225"], 2, "225: both sides must be multiples of 14; the nearest is 224"),
        (["--batch", "0"], 2, "0 is not in the range"),
        (["--threads", "0"], 2, "0 is not in the range"),
        (["--percentiles", "50,101"], 2, "50,101: these are no percentiles"),
        (["--percentiles", "nan"], 2, "nan: these are no percentiles"),
        (["--percentiles", ""], 2, "these are no percentiles"),
        (["--against", "none.json"], 4, "none.json: No such file or directory"),
        (["--images", "nowhere"], 4, "nowhere: there is no such folder"),
        (["--end-to-end", "--size", "28x42"], 2, "28x42: end to end, sizes are square"),
        (["--end-to-end", "--size", "532"], 2, "532x532: end to end, sizes are square"),
        (["--json", "--markdown"], 2, "only one at a time"),
        (["--model", "dinov2-large"], 4, "dinov2-large: its weights are not on this machine"),
        (["--model", "color-histogram"], 2, "color-histogram: is neither a known model"),
        (["--model", "nothing.pth"], 4, "nothing.pth"),
        (["--random", "--model", "vast"], 2, "vast: is neither a known model"),
        (["--precision", "fp8"], 2, "fp8: no such precision"),
        (["--engine", "numpy", "--precision", "bf16"], 2, "numpy: it cannot calculate in bfloat16"),
        (["--read", "x.json"], 4, "x.json: No such file or directory"),
    ],
)
def test_bad_input_is_told_in_one_line_before_anything_is_measured(
    dinoseek, monkeypatch, arguments, code, words
):
    monkeypatch.setattr(rounds, "Worker", None)

    result = dinoseek("bench", *arguments)

    assert (result.code, result.err.count("\n")) == (code, 1), result.err
    assert words in result.err


def test_an_engine_that_is_named_may_lack_one_precision_but_not_all(measure):
    both = ("--precision", "fp32", "--precision", "bf16")

    found = measure("--engine", "numpy", "--batch", "1", *both, "--json").json

    assert [each["precision"] for each in found["results"]] == ["float32"]
    assert [each["code"] for each in found["left_out"]] == ["engine.precision"]


def test_an_engine_that_is_not_installed_says_how_to_install_it(measure, monkeypatch):
    monkeypatch.setattr("dinoseek.bench.plan.is_installed", lambda name: name == "numpy")
    monkeypatch.setattr(rounds, "Worker", None)

    result = measure("--engine", "numpy", "--engine", "torch", "--batch", "1", expected=2)

    assert result.err.endswith("it is not installed; needs: pip install 'dinoseek[torch]'\n")


def test_an_against_that_is_no_run_is_refused(dinoseek, tmp_path):
    (tmp_path / "other.json").write_text("{}")

    result = dinoseek("bench", "--against", "other.json")

    assert (result.code, "it is no run of dinoseek bench" in result.err) == (5, True)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(MachineError, match="no pictures"):
        bench_options.pictures_of(tmp_path)
