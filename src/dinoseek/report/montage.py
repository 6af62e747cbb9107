"""Draws a query and its hits as one strip of equal square tiles, the query left, best hit first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from dinoseek.errors import MachineError, UsageError
from dinoseek.report.pictures import Result, picture

_WRITABLE = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
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
    query: Image.Image | None,
    hits: Sequence[Image.Image | None],
    style: MontageStyle = MontageStyle(),
    labels: Sequence[str] = (),
) -> Image.Image:
    """One row of `size * (k + 1) + margin * k` by `size` pixels, black where no picture is.

    None stands for a picture that is gone; its tile says so. With `labels`, the query's first and
    then one for each hit, a strip for them is added below.
    """
    size, step = style.size, style.size + style.margin
    strip = _label_height(size) if labels else 0
    canvas = Image.new("RGB", (size + step * len(hits), size + strip), _BLACK)
    for place, image in enumerate([query, *hits]):
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


def write_montages(results: Sequence[Result], folder: Path, style: MontageStyle) -> list[Path]:
    """One strip for each result into `folder`; returns the files: `<query stem>_output<suffix>`."""
    taken: set[str] = set()
    files = []
    for result in results:
        labels = ["query", *(f"{hit.rank}   {hit.score:.3f}" for hit in result.hits)]
        strip = montage(
            picture(result.source),
            [picture(hit.file) for hit in result.hits],
            style,
            labels if style.labels else (),
        )
        name = montage_name(result.query, taken)
        taken.add(name.casefold())
        files.append(_save(strip, folder / name))
    return files


def montage_name(query: str, taken: set[str]) -> str:
    """The file name for a query's strip; a number keeps queries of the same name apart.

    `taken` holds the case-folded names given so far: not every file system tells A.jpg from a.jpg.
    """
    path = Path(query)
    suffix = path.suffix if path.suffix.lower() in _WRITABLE else ".jpg"
    stem = {"-": "stdin"}.get(query, path.stem).replace(":", "-")  # id:42 is no name on Windows
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
