"""`dinoseek models`: list, download and path."""

import json

import pytest
from click.testing import CliRunner

from dinoseek.cli.models import command
from dinoseek.errors import MachineError, UsageError
from dinoseek.weights import hub


@pytest.fixture(autouse=True)
def _no_hub_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))


@pytest.fixture
def run(tmp_path):
    """Runs the command with a models folder in the environment; what it raises is raised."""

    def invoke(*arguments: str):
        environment = {"DINOSEEK_MODELS_DIR": str(tmp_path / "models")}
        return CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)

    (tmp_path / "models").mkdir()
    return invoke


def test_list_shows_every_model_with_size_licence_and_whether_it_is_here(run, tmp_path):
    (tmp_path / "models" / "dinov2-base.safetensors").touch()

    lines = run("list").stdout.splitlines()

    assert len(lines) == 10
    small = next(line for line in lines if line.startswith("dinov2-small "))
    assert all(
        word in small for word in ("dinov2_vits14", "88 MB", "22 M", "Apache-2.0", "not here")
    )
    base = next(line for line in lines if line.startswith("dinov2-base "))
    assert str(tmp_path / "models" / "dinov2-base.safetensors") in base  # whole, however long


def test_list_as_json_has_the_same_for_programs(run, tmp_path):
    path = tmp_path / "models" / "dinov2_vitg14_reg4_pretrain.pth"
    path.touch()

    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}

    assert rows.keys() == {*hub.KNOWN, "dinoseek-tiny"}
    assert rows["dinoseek-tiny"]["path"] == str(hub.built_in_weights())
    assert rows["dinov2-giant-reg"]["path"] == str(path)
    assert rows["dinov2-small"] == {
        "name": "dinov2-small",
        "aliases": ["dinov2_vits14", "small"],
        "bytes": 88249960,
        "parameters": 22056192,
        "licence": "Apache-2.0",
        "path": None,
    }


def test_path_prints_the_file_and_nothing_else(run, tmp_path):
    path = tmp_path / "models" / "dinov2-small.safetensors"
    path.touch()

    assert run("path", "small").stdout == f"{path}\n"


def test_path_of_a_model_that_is_not_here_says_what_to_do(run):
    with pytest.raises(MachineError, match="dinoseek models download dinov2-small"):
        run("path", "small")


def test_download_prints_each_path_on_stdout_and_the_rest_on_stderr(run, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        hub, "download", lambda name, folder: (asked.append(name), folder / name)[1]
    )

    result = run("download", "small", "dinov2_vitb14_reg")

    folder = tmp_path / "models"
    assert asked == ["dinov2-small", "dinov2-base-reg"]
    assert result.stdout == f"{folder / 'dinov2-small'}\n{folder / 'dinov2-base-reg'}\n"
    assert "88 MB from facebook/dinov2-small, licence Apache-2.0" in result.stderr


def test_a_wrong_name_is_told_before_anything_is_downloaded(run, monkeypatch):
    monkeypatch.setattr(hub, "download", lambda *_: pytest.fail("downloaded"))

    with pytest.raises(UsageError, match="did you mean"):
        run("download", "small", "dinov2-smal")


def test_download_needs_a_name(run):
    result = run("download")

    assert result.exit_code == 2
    assert "NAME" in result.stderr
