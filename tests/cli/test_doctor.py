"""`dinoseek doctor`: what it looks at, and what it says to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import PIL.features
import pytest

from dinoseek.cli import doctor
from dinoseek.cli.main import run
from dinoseek.vit import blas
from dinoseek.weights.hub import KNOWN


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "_SECONDS", 0.005)


@pytest.fixture
def checks(capsys):
    def look(*arguments: str, expected: int = 0) -> dict[str, dict[str, str]]:
        assert run(["doctor", "--json", *arguments]) == expected
        answer = json.loads(capsys.readouterr().out)
        assert answer["good"] == (expected == 0)
        return {check["name"]: check for check in answer["checks"]}

    return look


def test_everything_that_decides_speed_and_results_is_named(checks):
    found = checks()

    names = {"Python", "NumPy", "BLAS", "threads", "speed, 1 thread", "numpy", "Pillow", "JPEG"}
    assert found.keys() >= names | {"WebP", "PNG", "SQLite", "cache", *KNOWN, "color-histogram"}
    assert found["speed, 1 thread"]["found"].endswith(" GFLOP/s")
    assert float(found["speed, 1 thread"]["found"].split()[0]) > 1


def test_an_extra_that_is_not_here_comes_with_the_command_that_brings_it(checks, monkeypatch):
    assert checks()["web"]["status"] == "good"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    web = checks()["web"]
    assert web["status"] == "info"
    assert "pip install 'dinoseek[web]'" in web["found"]


def test_a_model_that_is_not_here_comes_with_the_command_that_gets_it(checks, tmp_path):
    found = checks("--models-dir", str(tmp_path))

    small = found["dinov2-small"]
    assert small["status"] == "warning"
    assert small["fix"].endswith("dinoseek models download dinov2-small")
    assert "dinoseek models download dinov2-giant" in found["dinov2-giant"]["found"]
    assert found["color-histogram"]["status"] == "good"


def test_a_model_that_is_here_is_shown_with_its_file(checks, tmp_path):
    file = tmp_path / KNOWN["dinov2-base"].local_names[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"weights")

    found = checks("--models-dir", str(tmp_path))

    assert (found["dinov2-base"]["status"], found["dinov2-base"]["found"]) == ("good", str(file))
    assert found["dinov2-small"]["status"] == "info"  # one model is enough


def test_slow_kernels_are_a_warning_that_says_what_to_do(checks, monkeypatch):
    monkeypatch.setattr(blas, "on_slow_kernels", lambda: True)

    found = checks()

    assert found["BLAS"]["status"] == "warning"
    assert "OPENBLAS_CORETYPE=SkylakeX" in found["BLAS"]["fix"]


def test_a_pin_that_the_command_line_lifted_is_told():
    (check,) = doctor.lifted_pin("Haswell", "SkylakeX")

    assert "Haswell of the environment is overruled by SkylakeX" in check.found
    assert list(doctor.lifted_pin("SkylakeX", "SkylakeX")) == []
    assert list(doctor.lifted_pin(None, "SkylakeX")) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux only")
def test_the_environment_is_read_as_the_process_found_it():
    code = (
        "import os; os.environ['OPENBLAS_CORETYPE'] = 'SkylakeX';"
        "from dinoseek.cli.doctor import started_with;"
        "print(started_with('OPENBLAS_CORETYPE'), started_with('NOT_SET'))"
    )
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell"}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == "Haswell None\n"


@pytest.mark.parametrize(
    ("part", "kind"), [("jpg", "JPEG"), ("webp", "WebP"), ("libtiff", "compressed TIFF")]
)
def test_a_missing_codec_is_broken(part, kind, checks, monkeypatch):
    real = PIL.features.check
    monkeypatch.setattr(PIL.features, "check", lambda name: name != part and real(name))

    found = checks(expected=4)

    assert found[kind]["status"] == "broken"
    assert "pip install" in found[kind]["fix"]


def test_jpeg_without_turbo_is_a_warning(monkeypatch):
    real = PIL.features.check
    monkeypatch.setattr(PIL.features, "check", lambda name: name != "libjpeg_turbo" and real(name))

    statuses = [check.status for check in doctor.pictures() if check.name == "JPEG"]

    assert statuses == ["good", "warning"]


def test_a_cache_that_cannot_be_written_is_broken(checks, tmp_path):
    (tmp_path / "file").write_bytes(b"")

    found = checks("--cache-dir", str(tmp_path / "file" / "cache"), expected=4)

    assert found["cache"]["status"] == "broken"
    assert "--cache-dir" in found["cache"]["fix"]


def test_looking_makes_no_folder(checks, tmp_path):
    checks("--cache-dir", str(tmp_path / "cache"), "--models-dir", str(tmp_path / "models"))

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_LITTLE_ROOM", 10**30)

    (check,) = doctor.free_room(tmp_path)

    assert check.status == "warning"


def test_in_a_pipe_it_speaks_ascii_with_a_verdict_at_the_end(capsys, tmp_path):
    assert run(["doctor", "--models-dir", str(tmp_path)]) == 0

    out, err = capsys.readouterr()
    assert out.isascii()
    assert err == ""
    assert "\n  warn " in out
    assert "warning" in out.splitlines()[-1]


def test_the_verdict_counts_what_is_wrong():
    checks = [doctor.good("a", "b", "c"), doctor.warning("a", "b", "c", "d")]

    assert doctor.verdict(checks[:1]) == "All is well."
    assert doctor.verdict(checks) == "1 warning: see the lines with ->"
