"""The page of a training run."""

import re
from html import unescape

import pytest
from PIL import Image

from dinoseek.errors import MachineError
from dinoseek.evaluation.compare import Difference
from dinoseek.evaluation.result import Shown
from dinoseek.report.training import Query, TrainingReport, write_training


def difference(name, first, second, verdict="better"):
    return Difference(name=name, first=first, second=second, difference=second - first, low=0.01,
                      high=0.2, p_value=0.012, queries=98, verdict=verdict)  # fmt: skip


@pytest.fixture
def report(tmp_path):
    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 20, 20)).save(tmp_path / f"{number}.jpg")
    hits = [Shown(path="1.jpg", score=0.9, verdict="wrong")]
    after = [
        Shown(path="2.jpg", score=0.8, verdict="right"),
        Shown(path="gone.jpg", score=0.7, verdict="wrong"),
    ]
    query = Query(path="0.jpg", label="<b>cup</b>", before=hits, after=after)
    return TrainingReport(
        title="run <1>",
        facts={"model": "dinov2-small", "steps": 1200},
        differences=[difference("recall@1", 0.5, 0.625), difference("map@r", 0.2, 0.3)],
        steps=[(step, 4 / step, 1e-3) for step in range(1, 30)],
        validations=[(0, 0.2, 0.5), (29, 0.3, 0.625)],
        best_step=29,
        fixed=[query],
        broken=[],
        notes=["said <beside>"],
        config="epochs: 3 # <x>",
    )


def test_it_says_what_changed_and_shows_it(report, tmp_path):
    write_training(tmp_path / "page.html", report, tmp_path)

    page = (tmp_path / "page.html").read_text("utf-8")
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert "50.0 % → 62.5 %" in text
    assert "+12.5 points" in text
    assert "better" in text
    assert "1,200" in text
    assert page.count("<svg") == 3
    assert page.count('src="data:image') == 3
    assert "1 wrong" in text
    assert "1 right" in text
    assert "Broken" not in text


def test_nothing_of_the_data_is_markup(report, tmp_path):
    write_training(tmp_path / "page.html", report, tmp_path)

    page = (tmp_path / "page.html").read_text("utf-8")
    for raw in ("<b>cup", "run <1>", "<beside>", "# <x>"):
        assert raw not in page
    assert "&lt;b&gt;cup" in page
    assert not re.search(r"(?:src|href)=.https?:", page)


def test_a_page_that_cannot_be_written_is_told(report, tmp_path):
    with pytest.raises(MachineError):
        write_training(tmp_path, report, tmp_path)
