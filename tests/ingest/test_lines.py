"""Where the first byte is that cannot be decoded."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.ingest.lines import first_undecodable


def first(data: bytes, encoding: str = "utf-8") -> int:
    return first_undecodable(io.BufferedReader(io.BytesIO(data)), encoding)


@given(data=st.binary(max_size=30), encoding=st.sampled_from(["utf-8", "utf-16-le", "gb18030"]))
def test_CSV_04_it_is_where_decoding_all_at_once_fails(data: bytes, encoding: str) -> None:
    try:
        data.decode(encoding)
    except UnicodeDecodeError as exc:
        assert first(data, encoding) == exc.start  # noqa: PT017
    else:
        assert first(data, encoding) == len(data)


@pytest.mark.parametrize("shift", range(-3, 4))
def test_CSV_04_it_is_right_where_blocks_meet(shift: int) -> None:
    before = b"x" * (65_536 + shift) + "é".encode()
    assert first(before + b"\xc3(" + b"x" * 9) == len(before)
