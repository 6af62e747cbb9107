"""The program around the commands: errors, exit codes, settings, signals, start-up."""

import json
import subprocess
import sys

import pytest

from dinoseek.cli.main import COMMANDS


def program(*arguments, **options):
    command = [sys.executable, "-m", "dinoseek", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_starts_its_help_with_examples(dinoseek, name):
    result = dinoseek(name, "--help")

    assert result.code == 0
    usage, _, rest = result.out.partition("\n\n")
    assert usage.startswith(f"Usage: dinoseek {name}")
    assert rest.lstrip().startswith("Examples:")
    assert rest.count(f"dinoseek {name}") >= 2


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['dinoseek', '--help']\n"
        "from dinoseek.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'PIL', 'rich', 'huggingface_hub', 'sqlite3', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stderr.strip() == "[]"


def test_CFG_11_an_unknown_command_names_the_nearest(dinoseek):
    result = dinoseek("serch")

    assert (result.code, result.out) == (2, "")
    assert result.err == "error: serch: no such command; did you mean search?\n"


def test_CFG_11_an_unknown_flag_names_the_nearest(dinoseek):
    result = dinoseek("search", "a.jpg", "--jsn")

    assert (result.code, result.out) == (2, "")
    assert "did you mean --json" in result.err


def test_CFG_11_a_flag_given_twice_is_refused(dinoseek):
    assert "is given twice" in dinoseek("search", "a.jpg", "-k", 3, "-k", 4).err


def test_CFG_15_a_failure_with_json_is_one_json_object(dinoseek):
    result = dinoseek("info", "no.dino", "--json")

    assert json.loads(result.out)["code"] == "gallery.missing"
    assert result.code == json.loads(result.out)["exit_code"] == 4


def test_the_traceback_comes_only_with_debug(dinoseek):
    assert "Traceback" not in dinoseek("info", "no.dino").err
    assert "Traceback" in dinoseek("info", "no.dino", "--debug").err


def test_CFG_12_a_reader_that_leaves_early_causes_no_traceback(gallery, photos):
    arguments = f"search {photos} --gallery {gallery} -k 12 --jsonl"
    pipe = f"{sys.executable} -m dinoseek {arguments} | head -n 1"

    run = subprocess.run(["sh", "-c", pipe], capture_output=True, text=True, check=False)

    assert run.stdout.count("\n") == 1
    assert run.stderr == ""


def test_CFG_12_file_names_survive_a_plain_locale(gallery, photos):
    (photos / "火.png").write_bytes((photos / "red-0.png").read_bytes()[:-1])
    environment = {"LC_ALL": "C", "PATH": "/usr/bin", "DINOSEEK_MODEL": "color-histogram"}

    queries = (photos / "火.png", photos / "red-0.png")
    run = program("search", *queries, "--gallery", gallery, env=environment)

    assert "Traceback" not in run.stderr
    assert "red-0.png" in run.stdout


def test_CFG_09_a_flag_beats_the_environment_beats_the_file(
    dinoseek, photos, tmp_path, monkeypatch
):
    (tmp_path / "dinoseek.toml").write_text('model = "no-such-model"\n')
    assert "no-such-model" in dinoseek("index", photos).err

    monkeypatch.setenv("DINOSEEK_MODEL", "another-model")
    assert "another-model" in dinoseek("index", photos).err

    assert dinoseek("index", photos, "--model", "color-histogram").code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modell = 'x'", "did you mean model?"),
        ("k = 'ten'", "k must be a whole number"),
        ("k = 0", "k must be 1 to"),
        ("k = 3\nk = 4", "dinoseek.toml"),
        ("model = [1", "dinoseek.toml"),
    ],
    ids=["CFG_05", "CFG_06", "CFG_07", "CFG_04", "CFG_01"],
)
def test_a_bad_setting_is_named(dinoseek, photos, tmp_path, text, words):
    (tmp_path / "dinoseek.toml").write_text(text)

    result = dinoseek("index", photos, "--model", "color-histogram")

    assert result.code == 2
    assert words in result.err


def test_CFG_01_an_oversized_settings_file_is_refused(dinoseek, photos, tmp_path):
    (tmp_path / "dinoseek.toml").write_text("#" * 70_000)

    assert "larger than 64 KB" in dinoseek("index", photos).err


def test_the_version_is_printed(dinoseek):
    assert dinoseek("--version").out.startswith("dinoseek 0.")
