"""A folder of products, as Stanford Online Products has it: three lists, and a folder of each kind.

`Ebay_train.txt` and `Ebay_test.txt` have classes of their own, and `Ebay_info.txt` has all.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dinoseek.errors import MachineError, UsageError
from dinoseek.products.catalogue import product
from dinoseek.products.order import Order
from dinoseek.products.picture import Picture, picture
from dinoseek.products.setting import draw_setting
from dinoseek.products.shape import SHAPES
from dinoseek.products.view import draw_view

ABOUT = "order.json"
HEADER = "image_id class_id super_class_id path"
_INFO, _TRAIN, _TEST = "Ebay_info.txt", "Ebay_train.txt", "Ebay_test.txt"
_QUALITY = 92


class Shot(NamedTuple):
    """One picture of a class: both counted from 0, and the path in the folder."""

    number: int
    image: int
    path: str


def shots(order: Order) -> list[Shot]:
    """All pictures of an order: 4 to 7 of each class."""
    found = []
    for number in range(order.classes):
        kind = list(SHAPES)[number % len(SHAPES)]
        count = int(np.random.default_rng([order.seed, number, 0]).integers(4, 8))
        names = (f"{kind}_final/{number + 1:06}_{image}.JPG" for image in range(count))
        found += [Shot(number, image, name) for image, name in enumerate(names)]
    return found


def photograph(order: Order, number: int, image: int) -> Picture:
    """One picture (size, size, 3) of the class `number`."""
    rng = np.random.default_rng([order.seed, number, 1 + image])
    shown = product(number, seed=order.seed, hue=order.hue)
    view = draw_view(rng, yaw=order.yaw)
    things, ground = draw_setting(rng, shown, order.background, view.yaw)
    return picture(things, ground, view, order.size, rng)


def write_products(folder: Path, order: Order) -> Iterator[Path]:
    """Writes the pictures of an order, then the lists; yields each picture when it is there.

    A folder that has them already is left as it is. Raises UsageError file.exists where something
    else is in the folder, MachineError products.unwritable.
    """
    try:
        if _begin(folder, order):
            return
        every = shots(order)
        for shot in every:
            file = folder / shot.path
            file.parent.mkdir(exist_ok=True)
            shown = Image.fromarray(photograph(order, shot.number, shot.image))
            shown.save(file, "JPEG", quality=_QUALITY, subsampling=0)
            yield file
        _write_lists(folder, order, every)
    except OSError as exc:
        raise MachineError("products.unwritable", folder, exc.strerror or str(exc)) from exc


def _begin(folder: Path, order: Order) -> bool:
    """Whether the folder is complete; what is not there yet is begun."""
    about = folder / ABOUT
    wanted = json.dumps({"generator": "dinoseek", **asdict(order)}, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    if about.is_file():
        if about.read_text("utf-8") == wanted:
            return (folder / _INFO).exists()
        raise _taken(folder, "has other products")
    if any(folder.iterdir()):
        raise _taken(folder, "has other files in it")
    about.write_text(wanted, "utf-8")
    return False


def _taken(folder: Path, reason: str) -> UsageError:
    return UsageError("file.exists", folder, reason, fix="name another folder, or empty this one")


def _write_lists(folder: Path, order: Order, every: list[Shot]) -> None:
    """The list of all comes last: where it is, all is there."""
    rows = [
        f"{place} {shot.number + 1} {shot.number % len(SHAPES) + 1} {shot.path}"
        for place, shot in enumerate(every, start=1)
    ]
    train = sum(shot.number < order.classes // 2 for shot in every)
    for name, part in ((_TRAIN, rows[:train]), (_TEST, rows[train:]), (_INFO, rows)):
        (folder / name).write_text("\n".join([HEADER, *part]) + "\n", "utf-8")
