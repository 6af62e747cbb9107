"""`dinoseek explain`: numbers, JSON, a picture and a page; what cannot be explained is told."""

import os

import pytest
from PIL import Image

from dinoseek.weights.save import save_params

from ..vit.tiny import tiny_config, tiny_params


@pytest.fixture
def tiny(tmp_path):
    save_params(tmp_path / "tiny.safetensors", tiny_params(tiny_config()), tiny_config())
    os.utime(tmp_path / "tiny.safetensors", (1, 1))  # so old that its digest is remembered
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def patches(dinoseek, photos, tiny):
    """A gallery of a model with patches."""
    flags = ("--model", tiny, "--preprocess", "squash@70")
    assert dinoseek("index", photos, "--gallery", "g.dino", *flags).code == 0
    return "g.dino"


def test_two_files_are_explained_in_numbers(dinoseek, photos, patches):
    done = dinoseek("explain", photos / "red-0.png", photos / "red-1.png", "--gallery", patches)

    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["score", "local", "matches"]


def test_json_has_every_match_and_the_score_of_the_search(dinoseek, photos, patches):
    hits = dinoseek("search", photos / "red-0.png", "--gallery", patches, "--json").json
    hit = hits[3]

    found = dinoseek(
        "explain", photos / "red-0.png", f"id:{hit['id']}", "--gallery", patches, "--json"
    ).json

    assert found["score"] == pytest.approx(hit["score"], abs=2e-3)
    assert found["matches"]
    assert set(found["matches"][0]) == {"query", "hit", "cosine", "agrees"}
    assert all(
        0 < share < 1 for match in found["matches"] for share in match["query"] + match["hit"]
    )


def test_a_picture_and_a_page_are_written(dinoseek, photos, patches, tmp_path):
    done = dinoseek(
        *("explain", photos / "red-0.png", photos / "red-0.png", "--gallery", patches),
        *("--png", "why.png", "--html", "why.html"),
    )

    assert done.err.splitlines() == ["wrote why.png", "wrote why.html"]
    with Image.open(tmp_path / "why.png") as image:
        assert image.width > 400
    assert "red-0.png" in (tmp_path / "why.html").read_text("utf-8")


@pytest.mark.parametrize("how", ["flag", "word"])
def test_a_region_has_a_score(dinoseek, photos, patches, how):
    query, flags = photos / "red-0.png", ("--region", "0%,0%,40%,40%")
    ask = (query, *flags) if how == "flag" else (f"{query}@0%,0%,40%,40%",)

    found = dinoseek("explain", ask[0], query, "--gallery", patches, "--json", *ask[1:]).json

    assert found["region"]["patches"] == 4  # 2 x 2 of 5 x 5
    assert len(found["matches"]) <= 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{red}", "{green}", "--model", "color-histogram"), "has no patches"),
        (("{red}", "id:1", "--model", "{tiny}"), "name it with --gallery"),
        (("{red}", "{folder}", "--model", "{tiny}"), "name one picture"),
        (("{red}", "{red}@0,0,5,5", "--model", "{tiny}"), "only a part of the query"),
        (("{red}@0,0,5,5", "{red}", "--region", "0,0,9,9", "--model", "{tiny}"), "already"),
        (("{red}", "{red}", "--region", "0,0,500,500", "--model", "{tiny}"), "reaches outside"),
    ],
)
def test_what_cannot_be_explained_is_told_on_one_line(dinoseek, photos, tiny, arguments, words):
    names = {
        "red": photos / "red-0.png",
        "green": photos / "green-0.png",
        "folder": photos,
        "tiny": tiny,
    }

    done = dinoseek("explain", *(each.format(**names) for each in arguments))

    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_a_missing_file_is_told(dinoseek, photos, tiny):
    done = dinoseek("explain", photos / "red-0.png", "none.png", "--model", tiny)

    assert (done.code, "none.png" in done.err) == (3, True)
