"""What the templates need beside Django's own tags: icons, links, and numbers as text."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from dinoseek.web.finder.shown import Choice, Tile

register = template.Library()
CUTS = tuple(tenths / 10 for tenths in range(1, 10))


@register.simple_tag
def icon(name: str) -> SafeString:
    """A picture of the sprite, for the eye only: words beside it say the same."""
    return _icon(name)


@cache
def _icon(name: str) -> SafeString:
    sprite = static("finder/icons.svg")  # its name does not change while a server runs
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', sprite, name
    )


@register.simple_tag
def tile_words() -> dict[str, str]:
    """What a tile says, in the reader's language: looked up once and not for each of a hundred."""
    return _tile_words(get_language() or "")


@cache
def _tile_words(_language: str) -> dict[str, str]:
    return {
        "alt": _("%(name)s, similarity %(score)s, rank %(rank)s"),
        "copies": _("near-duplicates"),
        "similar": _("More like this"),
        "similar_to": _("More like this: %(name)s"),
        "plus": _("Refine: more like this"),
        "plus_this": _("Refine, more like %(name)s"),
        "minus": _("Refine: less like this"),
        "minus_this": _("Refine, less like %(name)s"),
        "link": _("The original on the web (new tab)"),
        "link_of": _("The original of %(name)s on the web (new tab)"),
        "weak": _("may be chance"),
        "above_all": _("above all pairs"),
        "above": _("above %(percentile)s of pairs"),
        "meaning": _("more alike than %(percentile)s of the random pairs of this gallery"),
    }


@register.filter
def about(words: str, tile: Tile) -> str:
    """Words about a tile, with its name, rank and scores in their places."""
    return words % {
        "name": tile.name,
        "rank": tile.rank,
        "score": hundredths(tile.score),
        "percentile": tile.percentile,
    }


@register.simple_tag(takes_context=True)
def here(context: template.Context, address: str) -> SafeString:
    """The attribute that marks a link to the page that is shown."""
    page = str(context.get("path", "")).partition("?")[0]
    return format_html(' aria-current="{}"', "page") if page == address else SafeString("")


@register.filter
def grouped(number: Any) -> str:
    """A count with its thousands apart; nothing for what is none."""
    return f"{number:,}" if isinstance(number, int) else ""


@register.filter
def since(when: datetime) -> str:
    """How long ago it was, in the largest unit."""
    if (datetime.now(UTC) - when).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(when, depth=1)}


@register.filter
def hundredths(score: float | None) -> str:
    """A score with the two digits that people compare."""
    return "" if score is None else f"{score:.2f}"


@register.filter
def bar(score: float | None) -> str:
    """How much of a bar of 100 a score fills; a negative one fills nothing."""
    return f"{100 * min(max(score or 0.0, 0.0), 1.0):.1f}"


@register.filter
def side(region: str, place: int) -> str:
    """One of the four numbers of "x%,y%,w%,h%"; of the whole picture without a region."""
    numbers = (region or "0%,0%,100%,100%").replace("%", "").split(",")
    return numbers[place].strip() if len(numbers) == 4 else ""


@register.filter
def cuts(chosen: str) -> list[Choice]:
    """Scores to cut off at, with the `chosen` one among them if it is a number."""
    said = None if chosen in ("", "auto") else float(chosen)
    values = sorted({*CUTS, *(() if said is None else (said,))})
    return [
        Choice(value=f"{value:g}", label=f"{value:g}", is_chosen=value == said) for value in values
    ]
