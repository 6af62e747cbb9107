"""`dinoseek index`: accounting, failures, defaults, and what it says."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image

MODEL = ("--model", "color-histogram")


def test_the_summary_accounts_for_every_file_on_stderr(dinoseek, photos):
    result = dinoseek("index", photos, *MODEL, "--gallery", "a.dino")

    assert result.code == 0
    assert result.out == ""
    expected = "12 files: 12 stored, 0 unchanged, 0 duplicates, 0 failed; a.dino has 12 images"
    assert expected in result.err


def test_the_gallery_is_named_after_the_folder_unless_told(dinoseek, photos, tmp_path):
    result = dinoseek("index", photos, *MODEL)

    assert "gallery: photos.dino" in result.err
    assert (tmp_path / "photos.dino/gallery.sqlite").exists()


def test_a_second_run_does_only_what_is_new(dinoseek, photos, gallery):
    Image.new("RGB", (30, 30), "white").save(photos / "white.png")
    (photos / "red-0.png").unlink()
    (photos / "red-1.png").rename(photos / "sub/moved.png")

    counts = dinoseek("index", photos, "--gallery", gallery, "--json").json

    assert (counts["stored"], counts["removed"], counts["failed"]) == (1, 2, 0)
    assert counts["skipped"] == 11
    assert counts["images"] == 12


def test_a_broken_file_is_listed_with_its_code_and_does_not_stop_the_run(dinoseek, photos):
    (photos / "broken.jpg").write_bytes(b"this is not a picture")

    result = dinoseek("index", photos, *MODEL, "--gallery", "a.dino")

    assert result.code == 3
    assert "12 stored" in result.err
    assert "1 failed" in result.err
    assert "image.unrecognised" in result.err
    assert "broken.jpg" in result.err
    assert dinoseek("info", "a.dino", "--json").json["failures"][0]["code"] == "image.unrecognised"


def test_limits_on_pixels_and_bytes_can_be_set(dinoseek, photos):
    ask = ("index", photos, *MODEL, "--json", "--gallery")

    pixels = dinoseek(*ask, "a.dino", "--max-megapixels", 0.01).json
    nothing = dinoseek(*ask, "b.dino", "--max-megabytes", 0.001).json

    assert pixels["failed"] == 0
    assert {each["code"] for each in nothing["failures"]} == {"image.too_large_bytes"}


def test_json_accounts_exactly(dinoseek, photos):
    (photos / "copy.png").write_bytes((photos / "red-0.png").read_bytes())
    (photos / "empty.jpg").write_bytes(b"")

    counts = dinoseek("index", photos, *MODEL, "--gallery", "a.dino", "--json").json

    parts = ("stored", "skipped", "duplicates", "failed")
    assert counts["total"] == 14 == sum(counts[part] for part in parts)
    assert counts["duplicates"] == 1
    assert counts["failures"][0]["code"] == "image.empty"


def test_the_gallery_remembers_its_model(dinoseek, photos, gallery):
    result = dinoseek("index", photos, "--gallery", gallery)

    assert result.code == 0
    assert "12 unchanged" in result.err


def test_a_moved_folder_keeps_its_vectors(dinoseek, photos, gallery, tmp_path):
    photos.rename(tmp_path / "elsewhere")

    counts = dinoseek(
        "index", tmp_path / "elsewhere", "--moved-from", photos, "--gallery", gallery, "--json"
    ).json

    assert (counts["skipped"], counts["stored"], counts["removed"]) == (12, 0, 0)


def test_FS_10_a_missing_folder_is_one_line_and_changes_nothing(dinoseek, tmp_path):
    result = dinoseek("index", "nowhere", *MODEL)

    assert result.code == 4
    assert result.err.strip() == "error: nowhere: there is no such folder or file"
    assert not (tmp_path / "nowhere.dino").exists()


def test_missing_weights_say_what_to_do_in_one_line(dinoseek, photos):
    result = dinoseek("index", photos, "--model", "dinov2-base")

    assert result.code == 4
    assert len(result.err.strip().splitlines()) <= 2
    for words in ("models download dinov2-base", "346 MB", "--model color-histogram"):
        assert words in result.err


def test_CFG_13_an_interrupt_ends_after_the_batch_and_the_rest_follows(photos, tmp_path):
    rng = np.random.default_rng(1)
    for number in range(1500):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number:04}.png", compress_level=0)
    command = [sys.executable, "-m", "dinoseek", "index", str(photos), "--gallery", "a.dino"]
    command += ["--model", "color-histogram", "--json"]
    environment = {**os.environ, "DINOSEEK_CACHE_DIR": str(tmp_path / "cache")}

    run = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "a.dino/gallery.sqlite").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)

    assert run.returncode == 130, err
    assert b"run the same command again to continue" in err
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert b'"images": 1512' in again.stdout
