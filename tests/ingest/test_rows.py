"""Which column is what, and what becomes of a cell."""

import json
import math
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoseek.errors import UsageError
from dinoseek.ingest.rows import BadRow, Columns, Layout, Row, RowError, jsonable, number_or_text


def layout(*names: str, **columns: str | bool) -> Layout:
    return Columns(**columns).layout(names, "list.csv")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("image_url", "caption"), Layout(url="image_url", caption="caption")),
        (("URL", "TEXT", "WIDTH"), Layout(url="URL", caption="TEXT")),
        (("Image URL", "Alt-Text"), Layout(url="Image URL", caption="Alt-Text")),
        (("id", "file_name", "title", "caption"), Layout(path="file_name", caption="caption")),
        (("image", "label"), Layout(either="image")),
        (("url", "image_url"), Layout(url="image_url")),
        (("image", "path"), Layout(path="path")),
    ],
)
def test_usual_names_are_found_in_any_case(names: tuple[str, ...], expected: Layout) -> None:
    assert layout(*names) == expected


def test_a_given_name_wins_and_no_other_place_is_guessed_beside_it() -> None:
    assert layout("url", "path", "page", url="page") == Layout(url="page")
    assert layout("url", "path", path="PATH") == Layout(path="path")
    assert layout("a", "b", url="1", caption="0") == Layout(url="b", caption="a")
    assert layout("1", "b", url="1") == Layout(url="1")


def test_addresses_and_files_side_by_side_are_not_guessed_between() -> None:
    with pytest.raises(UsageError, match="--url-column url or --path-column filename") as caught:
        layout("url", "filename")
    assert caught.value.code == "csv.column"


@pytest.mark.parametrize("wanted", ["adress", "7", "-1", "²"])
def test_CSV_02_a_missing_column_is_refused_with_those_there_are(wanted: str) -> None:
    with pytest.raises(UsageError, match=r"no column .*it has 'link', 'name'") as caught:
        layout("link", "name", url=wanted)
    assert caught.value.code == "csv.column"


def test_CSV_02_no_known_column_is_refused_and_long_lists_are_cut() -> None:
    with pytest.raises(UsageError, match="and 80 more"):
        layout(*(f"c{number}" for number in range(100)))


def test_a_lone_column_without_a_header_has_the_images() -> None:
    assert layout("column0", header=False) == Layout(either="column0")
    with pytest.raises(UsageError, match="--url-column"):
        layout("column0", "column1", header=False)


def row(layout: Layout, **values: object) -> Row | BadRow:
    return layout.row(1, values, jsonable)


def test_a_cell_of_either_kind_shows_which_it_is() -> None:
    either = Layout(either="image")
    assert row(either, image=" https://a/1.jpg\n") == Row(number=1, url="https://a/1.jpg")
    assert row(either, image="a/1.jpg") == Row(number=1, path="a/1.jpg")


def test_a_row_with_both_is_read_from_its_file_and_keeps_the_address() -> None:
    both = Layout(url="u", path="p")
    assert row(both, u="http://a", p="1.jpg") == Row(
        number=1, path="1.jpg", metadata={"u": "http://a"}
    )
    assert row(both, u="http://a", p="") == Row(number=1, url="http://a")


@pytest.mark.parametrize("empty", [None, "", "  ", math.nan])
def test_a_row_without_a_place_is_bad(empty: object) -> None:
    bad = row(Layout(url="u"), u=empty)
    assert isinstance(bad, BadRow)
    assert bad.code == "csv.empty"


@pytest.mark.parametrize(
    ("path", "code"), [(17, "csv.value"), ("a\0b", "csv.value"), ("\ud800", "csv.encoding")]
)
def test_a_path_that_no_file_can_have_is_bad(path: object, code: str) -> None:
    bad = row(Layout(path="p"), p=path)
    assert isinstance(bad, BadRow)
    assert bad.code == code


def test_CSV_09_control_characters_in_an_address_are_left_for_its_check() -> None:
    assert row(Layout(url="u"), u="http://a/\0\x1b[2J") == Row(number=1, url="http://a/\0\x1b[2J")


CAPTIONS = [
    "<b onclick=alert(1)>&amp;", "=cmd|' /C calc'!A0", "\x1b[31mred", "\u202eRTL", "🦕\n",
    " spaces ", "-1",
]  # fmt: skip


@pytest.mark.parametrize("caption", CAPTIONS)
def test_CSV_14_a_caption_is_kept_verbatim(caption: str) -> None:
    said = row(Layout(url="u", caption="c"), u="x://", c=caption)
    assert isinstance(said, Row)
    assert said.caption == caption
    assert said.metadata == {}


def test_CSV_14_a_long_caption_is_cut_and_an_empty_one_is_none() -> None:
    captioned = Layout(url="u", caption="c")
    for given_, kept in (("é" * 1_000_000, "é" * 2_000), ("", None), ("\ud800a", "\ufffda")):
        said = row(captioned, u="x://", c=given_)
        assert isinstance(said, Row)
        assert said.caption == kept


def test_of_several_captions_the_first_is_it_and_all_are_kept() -> None:
    said = row(Layout(url="u", caption="c"), u="x://", c=["one", "two"])
    assert said == Row(number=1, url="x://", caption="one", metadata={"c": ["one", "two"]})


@given(st.integers())
def test_whole_numbers_are_numbers_as_far_as_a_database_has_them(number: int) -> None:
    expected = number if -(2**63) <= number < 2**63 else str(number)
    assert number_or_text(str(number)) == expected
    assert jsonable(number) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_decimal_numbers_are_numbers(number: Decimal) -> None:
    value = number_or_text(f"{number:f}")
    assert isinstance(value, float | str)
    assert len(str(number)) > 290 or value == float(number)


@pytest.mark.parametrize(
    "text", ["007", "+1", "1e5", "1.", ".5", " 1", "1 ", "0x1", "1_0", "nan", "inf", "٣", "--1"]
)
def test_other_ways_to_write_numbers_stay_text(text: str) -> None:
    assert number_or_text(text) == text


def test_a_number_of_a_thousand_digits_is_text_and_nothing_is_infinite() -> None:
    assert number_or_text("9" * 5_000) == "9" * 5_000
    assert number_or_text("9" * 400 + ".0") == "9" * 400 + ".0"
    assert number_or_text("") is None


def test_what_json_has_not_becomes_what_it_has() -> None:
    assert jsonable({"t": [date(2024, 1, 2), datetime(2024, 1, 2, 3), timedelta(seconds=2)]}) == {
        "t": ["2024-01-02", "2024-01-02T03:00:00", 2.0]
    }
    assert jsonable([math.nan, math.inf, b"x", Decimal("0.5"), Decimal("NaN"), ("a", "")]) == [
        None, None, None, 0.5, None, ["a", ""],
    ]  # fmt: skip


def test_nesting_has_an_end() -> None:
    value: object = 1
    for _ in range(50):
        value = [value]
    with pytest.raises(RowError):
        jsonable(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(), json_values))
def test_json_stays_what_it_is(value: dict[str, object]) -> None:
    assert jsonable(value) == value
    json.dumps(jsonable(value)).encode()
