"""Lists on a pipe: lines, null bytes, JSON Lines, and what cannot be read."""

import io
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.errors import MachineError, UsageError
from dinoseek.ingest.listing import Listing, from_stream
from dinoseek.ingest.rows import BadRow, Row


def read(data: bytes) -> list[Row | BadRow]:
    return list(from_stream(io.BytesIO(data)))


def places(data: bytes) -> list[str | None]:
    return [row.path or row.url if isinstance(row, Row) else row.code for row in read(data)]


def test_lines_are_paths_or_addresses_and_comments_are_left_out() -> None:
    data = b"\xef\xbb\xbfa.jpg\r\n\n  \n# no\n b c.jpg \nHTTPS://x/1.jpg \n./#1.jpg\nC:/x.jpg"
    assert read(data) == [
        Row(number=1, path="a.jpg"),
        Row(number=2, path=" b c.jpg "),
        Row(number=3, url="HTTPS://x/1.jpg"),
        Row(number=4, path="./#1.jpg"),
        Row(number=5, path="C:/x.jpg"),
    ]


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name)))
def test_names_before_null_bytes_are_lossless(names: list[bytes]) -> None:
    names = [b"/" + name for name in names]
    rows = read(b"".join(name + b"\0" for name in names))
    assert [os.fsencode(cast(Row, row).path or "") for row in rows] == names


@given(st.lists(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"\0\n\r#{"))))
def test_names_on_lines_are_lossless(names: list[bytes]) -> None:
    names = [b"/" + name for name in names]
    rows = read(b"\n".join(names))
    assert [os.fsencode(cast(Row, row).path or "") for row in rows] == names


def test_a_null_byte_later_on_spoils_its_line_only() -> None:
    data = b"a.jpg\n" * 20_000 + b"b\0.jpg\nc.jpg"
    found = places(data)
    assert found[-3:] == ["a.jpg", "csv.value", "c.jpg"]
    assert len(found) == 20_002


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_an_entry_without_end_is_one_bad_row_and_takes_no_memory(separator: bytes) -> None:
    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.blocks = iter([b"a" + separator, *[b"x" * 65_536] * 500, separator + b"b"])

        def read(self, _size: int = -1) -> bytes:
            return next(self.blocks, b"")

    tracemalloc.start()
    found = list(from_stream(cast(BinaryIO, Endless())))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [getattr(row, "path", row.number) for row in found] == ["a", 2, "b"]
    assert peak < 3_000_000


def test_an_address_that_is_not_utf8_is_a_bad_row() -> None:
    assert places(b"http://x/\xff\na\xff") == ["csv.encoding", "a\udcff"]


def test_json_lines_are_rows_with_metadata() -> None:
    data = b'\n{"url": "http://a", "caption": "A", "w": 3}\n\n{"url": "http://b", "n": [1]}\nx\n'
    assert read(data) == [
        Row(number=1, url="http://a", caption="A", metadata={"w": 3}),
        Row(number=2, url="http://b", metadata={"n": [1]}),
        BadRow(number=3, code="csv.syntax", reason=cast(BadRow, read(data)[2]).reason),
    ]


def test_a_json_line_longer_than_a_block_is_still_json() -> None:
    line = json.dumps({"caption": "x" * 200_000, "url": "http://a"}).encode()
    (row,) = read(line)
    assert isinstance(row, Row)
    assert (row.url, len(row.caption or "")) == ("http://a", 2_000)


def test_a_name_with_braces_is_a_path() -> None:
    assert places(b"{1}.jpg\n{}\n") == ["{1}.jpg", "{}"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_CSV_04_utf16_is_refused(encoding: str) -> None:
    with pytest.raises(UsageError, match="UTF-16") as caught:
        read("\ufeffa.jpg\n".encode(encoding) if "-be" in encoding else "a\n".encode(encoding))
    assert caught.value.code == "csv.encoding"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# x", b"\xef\xbb\xbf"])
def test_CSV_01_an_empty_list_has_no_rows(data: bytes) -> None:
    assert read(data) == []


def test_CSV_17_rows_come_out_while_the_pipe_is_open() -> None:
    into, out = os.pipe()
    with os.fdopen(into, "rb") as stream:
        rows = from_stream(stream)
        for name in (b"a.jpg", b"b.jpg"):
            writer = threading.Thread(target=os.write, args=(out, name + b"\n"))
            writer.start()
            assert cast(Row, next(rows)).path == name.decode()
            writer.join()
        os.close(out)
        assert list(rows) == []


def test_a_stream_that_cannot_be_read_is_an_error_of_the_machine() -> None:
    descriptor = os.open("/", os.O_RDONLY)
    with pytest.raises(MachineError, match="cannot be read"), _raw(descriptor) as stream:
        list(Listing(stream).rows())


def _raw(descriptor: int) -> BinaryIO:
    class Folder(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return os.read(descriptor, size)

        def close(self) -> None:
            if not self.closed:
                os.close(descriptor)
            super().close()

    return cast(BinaryIO, Folder())


def test_a_listing_is_a_source_of_rows() -> None:
    listing = Listing(io.BytesIO(b"a.jpg\n"), "list")
    listing.check()
    assert listing.count() is None
    rows: Iterator[Row | BadRow] = listing.rows()
    assert list(rows) == [Row(number=1, path="a.jpg")]
