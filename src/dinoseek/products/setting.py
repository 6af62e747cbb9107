"""What a product is photographed on, and with what around it: paper, or a full table."""

import numpy as np

from dinoseek.products.catalogue import Product, product
from dinoseek.products.ground import Ground
from dinoseek.products.order import Background
from dinoseek.products.scene import Placed
from dinoseek.products.shape import Rng
from dinoseek.products.texture import Color, Kind, Texture

_TABLES: tuple[Kind, ...] = ("checks", "stripes", "marble", "rings", "spots", "zigzag")
_STRANGERS = 1_000_000  # products from this number on stand about, and are in no class


def draw_setting(
    rng: Rng, shown: Product, background: Background = "plain", yaw: float = 0.0
) -> tuple[list[Placed], Ground]:
    """The product and what stands around it, and the ground.

    On "plain" and "dark" paper it is alone; in "clutter" the table has a pattern and other things
    on it, of which one may stand in front; `yaw` is the camera's.
    """
    if background == "clutter":
        return [Placed(product=shown), *_others(rng, shown, yaw)], _table(rng)
    bright = rng.uniform(0.45, 0.9) if background == "plain" else rng.uniform(0.02, 0.12)
    red, green, blue = (bright * np.exp(rng.uniform(-0.08, 0.08, 3))).tolist()
    return [Placed(product=shown)], Ground(haze=(red, green, blue))


def _others(rng: Rng, shown: Product, yaw: float) -> list[Placed]:
    """Two to four things beside and behind the product, and now and then one before it."""
    room = Placed(product=shown).ball[1]
    angles = rng.permutation(np.linspace(np.pi * 0.6, np.pi * 1.4, 4))[: rng.integers(2, 5)]
    placed = [_stranger(rng, yaw + float(angle), room * rng.uniform(1.7, 2.2)) for angle in angles]
    if rng.random() < 0.5:
        side = 1 if rng.random() < 0.5 else -1
        placed.append(_stranger(rng, yaw + side * rng.uniform(0.35, 0.6), room * 1.7, size=0.5))
    return placed


def _stranger(rng: Rng, angle: float, away: float, size: float = 0.9) -> Placed:
    other = product(_STRANGERS + int(rng.integers(1000)), hue=float(rng.uniform()))
    return Placed(
        product=other,
        place=(float(away * np.cos(angle)), float(away * np.sin(angle))),
        turn=float(rng.uniform(0, 2 * np.pi)),
        size=float(size * rng.uniform(0.8, 1.1)),
    )


def _table(rng: Rng) -> Ground:
    """A floor of two tones of one colour."""
    tone = rng.uniform(0.25, 0.8) * np.exp(rng.uniform(-0.3, 0.3, 3))
    light, dark = _color(tone), _color(tone * rng.uniform(0.45, 0.8))
    angle = rng.uniform(0, np.pi)
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    texture = Texture(
        kind=_TABLES[int(rng.integers(len(_TABLES)))],
        colors=(light, dark, dark),
        frame=((cosine, -sine, 0.0), (sine, cosine, 0.0), (0.0, 0.0, 1.0)),
        frequency=float(rng.uniform(2, 7)),
        phase=(float(rng.uniform(0, 6)), float(rng.uniform(0, 6)), 0.0),
        width=-1,
    )
    return Ground(haze=_color(tone * rng.uniform(0.6, 1.1)), texture=texture)


def _color(tone: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Color:
    red, green, blue = np.clip(tone, 0.02, 0.95).tolist()
    return red, green, blue
