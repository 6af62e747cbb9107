"""What filters mean as trees, and what is said of those that mean nothing."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.errors import UsageError
from dinoseek.gallery.dates import span
from dinoseek.gallery.filter_syntax import parse
from dinoseek.gallery.filter_tree import And, Comparison, Field, Not, Or

WIDTH = Field("width", "number")
LABEL = Field("label", "metadata")


def tree(text):
    return parse(text).condition


def is_cat(value="cat"):
    return Comparison(LABEL, "=", (value,))


def mistake(text):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_example_of_the_documentation_is_understood():
    assert tree('width > 800 and label in ("cat","dog")') == And(
        (Comparison(WIDTH, ">", (800,)), Comparison(LABEL, "=", ("cat", "dog")))
    )
    assert parse("width > 800").text == "width > 800"


@pytest.mark.parametrize("sign", ["=", "==", "<", "<=", ">", ">="])
def test_signs_compare_with_or_without_spaces(sign):
    operator = "=" if sign == "==" else sign
    assert tree(f"width{sign}800") == Comparison(WIDTH, operator, (800,))
    assert tree(f" width {sign} 800 ") == Comparison(WIDTH, operator, (800,))


@pytest.mark.parametrize("text", ["label != 'cat'", "label <> 'cat'", "label not in ('cat')"])
def test_what_is_unequal_must_be_there(text):
    assert tree(text) == And((Comparison(LABEL, "exists"), Not(is_cat())))


def test_facts_that_every_image_has_need_not_be_asked_for():
    assert tree("width != 800") == Not(Comparison(WIDTH, "=", (800,)))
    assert isinstance(tree("caption != 'x'"), And)


def test_and_binds_closer_than_or_and_not_closest():
    a, b, c = (Comparison(Field(name, "metadata"), "=", (1,)) for name in "abc")
    assert tree("a=1 or b=1 and not c=1") == Or((a, And((b, Not(c)))))
    assert tree("(a=1 or b=1) and c=1") == And((Or((a, b)), c))
    assert tree("not not a=1") == Not(Not(a))
    assert tree("a=1 and b=1 and c=1") == And((a, b, c))


def test_keywords_may_be_in_any_case():
    assert tree("label = 'cat' OR NOT Exists label") == Or(
        (is_cat(), Not(Comparison(LABEL, "exists")))
    )
    assert tree("label IS NULL") == tree("not exists label")
    assert tree("label Is Not Null") == tree("exists label")
    assert tree("label Not In (1)") == tree("label not in (1)")


@pytest.mark.parametrize(
    ("written", "name", "kind"),
    [
        ("width", "width", "number"),
        ("meta.width", "width", "metadata"),
        ("Width", "Width", "metadata"),
        ("camera.model", "camera.model", "metadata"),
        ("photo-id", "photo-id", "metadata"),
        ("größe", "größe", "metadata"),
        ("`my label`", "my label", "metadata"),
        ("[my label]", "my label", "metadata"),
        ("`width`", "width", "number"),
        ("meta.`width`", "width", "metadata"),
        ("meta.[and]", "and", "metadata"),
        ("`meta.width`", "meta.width", "metadata"),
        ("`a\"b'; --`", "a\"b'; --", "metadata"),
        ("meta.", "meta.", "metadata"),
        ("modified", "modified", "date"),
    ],
)
def test_names_are_file_facts_or_metadata(written, name, kind):
    value = '"2024"'
    found = tree(f"{written} = {value}")
    assert found.field == Field(name, kind)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("+.5", 0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("800kb", 800_000),
        ("1.5MB", 1_500_000.0),
        ("2KiB", 2048),
        ("3gib", 3 * 2**30),
        ("7b", 7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2.0**63),
        ("1" * 400, float("inf")),
        ('"it""s"', 'it"s'),
        ("'it''s'", "it's"),
        ("''", ""),
        ("'C:\\n'", "C:\\n"),
        ("'a;b'", "a;b"),
        ("TRUE", True),
        ("false", False),
    ],
)
def test_values_are_numbers_texts_true_and_false(written, value):
    (found,) = tree(f"label = {written}").values
    assert found == value
    assert type(found) is type(value)


def test_numbers_of_file_facts_may_stand_in_quotes():
    assert tree("width > '800'") == tree("width > 800")


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", "at the end: HERE-->", "the name of a field"),
        ("width > ", "at the end: width > HERE-->", "a value"),
        ("width > 8 adn label = 1", "character 11: width > 8 HERE-->adn", '"and", "or" or the end'),
        ("label = cat", "character 9", 'put text in quotes: "cat"'),
        ("label = and", "character 9", "a value"),
        ("label = `cat`", "character 9", "a value"),
        ("label", "at the end", "is null after label"),
        ("label not 5", "character 11", "in, between, like, contains after label not"),
        ("label not = 5", "character 11", "in, between, like, contains after label not"),
        ("label is cat", "character 10", "null"),
        ("label in 'cat'", "character 10", "a list of values in parentheses"),
        ("label in ()", "character 11", "a value"),
        ("label in (1,)", "character 13", "a value"),
        ("label in (1 2)", "character 13", "a comma or a closing )"),
        ("label between 1", "at the end", '"and" and a second value'),
        ("(label = 1", "at the end", "a closing )"),
        ("label = 1)", "character 10", "the end"),
        ("label = 'cat", "character 9", "a closing ' after this '"),
        ("[label = 1", "character 1", "a closing ] after this ["),
        ("label ! 1", "character 7", "a name, a value or a sign"),
        ("label = 1; drop table images", "character 10", "a name, a value or a sign"),
        ("800 < width", "character 1", "the name of a field"),
        ("and = 1", "character 1", "the name of a field"),
        ("label like 5", "character 12", "text in quotes after like"),
        ("label < true", "character 9", "true and false have no order"),
        ("label = 5px", "character 9", "a number, with kb"),
        ("width = 'wide'", "character 9", "a number, as width is one"),
        ("width = true", "character 9", "a number, as width is one"),
        ("width like '8%'", "character 7", "between or is null after width"),
        ("caption = 5", "character 11", "text in quotes, as caption is text"),
        ("path < 'b'", "character 6", "=, !=, in, like, contains or is null after path"),
        ("modified > 'June'", "character 12", "a date such as"),
        ("modified = '2024-13'", "character 12", "a date such as"),
        ("modified = true", "character 12", "a date such as"),
        ("label = '\0'", "character 10", "text without NUL characters"),
        ("label = '\udcff'", "character 10", "text in Unicode"),
        ("(" * 51 + "label = 1" + ")" * 51, "character 51", "at most 50 conditions"),
        ("not " * 51 + "label = 1", "character 201", "at most 50 conditions"),
    ],
)
def test_a_mistake_is_shown_with_its_place_and_what_was_expected(text, place, expected):
    error = mistake(text)
    assert error.code == "filter.syntax"
    assert place in str(error)
    assert expected in str(error)


def test_long_filters_show_only_what_is_around_the_mistake():
    error = mistake("label = 1 or " * 100 + "?" + " and label = 2" * 100)
    assert len(str(error)) < 250
    assert "...abel = 1 or " in str(error) or "... " in str(error)


def test_a_filter_of_any_length_up_to_the_limit_is_read():
    assert len(tree(" or ".join(["a=1"] * 1400)).parts) == 1400
    assert mistake("a=1" + " " * 10_000).code == "filter.too_long"


@given(st.text(alphabet="ab1. =<>!()',\"`[]%\0\n\tin not like e\udc80é", max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_filter_or_a_usage_error_in_one_line(text):
    lines = []
    try:
        parse(text)
    except UsageError as exc:
        lines.append(str(exc))
    assert all(line.isprintable() for line in lines)


def seconds(moment):
    return int(moment.timestamp()) * 10**9


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("2024Z", datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=366)),
        ("2024-02Z", datetime(2024, 2, 1, tzinfo=UTC), timedelta(days=29)),
        ("2023-12Z", datetime(2023, 12, 1, tzinfo=UTC), timedelta(days=31)),
        ("2024-05-31Z", datetime(2024, 5, 31, tzinfo=UTC), timedelta(days=1)),
        ("2024-05-31T18:30Z", datetime(2024, 5, 31, 18, 30, tzinfo=UTC), timedelta(minutes=1)),
        ("2024-05-31 18:30:05Z", datetime(2024, 5, 31, 18, 30, 5, tzinfo=UTC), timedelta(0, 1)),
        ("2024-05-31T18:30+02:00", datetime(2024, 5, 31, 16, 30, tzinfo=UTC), timedelta(0, 60)),
        ("1960-01-01Z", datetime(1960, 1, 1, tzinfo=UTC), timedelta(days=1)),
    ],
)
def test_a_date_is_a_stretch_of_time(text, start, length):
    assert span(text) == (seconds(start), seconds(start + length))


def test_a_date_without_offset_is_local_time(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert span("2024-05-31") == span("2024-05-31+09:00")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "24", "2024-5", "2024-02-30", "2024-05-31T25:00", "0000", "9999", "x", "2024-05-31+99:00"],
)
def test_what_is_no_date_is_none(text):
    assert span(text) is None


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("modified = '2024Z'", 0, 1),
        ("modified < '2024Z'", None, 0),
        ("modified <= '2024Z'", None, 1),
        ("modified > '2024Z'", 1, None),
        ("modified >= '2024Z'", 0, None),
        ("modified between '2024Z' and '2024Z'", 0, 1),
    ],
)
def test_comparisons_with_a_date_mean_all_of_it(text, first, last):
    edges = span("2024Z")
    start = -(1 << 63) if first is None else edges[first]
    end = (1 << 63) - 1 if last is None else edges[last]
    assert tree(text) == Comparison(Field("modified", "date"), "within", (start, end))


def test_dates_beyond_the_clock_of_the_record_are_its_ends():
    assert tree("modified < '3000Z'").values == (-(1 << 63), (1 << 63) - 1)
    assert re.search("is one", str(mistake("modified < '9999'")))
