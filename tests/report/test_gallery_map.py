"""Maps: where images lie, their neighbours, and a page that is whole."""

import base64
import hashlib
import io
import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoseek.embedder import load_embedder
from dinoseek.errors import MachineError
from dinoseek.gallery.factory import open_gallery
from dinoseek.ingest.lists import from_table
from dinoseek.ingest.pipeline import ingest
from dinoseek.layout import laid_out
from dinoseek.report.gallery_map import map_of, nearest, pictures
from dinoseek.report.gallery_map_page import grouped, write_map_page

from .test_html import HOSTILE

COUNT = 30


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for i in range(COUNT):
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((400, 300)).save(folder / f"{i:02}.png")
        lines.append(f"{i:02}.png,{'red' if i % 3 else 'blue'}")
    (folder / "list.csv").write_text("\n".join(lines))
    with open_gallery(folder / "g.dino", load_embedder("color-histogram")) as opened:
        list(ingest(from_table(folder / "list.csv"), opened))
        yield opened


def names(found):
    return [Path(row["path"]).name for row in found.rows]


def test_every_image_has_its_place(gallery):
    found = map_of(gallery, most=1000)

    vectors = gallery.vectors(row["id"] for row in found.rows)
    assert sorted(names(found)) == [f"{i:02}.png" for i in range(COUNT)]
    np.testing.assert_allclose(found.vectors, vectors, atol=1e-3)
    np.testing.assert_allclose(found.points, laid_out(vectors), atol=1e-4)


@pytest.mark.parametrize(
    ("most", "expected"), [(10, range(0, 30, 3)), (8, range(0, 30, 4)), (29, range(0, 30, 2))]
)
def test_of_many_images_some_are_taken_evenly(gallery, most, expected):
    found = map_of(gallery, most=most)

    every = names(map_of(gallery, most=1000))
    assert names(found) == [every[i] for i in expected]
    assert len(found.points) == len(found.vectors) == len(found.rows)
    assert found.found.rows == COUNT


def test_images_are_taken_evenly_over_parts_that_are_read(gallery, monkeypatch):
    whole = names(map_of(gallery, most=8))
    monkeypatch.setattr("dinoseek.interchange.exporting._ROWS_AT_ONCE", 7)

    assert names(map_of(gallery, most=8)) == whole


