"""How one picture is taken: where the camera and the light are, and what the camera does."""

from dataclasses import dataclass

import numpy as np

from dinoseek.products.ray import Array, unit
from dinoseek.products.shape import Rng

_LENS = 0.19  # half of what is seen, to the distance: tan of 11 degrees, a portrait lens


@dataclass(frozen=True, kw_only=True)
class View:
    """Angles are in radians; `scale` is the part of the picture that a ball around it fills."""

    yaw: float = 0.0
    pitch: float = 0.35
    roll: float = 0.0
    scale: float = 0.95
    shift: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float] = (-0.7, 0.9)  # to the right of the camera, above the ground
    warmth: float = 0.0
    exposure: float = 1.0
    white: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.0


def draw_view(rng: Rng, *, yaw: float = 1.0) -> View:
    """A view at random; the camera goes up to `yaw` to each side."""
    side = 1 if rng.random() < 0.5 else -1
    return View(
        yaw=float(rng.uniform(-yaw, yaw)),
        pitch=float(rng.uniform(0.2, 0.62)),
        roll=float(rng.normal(0, 0.05)),
        scale=float(rng.uniform(0.84, 1.04)),
        shift=(float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.04, 0.06))),
        light=(side * float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.7, 1.15))),
        warmth=float(rng.uniform(-1, 1)),
        exposure=float(np.exp(rng.uniform(-0.4, 0.35))),
        white=tuple(np.exp(rng.uniform(-0.1, 0.1, 3)).tolist()),
        noise=float(rng.uniform(0.002, 0.012)),
    )


def rays(view: View, pixels: int, center: Array, radius: float) -> tuple[Array, Array]:
    """The camera's place (3, 1), and a direction (3, pixels * pixels) for each pixel, in rows."""
    toward = -_pointing(view.yaw, view.pitch)
    right = np.array([-np.sin(view.yaw), np.cos(view.yaw), 0])
    up = np.cross(right, toward)
    eye = center - toward * radius / (_LENS * view.scale)
    steps = (2 * np.arange(pixels, dtype=np.float32) + 1) / pixels - 1
    across, down = np.meshgrid(steps - 2 * view.shift[0], steps - 2 * view.shift[1])
    cosine, sine = np.cos(view.roll), np.sin(view.roll)
    x, y = cosine * across + sine * down, sine * across - cosine * down
    plane = np.stack([right, up]).T @ np.stack([x.ravel(), y.ravel()]) * _LENS
    return eye[:, None].astype(np.float32), unit((toward[:, None] + plane).astype(np.float32))


def light_of(view: View) -> Array:
    """The direction (3,) to the middle of the light."""
    return _pointing(view.yaw + view.light[0], view.light[1]).astype(np.float32)


def light_color(view: View) -> Array:
    """The colour (3, 1) of the light: bluish to warm."""
    return np.exp(np.array([[0.12], [0.0], [-0.2]], np.float32) * np.float32(view.warmth))


def _pointing(azimuth: float, height: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    flat = np.cos(height)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(height)])
