"""Measuring in turns, with processes as they are."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from dinoseek.bench import process, rounds
from dinoseek.bench.plan import Settings
from dinoseek.bench.process import Worker
from dinoseek.bench.rounds import LeftOut, Started, Turn, measure
from dinoseek.encoders.factory import load_encoder
from dinoseek.errors import MachineError, UsageError, WeightsError

QUICK = Settings(rounds=2, repeats=2, warm_up=1)


@pytest.fixture(autouse=True)
def short_peaks(monkeypatch):
    monkeypatch.setattr(rounds, "_PEAK_SECONDS", 0.0)


def test_each_combination_starts_once_and_has_a_turn_in_each_round(case) -> None:
    other = dataclasses.replace(case, batch=1)

    events = list(measure([case, other], QUICK))

    kinds = [(type(event).__name__, event.case.batch) for event in events]
    assert kinds == [
        ("Started", 2), ("Started", 1), ("Turn", 2), ("Turn", 1), ("Turn", 1), ("Turn", 2),
    ]  # fmt: skip
    assert all(len(turn.ms) == 2 and min(turn.ms) > 0 for turn in events[2:])
    assert all(turn.peak_gflops > 0 for turn in events[2:])


def test_the_token_is_that_of_the_first_image_in_batches_of_any_length(case) -> None:
    shape = (1, 3, *case.size)
    pixels = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected = load_encoder(case.model.path, "numpy").class_tokens(pixels)[0]

    events = measure([case, dataclasses.replace(case, batch=5)], Settings(rounds=1, repeats=1))
    tokens = [event.token for event in events if isinstance(event, Started)]

    for token in tokens:
        np.testing.assert_allclose(token, expected, atol=1e-5)


def test_end_to_end_goes_through_picture_files(case, tmp_path) -> None:
    from dinoseek.bench.pictures import photograph

    for seed in range(3):
        (tmp_path / f"{seed}.jpg").write_bytes(photograph(seed, 64, 48))
    square = dataclasses.replace(case, size=(28, 28))
    settings = dataclasses.replace(
        QUICK, rounds=1, end_to_end=True, pictures=tuple(tmp_path.glob("*.jpg"))
    )
    _, turn = measure([square], settings)
    assert turn.end_to_end_images_per_s > 0

    (tmp_path / "1.jpg").write_bytes(b"no picture")
    _, left_out = measure([square], settings)
    assert left_out.error.code == "image.unrecognised"


def test_what_one_cannot_do_keeps_no_other_from_being_measured(case, tmp_path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    bad = dataclasses.replace(
        case, model=dataclasses.replace(case.model, path=tmp_path / "bad.safetensors")
    )

    left_out, *others = measure([bad, case], QUICK)

    assert isinstance(left_out, LeftOut)
    assert isinstance(left_out.error, WeightsError)
    assert [type(event) for event in others] == [Started, Turn, Turn]


def test_an_engine_that_there_is_not_is_told_as_the_factory_does(case) -> None:
    (left_out,) = measure([dataclasses.replace(case, engine="abacus")], QUICK)

    assert isinstance(left_out.error, UsageError)
    assert left_out.error.code == "engine.unknown"


def test_a_process_that_is_killed_is_left_out_and_the_others_go_on(case, monkeypatch) -> None:
    other = dataclasses.replace(case, batch=1)
    started, processes = Worker.__init__, []

    def remembered(self, *arguments):
        started(self, *arguments)
        processes.append(self._process)

    monkeypatch.setattr(Worker, "__init__", remembered)
    events = []
    for event in measure([case, other], QUICK):
        events.append(event)
        if len(events) == 2:
            os.kill(processes[0].pid, signal.SIGKILL)

    crashed = [event for event in events if isinstance(event, LeftOut)]
    assert [(each.case, each.error.code) for each in crashed] == [(case, "bench.crashed")]
    assert "status -9" in crashed[0].error.reason
    assert [event.case for event in events if isinstance(event, Turn)] == [other, other]


def test_no_process_is_left_when_the_consumer_stops(case, monkeypatch) -> None:
    processes = []
    popen = process.subprocess.Popen
    monkeypatch.setattr(
        process.subprocess,
        "Popen",
        lambda *a, **k: processes.append(popen(*a, **k)) or processes[-1],
    )
    events = measure([case], QUICK)
    next(events)
    events.close()

    assert [each.poll() is not None for each in processes] == [True]


def test_what_a_broken_process_said_last_is_told(monkeypatch) -> None:
    program = (process.sys.executable, "-c", "raise SystemExit('no such library')")
    monkeypatch.setattr(process, "_PROGRAM", program)

    with pytest.raises(MachineError, match="no such library"):
        Worker({"kind": "peak", "threads": 1}, "it")
