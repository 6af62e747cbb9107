"""`dinoseek demo`: a gallery, searches and a page, without network and without weights."""

import webbrowser
from pathlib import Path

import pytest
from PIL import Image

from dinoseek.cli.demo import some
from dinoseek.cli.main import run
from dinoseek.duplicates.find import find_duplicates
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filters import parse
from dinoseek.weights import hub


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for n in range(9):
        place = folder / "below" if n % 2 else folder
        Image.new("RGB", (60, 40), (25 * n, 60, 250 - 25 * n)).save(place / f"{n}.png")
    return folder


@pytest.fixture
def demo(tmp_path, capsys):
    def show(*arguments: object, expected: int = 0):
        out = tmp_path / "out"
        models = tmp_path / "models"
        words = [*map(str, arguments), "--out", str(out), "--models-dir", str(models)]
        assert run(["demo", *words]) == expected
        return out, capsys.readouterr()

    return show


def test_a_folder_is_indexed_searched_and_shown(demo, photos):
    out, said = demo(photos)

    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count('<section class="search"') == 6
    assert page.count('<li class="hit">') == 36
    assert "dinoseek-tiny" in page
    assert str(out / "index.html") in said.out
    with open_gallery(out / "demo.dino", readonly=True) as gallery:
        assert gallery.info()["images"] == 9
    assert not (out / "pictures").exists()


def test_no_picture_is_found_by_itself(demo, photos):
    _, said = demo(photos)

    rows = [line.split(" -> ") for line in said.out.splitlines() if " -> " in line]
    assert len(rows) == 6
    assert all(query.strip() not in hits for query, hits in rows)


def test_it_says_plainly_that_this_is_not_the_real_model_and_how_to_get_it(demo, photos):
    _, said = demo(photos)

    assert "NOT DINOv2" in said.out
    assert "the weights of dinov2-small are not on this machine" in said.out
    assert "dinoseek models download dinov2-small" in said.out


def test_nothing_is_downloaded_unasked(demo, photos, monkeypatch):
    def forbidden(*_arguments):
        raise AssertionError("the network")

    monkeypatch.setattr(hub, "download", forbidden)

    demo(photos)


def test_a_download_that_fails_is_told_in_a_line_and_the_demo_goes_on(demo, photos):
    out, said = demo(photos, "--download")  # huggingface_hub is offline in the tests

    assert "dinov2-small could not be downloaded" in said.out
    assert (out / "index.html").is_file()


def test_the_model_that_was_asked_for_is_not_replaced(demo, photos):
    _, said = demo(photos, "--model", "dinov2-base", expected=4)

    assert "dinoseek models download dinov2-base" in said.err


def test_the_built_in_model_asked_for_needs_no_excuse(demo, photos):
    _, said = demo(photos, "--model", "color-histogram")

    assert "NOT DINOv2" not in said.out


@pytest.mark.slow
def test_without_a_folder_a_gallery_is_drawn_and_running_again_embeds_nothing(demo):
    out, first = demo()
    pictures = sorted((out / "pictures").rglob("*.jpg"))
    page = (out / "index.html").read_bytes()

    _, second = demo()

    assert len(pictures) == 90
    assert "89 stored, 0 unchanged, 1 duplicates" in first.err
    assert "0 stored, 90 unchanged" in second.err
    assert (out / "index.html").read_bytes() == page
    assert f"dinoseek serve {out / 'demo.dino'} --open" in first.out
    with open_gallery(out / "demo.dino", readonly=True) as gallery:
        waves = gallery.get(gallery.matching(parse('family = "waves" and number > 6')))
        levels = {group.level: len(group.members) for group in find_duplicates(gallery, "near")}
    assert levels == {"exact": 2, "near": 2}
    assert [record.caption for record in waves] == ["a drawing of waves"] * 2
    queries = [line.split("-")[0] for line in first.out.splitlines() if " -> " in line]
    assert len(set(queries)) == 6  # each of another family


def test_running_again_takes_in_what_is_new(demo, photos):
    demo(photos)
    Image.new("RGB", (60, 40), (1, 2, 3)).save(photos / "new.png")

    _, said = demo(photos)

    assert "1 stored, 9 unchanged" in said.err


def test_a_broken_picture_is_listed_and_never_a_query(demo, photos):
    for n in range(9, 30):
        (photos / f"{n}.png").write_bytes(b"no picture %d" % n)

    out, said = demo(photos)

    assert "21 failed" in said.err
    assert (out / "index.html").read_text(encoding="utf-8").count('<section class="search"') == 6


