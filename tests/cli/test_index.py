"""`dinoseek index`: accounting, failures, defaults, and what it says."""

import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
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
    for words in ("models download dinov2-base", "346 MB", "--model dinoseek-tiny"):
        assert words in result.err


def test_CFG_13_an_interrupt_ends_after_the_batch_and_the_rest_follows(photos, tmp_path):
    rng = np.random.default_rng(1)
    for number in range(600):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number:04}.png", compress_level=0)
    command = [sys.executable, "-m", "dinoseek", "index", str(photos), "--gallery", "a.dino"]
    command += ["--model", "color-histogram", "--json"]
    environment = {**os.environ, "DINOSEEK_CACHE_DIR": str(tmp_path / "cache")}

    run = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "a.dino/gallery.sqlite").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)

    assert run.returncode == 130, err
    assert b"run the same command again to continue" in err
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert b'"images": 612' in again.stdout


def test_a_list_gives_captions_that_filters_and_hits_know(dinoseek, photos, tmp_path):
    rows = [
        f"photos/{file.relative_to(photos)},A {file.stem.split('-')[0]} one,{number}"
        for number, file in enumerate(sorted(photos.rglob("*.png")))
    ]
    (tmp_path / "list.csv").write_text("\n".join(["file,title,number", *rows]))

    index = dinoseek("index", "list.csv", *MODEL)
    query = ("search", photos / "red-0.png", "--gallery", "list.dino", "--json", "-k", 12)
    hits = dinoseek(*query, "--where", "number >= 6 and caption contains 'red'").json

    assert (index.code, "12 stored" in index.err) == (0, True)
    assert hits
    assert all(hit["metadata"]["number"] >= 6 for hit in hits)
    assert {hit["caption"] for hit in hits} == {"A red one"}


def test_columns_are_named_or_numbered(dinoseek, photos, tmp_path):
    (tmp_path / "list.csv").write_text("x;photos/red-0.png;words\n")
    flags = ("--no-header", "--delimiter", ";", "--path-column", 1, "--caption-column", 2)

    assert dinoseek("index", "list.csv", *MODEL, *flags, "--json").json["stored"] == 1
    (tmp_path / "list.csv").write_text("file;words\nphotos/red-0.png;x\n")
    failed = dinoseek("index", "list.csv", *MODEL, "--delimiter", ";", "--path-column", "nope")
    assert (failed.code, "it has 'file', 'words'" in failed.err) == (2, True)


def test_an_archive_is_a_source_and_shown_by_its_thumbnails(dinoseek, photos, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for file in photos.rglob("*.png"):
            archive.add(file, file.name)

    assert dinoseek("index", "shard.tar", *MODEL).code == 0
    query = ("search", photos / "red-0.png", "--gallery", "shard.dino")
    assert f"{tmp_path}/shard.tar/red-0.png" in dinoseek(*query).out
    dinoseek(*query, "--html", "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "file missing" not in page
    assert page.count("data:image") >= 11
    assert "archive" in dinoseek("info", "shard.dino").out


def test_a_list_on_stdin_is_read(photos, tmp_path):
    paths = "\n".join(str(file) for file in photos.rglob("red*.png"))
    command = [sys.executable, "-m", "dinoseek", "index", "-", "--gallery", "a.dino", *MODEL]
    done = subprocess.run(
        command, input=paths, capture_output=True, text=True, cwd=tmp_path, check=False
    )

    assert (done.returncode, "4 stored" in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize("arguments", [(), ("-",), ("https://example.org/a.jpg",)])
def test_a_source_without_a_name_needs_a_gallery(dinoseek, arguments):
    result = dinoseek("index", *arguments, *MODEL)

    assert (result.code, "--gallery" in result.err, result.err.count("\n")) == (2, True, 1)


def test_nothing_to_index_is_said_unless_failures_are_tried_again(dinoseek, photos, gallery):
    (photos / "broken.jpg").write_bytes(b"this is not a picture")
    dinoseek("index", photos, "--gallery", gallery)

    assert dinoseek("index", "--gallery", gallery).code == 2
    again = dinoseek("index", "--gallery", gallery, "--retry-failed", "--json").json
    assert (again["total"], again["failed"]) == (1, 1)


def test_fast_decoding_is_a_space_of_its_own(dinoseek, photos, gallery):
    dinoseek("index", photos, "--gallery", gallery, *MODEL, "--fast-decode")

    spaces = dinoseek("info", gallery, "--json").json["spaces"]
    assert [space["preprocess"] for space in spaces] == ["squash", "squash-fast"]


def test_an_address_that_may_not_be_asked_is_listed_with_what_to_do(dinoseek):
    result = dinoseek("index", "http://127.0.0.1:9/a.jpg", "--gallery", "a.dino", *MODEL)

    assert result.code == 3
    assert "url.port" in result.err
    assert "--port 9 allows it" in result.err


def test_an_index_is_built_on_request_shown_and_shared_by_its_key(
    dinoseek, photos, gallery, tmp_path, monkeypatch
):
    key = tmp_path / "shared.key"
    monkeypatch.setenv("DINOSEEK_INDEX_KEY", str(key))

    built = dinoseek("index", photos, "--gallery", gallery, "--index", "hnsw")

    assert (built.code, "bringing the index up to date" in built.err) == (0, True)
    assert key.stat().st_size == 32
    assert "hnsw, recall" in dinoseek("info", gallery).out
    query = ("search", photos / "red-0.png", "--gallery", gallery, "--paths")
    assert dinoseek(*query).out.splitlines()[0] == str(photos / "red-0.png")


def test_exact_search_can_be_asked_for(dinoseek, photos, gallery):
    assert dinoseek("index", photos, "--gallery", gallery, "--index", "exact").code == 0
    spaces = dinoseek("info", gallery, "--json").json["spaces"]
    assert [space["index"]["kind"] for space in spaces] == ["exact"]
