"""The picture and the page of an explanation."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.explain import Explanation, RegionScore, Seen
from dinoseek.matching import Matches
from dinoseek.report.explanation import explanation_picture, summary, write_png
from dinoseek.report.explanation_page import write_page
from dinoseek.report.heat import heat_span, heated, pairs, ramp, shares

from .test_html import HOSTILE, Page


def seen(heat, size=(80, 60), region=None):
    picture = Image.new("RGB", size, (120, 130, 140))
    return Seen(picture=picture, heat=np.float32(heat), region=region)


def explained(agree=(1, 1, 0), region=None):
    matches = Matches(
        np.array([0, 3, 5]),
        np.array([1, 2, 0]),
        np.float32([0.9, 0.8, 0.7]),
        np.array(agree, np.bool_),
    )
    return Explanation(
        query=seen([[0.9, 0.2, 0.3, 0.8], [0.1, 0.7, 0.4, 0.5]], region=region),
        hit=seen([[0.7, 0.9], [0.8, 0.3]], (60, 60)),
        score=0.654321,
        local=0.25,
        matches=matches,
        region=None if region is None else RegionScore(score=0.4, mean=0.5, patches=6, matched=2),
    )


def test_points_are_centres_as_shares_of_the_sides():
    starts, ends = shares(explained())

    assert starts.tolist() == [[0.125, 0.25], [0.875, 0.25], [0.375, 0.75]]
    assert ends.tolist() == [[0.75, 0.25], [0.25, 0.75], [0.25, 0.25]]


def test_pairs_are_the_agreeing_matches_in_different_colours():
    drawn = pairs(explained(), 10)

    assert [(pair.start, pair.end) for pair in drawn] == [
        ((0.125, 0.25), (0.75, 0.25)),
        ((0.875, 0.25), (0.25, 0.75)),
    ]
    assert len({pair.color for pair in drawn}) == 2
    assert len(pairs(explained(), 1)) == 1


def test_colours_run_from_dark_to_light():
    brightness = ramp(np.linspace(0, 1, 50, dtype=np.float32)).mean(axis=1)

    assert (np.diff(brightness) > 0).all()


def test_a_hot_patch_is_brighter_than_a_cold_one():
    one = explained()

    shown = np.asarray(heated(one.query, heat_span(one)), np.float32).mean(axis=2)

    assert shown[5:25, 2:18].mean() > shown[35:55, 2:18].mean() + 20  # 0.9 above 0.1


def test_what_a_region_leaves_out_is_dark_and_grey():
    one = explained()
    heat = one.query.heat.copy()
    heat[:, :2] = np.nan

    shown = np.asarray(heated(seen(heat), (0.1, 0.9)))

    left, right = shown[:, :40], shown[:, 40:]
    assert (left == left[:, :, :1]).all()
    assert left.max() < 60
    assert not (right == right[:, :, :1]).all()


def test_heat_that_is_all_the_same_still_has_a_span():
    flat = explained()
    same = Explanation(
        query=seen(np.ones((2, 2))),
        hit=seen(np.ones((2, 2))),
        score=1,
        local=1,
        matches=flat.matches,
    )

    low, high = heat_span(same)

    assert (low, high) == (pytest.approx(0.9), 1)
    assert np.asarray(heated(same.query, (low, high))).mean() > 150  # hot, not cold


def test_lines_lead_from_centre_to_centre_in_the_picture():
    one = explained()

    with_lines, without = explanation_picture(one, 5), explanation_picture(one, 0)

    changed = np.abs(np.asarray(with_lines, int) - np.asarray(without, int)).sum(axis=2) > 30
    rows, cols = np.nonzero(changed)
    paper = np.asarray(without)[2, 2]
    inside = (np.asarray(without) != paper).any(axis=2)
    assert changed.any()
    left = np.nonzero(inside[200])[0].min()
    height = 440  # both pictures are shown this high: 80 x 60 is 587 wide
    assert abs(cols.min() - (left + 0.125 * 587)) < 12
    assert abs(rows.min() - (28 + 68 + 0.25 * height)) < 12


def test_the_summary_has_the_numbers():
    assert summary(explained()) == "score 0.654   2 of 3 matches agree   local 0.250"
    assert "region 0.400, its patches 0.500" in summary(explained(region=(0, 0, 0.5, 1)))


def test_a_picture_is_written_and_a_bad_name_is_told(tmp_path):
    write_png(tmp_path / "out" / "why.png", explained())

    with Image.open(tmp_path / "out" / "why.png") as image:
        assert image.format == "PNG"
    for name in ("why.nothing", "why.png/why.png"):
        (tmp_path / "why.png").write_text("a file")
        with pytest.raises(MachineError) as found:
            write_png(tmp_path / name, explained())
        assert "\n" not in str(found.value)


@pytest.fixture
def written(tmp_path):
    def write(one, names=("query.jpg", "hit.jpg"), **more):
        write_page(tmp_path / "out" / "why.html", one, names, **more)
        text = (tmp_path / "out" / "why.html").read_text("utf-8")
        return text, re.sub(r'"data:[^"]*"', '""', text)

    return write


def test_the_page_has_lines_where_the_matches_are(written):
    _, bare = written(explained(), facts={"model": "dinov2-small"})

    found = re.findall(r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', bare)
    expected = [(0.125, 0.25, 0.75, 0.25), (0.875, 0.25, 0.25, 0.75)]
    left = 587 + 60
    for line, (x1, y1, x2, y2) in zip(found, expected, strict=True):
        places = (587 * x1, 440 * y1, left + 440 * x2, 440 * y2)
        np.testing.assert_allclose([float(each) for each in line], places, atol=0.6)
    assert "2 of 3 agree" in bare
    assert "dinov2-small" in bare
    assert "cosine 0.900" in bare


def test_the_page_has_four_pictures_no_script_and_nothing_to_fetch(written):
    text, bare = written(explained())

    data = re.findall(r'"data:image/jpeg;base64,([^"]+)"', text)
    assert len(data) == 4

    assert all(Image.open(io.BytesIO(base64.b64decode(each))).size for each in data)
    assert "<script" not in bare
    assert "http:" not in bare
    assert "default-src 'none'" in bare


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_in_a_name_becomes_markup(written, name):
    page = Page(written(explained(), (name, name), facts={name: name})[0])

    assert "script" not in dict(page.tags)
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)


def test_the_page_says_when_nothing_agrees_and_when_it_is_a_region(written):
    assert "They do not lie in the same arrangement" in written(explained(agree=(0, 0, 0)))[1]
    assert "frame is the region" in written(explained(region=(0, 0, 0.5, 1)))[1]
    assert "frame is the region" not in written(explained())[1]


def test_a_page_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(MachineError):
        write_page(tmp_path / "file" / "why.html", explained(), ("a", "b"))
