"""Tags and filters: numbers as people read them, and what a page links to."""

from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture(autouse=True)
def _django(django_ready):
    """Icons are static files, and words are translated."""


def shown(text: str, **context: object) -> str:
    from django.template import engines

    return engines["django"].from_string("{% load finder %}" + text).render(context)


def test_scores_have_two_digits_and_fill_a_bar_from_nothing_to_all() -> None:
    assert shown("{{ s|hundredths }} {{ s|bar }}", s=0.8351) == "0.84 83.5"
    assert shown("{{ s|hundredths }} {{ s|bar }}", s=-0.02) == "-0.02 0.0"
    assert shown("{{ s|bar }}", s=1.0000001) == "100.0"
    assert shown("{{ s|hundredths }}", s=None) == ""


def test_counts_have_their_thousands_apart() -> None:
    assert shown("{{ n|grouped }} {{ m|grouped }}", n=12840, m=7) == "12,840 7"


def test_four_numbers_of_a_region_and_of_none() -> None:
    sides = "{{ r|side:0 }} {{ r|side:1 }} {{ r|side:2 }} {{ r|side:3 }}"
    assert shown(sides, r="10%,20.5%,30%,40%") == "10 20.5 30 40"
    assert shown(sides, r="") == "0 0 100 100"


def test_scores_to_cut_off_at_have_the_chosen_one_among_them() -> None:
    cuts = "{% for c in m|cuts %}{{ c.value }}{% if c.is_chosen %}*{% endif %} {% endfor %}"
    assert "0.5* 0.6 " in shown(cuts, m="0.5")
    assert "0.3 0.36* 0.4 " in shown(cuts, m="0.36")
    assert "*" not in shown(cuts, m="auto")


def test_link_to_the_present_page_is_marked_whatever_its_parameters() -> None:
    link = '<a{% here "/browse" %}>'
    assert shown(link, path="/browse?page=2") == '<a aria-current="page">'
    assert shown(link, path="/browser") == "<a>"
    assert shown(link) == "<a>"


def test_icons_are_there_for_the_eye_only() -> None:
    assert 'aria-hidden="true"><use href="/static/finder/icons' in shown('{% icon "search" %}')


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=9), "just now"),
        (timedelta(minutes=7), "7\xa0minutes ago"),
        (timedelta(hours=5, minutes=53), "5\xa0hours ago"),
    ],
)
def test_time_that_has_passed_is_said_in_its_largest_unit(ago: timedelta, words: str) -> None:
    assert shown("{{ t|since }}", t=datetime.now(UTC) - ago) == words


def test_words_about_a_tile_have_its_name_and_scores_in_their_places() -> None:
    from dinoseek.web.finder.shown import Tile

    tile = Tile(
        id=1,
        name="100% <b>.jpg",
        place="",
        caption=None,
        width=1,
        height=1,
        thumb="",
        item="",
        similar="",
        rank=3,
        score=0.829,
    )
    text = shown("{% tile_words as words %}{{ words.alt|about:tile }}", tile=tile)
    assert text == "100% &lt;b&gt;.jpg, similarity 0.83, rank 3"


def test_words_of_tiles_follow_the_language() -> None:
    from django.utils.translation import override

    with override("en"):
        english = shown("{% tile_words as words %}{{ words.similar }}")
    with override("zh-hans"):
        chinese = shown("{% tile_words as words %}{{ words.similar }}")
    assert english == "More like this"
    assert chinese != english
