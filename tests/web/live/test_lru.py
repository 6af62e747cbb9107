"""What is remembered in memory, and what goes first."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from dinoseek.web.live.lru import Lru

steps = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 12)), max_size=60)


@given(steps)
def test_values_are_those_of_a_dictionary_that_forgets_what_was_used_least_recently(steps):
    lru, plain = Lru(20, lambda value: value), OrderedDict()
    for is_put, key, value in steps:
        if is_put:
            lru.put(key, value)
            plain.pop(key, None)
            plain[key] = value
            while sum(plain.values()) > 20:
                plain.popitem(last=False)
        else:
            assert lru.get(key) == plain.get(key)
            if key in plain:
                plain.move_to_end(key)
    assert len(lru) == len(plain)


def test_what_is_too_heavy_alone_is_not_kept_and_a_key_can_be_dropped():
    lru = Lru(10, len)
    lru.put("a", b"12345")
    lru.put("b", bytes(11))
    assert (lru.get("b"), len(lru)) == (None, 0)
    lru.put("a", b"1")
    lru.drop("a")
    lru.drop("a")
    lru.put("b", bytes(10))
    assert (lru.get("a"), lru.get("b")) == (None, bytes(10))
