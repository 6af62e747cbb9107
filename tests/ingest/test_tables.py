"""Tables of every kind: what is read, what is one bad row, and what stops the run."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinoseek.errors import DinoseekError, MachineError, UsageError
from dinoseek.ingest import streams
from dinoseek.ingest.rows import BadRow, Columns, Row
from dinoseek.ingest.streams import Snapshot
from dinoseek.ingest.tables import TABLE_SUFFIXES, Table

Make = Callable[..., Table]


@pytest.fixture
def table(tmp_path: Path) -> Make:
    """A table with these bytes or this text."""

    def make(content: bytes | str, name: str = "list.csv", **options: Any) -> Table:
        path = tmp_path / name
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return Table(path, **options)

    return make


def urls(table: Table) -> list[str | None]:
    """The address of each row, or the code of a bad one."""
    return [row.url if isinstance(row, Row) else row.code for row in table.rows()]


def refused(table: Table) -> DinoseekError:
    with pytest.raises(DinoseekError) as caught:
        table.check()
    return caught.value


def until_broken(rows: Iterator[Row | BadRow]) -> tuple[int, DinoseekError]:
    """How many rows came before the error, and the error."""
    count = 0
    try:
        for _ in rows:
            count += 1
    except DinoseekError as error:
        return count, error
    pytest.fail(f"{count} rows and no error")


@pytest.mark.parametrize("content", ["", "\n\n", "image_url,caption\n", "image_url,caption"])
def test_CSV_01_an_empty_table_has_no_rows(table: Make, content: str) -> None:
    empty = table(content)
    empty.check()
    assert list(empty.rows()) == []
    assert empty.count() in (0, 1)


def test_CSV_02_without_a_header_columns_have_numbers(table: Make) -> None:
    columns = Columns(header=False, url="1", caption="column2")
    rows = list(table("7,http://a,A\n8,http://b,B\n", columns=columns).rows())
    assert rows == [
        Row(number=1, url="http://a", caption="A", metadata={"column0": 7}),
        Row(number=2, url="http://b", caption="B", metadata={"column0": 8}),
    ]
    assert urls(table("http://a\nhttp://b", columns=Columns(header=False))) == [
        "http://a",
        "http://b",
    ]


@pytest.mark.parametrize("content", ["http://a/1.jpg,x\n", "1.JPG,x\n"])
def test_CSV_02_a_first_row_that_is_data_is_not_lost_as_a_header(table: Make, content: str) -> None:
    error = refused(table(content, columns=Columns(url="0")))
    assert error.code == "csv.column"
    assert "--no-header" in str(error)


def test_CSV_02_a_missing_column_is_refused_at_the_start(table: Make) -> None:
    error = refused(table("a,b\n1,2\n", columns=Columns(url="c")))
    assert (error.code, error.exit_code) == ("csv.column", 2)
    assert "'a', 'b'" in str(error)


def test_two_columns_of_one_name_are_refused(table: Make) -> None:
    assert refused(table("url,x,x\na,b,c\n")).code == "csv.column"


def test_columns_without_a_name_get_one(table: Make) -> None:
    (row,) = table(" url ,,\na,b,c\n").rows()
    assert isinstance(row, Row)
    assert row.metadata == {"column1": "b", "column2": "c"}


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_CSV_03_a_byte_order_mark_is_no_part_of_a_name(table: Make, name: str) -> None:
    content = "url\nhttp://a" if name.endswith("csv") else '{"url": "http://a"}'
    assert urls(table("\ufeff" + content, name)) == ["http://a"]
    for encoding in ("utf-8", "utf-16-le"):
        data = ("\ufeff" + content).encode(encoding)
        assert urls(table(data, name, encoding=encoding)) == ["http://a"]


def test_CSV_04_a_byte_that_is_no_text_is_named_with_its_row(table: Make) -> None:
    before = b"url,caption\n" + b"http://a,\xc3\xa9\n" * 57_311
    broken = table(before + b"http://b,x\xe9y\n" + b"http://c,z\n")
    broken.check()
    count, error = until_broken(broken.rows())
    assert count == 57_311
    assert (error.code, error.exit_code) == ("csv.encoding", 2)
    assert "row 57,312 (line 57,313)" in str(error)
    assert f"byte {len(before) + 10:,}" in str(error)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252", "gb18030", "shift_jis"])
def test_CSV_04_other_encodings_are_read_when_named(table: Make, encoding: str) -> None:
    caption = "é" if encoding in ("latin-1", "cp1252", "utf-16") else "図"
    (row,) = table(f"url,caption\na,{caption}".encode(encoding), encoding=encoding).rows()
    assert isinstance(row, Row)
    assert row.caption == caption


def test_CSV_04_utf16_is_recognised(table: Make) -> None:
    error = refused(table("url\na".encode("utf-16")))
    assert error.code == "csv.encoding"
    assert "--encoding utf-16" in str(error)


def test_CSV_04_bad_bytes_spoil_their_row_or_their_cell_when_asked(table: Make) -> None:
    data = b"url,caption,n\na,\xe9,1\nb\xff,c,\xff\nd,e,f\n"
    assert urls(table(data, encoding_errors="skip")) == ["csv.encoding", "csv.encoding", "d"]
    first, second, third = table(data, encoding_errors="replace").rows()
    assert first == Row(number=1, url="a", caption="\ufffd", metadata={"n": 1})
    assert isinstance(second, BadRow)
    assert (second.code, third.number) == ("csv.encoding", 3)


def test_CSV_04_a_path_may_have_any_bytes_of_the_system(table: Make) -> None:
    (row,) = table(b"path\n\xff.jpg\n", encoding_errors="replace").rows()
    assert isinstance(row, Row)
    assert os.fsencode(row.path or "") == b"\xff.jpg"


@pytest.mark.parametrize("name", ["klingon", "hex", "rot13"])
def test_CSV_04_an_encoding_that_there_is_not_is_refused(table: Make, name: str) -> None:
    with pytest.raises(UsageError, match="no such encoding"):
        table("", encoding=name)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_CSV_05_lines_end_in_any_way(table: Make, end: str, last: bool) -> None:
    text = end.join(["url,caption", "a,1 2", 'b,"x', 'y"', "c,3"]) + end * last
    rows = list(table(text).rows())
    assert [(row.number, row.url, row.caption) for row in rows if isinstance(row, Row)] == [
        (1, "a", "1 2"), (2, "b", f"x{end}y"), (3, "c", "3"),
    ]  # fmt: skip
    assert urls(table("url\ra\r\nb\nc\r\n\rd")) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("delimiter", "named"), [(";", ";"), ("\t", "tab"), ("|", "|"), ("\t", r"\t")]
)
def test_CSV_06_another_delimiter_is_right_when_given_and_never_guessed(
    table: Make, delimiter: str, named: str
) -> None:
    text = f'url{delimiter}caption\na{delimiter}"x ""{delimiter}\ny"\n'
    assert list(table(text, delimiter=named).rows()) == [
        Row(number=1, url="a", caption=f'x "{delimiter}\ny')
    ]
    error = refused(table(text))
    assert error.code == "csv.delimiter"
    assert "--delimiter" in str(error)


def test_CSV_06_the_suffix_says_the_delimiter(table: Make) -> None:
    for name in ("list.tsv", "list.TAB", "list.tsv.gz"):
        assert urls(table("url\tn\na,b;c\t1\n", name)) == ["a,b;c"]
    assert refused(table("url,caption\na,b\n", "list.tsv")).code == "csv.delimiter"
    assert urls(table("a;b\nc\n", delimiter=",", columns=Columns(url="a;b"))) == ["c"]


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_CSV_06_a_delimiter_is_one_character(table: Make, delimiter: str) -> None:
    with pytest.raises(UsageError, match="single character"):
        table("", delimiter=delimiter)


@pytest.mark.parametrize("rest", ["c,d\n" * 200_000, "c,d\n", ""])
def test_CSV_07_an_unclosed_quote_swallows_nothing(table: Make, rest: str) -> None:
    broken = table('url,x\na,1\nb,2\n"c,3\n' + rest)
    broken.check()
    tracemalloc.start()
    count, error = until_broken(broken.rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, error.code, error.exit_code) == (2, "csv.syntax", 2)
    assert "row 3 (line 4)" in str(error)
    assert peak < 8_000_000


@pytest.mark.parametrize("far", [1, 3_000_000])
def test_CSV_07_a_quote_that_the_next_one_seems_to_close_is_found(table: Make, far: int) -> None:
    count, error = until_broken(table(f'url,x\na,1\n"b{" " * far},2\n"c",3\n').rows())
    assert (count, error.code) == (1, "csv.syntax")
    assert "row 2 (line 3): a quoted cell goes on" in str(error)


@pytest.mark.parametrize(
    "row",
    [
        "b," + "x" * 200_000, 'b,"' + "x" * 200_000 + '"', 'b,"' + "x,\n" * 100_000 + '"',
        'b,"' + '""' * 200_000 + '"', "b," + 'x"' * 100_001, 'b,"' + "x\r\n" * 800_000 + '"',
        "b," + "x" * 3_000_000, "b" + ",x" * 700_000,
    ],
    ids=range(8),
)  # fmt: skip
def test_CSV_08_a_huge_cell_is_one_bad_row_however_it_is_written(table: Make, row: str) -> None:
    assert urls(table(f"url,x\na,1\n{row}\nc,2\n")) == ["a", "csv.cell_too_large", "c"]


def test_CSV_08_the_largest_cell_is_allowed(table: Make) -> None:
    (row,) = table("url,x\na," + "x" * 131_072).rows()
    assert isinstance(row, Row)
    assert len(str(row.metadata["x"])) == 131_072


def test_CSV_08_memory_is_bounded_whatever_the_size_of_a_cell(table: Make) -> None:
    huge = table(b"url,x\na," + b"x" * 60_000_000 + b"\nb,1\n")
    tracemalloc.start()
    assert urls(huge) == ["csv.cell_too_large", "b"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000


def test_CSV_08_a_limit_that_another_library_lifted_changes_nothing(table: Make) -> None:
    before = csv.field_size_limit(10**9)
    try:
        assert urls(table("url,x\na," + "x" * 200_000)) == ["csv.cell_too_large"]
    finally:
        csv.field_size_limit(before)


def test_CSV_09_null_bytes_reach_the_check_of_addresses(table: Make) -> None:
    assert urls(table(b"url\nhttp://a\0b\n")) == ["http://a\0b"]
    assert urls(table(b"path\na\0b\n")) == ["csv.value"]


def test_CSV_10_rows_of_another_width_are_bad_with_their_number(table: Make) -> None:
    rows = list(table("url,caption\na\nb,c\nd,e,f\n").rows())
    assert [row.number for row in rows] == [1, 2, 3]
    assert rows[0] == BadRow(
        number=1, code="csv.columns", reason="it has 1 cells, the table has 2 columns"
    )
    assert isinstance(rows[1], Row)
    assert isinstance(rows[2], BadRow)


def test_CSV_11_blank_lines_comments_and_spaces_are_no_matter(table: Make) -> None:
    text = "\n# list of 2024\nurl,caption\n\n   \n  http://a  , b\n#http://x,y\n# end\n#tag,c\n"
    rows = list(table(text).rows())
    assert rows == [Row(number=1, url="http://a", caption=" b")]
    captions = list(table("caption,url\n#sunset,http://a\n# end\n").rows())
    assert captions == [Row(number=1, url="http://a", caption="#sunset")]
    assert [row.number for row in table("path\n#1.jpg\n").rows()] == [1]


def test_CSV_12_memory_does_not_grow_with_the_rows(table: Make) -> None:
    def peak(rows: int, name: str, row: str) -> int:
        header = "" if "json" in name else "url,caption,n\n"
        long = table(header + row * rows, name)
        tracemalloc.start()
        assert sum(isinstance(each, Row) for each in long.rows()) == rows
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    for name, row in (
        ("a.csv", "http://a,b,3\n"), ("a.csv.gz", "http://a,b,3\n"),
        ("a.jsonl", '{"url": "http://a", "n": 3}\n'),
    ):  # fmt: skip
        assert peak(40_000, name, row) < peak(2_000, name, row) + 300_000


def test_CSV_12_a_long_table_starts_at_once(table: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    long = table("url,n\n" + "http://a,1\n" * 300_000)
    read = 0
    original = Snapshot.readinto

    def counting(self: Snapshot, buffer: Any) -> int:
        nonlocal read
        read += (count := original(self, buffer))
        return count

    monkeypatch.setattr(Snapshot, "readinto", counting)
    long.check()
    assert 0 < read < 100_000


def test_CSV_13_the_same_address_twice_is_two_rows_in_their_order(table: Make) -> None:
    rows = list(table("url,caption\nhttp://a,first\nhttp://a,second\n").rows())
    assert [(row.number, row.caption) for row in rows if isinstance(row, Row)] == [
        (1, "first"), (2, "second"),
    ]  # fmt: skip


def xlsx() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as book:
            book.writestr("xl/workbook.xml", "<x/>")
        return file.getvalue()


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz", "list.jsonl"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (xlsx(), "Excel workbook or a zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
        (b"PAR1xxxx", ".parquet"),
        (gzip.compress(b"url\na"), ".csv.gz"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_CSV_15_another_format_is_named(table: Make, name: str, data: bytes, said: str) -> None:
    error = refused(table(data, name))
    assert error.code == "csv.format"
    assert said in str(error)


@pytest.mark.parametrize("name", ["list.csv.gz", "list.jsonl.gz"])
def test_CSV_15_what_is_no_gzip_is_refused(table: Make, tmp_path: Path, name: str) -> None:
    packed = table("url\na", name)
    packed.path.write_bytes(b"url\na")
    assert refused(packed).code == "csv.format"


def test_CSV_15_a_bomb_is_stopped_after_what_text_may_unpack_to(
    table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_ALWAYS_ALLOWED", 100_000)
    bomb = table(b"url\n" + b"\n" * 2_000_000, "list.csv.gz")
    with pytest.raises(UsageError, match="it unpacks to more than") as caught:
        list(bomb.rows())
    assert caught.value.code == "csv.format"
    monkeypatch.undo()
    assert urls(bomb) == []


def test_CSV_15_a_packed_table_that_is_cut_off_says_after_which_row(table: Make) -> None:
    packed = table(
        "".join(f"http://a/{n}\n" for n in ["", *range(50_000)]).replace("http://a/\n", "url\n", 1),
        "a.csv.gz",
    )
    data = packed.path.read_bytes()
    packed.path.write_bytes(data[: len(data) // 2])
    count, error = until_broken(packed.rows())
    assert count > 10_000
    assert error.code == "csv.format"
    assert f"after row {count:,}" in str(error)


def test_CSV_15_a_name_that_says_nothing_is_refused(table: Make) -> None:
    error = refused(table("url\na\n", "list.xlsx"))
    assert error.code == "csv.format"
    assert all(suffix in str(error) for suffix in TABLE_SUFFIXES)


def test_CSV_16_what_is_appended_while_reading_is_left_for_the_next_run(table: Make) -> None:
    growing = table("url\n" + "http://a\n" * 50_000)
    rows = growing.rows()
    next(rows)
    with growing.path.open("a") as file:
        file.write("http://b\n" * 50_000)
    assert sum(1 for _ in rows) == 49_999
    assert sum(1 for _ in growing.rows()) == 100_000


def test_CSV_16_a_table_that_is_replaced_or_cut_while_reading_does_no_harm(table: Make) -> None:
    replaced = table("url\n" + "http://a\n" * 50_000)
    rows = replaced.rows()
    next(rows)
    other = replaced.path.with_name("other")
    other.write_text("url\nhttp://b\n")
    other.replace(replaced.path)
    assert sum(1 for _ in rows) == 49_999
    rows = replaced.rows()
    next(rows)
    replaced.path.write_text("")
    assert list(rows) == []


def test_CSV_17_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    assert refused(Table(tmp_path / "no.csv")).code == "path.missing"
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert refused(Table(folder)).code == "path.not_regular"
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    error = refused(Table(pipe))
    assert error.code == "path.not_regular"
    assert "give -" in str(error)
    for name in ("no.csv", "folder.csv", "pipe.csv"):
        with pytest.raises(DinoseekError):
            Table(tmp_path / name).count()


def test_CSV_17_a_table_that_may_not_be_read_is_an_error_of_the_machine(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "list.csv"
    path.write_text("url\na\n")
    path.chmod(0)
    program = (
        "import os, sys; from pathlib import Path; from dinoseek.ingest.tables import Table\n"
        "from dinoseek.errors import MachineError\n"
        "for folder in Path(sys.argv[1]).parents: os.path.isdir(folder) or None\n"
        "table = Table(Path('list.csv'))\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: table.check()\n"
        "except MachineError as exc: print(exc.code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "path.unreadable\n"


def said(table: Table) -> dict[str | None, tuple[Any, ...]]:
    """What the rows of a table say, by address."""
    rows = [row for row in table.rows() if isinstance(row, Row)]
    return {row.url: (row.path, row.caption, dict(row.metadata)) for row in rows}


LINES = [f"http://a/{number},{number}\n" for number in range(100)]


def test_CSV_18_rows_stay_the_same_when_others_are_added(table: Make) -> None:
    once = said(table("url,n\n" + "".join(LINES)))
    more = said(table("url,n\n" + "".join([*LINES, *(f"http://b/{n},0\n" for n in range(10))])))
    assert len(more.keys() - once.keys()) == 10
    assert {url: more[url] for url in once} == once


def test_CSV_19_rows_stay_the_same_in_another_order(table: Make) -> None:
    once = said(table("url,n\n" + "".join(LINES)))
    assert said(table("url,n\n" + "".join(LINES[::-1]))) == once


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_CSV_20_a_table_of_bad_rows_is_read_to_its_end(table: Make, name: str) -> None:
    content = ("url,n\n" + ",1\nx\n" * 500) if name == "list.csv" else '{"url": ""}\n[]\n' * 500
    found = urls(table(content, name))
    assert len(found) == 1000
    assert set(found) == {"csv.empty", "csv.columns" if name == "list.csv" else "csv.syntax"}


def test_a_broken_json_line_is_one_bad_row(table: Make) -> None:
    bad = [
        "{",
        "[1]",
        "17",
        "[" * 100_000,
        '{"a": ' * 40_000,
        "9" * 5_000,
        '{"url": "' + "x" * 2_000_000 + '"}',
    ]
    lines = ['{"url": "http://a"}', *bad, '{"url": "http://b", "x": NaN, "y": 1e999}']
    *rows, last = table("\n".join(lines), "a.ndjson").rows()
    codes = [row.code for row in rows if isinstance(row, BadRow)]
    assert codes == ["csv.syntax"] * 6 + ["csv.cell_too_large"]
    assert last == Row(number=9, url="http://b")


def test_a_json_document_over_many_lines_is_refused(table: Make) -> None:
    document = json.dumps([{"url": "http://a"}], indent=2)
    error = refused(table(document, "a.jsonl"))
    assert error.code == "csv.format"
    assert "jq" in str(error)


def test_json_columns_are_those_of_the_first_hundred_objects(table: Make) -> None:
    lines = [{"url": "a"}, {"url": "b", "title": "B"}, {"url": "c", "text": "C", "title": "T"}]
    rows = list(table("\n".join(map(json.dumps, lines)), "a.jsonl").rows())
    assert rows == [
        Row(number=1, url="a"),
        Row(number=2, url="b", metadata={"title": "B"}),
        Row(number=3, url="c", caption="C", metadata={"title": "T"}),
    ]


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_the_count_of_rows_is_nearly_right(table: Make, name: str) -> None:
    lines = [f'{{"url": "http://a/{number % 7}"}}' for number in range(90_000)]
    text = "\n".join(
        ["url", *(f"http://a/{n % 7}" for n in range(200_000))] if "csv" in name else lines
    )
    counted = table(text, name)
    exact = sum(1 for _ in counted.rows())
    assert abs((counted.count() or 0) - exact) <= exact / 100
    assert table("url\na\nb", "b.csv").count() == 2
    assert table("url\na\nb", "b.csv.gz").count() is None


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    delimiter=st.sampled_from(",;\t|"),
)
def test_what_pythons_csv_module_writes_is_read_back(
    table: Make, rows: list[tuple[str, str, str]], end: str, delimiter: str
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator=end, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("url", "caption", "x"), *rows])
    read = list(table(file.getvalue(), delimiter=delimiter).rows())
    assert [row.number for row in read if isinstance(row, Row)] == [
        number for number, (url, _, _) in enumerate(
            [each for each in rows if not each[0].startswith("#")], start=1
        ) if url.strip(" \t\r\n")
    ]  # fmt: skip
    for row, (url, caption, _) in zip(
        read, [r for r in rows if not r[0].startswith("#")], strict=True
    ):
        if isinstance(row, Row):
            assert (row.url, row.caption or "") == (url.strip(" \t\r\n"), caption)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(text=st.text(st.sampled_from('ab,"\n\r'), max_size=40))
def test_any_text_is_read_as_the_strict_csv_module_reads_it_or_refused_as_by_it(
    table: Make, text: str
) -> None:
    lines = io.StringIO("url,x\n" + text, newline="")
    try:
        expected = [cells for cells in csv.reader(lines, strict=True) if cells][1:]
    except csv.Error:
        with pytest.raises(UsageError) as caught:
            list(table("url,x\n" + text).rows())
        assert caught.value.code == "csv.syntax"
        return
    read = list(table("url,x\n" + text).rows())
    expected = [cells for cells in expected if len(cells) > 1 or not cells[0].isspace()]
    assert [isinstance(row, Row) for row in read] == [
        len(cells) == 2 and bool(cells[0].strip()) for cells in expected
    ]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=30,
)
@given(
    rows=st.lists(
        st.tuples(cells.filter(str.strip), st.integers(), st.floats(0, 1e6)), min_size=1, max_size=5
    )
)
def test_what_pandas_writes_as_json_lines_is_read_back(
    table: Make, rows: list[tuple[str, int, float]]
) -> None:
    frame = pd.DataFrame(rows, columns=["url", "n", "x"]).astype({"n": "float64"})
    read = table(frame.to_json(orient="records", lines=True, double_precision=15), "a.jsonl").rows()
    for row, (url, _, x) in zip(read, rows, strict=True):
        if url.strip(" \t\r\n"):
            assert isinstance(row, Row)
            assert row.url == url.strip(" \t\r\n")
            assert row.metadata["x"] == pytest.approx(x, abs=1e-9)


def test_a_failing_disk_is_an_error_of_the_machine(
    table: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = table("url\n" + "http://a\n" * 50_000)
    rows = failing.rows()
    next(rows)

    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Snapshot, "readinto", fail)
    with pytest.raises(MachineError, match="Input/output error"):
        list(rows)


def test_readers_do_not_disturb_each_other(table: Make) -> None:
    both = table("url\n" + "".join(f"http://a/{n}\n" for n in range(2_000)))
    found: list[list[str | None]] = []
    threads = [threading.Thread(target=lambda: found.append(urls(both))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [urls(both)] * 3
