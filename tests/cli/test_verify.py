"""`dinoseek verify`: features against reference features."""

import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from dinoseek import load_embedder
from dinoseek.cli.main import run

MODEL = ("--model", "color-histogram")


@pytest.fixture
def images(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), np.uint8)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path, pixels in zip(paths, noise, strict=True):
        pixels[:, :20] = (250, 20, 20) if path.stem == "a" else (20, 20, 250)
        Image.fromarray(pixels).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def features(images):
    """(2, 672), one image at a time, as `features` gives them."""
    embedder = load_embedder("color-histogram")
    return np.concatenate([embedder.features([embedder.open(path)]) for path in images])


@pytest.fixture
def reference(tmp_path, features):
    path = tmp_path / "reference.npy"
    np.save(path, features)
    return str(path)


def test_equal_features_pass(reference, images, capsys):
    assert run(["verify", reference, *images, *MODEL]) == 0

    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["PASS", "PASS", "2"]
    assert "2 of 2 pass at cosine >= 0.99; color-histogram, squash" in out
    assert err == ""


def test_the_numbers_are_those_of_a_naive_loop(tmp_path, features, images, capsys):
    theirs = features + np.random.default_rng(1).normal(0, 0.01, features.shape)
    np.save(tmp_path / "r.npy", theirs)

    run(["verify", str(tmp_path / "r.npy"), *images, *MODEL, "--json"])

    rows = json.loads(capsys.readouterr().out)["images"]
    for row, ours, other in zip(rows, features.tolist(), theirs.tolist(), strict=True):
        gaps = [abs(a - b) for a, b in zip(ours, other, strict=True)]
        dot = sum(a * b for a, b in zip(ours, other, strict=True))
        lengths = (sum(a * a for a in ours) * sum(b * b for b in other)) ** 0.5
        assert row["max_abs"] == pytest.approx(max(gaps))
        assert row["mean_abs"] == pytest.approx(sum(gaps) / len(gaps))
        assert row["mse"] == pytest.approx(sum(g * g for g in gaps) / len(gaps))
        assert row["rmse"] == pytest.approx(row["mse"] ** 0.5)
        assert row["cosine"] == pytest.approx(dot / lengths)


def test_rows_are_matched_in_order_and_a_wrong_one_fails(reference, images, capsys):
    assert run(["verify", reference, *reversed(images), *MODEL]) == 3

    assert "0 of 2 pass" in capsys.readouterr().out


def test_the_threshold_decides(tmp_path, features, images, capsys):
    far = features.copy()
    far[0] += 0.02
    np.save(tmp_path / "r.npy", far)
    arguments = ["verify", str(tmp_path / "r.npy"), *images, *MODEL, "--json"]

    run(arguments)
    cosine = json.loads(capsys.readouterr().out)["images"][0]["cosine"]

    assert run([*arguments, "--threshold", str(cosine + 0.001)]) == 3
    assert run([*arguments, "--threshold", str(cosine - 0.001)]) == 0


def test_npz_with_one_array_and_other_floats_are_read(tmp_path, features, images):
    for name, dtype in [("a.npz", np.float32), ("b.npz", np.float64), ("c.npz", np.float16)]:
        np.savez_compressed(tmp_path / name, features.astype(dtype))
        assert run(["verify", str(tmp_path / name), *images, *MODEL]) == 0


def test_features_are_compared_before_they_are_scaled_to_unit_length(
    tmp_path, features, images, capsys
):
    np.save(tmp_path / "r.npy", 2 * features)

    run(["verify", str(tmp_path / "r.npy"), *images, *MODEL, "--json"])

    row = json.loads(capsys.readouterr().out)["images"][0]
    assert row["max_abs"] == pytest.approx(float(features[0].max()))
    assert row["cosine"] == pytest.approx(1)


