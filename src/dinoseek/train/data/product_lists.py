"""Stanford Online Products' list of training images."""

from pathlib import Path

from dinoseek.errors import DataError, printable
from dinoseek.evaluation.dataset import read_lines

_NAMES = ("Ebay_train.txt", "Stanford_Online_Products/Ebay_train.txt")
_SHOWN = 10  # of the files that are missing


def sop_list(folder: Path) -> Path | None:
    """The list of training images in a folder of Stanford Online Products, if it is one."""
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def read_sop(path: Path) -> tuple[list[str], list[str], list[str]]:
    """The images, classes and super-classes of Ebay_train.txt; DataError for other lines."""
    lines = enumerate(read_lines(path)[1:], start=2)
    rows = [_row(path, number, line) for number, line in lines if line.strip()]
    return [row[2] for row in rows], [row[0] for row in rows], [row[1] for row in rows]


def _row(path: Path, number: int, line: str) -> tuple[str, str, str]:
    """The class, the super-class and the image of a line."""
    parts = line.split(" ", 3)
    if len(parts) != 4 or not all(part.isdigit() for part in parts[:3]):
        reason = f"line {number} is something else than image_id class_id super_class_id path"
        raise DataError("train.data.format", path, reason, fix="download it again")
    image = parts[3].strip()
    if Path(image).is_absolute() or ".." in Path(image).parts:
        reason = f"line {number}: its path leads out of the folder"
        raise DataError("train.data.format", path, reason, fix="download it again")
    return parts[1], parts[2], image


def refuse_missing(path: Path, images: list[str]) -> None:
    """DataError train.data.missing that names listed images which are not there."""
    missing = [image for image in images if not (path.parent / image).is_file()]
    if missing:
        told = ", ".join(map(printable, missing[:_SHOWN])) + (
            ", ..." if len(missing) > _SHOWN else ""
        )
        reason = f"{len(missing):,} of {len(images):,} images that it lists are not there: {told}"
        raise DataError("train.data.missing", path, reason, fix="unpack the data set whole")
