"""Hits as tables, JSON, CSV and paths: nothing is lost, and nothing in a text is run."""

import csv
import io
import json
import os
import re

import pytest

from dinoseek.cli.output import write_hits
from dinoseek.gallery.base import Hit


def make(rank=1, **more):
    values = {
        "query": "q.jpg",
        "id": rank,
        "path": f"/a/{rank}.jpg",
        "score": 0.5,
        "caption": None,
        "location": f"/a/{rank}.jpg",
    }
    return Hit(rank=rank, **{**values, **more})


@pytest.fixture
def written(capfd):
    def write(hits, form, **more) -> str:
        write_hits([("q.jpg", hits)], form, **more)
        return capfd.readouterr().out

    return write


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_json_has_everything_in_a_fixed_order(written):
    hit = make(
        caption="a",
        url="https://example.org/1.jpg",
        percentile=99.1234567,
        copies=2,
        distance=0.25,
        metadata={"label": "cat", "tags": ["a", "b"], "n": 1.5, "sold": True},
    )

    (row,) = json.loads(written([hit], "json"))

    assert row == {
        "query": "q.jpg",
        "rank": 1,
        "id": 1,
        "path": "/a/1.jpg",
        "score": 0.5,
        "caption": "a",
        "percentile": 99.123457,
        "url": "https://example.org/1.jpg",
        "copies": 2,
        "metadata": {"label": "cat", "tags": ["a", "b"], "n": 1.5, "sold": True},
        "distance": 0.25,
    }
    assert json.loads(written([hit], "jsonl")) == row
    assert json.loads(written([make()], "json"))[0]["percentile"] is None


def test_csv_has_a_column_for_each_name_of_metadata(written):
    hits = [
        make(1, metadata={"label": "cat", "n": -1.5, "sold": True}),
        make(2, metadata={"label": "dog", "tags": ["ä", 1], "none": None}),
    ]

    text = written(hits, "csv")

    header = "query,rank,id,path,score,caption,percentile,url,copies,label,n,sold,tags,none"
    assert text.splitlines()[0] == header
    first, second = rows(text)
    assert (first["label"], first["n"], first["sold"], first["tags"]) == ("cat", "-1.5", "true", "")
    assert (second["label"], second["tags"], second["none"]) == ("dog", '["ä", 1]', "")


def test_names_of_metadata_that_are_taken_get_a_prefix(written):
    names = ["caption", "meta.caption", "id", "distance", "free"]

    text = written([make(caption="own", metadata=dict.fromkeys(names, "x"))], "csv")

    columns = text.splitlines()[0].split(",")[9:]
    assert columns == ["meta.meta.caption", "meta.caption", "meta.id", "meta.distance", "free"]
    assert rows(text)[0]["caption"] == "own"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_CSV_14_no_text_of_a_cell_becomes_a_formula(written, text):
    hit = make(caption=text, query=text, metadata={"x": text, text: "y", "n": -2, "list": [text]})

    table = list(csv.reader(io.StringIO(written([hit], "csv"), newline="")))

    cells = [cell for row in table for cell in row]
    assert cells.count(f"'{text}") == 4
    assert text not in cells


def test_numbers_and_stdin_stay_what_they_are_in_csv(written):
    (row,) = rows(written([make(query="-", metadata={"n": -1})], "csv"))

    assert (row["query"], row["n"]) == ("-", "-1")


def test_without_hits_csv_is_a_header(written):
    assert written([], "csv") == "query,rank,id,path,score,caption,percentile,url,copies\n"


def test_paths_are_files_or_else_addresses_or_members(written):
    url = "https://example.org/1.jpg"
    hits = [
        make(1, url=url),
        make(2, location=None, path=url, url=url),
        make(3, location=None, path="/a/shard.tar/b.jpg"),
    ]

    assert written(hits, "paths").splitlines() == ["/a/1.jpg", url, "/a/shard.tar/b.jpg"]


def test_paths_are_the_bytes_of_the_files_names(capfdbinary):
    name = os.fsdecode(b"/a/caf\xe9\n.jpg")
    hits = [make(location=os.fsdecode(name), path="/a/caf\\udce9\\n.jpg")]

    write_hits([("q", hits)], "print0")

    assert capfdbinary.readouterr().out == b"/a/caf\xe9\n.jpg\0"


def test_a_table_shows_columns_that_have_something_in_them(written):
    assert written([make(1), make(2)], "table").splitlines() == [
        "  1  0.5000  /a/1.jpg",
        "  2  0.5000  /a/2.jpg",
    ]
    hits = [
        make(1, percentile=100.0, copies=12, caption="a\x1b[31m"),
        make(2, percentile=99.999),
        make(3, percentile=7.0, copies=3),
    ]
    assert written(hits, "table").splitlines() == [
        "  1  0.5000  100.00 %  +12  /a/1.jpg  a\\x1b[31m",
        "  2  0.5000   99.99 %       /a/2.jpg",
        "  3  0.5000    7.00 %   +3  /a/3.jpg",
    ]


def test_a_long_table_adds_addresses_and_metadata(written):
    url = "https://example.org/1.jpg"
    hits = [
        make(1, url=url, metadata={"label": "a cat", "n": 2, "tags": ["a"], "evil\n": "\x1b[31m"}),
        make(2, location=None, path=url, url=url),
    ]

    assert written(hits, "table", long=True).splitlines() == [
        "  1  0.5000  /a/1.jpg",
        f"     url: {url}",
        "     label: a cat",
        "     n: 2",
        '     tags: ["a"]',
        "     evil\\n: \\x1b[31m",
        f"  2  0.5000  {url}",
    ]


def test_a_terminal_gets_a_table_with_heads(written, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    hits = [make(1, percentile=50.0, caption="[bold]x[/bold]", metadata={"label": "cat"})]

    text = written(hits, "table", long=True)

    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    head, first, second, *_ = [" ".join(line.split()) for line in plain.splitlines()]
    assert head == "rank score above path caption"
    assert first == "1 0.5000 50.00 % /a/1.jpg [bold]x[/bold]"
    assert second == "label: cat"
