"""Measures which copies of photographs, and which other pictures, are near duplicates.

    python bench/near.py PHOTOGRAPHS MODEL [MOST]

For each edit: how many of 256 bits of the hashes differ, the cosine, how far the colours are apart,
and how many pairs are near. The edited copies are made here, and so are the frames of bursts, from
which small parts of other photographs are moved about.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

from dinoseek.vit.blas import prefer_fast_kernels

prefer_fast_kernels()

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from dinoseek.duplicates.levels import NEAR_COLOUR, NEAR_DISTANCE, NEAR_SCORE
from dinoseek.duplicates.looks import coarse_colours
from dinoseek.embedder import Embedder, load_embedder
from dinoseek.images.decode import load_image
from dinoseek.images.perceptual_hash import distance, distances, look

Picture = Image.Image


def encoded(image: Picture, kind: str, **options: int) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return load_image(buffer.getvalue())


def scaled(image: Picture, by: float) -> Picture:
    size = [max(1, round(side * by)) for side in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)


def part(image: Picture, left: float, top: float, share: float) -> Picture:
    width, height = image.size
    box = (width * left, height * top, width * (left + share), height * (top + share))
    return image.crop(tuple(map(round, box)))


EDITS: dict[str, Callable[[Picture], Picture]] = {
    **{f"JPEG {q}": lambda i, q=q: encoded(i, "JPEG", quality=q) for q in (90, 75, 50, 30, 10)},
    "WebP 80": lambda i: encoded(i, "WEBP", quality=80),
    "GIF": lambda i: encoded(i.quantize(256), "GIF"),
    **{f"size x {by}": lambda i, by=by: scaled(i, by) for by in (0.5, 0.25, 2)},
    "128 pixels": lambda i: scaled(i, 128 / max(i.size)),
    "half, JPEG 75": lambda i: encoded(scaled(i, 0.5), "JPEG", quality=75),
    "bright + 15 %": lambda i: ImageEnhance.Brightness(i).enhance(1.15),
    "bright - 20 %": lambda i: ImageEnhance.Brightness(i).enhance(0.8),
    "contrast + 30 %": lambda i: ImageEnhance.Contrast(i).enhance(1.3),
    "sharpened": lambda i: i.filter(ImageFilter.SHARPEN),
    "blurred": lambda i: i.filter(ImageFilter.GaussianBlur(1.5)),
    "turned 1 degree": lambda i: i.rotate(1, Image.Resampling.BICUBIC),
    **{f"cut {c:.0%}": lambda i, c=c: part(i, c, c, 1 - 2 * c) for c in (0.01, 0.02, 0.05, 0.1)},
    "grey": lambda i: i.convert("L").convert("RGB"),
    "mirrored": ImageOps.mirror,
    "turned 90 degrees": lambda i: i.rotate(90, expand=True),
}


def noisy(image: Picture, rng: np.random.Generator) -> Picture:
    pixels = np.asarray(image, np.float32) + rng.normal(0, 3, (image.height, image.width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def with_subject(image: Picture, subject: Picture, width: float, left: float) -> Picture:
    frame = image.copy()
    small = subject.resize((round(image.width * width), round(image.height * width)))
    frame.paste(small, (round(image.width * left), round(image.height * 0.4)))
    return frame


FRAMES: dict[str, Callable[[Picture, Picture], tuple[Picture, Picture]]] = {
    **{
        f"hand moved {by:.0%}": lambda i, _, by=by: (
            part(i, 0.05, 0.05, 0.9),
            part(i, 0.05 + by, 0.05 + by * 0.6, 0.9),
        )
        for by in (0.01, 0.02, 0.03, 0.05)
    },
    **{
        f"{width:.0%} moved 12 %": lambda i, j, width=width: (
            with_subject(i, j, width, 0.3),
            with_subject(i, j, width, 0.42),
        )
        for width in (0.3, 0.15)
    },
    "15 % appears": lambda i, j: (i, with_subject(i, j, 0.15, 0.3)),
}


def measure(name: str, pairs: list[tuple[Picture, Picture]], embedder: Embedder) -> None:
    apart = np.array([distance(look(one), look(two)) for one, two in pairs])
    first, second = (embedder.embed([pair[i] for pair in pairs]) for i in (0, 1))
    scores = (first * second).sum(axis=1)
    colours = np.array([_colours_apart(*pair) for pair in pairs])
    near = (apart <= NEAR_DISTANCE) & (scores >= NEAR_SCORE) & (colours <= NEAR_COLOUR)
    print(
        f"{name:<18} bits {apart.min():>3} {np.median(apart):>4.0f} {apart.max():>3}"
        f"  cosine {scores.min():.3f} {np.median(scores):.3f}"
        f"  colours {np.median(colours):>5.1f} {colours.max():>5.1f}"
        f"  near {near.sum()} of {len(pairs)}",
        flush=True,
    )


def _colours_apart(one: Picture, two: Picture) -> float:
    first, second = (coarse_colours(each).astype(np.float32) for each in (one, two))
    return float(np.linalg.norm(first - second, axis=-1).max())


def main(folder: str, model: str, most: str = "128") -> None:
    files = sorted(Path(folder).glob("*.jpg"))[: int(most)]
    images = [load_image(file) for file in files]
    embedder = load_embedder(model)
    for name, edit in EDITS.items():
        measure(name, [(image, edit(image)) for image in images], embedder)
    rng = np.random.default_rng(0)
    images = images[:64]
    others = images[7:] + images[:7]
    for name, frames in FRAMES.items():
        both = [frames(*pair) for pair in zip(images, others, strict=True)]
        measure(name, [(noisy(one, rng), noisy(two, rng)) for one, two in both], embedder)
    hashes = np.stack([np.frombuffer(look(image), np.uint8) for image in images])
    different = [distances(bytes(each), hashes[i + 1 :]) for i, each in enumerate(hashes[:-1])]
    print(f"different photographs: {np.concatenate(different).min()} bits and more")


if __name__ == "__main__":
    main(*sys.argv[1:])
