"""The page of an evaluation: nothing in a name becomes markup, nothing is fetched or run."""

import re

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.evaluation.result import Evaluation, Histogram, Metric, Shown, Worst
from dinoseek.report.evaluation import write_page
from dinoseek.report.plots import curves, over_log

NASTY = '<script>alert("x")</script>&"\x1b[2J.png'


def evaluation(**parts):
    given = {
        "protocol": NASTY,
        "made": "official@224/cls/1",
        "model": NASTY,
        "headline": "recall@1",
        "metrics": [
            Metric(name="recall@1", value=0.5, low=0.25, high=0.75, queries=4),
            Metric(name="map", value=1.0, low=1.0, high=1.0, queries=4),
        ],
        "facts": {"model": NASTY, "gallery": 1234, "ground truth sha256": "ab" * 32},
        "notes": [NASTY],
        "queries": ["q"],
        "groups": [0],
        "values": {"recall@1": np.array([1.0])},
        "curves": {"easy": np.linspace(1, 0, 101).tolist(), "hard": [0.5] * 101},
        "recalls": {"1": 0.5, "10": 0.75, "100": 1.0},
        "histogram": Histogram(edges=[0, 0.1, 0.2], positives=[1, 3], negatives=[4, 0]),
        "worst": [
            Worst(
                path=NASTY,
                label=NASTY,
                value=0.125,
                hits=[
                    Shown(path="a.png", score=0.9, verdict="right"),
                    Shown(path="gone.png", score=None, verdict="wrong"),
                ],
            )
        ],
    }
    return Evaluation(**{**given, **parts})


@pytest.fixture
def page(tmp_path):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png")

    def call(found):
        write_page(tmp_path / "out/report.html", found, tmp_path)
        return (tmp_path / "out/report.html").read_text("utf-8")

    return call


def test_nothing_in_a_name_becomes_markup(page):
    text = page(evaluation())
    assert "<script" not in text
    assert "\x1b" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_the_page_needs_nothing_else_and_runs_nothing(page):
    text = page(evaluation())
    assert "default-src 'none'; img-src data:" in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "$" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_it_shows_the_number_its_interval_the_plots_and_the_worst_queries(page):
    text = page(evaluation())
    assert "50.0 %" in text
    assert "interval 25.0 to 75.0" in text
    assert 'style="left:25.00%;width:50.00%"' in text
    assert text.count("<svg") == 3
    assert text.count("data:image/jpeg") == 1
    assert text.count("no picture") == 2
    assert re.findall(r'class="hit (\w+)"', text) == ["right", "wrong"]
    assert "ab" * 32 in text


def test_an_evaluation_without_curves_and_pictures_is_a_table(page):
    text = page(evaluation(curves={}, recalls={}, histogram=None, worst=(), notes=()))
    assert "<svg" not in text
    assert "worst queries" not in text


def test_a_page_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MachineError):
        write_page(tmp_path / "file/report.html", evaluation(), tmp_path)


def test_a_curve_goes_through_its_points():
    text = curves({"all": [(0.0, 1.0), (1.0, 0.0)]}, title="t", x="x", y="y")
    left, right = re.search(r'<polyline class="s0" points="(.*?) (.*?)"', text).groups()
    assert tuple(map(float, left.split(","))) == (46, 14)
    assert tuple(map(float, right.split(","))) == (424, 258)


def test_a_logarithmic_axis_puts_ten_in_the_middle_of_one_and_a_hundred():
    text = over_log([(1, 0.0), (10, 0.5), (100, 1.0)], title="t", x="K", y="y")
    xs = [float(x) for x in re.findall(r'<circle class="s0" cx="(.*?)"', text)]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)