def test_a_folder_without_pictures_is_an_error_in_one_line(demo, tmp_path):
    (tmp_path / "empty").mkdir()

    _, said = demo(tmp_path / "empty", expected=2)

    assert "has no picture" in said.err.splitlines()[-1]


def test_a_folder_that_is_not_there_is_an_error(demo, tmp_path):
    demo(tmp_path / "nowhere", expected=4)


def test_a_page_of_someone_else_is_not_overwritten(demo, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("<h1>my site</h1>")

    out, said = demo(photos, expected=2)

    assert "--out" in said.err
    assert (out / "index.html").read_text() == "<h1>my site</h1>"
    assert not (out / "demo.dino").exists()


@pytest.mark.parametrize("works", [True, False])
def test_the_page_is_opened_on_request(works, demo, photos, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or works)

    out, said = demo(photos, "--open")

    assert opened == [(out / "index.html").as_uri()]
    assert ("no browser" in said.err) is not works


def test_one_picture_alone_is_shown_without_hits(demo, tmp_path):
    (tmp_path / "one").mkdir()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "one" / "a.png")

    _, said = demo(tmp_path / "one")

    assert "nothing else" in said.out


@pytest.mark.parametrize(
    ("files", "expected"),
    [(0, []), (1, [0]), (2, [0, 1]), (6, list(range(6))), (12, [1, 3, 5, 7, 9, 11])],
)
def test_queries_are_spread_evenly(files, expected):
    assert some([Path(str(n)) for n in range(files)], 6) == [Path(str(n)) for n in expected]


@pytest.mark.weights
def test_real_weights_that_are_here_are_used(demo, shared, photos):
    weights = shared / "weights" / "dav2-vits14-fp16.safetensors"

    out, said = demo(photos, "--model", weights)

    assert "embedded with dav2-vits14-fp16, official, cls" in said.out
    assert "dav2-vits14-fp16" in (out / "index.html").read_text(encoding="utf-8")


PRODUCTS = ["--products", "--classes", 20, "--size", 24, "--model", "color-histogram"]


def test_products_are_drawn_searched_and_measured(demo):
    out, said = demo(*PRODUCTS, "--seed", 4)

    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count('<section class="search"') == 6
    listed = (out / "products/Ebay_test.txt").read_text().splitlines()[1:]
    with open_gallery(out / "products.dino", readonly=True) as gallery:
        assert gallery.info()["images"] == len(listed)
        mugs = gallery.get(gallery.matching(parse('kind = "mug"')))
    assert len(mugs) == sum("mug_final" in line for line in listed)
    assert {record.caption for record in mugs} == {"a mug"}
    assert f"{len(listed)} queries against {len(listed)} images" in said.out
    assert "recall@1" in said.out
    assert str(out / "evaluation.html") in said.out
    assert (out / "evaluation.html").is_file()


def test_the_figures_of_the_demo_are_those_that_evaluate_gives(demo, capsys):
    out, said = demo(*PRODUCTS)

    words = ["evaluate", "sop", "--data", str(out / "products"), "--unofficial"]
    assert run([*words, "--gallery", str(out / "products.dino")]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) > 5
    assert said.out.splitlines()[: len(table)] == table


def test_products_go_to_the_folder_that_is_named_and_are_drawn_once(demo, tmp_path):
    out, _ = demo(tmp_path / "shop", *PRODUCTS)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "shop").rglob("*.JPG")}

    _, said = demo(tmp_path / "shop", *PRODUCTS)

    assert before
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert (out / "shop.dino").is_dir()
    assert "0 stored" in said.err


def test_products_are_not_drawn_among_the_files_of_someone_else(demo, photos):
    before = sorted(photos.rglob("*"))

    _, said = demo(photos, *PRODUCTS, expected=2)

    assert "other files" in said.err
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize("flag", ["--classes", "--size", "--seed"])
def test_what_only_products_have_needs_products(flag, demo):
    _, said = demo(flag, 20, expected=2)

    assert f"{flag}: only says how --products draws" in said.err


def test_products_that_cannot_be_are_refused_in_one_line(demo):
    out, said = demo("--products", "--size", 4, expected=2)

    assert said.err.splitlines()[-1] == "error: size: is 4, expected 16 to 1,024"
    assert not out.exists()
