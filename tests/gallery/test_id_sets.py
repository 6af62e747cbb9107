"""Sets of ids against Python's own sets."""

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.gallery.id_sets import are_in, read_ids, united

SETS = st.sets(st.integers(1, 30)).map(lambda ids: np.array(sorted(ids), np.int64))


@given(st.lists(SETS, max_size=4))
def test_united_sets_have_each_id_once(sets):
    assert united(sets).tolist() == sorted(set().union(*(ids.tolist() for ids in sets)))


@given(SETS, SETS)
def test_ids_are_found_among_others(ids, others):
    assert are_in(ids, others).tolist() == [id in set(others.tolist()) for id in ids.tolist()]


@pytest.fixture
def connection():
    opened = sqlite3.connect(":memory:")
    opened.execute("CREATE TABLE found (id)")
    yield opened
    opened.close()


@pytest.mark.parametrize("ids", [[], [5], [3, 1, 2, 1], [2**62, 1], list(range(5000, 0, -1))])
def test_what_a_query_finds_ascends_and_has_each_id_once(connection, ids):
    connection.executemany("INSERT INTO found VALUES (?)", [(id,) for id in ids])
    found = read_ids(connection, "SELECT id FROM found WHERE id > ?", [0])
    assert found.dtype == np.int64
    assert found.tolist() == sorted(set(ids))


@pytest.mark.parametrize("value", ["x", "", "1,2", -1, 1.5, b"\xff\xfe", None])
def test_what_is_no_id_is_an_error(connection, value):
    connection.executemany("INSERT INTO found VALUES (?)", [(1,), (value,), (2,)])
    with pytest.raises(sqlite3.DatabaseError):
        read_ids(connection, "SELECT id FROM found")
