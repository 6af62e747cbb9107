"""Settings in the file and the environment: what is refused, and what is in force."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = str(Path(__file__).parents[1] / "ingest")  # of the decoder without processes


@pytest.fixture
def with_file(dinoseek, photos, tmp_path):
    """Runs a command beside a settings file with this content."""

    def run(content: str | bytes, *arguments):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "dinoseek.toml").write_bytes(data)
        return dinoseek(*(arguments or ("index", photos, "--model", "color-histogram")))

    return run


@pytest.mark.parametrize(
    "content",
    [b"\x00\x01\x02", b"\xff\xfe", b"#" * 70_000, b"model ="],
    ids=["binary", "no text", "too large", "cut off"],
)
def test_CFG_01_an_unusable_file_is_refused(with_file, content):
    result = with_file(content)

    assert result.code == 2
    assert "dinoseek.toml" in result.err
    assert result.err.count("\n") == 1


def test_CFG_01_an_empty_file_and_a_missing_one_change_nothing(with_file):
    assert with_file("").code == 0


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_CFG_01_what_is_no_file_is_refused_at_once(dinoseek, tmp_path, kind):
    file = tmp_path / "dinoseek.toml"
    file.mkdir() if kind == "folder" else os.mkfifo(file)

    result = dinoseek("config")

    assert (result.code, "is not a file" in result.err) == (2, True)


def test_CFG_02_a_file_cannot_run_code(with_file, tmp_path):
    result = with_file(f"model = !!python/object/apply:os.system ['touch {tmp_path}/canary']")

    assert result.code == 2
    assert not (tmp_path / "canary").exists()


def test_CFG_03_a_deeply_nested_file_is_refused(with_file):
    result = with_file("k = " + "[" * 20_000 + "]" * 20_000)

    assert result.code == 2
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threads = false", "threads must be a whole number"),
        ('threads = "08"', "threads must be a whole number"),
        ("threads = [1]", "threads must be a whole number"),
        ("model = 3", "model must be a text"),
        ("max_megabytes = '1e3'", "max_megabytes must be a number"),
    ],
)
def test_CFG_06_a_value_of_the_wrong_type_is_named(with_file, text, words):
    result = with_file(text)

    assert (result.code, words in result.err) == (2, True)


@pytest.mark.parametrize(
    "text",
    [
        "threads = -1",
        "threads = 0",
        "threads = 1000000000",
        "max_megapixels = nan",
        "max_megapixels = inf",
        "workers = 0",
        "timeout = 0.0",
    ],
)
def test_CFG_07_a_value_out_of_range_is_named_with_the_range(with_file, text):
    result = with_file(text)

    assert (result.code, " to " in result.err, text.split()[0] in result.err) == (2, True, True)


def test_CFG_08_paths_are_relative_to_the_file_and_a_dollar_is_a_dollar(with_file, monkeypatch):
    for name in ("DINOSEEK_MODELS_DIR", "DINOSEEK_CACHE_DIR"):
        monkeypatch.delenv(name)
    text = "gallery = 'sub dir/$HOME.dino'\nmodels_dir = '~/models'\ncache_dir = '../cache'"

    shown = {row["name"]: row["value"] for row in with_file(text, "config", "--json").json}

    assert shown["gallery"] == "sub dir/$HOME.dino"
    assert shown["models_dir"] == str(Path.home() / "models")
    assert shown["cache_dir"] == "../cache"


def test_CFG_09_each_setting_is_shown_with_where_it_comes_from(with_file, monkeypatch):
    monkeypatch.setenv("DINOSEEK_MODEL", "from-the-environment")

    rows = with_file("model = 'from-the-file'\nthreads = 2", "config", "--json").json

    assert {"name": "threads", "value": 2, "source": "dinoseek.toml"} in rows
    assert {
        "name": "model",
        "value": "from-the-environment",
        "source": "DINOSEEK_MODEL",
    } in rows


def test_settings_are_shown_one_a_line(with_file):
    result = with_file("threads = 2\nmodel = 'x'", "config")

    assert [line.split()[0] for line in result.out.splitlines()][-1] == "threads"


SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    "content",
    [f'token = "{SECRET}"', f'token = "{SECRET}', f"token = [{SECRET!r}]", f'tokens = "{SECRET}"'],
)
def test_CFG_10_a_secret_is_shown_nowhere(with_file, content):
    for arguments in (("config",), ("config", "--json"), ("serve", "photos.dino")):
        result = with_file(content, *arguments)
        assert SECRET not in result.out + result.err


def test_CFG_10_a_secret_of_the_environment_is_not_shown_either(with_file, monkeypatch):
    monkeypatch.setenv("DINOSEEK_TOKEN", SECRET)
    result = with_file("", "config", "--json")
    assert '"token"' in result.out
    assert SECRET not in result.out + result.err


@pytest.mark.parametrize("uid", [0, 12345])
def test_CFG_14_another_user_without_a_home_can_work(photos, uid):
    script = """
import os, sys
os.environ.pop("HOME", None)
from dinoseek.cli.main import run
import dinoseek.cli.index, dinoseek.cli.search, dinoseek.gallery.factory, dinoseek.search
import dinoseek.ingest.pipeline, dinoseek.embedder, platformdirs
sys.path.insert(0, sys.argv[4])  # not everyone may start the interpreter of root's home
from here import HerePool
sys.modules["dinoseek.ingest.pipeline"].DecoderPool = HerePool
if os.getuid() == 0 and int(sys.argv[3]):
    os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
folder, gallery = sys.argv[1:3]
common = ["--gallery", gallery, "--model", "color-histogram", "--cache-dir", gallery + ".cache"]
sys.exit(run(["index", folder, *common]) or run(["search", "id:1", *common[:2]]))
"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        pictures = folder / "photos"
        pictures.mkdir()
        for photo in photos.rglob("*.png"):
            (pictures / photo.name).write_bytes(photo.read_bytes())
        command = [
            sys.executable,
            "-c",
            script,
            str(pictures),
            str(folder / "g.dino"),
            str(uid),
            HERE,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_CFG_14_a_folder_that_is_gone_gives_one_clear_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r});"
    script += "from dinoseek.cli.main import run; raise SystemExit(run(['search', 'x.jpg']))"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode in (2, 4)
    assert (done.stderr.count("\n"), "Traceback" in done.stderr) == (1, False), done.stderr