def test_neighbours_are_the_highest_cosines_without_the_image_itself():
    vectors = np.random.default_rng(1).standard_normal((20, 5)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    rows, cosines = nearest(vectors, 4)

    for i in range(20):
        order = sorted((j for j in range(20) if j != i), key=lambda j: -float(unit[i] @ unit[j]))[
            :4
        ]
        assert rows[i].tolist() == order
        np.testing.assert_allclose(cosines[i], unit[order] @ unit[i], atol=1e-6)


def test_copies_are_neighbours_but_nothing_is_its_own():
    vectors = np.repeat(np.eye(2, dtype=np.float32), 6, axis=0)

    rows, _ = nearest(vectors, 3)

    assert not (rows == np.arange(12)[:, None]).any()
    assert (rows // 6 == (np.arange(12) // 6)[:, None]).all()


@pytest.mark.parametrize("count", [1, 2])
def test_a_small_map_has_fewer_neighbours(count):
    rows, cosines = nearest(np.eye(4, dtype=np.float32)[:count], 10)

    assert rows.shape == cosines.shape == (count, count - 1)


def test_pictures_are_small_and_a_missing_one_is_none(gallery, tmp_path):
    found = map_of(gallery, most=3)
    first, *rest = pictures(gallery, found)

    with Image.open(io.BytesIO(first)) as image:
        assert (image.size, image.format) == ((128, 96), "JPEG")
    assert len(rest) == 2

    (tmp_path / "p").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "p" / "a.png")
    (tmp_path / "list.csv").write_text("path\np/a.png")
    with open_gallery(tmp_path / "g.dino", load_embedder("color-histogram")) as other:
        list(ingest(from_table(tmp_path / "list.csv"), other))
        (tmp_path / "p" / "a.png").unlink()
        kept = list(pictures(other, map_of(other, most=3)))
    assert kept == [None] or kept[0] is not None  # a list keeps a small picture where it can


def rows_with(values):
    return [{"metadata": {} if value is None else {"label": value}} for value in values]


def test_the_most_frequent_values_have_a_colour():
    values = [each for n, each in enumerate("abcdefghij") for _ in range(20 - n)]

    found, places = grouped(rows_with(values), "label")

    assert found == [*"abcdefg", "other"]
    assert [found[place] for place in places] == [v if v in "abcdefg" else "other" for v in values]


def test_images_without_a_value_are_told_apart():
    found, places = grouped(rows_with(["x", None, "y", "x", 3]), "label")

    assert found == ["x", "y", "3", "none"]
    assert places == [0, 3, 1, 0, 2]


def test_eight_values_need_no_other():
    assert grouped(rows_with([*"abcdefgh"]), "label")[0] == [*"abcdefgh"]


@pytest.fixture
def written(gallery, tmp_path):
    def write(found=None, **more):
        found = found or map_of(gallery, most=1000)
        path = tmp_path / "out" / "map.html"
        write_map_page(path, found, pictures(gallery, found), **{"title": "g", **more})
        text = path.read_text("utf-8")
        data = re.search(
            r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL
        )
        return text, json.loads(data[1])

    return write


def test_the_page_has_a_place_a_picture_and_neighbours_of_each_image(written, gallery):
    _, data = written(neighbours=5)

    assert {len(data[name]) for name in ("x", "y", "names", "links", "near", "pictures")} == {COUNT}
    assert all(len(row) == 5 for row in data["near"])
    assert max(map(abs, data["x"] + data["y"])) == pytest.approx(1, abs=1e-4)
    points = map_of(gallery, most=1000).points
    order = np.argsort(points[:, 0])
    assert (np.diff(np.array(data["x"])[order]) >= 0).all()
    with Image.open(io.BytesIO(base64.b64decode(data["pictures"][3]))) as image:
        assert image.size == (128, 96)
    assert all(link.startswith("file:///") for link in data["links"])
    assert data["group"] is None


def test_points_are_coloured_by_metadata_with_a_legend(written):
    text, data = written(color="label")

    expected = ["red" if int(name[:2]) % 3 else "blue" for name in data["names"]]
    assert data["values"] == expected
    assert data["group"] == [["red", "blue"].index(each) for each in expected]  # more are red
    legend = re.search(r'<ul class="legend">(.*?)</ul>', text, re.DOTALL)[1]
    assert re.findall(r"</i>(\w+)</li>", legend) == ["red", "blue"]


def test_the_page_runs_its_own_script_only_and_fetches_nothing(written):
    text, _ = written()

    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_the_script_finds_every_element_that_it_asks_for(written):
    text, _ = written()
    script = files("dinoseek.report").joinpath("gallery_map.js").read_text("utf-8")

    wanted = set(re.findall(r'getElementById\("([\w-]+)"\)', script))

    assert len(wanted) > 5
    assert wanted <= set(re.findall(r'id="([\w-]+)"', text))


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_in_a_name_or_caption_becomes_markup(written, gallery, name):
    found = map_of(gallery, most=2)
    found.rows[0].update(path=name, caption=name, metadata={"label": name})

    text, data = written(found, title=name, color="label", facts={name: name})

    assert text.count("<script") == 2
    assert "<img" not in text.partition('id="data"')[0]
    assert "<img src=x" not in text
    assert len(data["names"]) == 2


def test_a_page_that_cannot_be_written_is_told(gallery, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(MachineError):
        write_map_page(tmp_path / "file" / "m.html", map_of(gallery, most=2), [None] * 2, title="g")