def test_a_preview_needs_no_reference(images, features, capsys):
    assert run(["verify", "--no-reference", *images, *MODEL, "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)["images"]
    assert [row["dim"] for row in rows] == [672, 672]
    assert rows[0]["first"] == features[0, :5].tolist()
    assert rows[1]["norm"] == pytest.approx(float(np.linalg.norm(features[1])))


def test_a_reference_that_is_not_there_gives_a_preview_and_does_not_pass(images, capsys):
    assert run(["verify", "nowhere.npy", *images, *MODEL]) == 4

    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "PASS" not in out
    assert err == "nothing was compared: nowhere.npy is not there; this is only a preview\n"


def test_an_image_that_cannot_be_read_fails_alone(tmp_path, reference, images, capsys):
    (tmp_path / "b.png").write_bytes(b"no picture")

    assert run(["verify", reference, *images, *MODEL, "--json"]) == 3

    rows = json.loads(capsys.readouterr().out)["images"]
    assert [row["passed"] for row in rows] == [True, False]
    assert rows[1]["code"].startswith("image.")


def test_a_name_with_control_characters_stays_on_its_line(tmp_path, images, capsys):
    hostile = tmp_path / "a\n\x1b[31m.png"
    hostile.write_bytes((tmp_path / "a.png").read_bytes())

    run(["verify", "--no-reference", str(hostile), *MODEL])

    out = capsys.readouterr().out
    assert len(out.splitlines()) == 2
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 672), np.float32), "3 rows for 2 images"),
        (np.zeros((2, 384), np.float32), "384 values"),
        (np.zeros(672, np.float32), r"shape \(672,\)"),
        (np.zeros((2, 672), np.int64), "int64"),
        (np.zeros((2, 672), np.complex64), "complex64"),
        (np.full((2, 672), np.nan, np.float32), "no numbers"),
        (np.zeros((0, 672), np.float32), "no rows"),
    ],
)
def test_a_reference_of_another_shape_or_type_is_refused(array, words, tmp_path, images, capsys):
    np.save(tmp_path / "r.npy", array)

    assert run(["verify", str(tmp_path / "r.npy"), *images, *MODEL]) == 2

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(words, err)


def test_pickled_objects_are_never_loaded(tmp_path, images, capsys):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("boom").touch, ())

    np.save(tmp_path / "r.npy", np.array([[Bomb()], [Bomb()]], object), allow_pickle=True)

    assert run(["verify", str(tmp_path / "r.npy"), *images, *MODEL]) == 2

    assert not (tmp_path / "boom").exists()


def test_a_header_that_promises_gigabytes_is_refused_unread(tmp_path, images, capsys):
    path = tmp_path / "r.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
        np.lib.format.write_array_header_1_0(file, header)

    assert run(["verify", str(path), *images, *MODEL]) == 2

    assert "the limit is 256 MB" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr'", b"PK"])
@pytest.mark.parametrize("name", ["r.npy", "r.npz"])
def test_a_damaged_file_is_an_error_in_one_line(name, data, tmp_path, images, capsys):
    (tmp_path / name).write_bytes(data)

    assert run(["verify", str(tmp_path / name), *images, *MODEL]) == 2

    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_cut_file_is_an_error_in_one_line(tmp_path, reference, images, capsys):
    data = (tmp_path / "reference.npy").read_bytes()
    (tmp_path / "reference.npy").write_bytes(data[:-100])

    assert run(["verify", reference, *images, *MODEL]) == 2


def test_an_npz_of_two_arrays_is_refused(tmp_path, features, images, capsys):
    np.savez(tmp_path / "r.npz", a=features, b=features)

    assert run(["verify", str(tmp_path / "r.npz"), *images, *MODEL]) == 2

    assert "has 2 arrays, expected one" in capsys.readouterr().err


def test_an_npz_member_that_is_no_array_is_refused(tmp_path, images):
    with zipfile.ZipFile(tmp_path / "r.npz", "w") as archive:
        archive.writestr("a.npy", b"hello")

    assert run(["verify", str(tmp_path / "r.npz"), *images, *MODEL]) == 2


def test_an_image_in_the_place_of_the_reference_is_told(images, capsys):
    assert run(["verify", *images, *MODEL]) == 2

    assert "--no-reference" in capsys.readouterr().err


def test_a_reference_alone_is_not_enough(reference, capsys):
    assert run(["verify", reference, *MODEL]) == 2

    assert "no images" in capsys.readouterr().err


@pytest.mark.weights
def test_the_official_features_of_a_photo_pass(shared, tmp_path, capsys):
    golden = np.load(shared / "golden" / "coco128-dav2-vits14-cls-224.npz")
    names, rows = list(golden["names"]), golden["cls"]
    np.save(tmp_path / "r.npy", rows[:2])
    photos = [str(shared / "data" / "coco128" / "images" / name) for name in names[:2]]
    model = str(shared / "weights" / "dav2-vits14-fp16.safetensors")

    assert run(["verify", str(tmp_path / "r.npy"), *photos, "--model", model, "--json"]) == 0

    rows = json.loads(capsys.readouterr().out)["images"]
    assert all(row["cosine"] >= 0.999999 for row in rows)
