"""A run's configuration: every key is known, of its type, and given once."""

import pytest
import yaml

from dinoseek.errors import MachineError, UsageError
from dinoseek.train.config_file import as_yaml, load_config

BASIS = "data: photos\noutput_dir: runs/x\n"


def load(tmp_path, text=BASIS, settings=()):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config(path, settings)


def test_paths_are_relative_to_the_file_and_those_of_set_to_here(tmp_path):
    config = load(tmp_path, BASIS + "model: ./own.safetensors\n", ["val_data=here/val"])

    assert config.data == tmp_path / "photos"
    assert config.output_dir == tmp_path / "runs/x"
    assert config.model == str(tmp_path / "own.safetensors")
    assert str(config.val_data) == "here/val"


def test_a_learning_rate_without_a_point_is_a_number(tmp_path):
    assert load(tmp_path, BASIS + "learning_rate: 1e-4\n").rate == 1e-4


def test_the_learning_rate_of_the_file_is_the_one_that_is_used(tmp_path):
    assert load(tmp_path, BASIS + "lr: 3.0e-4\n").rate == 3e-4


def test_what_was_not_said_is_usual_for_the_method(tmp_path):
    assert load(tmp_path).rate == 2e-4
    assert load(tmp_path, settings=["method=full"]).rate == 2e-5
    assert load(tmp_path, settings=["lora_r=8"]).alpha == 16


def test_written_out_it_reads_back_the_same(tmp_path):
    config = load(
        tmp_path, BASIS + "crop_area: [0.5, 1]\nloss_options: {ntxent: {temperature: 0.1}}"
    )

    (tmp_path / "again.yaml").write_text(as_yaml(config))

    assert load_config(tmp_path / "again.yaml") == config
    assert yaml.safe_load(as_yaml(config))["crop_area"] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "named", "told"),
    [
        ("learning_rat: 1", "learning_rat", "did you mean learning_rate?"),
        ("use_lora: true", "use_lora", "say method: lora"),
        ("lr: 1e-4\nlearning_rate: 1e-4", "learning_rate", "is the same as lr"),
        ("epochs: 3\nepochs: 4", "epochs", "is given twice, again in line 4"),
        ("loss_options: {ntxent: {temperature: 1, temperature: 2}}", "temperature", "twice"),
        ("epochs: 1.5", "epochs", "expected a whole number"),
        ("epochs: true", "epochs", "expected a whole number"),
        ("flip: often", "flip", "expected a number"),
        ("epochs: 0", "epochs", "expected one or more"),
        ("method: lara", "method", "one of lora, full, head"),
        ("crop_area: [0.5]", "crop_area", "expected a list"),
        ("crop_area: [0.9, 0.5]", "area", "out of range"),
        ("lora_target_modules: q,qkv", "lora_target_modules", "expected some of"),
        ("report_to: tensorbord", "report_to", "tensorboard or wandb"),
        ("preprocess: offical", "offical", "did you mean official?"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path, text, named, told):
    with pytest.raises(UsageError) as found:
        load(tmp_path, f"{BASIS}{text}\n")

    assert found.value.subject == named
    assert told in str(found.value)


@pytest.mark.parametrize(
    "setting",
    ["lora_r=0", "lora_r=5000", "lora_alpha=0", "learning_rate=1e9", "batch_size=4",
     "batch_size=10", "images_per_class=1", "val_share=1", "seed=-1"],
)  # fmt: skip
def test_FT_06_numbers_that_cannot_be_meant_are_refused(tmp_path, setting):
    with pytest.raises(UsageError) as found:
        load(tmp_path, settings=[setting])

    assert found.value.code == "train.config"


@pytest.mark.parametrize(
    "settings", [["epochs"], ["epochs=3", "epochs=4"], ["lr=1", "learning_rate=1"]]
)
def test_set_takes_each_key_once(tmp_path, settings):
    with pytest.raises(UsageError, match=r"key=value|is set twice"):
        load(tmp_path, settings=settings)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "epochs: 3", "\x00"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text):
    with pytest.raises(UsageError) as found:
        load(tmp_path, text)

    assert found.value.code == "train.config"


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(MachineError, match="No such file"):
        load_config(tmp_path / "none.yaml")
