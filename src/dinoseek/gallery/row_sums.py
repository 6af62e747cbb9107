"""A checksum for each row of a matrix, so that a few rows can be checked without the others.

Each row is taken as 64-bit words; the upper half of a word is mixed into the lower one, and the sum
of the words times fixed odd numbers, modulo 2**64, is the checksum. Mixing and an odd factor lose
nothing, so any change within one word changes the sum; changes in several words cancel each other
out no more often than by chance. The row's image id goes in too: a row in another's place is wrong.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dinoseek.gallery.exact import Ids
from dinoseek.vit.ops import Array

Sums = NDArray[np.uint64]

_ROWS_AT_ONCE = 512  # they stay in the processor's cache while they are mixed and summed
_HALF = np.uint64(32)


def row_sums(ids: Ids, rows: Array) -> Sums:
    """The checksums (m,) of rows (m, d) of the images with these ids (m,)."""
    words = _words(rows)
    factors = _factors(words.shape[1] + 1)
    sums = ids.astype(np.uint64) * factors[-1]
    for start in range(0, len(words), _ROWS_AT_ONCE):
        block = words[start : start + _ROWS_AT_ONCE]
        mixed = block ^ (block >> _HALF)
        sums[start : start + _ROWS_AT_ONCE] += np.einsum("ij,j->i", mixed, factors[:-1])
    return sums


def _words(rows: Array) -> NDArray[np.uint64]:
    """Rows (m, d) as words (m, d / 2); where d is odd, as (m, d) of half the length."""
    whole = np.ascontiguousarray(rows)
    return (
        whole.view(np.uint64) if rows.shape[1] % 2 == 0 else whole.view(np.uint32).astype(np.uint64)
    )


@lru_cache(maxsize=8)
def _factors(count: int) -> NDArray[np.uint64]:
    """Odd numbers without a pattern, the same in every version: (count,)."""
    digits = hashlib.shake_256(b"dinoseek row sums").digest(8 * count)
    return np.frombuffer(digits, "<u8").astype(np.uint64) | np.uint64(1)
