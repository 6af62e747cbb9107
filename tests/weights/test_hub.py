"""Official models: names, where weights are looked for, what is said when they are not here."""

from pathlib import Path

import pytest

from dinoseek.errors import MachineError, UsageError, WeightsError
from dinoseek.vit.config import SIZES
from dinoseek.weights import hub
from dinoseek.weights.hub import KNOWN, find_model, find_weights, model_name, resolve

NAMES = {f"dinov2-{size}{registers}" for size in SIZES for registers in ("", "-reg")}


@pytest.fixture(autouse=True)
def _no_hub_cache(tmp_path, monkeypatch):
    """Whatever this machine's own cache holds, the tests do not see it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))


def test_the_eight_official_models_are_known():
    assert KNOWN.keys() == NAMES
    assert all(model.licence == "Apache-2.0" for model in KNOWN.values())


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("small", "dinov2-small"),
        ("base", "dinov2-base"),
        ("large", "dinov2-large"),
        ("largest", "dinov2-giant"),
        ("giant", "dinov2-giant"),
        ("dinov2_vits14", "dinov2-small"),
        ("dinov2_vitb14_reg", "dinov2-base-reg"),
        ("dinov2_vitg14_reg", "dinov2-giant-reg"),
        ("DINOv2-Small", "dinov2-small"),
        ("large-reg", "dinov2-large-reg"),
    ],
)
def test_models_answer_to_their_aliases(alias, name):
    assert find_model(alias).name == name


def test_no_alias_means_two_models():
    aliases = [alias for model in KNOWN.values() for alias in (model.name, *model.aliases)]

    assert len(set(aliases)) == len(aliases)


def test_published_places_follow_the_publishers_patterns():
    model = find_model("dinov2-large-reg")

    assert model.repo == "facebook/dinov2-with-registers-large"
    assert model.url == (
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth"
    )
    assert find_model("giant").url.endswith("/dinov2_vitg14/dinov2_vitg14_pretrain.pth")


def test_sizes_parameters_and_configurations_agree_with_each_other():
    for model in KNOWN.values():
        assert 0 < model.bytes - 4 * model.parameters < 100_000  # the header and the mask token
        assert model.config.num_register_tokens == (4 if model.name.endswith("-reg") else 0)
        assert len(model.revision) == 40
        assert model.sha256 is None or len(model.sha256) == 64


@pytest.mark.parametrize("name", ["dinov2-smal", "dinov3-small", "vits14"])
def test_an_unknown_name_is_told_the_nearest(name):
    with pytest.raises(UsageError, match="did you mean") as caught:
        find_model(name)

    assert caught.value.code == "model.unknown"


def test_a_name_like_nothing_gets_the_list():
    with pytest.raises(UsageError, match="known are dinov2-small, dinov2-base"):
        resolve("zzzzzz")


@pytest.mark.parametrize(
    "local",
    [
        "dinov2-small.safetensors",
        "dinov2-small/model.safetensors",
        "dinov2-small/model.safetensors.index.json",
        "dinov2-small.npz",
        "dinov2_vits14_pretrain.pth",
        "vit-dinov2-small.npz",
    ],
)
def test_weights_in_the_models_folder_are_found_under_each_usual_name(tmp_path, local):
    path = tmp_path / local
    path.parent.mkdir(exist_ok=True)
    path.touch()

    assert find_weights("small", tmp_path) == path
    assert resolve("dinov2_vits14", tmp_path) == path
    assert find_weights("small-reg", tmp_path) is None


def test_facebooks_file_of_a_register_model_is_found(tmp_path):
    (tmp_path / "dinov2_vits14_reg4_pretrain.pth").touch()

    assert (
        find_weights("dinov2-small-reg", tmp_path) == tmp_path / "dinov2_vits14_reg4_pretrain.pth"
    )


@pytest.mark.parametrize("revision", ["pinned", "other"])
def test_weights_in_hugging_faces_cache_are_found(tmp_path, revision):
    model = KNOWN["dinov2-small"]
    snapshots = tmp_path / "hub-cache" / "models--facebook--dinov2-small" / "snapshots"
    path = snapshots / (model.revision if revision == "pinned" else "0" * 40) / "model.safetensors"
    path.parent.mkdir(parents=True)
    path.touch()

    assert find_weights("small", tmp_path / "models") == path


def test_without_weights_one_line_says_what_to_fetch_where_to_put_it_and_what_works_at_once(
    tmp_path,
):
    with pytest.raises(MachineError) as caught:
        resolve("base", tmp_path / "models")

    line = str(caught.value)
    assert caught.value.code == "weights.missing"
    assert "\n" not in line
    for part in (
        "dinoseek models download dinov2-base",
        "346 MB",
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        str(tmp_path / "models"),
        "--model dinoseek-tiny",
    ):
        assert part in line


def test_files_and_run_folders_resolve_to_their_weights(tiny, write, tmp_path):
    path = write(tmp_path / "model.safetensors", tiny.flat)

    assert resolve(str(path)) == path
    assert resolve(path) == path
    assert resolve(tmp_path) == path


def test_a_known_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small").mkdir()
    (tmp_path / "models").mkdir()
    weights = tmp_path / "models" / "dinov2-small.safetensors"
    weights.touch()

    assert resolve("small", tmp_path / "models") == weights
    with pytest.raises(MachineError, match="folder without weights"):
        resolve("./small", tmp_path / "models")


@pytest.mark.parametrize("name", ["weights.pth", "runs/7", "~/nowhere"])
def test_a_path_that_is_not_there_is_a_missing_file_and_no_unknown_model(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(MachineError, match="no such weights file") as caught:
        resolve(name)

    assert caught.value.code == "weights.missing"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("largest", "dinov2-giant"),
        ("/w/dinov2_vits14_pretrain.pth", "dinov2_vits14_pretrain"),
        ("runs/tuned/model.safetensors", "tuned"),
        (Path("runs/tuned"), "tuned"),
        ("runs/v1.5.npz", "v1.5"),
        ("model.safetensors", "model"),
    ],
)
def test_weights_have_a_name_for_people(model, name):
    assert model_name(model) == name


def test_looking_for_weights_does_not_load_the_download_library():
    import subprocess
    import sys

    code = """
import sys
from dinoseek.weights.hub import find_weights
find_weights("small", "/nonexistent")
slow = ("httpx", "requests", "huggingface_hub.file_download")
print(any(name.startswith(slow) for name in sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "False\n"


def test_WTS_10_a_download_with_another_hash_is_removed_and_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"tampered")

    with pytest.raises(WeightsError, match=r"SHA-256 is .* expected 0000.*removed") as caught:
        hub.refuse_altered(path, "0" * 64)

    assert caught.value.code == "weights.digest"
    assert not path.exists()
