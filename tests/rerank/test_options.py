"""Ways of re-ranking by name and settings."""

import pytest

from dinoseek.errors import UsageError
from dinoseek.rerank.options import METHODS, KReciprocal, Local, described, find_rerank, name_of


@pytest.mark.parametrize("name", METHODS)
def test_a_name_alone_gives_the_defaults_and_comes_back(name):
    assert find_rerank(name) == METHODS[name]()
    assert name_of(find_rerank(name)) == name


def test_settings_are_read_as_what_they_are():
    assert find_rerank("k-reciprocal:k1=5,weight=0.5") == KReciprocal(k1=5, weight=0.5)
    assert find_rerank("local:geometry=affine,shortlist=7") == Local(geometry="affine", shortlist=7)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_described_is_found_again(name):
    assert (
        find_rerank(
            described(METHODS[name](shortlist=7) if name != "alpha-qe" else METHODS[name](alpha=1))
        )
        != METHODS[name]()
    )
    assert find_rerank(described(METHODS[name]())) == METHODS[name]()


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("magic", "rerank.unknown", "use one of alpha-qe, dba, k-reciprocal"),
        ("alpha-qe:beta=1", "rerank.setting", "no setting beta, only neighbors, alpha"),
        ("alpha-qe:neighbors=1.5", "rerank.setting", "neighbors is 1.5, it must be a whole number"),
        ("alpha-qe:neighbors", "rerank.setting", "neighbors is nothing"),
        ("alpha-qe:neighbors=0", "rerank.setting", "within 1 to 10000"),
        ("alpha-qe:alpha=nan", "rerank.setting", "alpha is nan"),
        ("k-reciprocal:weight=1.1", "rerank.setting", "within 0 to 1"),
        ("superglobal:beta=-1", "rerank.setting", "within 0 to 100"),
        ("local:geometry=round", "rerank.setting", "known are none, similarity and affine"),
        ("dba:shortlist=20000", "rerank.setting", "within 1 to 10000"),
    ],
)
def test_what_makes_no_sense_is_refused_on_one_line(text, code, words):
    with pytest.raises(UsageError, match=words) as found:
        find_rerank(text)

    assert found.value.code == code
    assert "\n" not in str(found.value)
