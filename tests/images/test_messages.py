"""What a decoder process and its pool say to each other, and what is no message."""

import json
import struct
from io import BytesIO

import pytest

from dinoseek.images.messages import MAX_HEADER, receive, send


def raw(header, *parts):
    text = json.dumps(header).encode()
    return BytesIO(struct.pack("<I", len(text)) + text + b"".join(parts))


def test_what_is_sent_is_received():
    stream = BytesIO()
    send(stream, {"a": "\n\udcff"}, [b"", b"123", memoryview(b"4" * 100_000)])
    send(stream, {"b": [1, 2.5, None]})
    stream.seek(0)
    assert receive(stream) == ({"a": "\n\udcff"}, [b"", b"123", b"4" * 100_000])
    assert receive(stream) == ({"b": [1, 2.5, None]}, [])
    with pytest.raises(EOFError):
        receive(stream)


def test_a_message_that_is_cut_is_an_end():
    stream = BytesIO()
    send(stream, {"a": 1}, [b"12345"])
    whole = stream.getvalue()
    for length in range(len(whole)):
        with pytest.raises(EOFError):
            receive(BytesIO(whole[:length]))


@pytest.mark.parametrize(
    "stream",
    [
        BytesIO(b"Traceback (most recent call last)"),
        BytesIO(struct.pack("<I", MAX_HEADER + 1) + bytes(2 * MAX_HEADER)),
        BytesIO(struct.pack("<I", 3) + b"\xff{}"),
        raw(["sizes"]),
        raw({}),
        raw({"sizes": 3}, b"123"),
        raw({"sizes": [-3]}, b"123"),
        raw({"sizes": ["3"]}, b"123"),
        raw({"sizes": [2, 99]}, bytes(101)),
    ],
)
def test_anything_else_is_refused_before_it_is_read(stream):
    with pytest.raises(ValueError, match=r"message|decode"):
        receive(stream, most=100)


def test_a_message_may_be_as_long_as_was_agreed():
    assert receive(raw({"sizes": [40, 60]}, bytes(100)), most=100)[1] == [bytes(40), bytes(60)]
