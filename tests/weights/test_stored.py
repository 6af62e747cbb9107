"""Stored values as float32."""

import io
import struct

import numpy as np
import pytest

from dinoseek.weights.stored import BLOCK_BYTES, read_exactly, read_floats


def test_every_bfloat16_becomes_the_float32_with_its_bits():
    every = np.arange(1 << 16, dtype="<u2")
    out = np.empty(1 << 16, np.float32)

    read_floats(io.BytesIO(every.tobytes()), "<u2", out, bfloat16=True)

    for bits in (0x0000, 0x8000, 0x3F80, 0xC049, 0x7F7F, 0x0001, 0x7F80, 0xFF80, 0x4248):
        (expected,) = struct.unpack("<f", struct.pack("<HH", 0, bits))
        assert out[bits] == expected
    assert np.array_equal(out.view(np.uint32) >> 16, every)
    assert not (out.view(np.uint32) & 0xFFFF).any()


def test_every_float16_becomes_its_float32():
    every = np.arange(1 << 16, dtype="<u2")
    out = np.empty((256, 256), np.float32)

    read_floats(io.BytesIO(every.tobytes()), "<f2", out)

    for bits in (0x0000, 0x3C00, 0xC000, 0x7BFF, 0x0001, 0x8001, 0x7C00):
        (expected,) = struct.unpack("<e", struct.pack("<H", bits))
        assert out.ravel()[bits] == expected


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2"])
def test_values_beyond_one_block_keep_their_order(dtype):
    values = np.arange(BLOCK_BYTES // 2 + 7) % 1000
    out = np.empty(values.shape, np.float32)

    read_floats(io.BytesIO(values.astype(dtype).tobytes()), dtype, out)

    assert np.array_equal(out, values)


def test_reading_goes_on_after_short_reads():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    assert read_exactly(Slow(b"0123456789"), 8) == b"01234567"


def test_an_early_end_is_an_error():
    with pytest.raises(EOFError, match="ends 2 bytes too early"):
        read_exactly(io.BytesIO(b"012345"), 8)
