"""Timing engines: in processes that may break, once, and remembered for a machine and versions."""

import json
import sys

import pytest

from dinoseek.encoders import speed_trial, speeds
from dinoseek.encoders.speeds import Speed

from ..vit.tiny import tiny_config


@pytest.fixture
def timed(monkeypatch):
    """Replaces the trials; returns the engines that were timed."""
    asked = []

    def trial(engine, threads=None):
        asked.append(engine)
        if engine == "onnx":
            return [Speed(engine=engine, precision="float32", fault="it ended with status -11")]
        return [Speed(engine=engine, precision="float32", ms=10.0 / len(asked))]

    monkeypatch.setattr(speeds, "trial", trial)
    monkeypatch.setattr(speeds, "installed", lambda: ("numpy", "onnx", "torch"))
    return asked


def test_the_fastest_comes_first_and_what_failed_last(timed, tmp_path):
    found = speeds.speeds(cache_dir=tmp_path)
    assert [(each.engine, each.ms) for each in found] == [
        ("torch", pytest.approx(10 / 3)),
        ("numpy", 10.0),
        ("onnx", None),
    ]


def test_engines_are_timed_once(timed, tmp_path):
    assert speeds.recalled(cache_dir=tmp_path) is None
    first = speeds.speeds(cache_dir=tmp_path)
    assert speeds.speeds(cache_dir=tmp_path) == first
    assert timed == ["numpy", "onnx", "torch"]


@pytest.mark.parametrize("change", ["version", "engines", "processor", "threads", "asked"])
def test_another_machine_or_version_is_timed_anew(timed, tmp_path, monkeypatch, change):
    speeds.speeds(cache_dir=tmp_path)
    threads = None
    if change == "version":
        monkeypatch.setattr(speeds, "installed_version", lambda _: "99")
    elif change == "engines":
        monkeypatch.setattr(speeds, "installed", lambda: ("numpy", "onnx"))
    elif change == "processor":
        monkeypatch.setattr(speeds, "_processor", lambda: "another")
    elif change == "threads":
        threads = 3

    speeds.speeds(threads, tmp_path)
    if change == "asked":
        speeds.forget(cache_dir=tmp_path)
        speeds.speeds(cache_dir=tmp_path)

    assert timed.count("numpy") == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda _: 3,
        lambda _: [],
        lambda rows: rows[:2],
        lambda rows: [row[:3] for row in rows],
        lambda rows: [[*row[:2], -1.0, ""] for row in rows],
        lambda rows: [[*row[:2], "1", ""] for row in rows],
        lambda rows: [[*row[:2], float("nan"), ""] for row in rows],
        lambda rows: [["__import__", *row[1:]] for row in rows],
        lambda rows: [[row[0], "float8", *row[2:]] for row in rows],
        lambda rows: [[*row[:2], None, ""] for row in rows],
    ],
)
def test_a_memory_that_makes_no_sense_is_replaced(timed, tmp_path, spoil):
    expected = speeds.speeds(cache_dir=tmp_path)
    file = tmp_path / "engine-speeds.json"
    content = json.loads(file.read_text())
    (key,) = content["machines"]
    content["machines"][key] = spoil(content["machines"][key])
    file.write_text(json.dumps(content))
    timed.clear()

    assert {each.engine for each in speeds.speeds(cache_dir=tmp_path)} == {"numpy", "onnx", "torch"}

    assert timed == ["numpy", "onnx", "torch"]
    assert speeds.recalled(cache_dir=tmp_path) is not None
    assert len(expected) == 3


@pytest.mark.parametrize("content", [b"", b"\0", b"[1]", b'{"format": 2, "machines": {}}'])
def test_a_damaged_file_is_replaced(timed, tmp_path, content):
    (tmp_path / "engine-speeds.json").write_bytes(content)
    speeds.speeds(cache_dir=tmp_path)
    assert speeds.recalled(cache_dir=tmp_path) is not None


def test_a_file_of_another_version_is_replaced(timed, tmp_path):
    speeds.speeds(cache_dir=tmp_path)
    file = tmp_path / "engine-speeds.json"
    file.write_text(file.read_text().replace('"format": 1', '"format": 2'))
    assert speeds.recalled(cache_dir=tmp_path) is None


def test_a_folder_that_cannot_be_written_is_no_error(timed, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert speeds.speeds(cache_dir=tmp_path / "file")[0].engine == "torch"


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("import os; os.abort()", "it ended with status -6"),
        ("import sys; sys.exit('no such instruction')", "no such instruction"),
        ("raise ImportError('libgomp.so.1: cannot open')", "ImportError: libgomp.so.1: cannot"),
        ("print('hello')", "it ended with status 0"),
        ("print('[1, 2]')", "it ended with status 0"),
        ("print('{\"float32\": []}')", "it ended with status 0"),
        ("pass", "it ended with status 0"),
        ("import time; time.sleep(60)", "it was not done within 1 seconds"),
    ],
)
def test_whatever_a_trial_does_it_is_only_a_fault_of_its_engine(monkeypatch, program, fault):
    monkeypatch.setattr(speeds, "_SECONDS", 1.0 if "sleep" in program else 60.0)
    (found,) = speeds.trial("onnx", program=(sys.executable, "-c", program))
    assert (found.engine, found.ms) == ("onnx", None)
    assert found.fault.startswith(fault)


def test_a_python_that_cannot_be_started_is_a_fault_too(tmp_path):
    (found,) = speeds.trial("torch", program=(str(tmp_path / "python"),))
    assert found.fault.startswith("it could not be started")


def test_what_a_library_prints_does_not_hide_the_answer():
    program = 'print(\'loading...\'); print(\'{"float32": 3.25, "bfloat16": "no such type"}\')'
    assert speeds.trial("openvino", program=(sys.executable, "-c", program)) == [
        Speed(engine="openvino", precision="float32", ms=3.25),
        Speed(engine="openvino", precision="bfloat16", fault="no such type"),
    ]


@pytest.mark.slow
def test_a_real_trial_of_numpy_takes_some_time():
    (found,) = speeds.trial("numpy", 1)
    assert found.fault == ""
    assert found.precision == "float32"
    assert found.ms > 1  # 4 GFLOP on one core


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(speed_trial, "SHAPE", tiny_config())
    monkeypatch.setattr(speed_trial, "SIDE", 28)
    monkeypatch.setattr(speed_trial, "_SECONDS", 0)


def test_the_program_answers_for_each_precision(small, capsys, monkeypatch):
    real = speed_trial.build

    def build(engine, *arguments, precision, **options):
        if precision == "bfloat16":
            raise RuntimeError("no such type\nin line 3")
        return real("numpy", *arguments, **options)

    monkeypatch.setattr(speed_trial, "usual_precisions", lambda _: ("bfloat16", "float32"))
    monkeypatch.setattr(speed_trial, "build", build)

    speed_trial.main("openvino", "1")

    answer = json.loads(capsys.readouterr().out)
    assert answer["bfloat16"] == "RuntimeError: no such type"
    assert answer["float32"] > 0
