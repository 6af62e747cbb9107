"""Draws a small gallery to try a search on: some families of pictures, the same every time."""

import colorsys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dinoseek.errors import MachineError

Color = tuple[int, int, int]
Plane = NDArray[np.float32]  # (H, W)
Rng = np.random.Generator
Painter = Callable[[Rng, int, int], Image.Image]

PER_FAMILY = 8
_SIDES = [(480, 360), (360, 480), (480, 320), (400, 400)]


def draw_gallery(folder: Path, per_family: int = PER_FAMILY) -> list[Path]:
    """Writes `per_family` JPEG pictures of each family into `folder`; returns the files."""
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (family, paint) in enumerate(FAMILIES.items()):
            for i in range(per_family):
                files.append(folder / f"{family}-{i + 1:02}.jpg")
                draw(paint, seed=1000 * number + i).save(files[-1], quality=88)
    except OSError as exc:
        raise MachineError("demo.unwritable", folder, exc.strerror or str(exc)) from exc
    return files


def draw(paint: Painter, seed: int) -> Image.Image:
    """One picture: painted at twice its size, so that scaling down smooths the edges."""
    rng = np.random.default_rng(seed)
    width, height = _SIDES[seed % len(_SIDES)]
    big = paint(rng, 2 * width, 2 * height)
    return big.resize((width, height), Image.Resampling.LANCZOS)


def _sunset(rng: Rng, width: int, height: int) -> Image.Image:
    hue = rng.uniform(-0.06, 0.07)
    horizon = int(height * rng.uniform(0.55, 0.72))
    sky = [_hsv(hue + 0.72, 0.55, 0.35), _hsv(hue + 0.95, 0.6, 0.8), _hsv(hue + 0.09, 0.7, 1.0)]
    canvas = _gradient(
        width,
        height,
        [*sky, sky[1], sky[0]],
        [0, 0.35, horizon / height, horizon / height + 0.04, 1],
    )
    x, radius = int(width * rng.uniform(0.25, 0.75)), int(height * rng.uniform(0.07, 0.12))
    y = horizon - int(radius * rng.uniform(0.1, 1.4))
    canvas = _glow(canvas, (x, y), radius * 3, _hsv(hue + 0.1, 0.5, 1.0))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_hsv(hue + 0.13, 0.35, 1.0))
    draw.rectangle((0, horizon, width, height), fill=_hsv(hue + 0.75, 0.5, 0.3))
    for row in range(horizon + 6, height, 14):  # the light on the water widens towards us
        half = radius * (0.5 + 1.2 * (row - horizon) / height) * rng.uniform(0.5, 1.1)
        draw.line((x - half, row, x + half, row), fill=_hsv(hue + 0.09, 0.6, 0.95), width=5)
    return canvas


def _mountains(rng: Rng, width: int, height: int) -> Image.Image:
    hue = rng.uniform(0.5, 0.72)
    canvas = _gradient(width, height, [_hsv(hue, 0.35, 0.95), _hsv(hue, 0.08, 1.0)], [0, 1])
    draw = ImageDraw.Draw(canvas)
    layers = int(rng.integers(4, 7))
    for layer in range(layers):
        depth = (layer + 1) / layers
        ridge = height * (0.3 + 0.55 * depth) - _ridge(rng, width, rough=height * 0.16)
        outline = [(0, height), *enumerate(ridge.tolist()), (width, height)]
        draw.polygon(outline, fill=_hsv(hue + 0.03 * depth, 0.2 + 0.5 * depth, 0.95 - 0.72 * depth))
    return canvas


def _city(rng: Rng, width: int, height: int) -> Image.Image:
    hue = rng.uniform(0.58, 0.8)
    canvas = _gradient(width, height, [_hsv(hue, 0.8, 0.12), _hsv(hue + 0.1, 0.55, 0.5)], [0, 1])
    draw = ImageDraw.Draw(canvas)
    for layer, shade in enumerate((0.28, 0.16, 0.07)):
        left = -20
        while left < width:
            wide = int(rng.integers(50, 120))
            top = int(height * rng.uniform(0.25 + 0.15 * layer, 0.75))
            draw.rectangle((left, top, left + wide, height), fill=_hsv(hue, 0.6, shade))
            _windows(rng, draw, (left, top, wide, height))
            left += wide + int(rng.integers(0, 14))
    return canvas


def _windows(rng: Rng, draw: ImageDraw.ImageDraw, house: tuple[int, int, int, int]) -> None:
    left, top, wide, bottom = house
    for y in range(top + 14, bottom, 26):
        for x in range(left + 10, left + wide - 14, 20):
            if rng.random() < 0.35:
                warm = _hsv(0.13, rng.uniform(0.3, 0.7), rng.uniform(0.7, 1.0))
                draw.rectangle((x, y, x + 8, y + 12), fill=warm)


