"""Draws a query and its hits as one strip of equal square tiles, the query left, best hit first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from dinoseek.errors import MachineError, UsageError
from dinoseek.report.pictures import (
    Result,
    ThumbnailOf,
    no_thumbnail,
    picture,
    picture_of,
    short_name,
)

_WRITABLE = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
_UNSAFE = re.compile(r'[<>:"|?*\x00-\x1f]')
_MOST = 100  # characters of a name that come from the query
_BLACK = (0, 0, 0)
_INK = (235, 235, 235)
_MISSING = (38, 38, 42)
_MISSING_INK = (150, 150, 158)


@dataclass(frozen=True, kw_only=True)
class MontageStyle:
    """Layout of a strip: tile side and margin in pixels, and whether rank and score are written."""

    size: int = 224
    margin: int = 10
    labels: bool = False

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096:
            raise UsageError(
                "montage.size", "--size", f"{self.size} is not within 16 to 4096 pixels"
            )
        if not 0 <= self.margin <= 1000:
            raise UsageError(
                "montage.margin", "--margin", f"{self.margin} is not within 0 to 1000 pixels"
            )


def montage(
    queries: Sequence[Image.Image | None],
    hits: Sequence[Image.Image | None],
    style: MontageStyle = MontageStyle(),
    labels: Sequence[str] = (),
) -> Image.Image:
    """One row of n tiles, `size * n + margin * (n - 1)` by `size` pixels, black between them.

    First the query's pictures, mostly one, then the hits. None stands for a picture that is gone;
    its tile says so. With `labels`, one for each tile, a strip for them is added below.
    """
    tiles = [*queries, *hits]
    size, step = style.size, style.size + style.margin
    strip = _label_height(size) if labels else 0
    canvas = Image.new("RGB", (size + step * (len(tiles) - 1), size + strip), _BLACK)
    for place, image in enumerate(tiles):
        tile = placeholder(size) if image is None else square_tile(image, size)
        canvas.paste(tile, (place * step, 0))
    for place, label in enumerate(labels):
        _write_label(canvas, label, place * step, size, strip)
    return canvas


def square_tile(image: Image.Image, size: int) -> Image.Image:
    """`image` with its longer side scaled to `size`, centred on a black square of that side."""
    width, height = tile_size(*image.size, size)
    image = image.convert("RGB").resize((width, height))  # Pillow's default, bicubic
    left, top = (size - width) // 2, (size - height) // 2
    return ImageOps.expand(image, (left, top, size - width - left, size - height - top), fill=0)


def tile_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height within a tile: the other side is cut with int(), but never to nothing."""
    if width > height:
        return size, max(1, int((size / width) * height))
    return max(1, int((size / height) * width)), size


def placeholder(size: int) -> Image.Image:
    """The tile for a picture that cannot be read any more."""
    tile = Image.new("RGB", (size, size), _MISSING)
    draw = ImageDraw.Draw(tile)
    font = ImageFont.load_default(max(9, size // 14))
    draw.text((size / 2, size / 2), "file missing", fill=_MISSING_INK, font=font, anchor="mm")
    return tile


def write_montages(
    results: Sequence[Result],
    folder: Path,
    style: MontageStyle,
    thumbnail_of: ThumbnailOf = no_thumbnail,
) -> list[Path]:
    """One strip for each result into `folder`; returns the files: `<query stem>_output<suffix>`.

    `thumbnail_of` gives a small picture of a hit, by its id, where the hit has no file.
    """
    taken: set[str] = set()
    files = []
    for result in results:
        strip = montage(
            [picture(each.source, each.region) for each in result.shown],
            [picture_of(hit, thumbnail_of) for hit in result.hits],
            style,
            _labels(result) if style.labels else (),
        )
        name = montage_name(_file_of(result), taken)
        taken.add(name.casefold())
        files.append(_save(strip, folder / name))
    return files


def _labels(result: Result) -> list[str]:
    queries = ["query", *(f"{each.sign} query" for each in result.shown[1:])]
    copies = (f"   +{hit.copies}" if hit.copies else "" for hit in result.hits)
    hits = (f"{hit.rank}   {hit.score:.3f}" for hit in result.hits)
    return [*queries, *map("".join, zip(hits, copies, strict=True))]


def _file_of(result: Result) -> str:
    """The query as one file name; of several pictures their stems, joined by their signs."""
    first, *more = result.shown
    if not more:
        return result.query
    return _stem(first.name) + "".join(each.sign + _stem(each.name) for each in more)


def _stem(query: str) -> str:
    name = {"-": "stdin"}.get(query, Path(short_name(query)).stem)
    return _UNSAFE.sub("-", name)[:_MOST]  # id:42 is no name on Windows


def montage_name(query: str, taken: set[str]) -> str:
    """The file name for a query's strip; a number keeps queries of the same name apart.

    `taken` holds the case-folded names given so far: not every file system tells A.jpg from a.jpg.
    """
    suffix = Path(query).suffix
    suffix = suffix if suffix.lower() in _WRITABLE else ".jpg"
    stem = _stem(query)
    name, number = f"{stem}_output{suffix}", 2
    while name.casefold() in taken:
        name, number = f"{stem}_output-{number}{suffix}", number + 1
    return name


def _save(image: Image.Image, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    except OSError as exc:
        raise MachineError("report.unwritable", path, exc.strerror or str(exc)) from exc
    return path


def _label_height(size: int) -> int:
    return max(18, size // 7)


def _write_label(canvas: Image.Image, label: str, left: int, size: int, strip: int) -> None:
    font = ImageFont.load_default(max(11, size // 12))
    middle = (left + size / 2, size + strip / 2)
    ImageDraw.Draw(canvas).text(middle, label, fill=_INK, font=font, anchor="mm")
