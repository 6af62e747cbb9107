"""One picture of things on a ground: rays through each pixel, light, and the camera's doing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dinoseek.products.ground import Ground, ground_seen
from dinoseek.products.ray import Array
from dinoseek.products.scene import Placed, meet
from dinoseek.products.shade import Film, shade
from dinoseek.products.shape import Rng
from dinoseek.products.view import View, rays

Picture = NDArray[np.uint8]  # (size, size, 3)


def picture(
    things: Sequence[Placed], ground: Ground, view: View, size: int, rng: Rng, samples: int = 2
) -> Picture:
    """A picture (size, size, 3) of the first of the things, with the others beside it.

    Each pixel is the mean of `samples` x `samples` rays, so that edges are smooth.
    """
    center, radius = things[0].ball
    side = size * samples
    eye, direction = rays(view, side, center[:, 0], radius)
    blur = 2 * radius / view.scale / side
    met = meet(things, eye, direction)
    there = np.isfinite(met.distance)
    hit, free = np.flatnonzero(there), np.flatnonzero(~there)
    light = np.empty_like(direction)
    film = Film(side=side, rows=hit // side, columns=hit % side, blur=blur)
    light[:, hit] = shade(things, met.of(hit), eye, direction[:, hit], view, film)
    light[:, free] = ground_seen(ground, things, eye, direction[:, free], view, blur)
    light = np.minimum(light, np.float32(1.5)).reshape(3, size, samples, size, samples)
    return _developed(light.mean(axis=(2, 4)), view, rng)


def _developed(light: Array, view: View, rng: Rng) -> Picture:
    """What the camera makes of light (3, H, W): (H, W, 3) of uint8."""
    gain = np.array(view.white, np.float32) * np.float32(view.exposure)
    light = light * gain[:, None, None]
    # Highlights are rounded off above 0.75 instead of cut.
    bright = np.maximum(light - np.float32(0.75), 0)
    light = np.minimum(light, np.float32(0.75)) + bright / (1 + 4 * bright)
    shown = np.maximum(light, 0) ** np.float32(1 / 2.2)
    grain = rng.normal(0, 1, light.shape).astype(np.float32)
    shown = shown + np.float32(view.noise) * grain
    return (np.clip(shown, 0, 1).transpose(1, 2, 0) * 255 + np.float32(0.5)).astype(np.uint8)