def _starfield(rng: Rng, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    tilt, hue = rng.uniform(-1, 1), rng.uniform(0.55, 0.9)
    band = np.exp(-(((y - 0.5 + tilt * (x - 0.5)) / 0.16) ** 2))
    cloud = band * (0.35 + 0.65 * _noise(rng, width, height, 7))
    tint = np.array(_hsv(hue, 0.55, 0.75), np.float32)
    canvas = Image.fromarray(np.clip(cloud[..., None] * tint + 10, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for _ in range(700):
        px, py, radius = rng.uniform(0, width), rng.uniform(0, height), rng.exponential(1.1) + 0.6
        star = _hsv(rng.choice([0.1, 0.6]), rng.uniform(0, 0.3), rng.uniform(0.6, 1))
        draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=star)
    return canvas


def _waves(rng: Rng, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    total: Plane = np.zeros_like(x)
    for _ in range(3):
        cx, cy, pitch = rng.uniform(-0.2, 1.2), rng.uniform(-0.2, 1.2), rng.uniform(28, 60)
        total += np.sin(np.float32(pitch) * np.hypot(x - cx, y - cy))
    total = (total / 6 + 0.5).astype(np.float32)
    return _colored(total, rng.uniform(0.45, 0.65), spread=0.14, saturation=0.75)


def _marble(rng: Rng, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    angle = rng.uniform(0, np.pi)
    warp = _noise(rng, width, height, 5) + 0.5 * _noise(rng, width, height, 11)
    veins = np.sin(14 * (x * np.cos(angle) + y * np.sin(angle)) + 9 * warp)
    veins = (np.abs(veins) ** 0.6).astype(np.float32)
    return _colored(veins, rng.uniform(0.02, 0.14), spread=0.05, saturation=0.3)


def _mosaic(rng: Rng, width: int, height: int) -> Image.Image:
    count, hue = int(rng.integers(60, 140)), rng.uniform()
    points = rng.uniform(0, (width / height, 1), (count, 2)).astype(np.float32)
    x, y = _grid(width // 4, height // 4)
    far = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2  # (H, W, count)
    near = np.partition(far, 1, axis=-1)
    cell, edge = far.argmin(-1), np.sqrt(near[..., 1]) - np.sqrt(near[..., 0])
    paint = [
        _hsv(hue + rng.normal(0, 0.09), rng.uniform(0.4, 0.85), rng.uniform(0.5, 1))
        for _ in range(count)
    ]
    pixels = np.array(paint, np.float32)[cell] * np.clip(edge * 90, 0.12, 1)[..., None]
    return Image.fromarray(pixels.astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )


def _stripes(rng: Rng, width: int, height: int) -> Image.Image:
    x, y = _grid(width, height)
    angle, count, hue = rng.uniform(0, np.pi), int(rng.integers(9, 18)), rng.uniform()
    place = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    band = np.floor((place + 1) * count).astype(int) % 5
    paint = [_hsv(hue + 0.07 * i, 0.55 + 0.1 * (i % 2), 0.95 - 0.15 * i) for i in range(5)]
    return Image.fromarray(np.array(paint, np.uint8)[band])


def _plaid(rng: Rng, width: int, height: int) -> Image.Image:
    hue = rng.uniform()
    canvas = Image.new("RGB", (width, height), _hsv(hue, 0.65, 0.5))
    pitch = int(rng.integers(110, 190))
    bands = [
        (rng.uniform(0, 1), rng.uniform(0.05, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0.2, 1))
        for _ in range(5)
    ]
    for start, share, turn, value in bands:
        veil = Image.new("RGB", canvas.size, _hsv(hue + turn, 0.6, value))
        for horizontal in (False, True):
            mask = Image.new("L", canvas.size, 0)
            pen = ImageDraw.Draw(mask)
            for at in np.arange(start * pitch - pitch, max(width, height), pitch).tolist():
                box = (
                    (0, at, width, at + share * pitch)
                    if horizontal
                    else (at, 0, at + share * pitch, height)
                )
                pen.rectangle(box, fill=110)
            canvas.paste(veil, mask=mask)
    return canvas


def _bubbles(rng: Rng, width: int, height: int) -> Image.Image:
    hue = rng.uniform()
    canvas = _gradient(width, height, [_hsv(hue, 0.25, 0.98), _hsv(hue + 0.08, 0.45, 0.85)], [0, 1])
    for _ in range(int(rng.integers(26, 44))):
        radius = float(rng.uniform(20, 110))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        mask = Image.new("L", canvas.size, 0)
        box = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(mask).ellipse(box, fill=int(rng.integers(90, 190)))
        canvas.paste(
            _hsv(hue + rng.normal(0, 0.07), rng.uniform(0.4, 0.8), rng.uniform(0.7, 1)), mask=mask
        )
    return canvas


def _flower(rng: Rng, width: int, height: int) -> Image.Image:
    canvas = Image.new(
        "RGB", (width, height), _hsv(rng.uniform(0.25, 0.4), 0.6, rng.uniform(0.25, 0.45))
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(2))
    draw = ImageDraw.Draw(canvas)
    hue = rng.choice([0.93, 0.0, 0.08, 0.14, 0.78])
    for _ in range(int(rng.integers(3, 8))):
        x, y, size = (
            rng.uniform(0.1, 0.9) * width,
            rng.uniform(0.1, 0.9) * height,
            rng.uniform(70, 170),
        )
        petals, turn = int(rng.integers(5, 10)), rng.uniform(0, 6)
        angles = np.linspace(0, 2 * np.pi, 240)
        for layer in (1.0, 0.72):
            radius = (
                size * layer * (0.45 + 0.55 * np.abs(np.cos(petals / 2 * (angles + turn * layer))))
            )
            outline = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
            draw.polygon(
                [tuple(p) for p in outline.tolist()],
                fill=_hsv(hue, 0.75 * layer, 0.75 + 0.25 * layer),
            )
        core = size * 0.2
        draw.ellipse((x - core, y - core, x + core, y + core), fill=_hsv(0.12, 0.8, 0.95))
    return canvas


FAMILIES: dict[str, Painter] = {
    "sunset": _sunset,
    "mountains": _mountains,
    "city": _city,
    "starfield": _starfield,
    "waves": _waves,
    "marble": _marble,
    "mosaic": _mosaic,
    "stripes": _stripes,
    "plaid": _plaid,
    "bubbles": _bubbles,
    "flower": _flower,
}


def _hsv(hue: float, saturation: float, value: float) -> Color:
    """A colour of 0 to 255 from hue (whole turns count nothing), saturation and value."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(1.0, saturation), min(1.0, max(0.0, value)))
    return int(255 * red), int(255 * green), int(255 * blue)


def _grid(width: int, height: int) -> tuple[Plane, Plane]:
    """Coordinates x and y (H, W); y runs from 0 to 1 and x in the same unit."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / height
    return columns, rows


def _gradient(width: int, height: int, colors: list[Color], stops: list[float]) -> Image.Image:
    at = np.linspace(0, 1, height)
    column = np.stack([np.interp(at, stops, [c[i] for c in colors]) for i in range(3)], axis=1)
    return Image.fromarray(np.repeat(column[:, None], width, axis=1).astype(np.uint8))


def _glow(canvas: Image.Image, center: tuple[int, int], radius: float, color: Color) -> Image.Image:
    rows, columns = np.mgrid[0 : canvas.height, 0 : canvas.width].astype(np.float32)
    share = 0.75 * np.exp(-((columns - center[0]) ** 2 + (rows - center[1]) ** 2) / radius**2)
    return Image.composite(
        Image.new("RGB", canvas.size, color),
        canvas,
        Image.fromarray((255 * share).astype(np.uint8)),
    )


def _noise(rng: Rng, width: int, height: int, cells: int) -> Plane:
    """Smooth noise of 0 to 1, about `cells` bumps across, (H, W)."""
    coarse = Image.fromarray((255 * rng.random((cells, cells))).astype(np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / np.float32(255)


def _ridge(rng: Rng, width: int, rough: float) -> NDArray[np.float32]:
    """The height of a mountain ridge at each column (W,)."""
    x = np.linspace(0, 1, width, dtype=np.float32)
    waves = [
        np.sin(2 * np.pi * (2**i * x * rng.uniform(0.7, 1.6) + rng.uniform())) / 1.8**i
        for i in range(7)
    ]
    return (rough * np.sum(waves, axis=0) / 2).astype(np.float32)


def _colored(plane: Plane, hue: float, spread: float, saturation: float) -> Image.Image:
    """A plane of 0 to 1 as a picture: low is dark, high is light, and the hue turns by `spread`."""
    low, mid, high = (
        _hsv(hue, saturation, 0.2),
        _hsv(hue + spread / 2, saturation, 0.75),
        _hsv(hue + spread, 0.12, 1.0),
    )
    stops = [np.interp(plane, [0, 0.5, 1], [low[i], mid[i], high[i]]) for i in range(3)]
    return Image.fromarray(np.stack(stops, axis=-1).astype(np.uint8))
