"""From turns to numbers, and to a document that can be read back."""

import json

import numpy as np
import pytest

from dinoseek.bench.plan import Settings
from dinoseek.bench.result import Collector, document, read_document
from dinoseek.bench.rounds import LeftOut, Started, Turn
from dinoseek.errors import DataError, MachineError, UsageError


def started(case, engine="numpy", precision="float32", token=(1.0, 0.0), device="cpu"):
    return Started(
        case=case,
        engine=engine,
        precision=precision,
        device=device,
        load_s=0.5,
        peak_memory_mb=12.5,
        token=np.array(token, np.float32),
    )


def turn(case, *ms, peak=100.0, whole=None):
    return Turn(case=case, ms=ms, peak_gflops=peak, end_to_end_images_per_s=whole)


def collected(*events, **settings):
    found = Collector(Settings(**settings))
    for event in events:
        found.add(event)
    return found


def test_rates_are_medians_over_rounds_and_milliseconds_of_all_calls(case) -> None:
    turns = [turn(case, 10.0, 30.0), turn(case, 20.0, 20.0), turn(case, 40.0, 40.0)]

    (result,) = collected(started(case), *turns, percentiles=(0, 50)).results()

    assert result.rounds == [100.0, 100.0, 50.0]  # of 2 images a call
    assert result.images_per_s == 100.0
    assert result.ms == {
        "avg": pytest.approx(80 / 3), "min": 10.0, "max": 40.0, "p0": 10.0, "p50": 25.0,
    }  # fmt: skip
    assert result.calls == 6


def test_the_share_of_the_peak_is_taken_in_each_round(case) -> None:
    flops = case.flops
    turns = [turn(case, 2000.0, peak=flops / 1e9 * k) for k in (2, 4, 10)]

    found = collected(started(case), *turns)
    (result,) = found.results()

    assert result.images_per_s == 1.0
    assert result.gflops == pytest.approx(flops / 1e9)
    assert result.peak_share == pytest.approx(1 / 4)
    assert found.peaks() == {1: pytest.approx(flops / 1e9 * 4)}


def test_a_share_of_the_processors_peak_means_nothing_on_another_device(case) -> None:
    (result,) = collected(started(case, device="cuda"), turn(case, 1.0)).results()

    assert result.peak_share is None


def test_cosines_are_with_the_numpy_engine_in_float32(case) -> None:
    import dataclasses

    other = dataclasses.replace(case, engine="torch", batch=7)
    alone = dataclasses.replace(case, size=(28, 28))
    found = collected(
        started(other, engine="torch", token=(3.0, 4.0)),
        started(case, token=(2.0, 0.0)),
        started(alone, engine="torch"),
        *(turn(each, 1.0) for each in (other, case, alone)),
    )

    assert [r.cosine for r in found.results()] == [pytest.approx(0.6), pytest.approx(1.0), None]


def test_a_document_can_be_read_back(case, tmp_path) -> None:
    error = UsageError("engine.missing", "torch", "it is not installed")
    found = collected(started(case), turn(case, 10.0, whole=3.0), LeftOut(case=case, error=error))
    written = document(found)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(written))

    read = read_document(path)

    assert json.loads(json.dumps(read)) == json.loads(json.dumps(written))
    assert read["results"][0]["end_to_end_images_per_s"] == 3.0
    assert read["left_out"][0]["code"] == "engine.missing"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"dinoseek": "bench", "format": 2}',
        '{"dinoseek": "evaluation", "format": 1}',
        '{"dinoseek": "bench", "format": 1, "results": [1]}',
        '{"dinoseek": "bench", "format": 1, "results": []}',
    ],
)
def test_what_is_no_run_is_refused_in_one_line(tmp_path, content) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)

    with pytest.raises(DataError) as caught:
        read_document(path)
    assert caught.value.code == "bench.format"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rounds", []), ("rounds", ["1"]), ("ms", [1]), ("size", "x"), ("images_per_s", None)],
)
def test_a_run_with_a_damaged_result_is_refused(case, tmp_path, key, value) -> None:
    content = document(collected(started(case), turn(case, 1.0)))
    content["results"][0][key] = value
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))

    with pytest.raises(DataError) as caught:
        read_document(path)
    assert caught.value.code == "bench.format"


def test_a_file_that_is_not_there_is_named(nobody) -> None:
    with pytest.raises(MachineError) as caught:
        read_document(nobody)
    assert caught.value.code == "path.unreadable"


def test_a_huge_file_is_not_read(tmp_path) -> None:
    path = tmp_path / "run.json"
    with path.open("wb") as file:
        file.truncate(20_000_000)

    with pytest.raises(DataError, match="bytes"):
        read_document(path)
