"""`dinoseek import`."""

import json

import numpy as np
import pytest


@pytest.fixture
def npz(tmp_path, photos, dinoseek, gallery):
    """The pictures' features as course projects keep them: float64, of any length."""
    dinoseek("export", gallery, "made.npz")
    with np.load("made.npz") as made:
        np.savez("f.npz", features=made["features"].astype(np.float64) * 47, paths=made["paths"])
    return tmp_path / "f.npz"


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "gallery_features.npy", np.random.default_rng(0).standard_normal((9, 4)))
    rows = [{"url": f"http://a.example/{n}.jpg", "caption": f"no. {n}"} for n in range(9)]
    (tmp_path / "metadata.json").write_text(json.dumps(rows))
    return tmp_path / "gallery_features.npy"


def test_features_of_a_named_model_are_searched_with_pictures(dinoseek, npz, photos, gallery):
    model = ("--model", "color-histogram")
    result = dinoseek("import", npz, "--gallery", "x.dino", *model, "--json")

    assert (result.code, result.json["stored"], result.json["images"]) == (0, 12, 12)
    search = ("search", photos / "red-0.png", "-k", 5, "--paths")
    assert (
        dinoseek(*search, "--gallery", "x.dino").out == dinoseek(*search, "--gallery", gallery).out
    )
    assert dinoseek("info", "x.dino", "--json").json["spaces"][0]["model"] == "color-histogram"
    again = dinoseek("index", photos, "--gallery", "x.dino", *model, "--json").json
    assert (again["stored"], again["skipped"]) == (0, 12)


def test_a_second_run_stores_nothing(dinoseek, npz):
    dinoseek("import", npz, "--gallery", "x.dino")

    result = dinoseek("import", npz, "--gallery", "x.dino")

    assert result.code == 0
    assert "12 rows: 0 stored, 12 there already, 0 failed" in result.err


def test_features_of_unknown_make_are_searched_by_id_only(dinoseek, npy, photos):
    imported = dinoseek("import", npy, "--gallery", "x.dino")
    assert "search by id, not with pictures" in imported.err

    by_id = dinoseek("search", "id:3", "--gallery", "x.dino", "-k", 2, "--json")
    with_picture = dinoseek("search", photos / "red-0.png", "--gallery", "x.dino")

    assert (by_id.code, len(by_id.json)) == (0, 2)
    assert with_picture.code != 0
    assert "nobody said which model made" in with_picture.err
    assert with_picture.err.count("\n") == 1


def test_an_export_is_imported_with_what_made_it(dinoseek, gallery, photos):
    pytest.importorskip("pyarrow")
    dinoseek("export", gallery, "v.parquet")

    assert dinoseek("import", "v.parquet", "--gallery", "x.dino").code == 0

    search = ("search", photos / "red-0.png", "--json", "--gallery")
    assert dinoseek(*search, "x.dino").json == dinoseek(*search, gallery).json
    other = ("--model", "color-histogram", "--preprocess", "official")
    refused = dinoseek("import", "v.parquet", "--gallery", "y.dino", *other)
    assert refused.code == 2
    assert "were made by color-histogram, squash" in refused.err


def test_a_wrong_model_length_or_option_is_refused_before_anything_is_made(dinoseek, npy, tmp_path):
    for options, reason in (
        (("--model", "color-histogram"), "its vectors have 4 numbers"),
        (("--preprocess", "crop224"), "say nothing without a model"),
        (("--model", "no-such-model"), "no-such-model"),
    ):
        result = dinoseek("import", npy, "--gallery", "x.dino", *options)
        assert result.code in (2, 4)
        assert reason in result.err
    assert not (tmp_path / "x.dino").exists()


def test_a_bad_file_is_refused_before_anything_is_made(dinoseek, npy, tmp_path):
    np.save(npy, np.full((9, 4), np.nan))

    result = dinoseek("import", npy, "--gallery", "x.dino", "--json")

    assert (result.code, result.json["code"]) == (2, "import.vector")
    assert not (tmp_path / "x.dino").exists()


def test_rows_without_an_image_are_listed_and_the_others_kept(dinoseek, npy, tmp_path):
    rows = json.loads((tmp_path / "metadata.json").read_text())
    rows[4]["url"] = "ftp://a.example/4.jpg"
    (tmp_path / "other.json").write_text(json.dumps(rows))

    result = dinoseek("import", npy, "--metadata", "other.json", "--gallery", "x.dino")

    assert result.code == 3
    assert "9 rows: 8 stored, 0 there already, 1 failed" in result.err
    assert "row 5: ftp://a.example/4.jpg" in result.err
