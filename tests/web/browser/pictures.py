"""The pictures of the tests: six colours, copies, and names and captions that attack a page."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ("red", "green", "blue", "orange", "purple", "teal")
EACH = 12  # of a colour; all together they are more than a page of the gallery holds

# WEB-08: what a page that trusted its gallery would run.
SCRIPT = "<img src=x onerror=alert(1)>"
CAPTION = f"</script><script>alert(2)</script>{SCRIPT}{{{{7*7}}}} \"onmouseover='alert(3)'"
LINK = "javascript:alert(4)"
ATTRIBUTE = '" onerror="alert(5)" x="'


def draw(colour: str, number: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture of one colour with white, black and grey bars, different for each number."""
    image = Image.new("RGB", size, colour)
    width, height = size
    random = np.random.default_rng([*colour.encode(), number])
    for place, grey in enumerate(("white", "black", "grey")):
        left, top = random.integers(0, (width * 2 // 3, height * 2 // 3)).tolist()
        across, down = random.integers(8, (width // 3, height // 3)).tolist()
        corner = (left + across * (1 + place % 2) // 2, top + down)
        image.paste(grey, (left, top, *corner))
    return image


def halves(left: str, right: str) -> Image.Image:
    """A picture of two colours side by side."""
    image = Image.new("RGB", (400, 300), left)
    image.paste(right, (200, 0, 400, 300))
    return image


def noise(path: Path) -> Path:
    """A PNG of more bytes than the server takes."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 1800, 3), dtype=np.uint8)
    pixels[..., 1:] //= 4  # reddish
    Image.fromarray(pixels).save(path, compress_level=0)
    assert path.stat().st_size > 10_000_000
    return path


def gallery_folder(folder: Path) -> Path:
    """Writes the pictures and a list of them; returns the list."""
    folder.mkdir(parents=True)
    rows = [_row(folder, colour, number) for number in range(EACH) for colour in COLOURS]
    for number, name in enumerate((f"{SCRIPT}.jpg", f"{ATTRIBUTE}.jpg")):
        draw("yellow", number, (240, 240)).save(folder / name)
        rows.append({"path": name, "caption": CAPTION, "label": SCRIPT, "note": LINK})
    return _list(folder / "list.csv", ("path", "caption", "label", "price", "note"), rows)


def address_list(file: Path, addresses: list[str]) -> Path:
    """A list of pictures on the web."""
    rows = [{"url": each, "caption": CAPTION, "note": ATTRIBUTE} for each in addresses]
    return _list(file, ("url", "caption", "note"), rows)


def _list(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _row(folder: Path, colour: str, number: int) -> dict[str, str]:
    name = f"{colour}-{number:02}.jpg"
    draw(colour, number).save(folder / name, quality=92)
    price = f"{number}.{COLOURS.index(colour)}"
    caption = f"{colour} picture, number {number}"
    return {"path": name, "caption": caption, "label": colour, "price": price}


def alike_folder(folder: Path) -> Path:
    """Pictures with duplicates: two groups of equal bytes, three encoded again and smaller."""
    folder.mkdir(parents=True)
    for colour in COLOURS:
        draw(colour, 0, (640, 480)).save(folder / f"{colour}.jpg", quality=95)
    for colour in ("red", "green"):
        (folder / f"{colour}-again.jpg").write_bytes((folder / f"{colour}.jpg").read_bytes())
    for colour in ("blue", "orange", "purple"):
        small = draw(colour, 0, (640, 480)).resize((480, 360))
        small.save(folder / f"{colour}-small.jpg", quality=85)
    return folder
