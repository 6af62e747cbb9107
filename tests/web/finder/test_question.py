"""Questions: what an address says, and the addresses that a question leads to."""

from urllib.parse import parse_qs, urlsplit

import pytest

from dinoseek.errors import UsageError

KEY = "qAbCdEfGhIjKlMnOpQrStUv"


@pytest.fixture(autouse=True)
def _django(django_ready):
    """Addresses are made from Django's table of them."""


def asked(key: str, text: str):
    from django.http import QueryDict

    from dinoseek.web.finder.question import Question

    return Question.of(key, QueryDict(text))


def test_an_address_says_everything() -> None:
    question = asked(
        "7", f"plus=3&plus={KEY}&minus=4&k=40&page=2&where=price+%3C+5&min=auto&fold=1&is-label=cat"
    )
    assert question.keys == ("7", "3", KEY, "4")
    assert (question.k, question.page, question.where) == (40, 2, "price < 5")
    assert (question.min, question.fold, question.facets) == ("auto", True, {"is-label": "cat"})


def test_an_address_leads_back_to_its_question() -> None:
    question = asked(KEY, "plus=3&minus=4&region=10%25,20%25,30%25,40%25&k=100&min=0.5&max-price=9")
    again = urlsplit(question.address())
    assert again.path == f"/q/{KEY}"
    assert asked(KEY, again.query) == question


def test_what_is_usual_is_left_out_of_the_address() -> None:
    assert asked("7", "k=20&page=1&min=&where=&fold=0").address() == "/q/7"


@pytest.mark.parametrize(
    ("text", "k", "page"),
    [
        ("k=0", 1, 1),
        ("k=-1", 1, 1),
        ("k=1000000000", 100, 1),
        ("k=abc", 20, 1),
        ("k=NaN", 20, 1),
        ("k=40&k=20", 20, 1),
        ("page=1000000000000000000", 20, 50),
        ("page=-3", 20, 1),
        ("page=%D9%A3", 20, 3),
        ("k=100&page=99", 100, 10),
        ("k=" + "9" * 8000, 100, 1),
    ],
)
def test_WEB_15_numbers_are_brought_into_range(text: str, k: int, page: int) -> None:
    question = asked("7", text)
    assert (question.k, question.page) == (k, page)


@pytest.mark.parametrize("text", ["min=2", "min=abc", "min=nan", "region=1,2,3", "region=0,0,0,0"])
def test_WEB_15_what_makes_no_sense_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(UsageError):
        asked("7", text)


def test_what_is_no_key_is_no_picture() -> None:
    question = asked("7", f"plus=../etc&plus=-1&plus={'9' * 19}&plus=3&plus=3&minus={KEY}")
    assert (question.plus, question.minus) == (("3",), (KEY,))


def test_refining_moves_a_picture_from_one_side_to_the_other() -> None:
    question = asked("7", "plus=3&page=4")
    found = urlsplit(question.with_part("minus", "3"))
    assert (found.path, parse_qs(found.query)) == ("/q/7", {"minus": ["3"]})


def test_a_picture_can_be_taken_away() -> None:
    assert asked("7", "plus=3&minus=4").without_part("3") == "/q/7?minus=4"


def test_a_region_may_come_in_four_fields() -> None:
    fields = "region=numbers&region-x=10&region-y=20&region-w=30&region-h=40"
    assert asked("7", fields) == asked("7", "region=10%25,20%25,30%25,40%25")


def test_the_whole_picture_is_no_region() -> None:
    assert asked("7", "region=0%25,0%25,100%25,100%25").region is None
