"""Every image is read before a model learns from any: none is replaced by a black square."""

from collections.abc import Iterator, Sequence
from functools import partial

from dinoseek.errors import DataError, DinoseekError, printable
from dinoseek.images.ahead import ahead
from dinoseek.images.decode import load_image
from dinoseek.train.data.records import Records

_WORKERS, _AHEAD = 2, 64
_SHOWN = 10


def check_images(records: Records) -> Iterator[tuple[int, DinoseekError | None]]:
    """Reads all images; yields each row with what is wrong with it, or None."""
    rows = range(len(records.images))
    errors = ahead(partial(_error, records), rows, workers=_WORKERS, depth=_AHEAD)
    yield from zip(rows, errors, strict=True)


def _error(records: Records, row: int) -> DinoseekError | None:
    try:
        load_image(records.path(row))
    except DinoseekError as exc:
        return exc
    return None


def refuse_broken(broken: Sequence[tuple[str, DinoseekError]], total: int) -> DataError:
    """The error that lists images which cannot be used, with the reason of each."""
    told = "; ".join(f"{printable(name)}: {error.reason}" for name, error in broken[:_SHOWN])
    more = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
    subject = f"{len(broken):,} of {total:,} images"
    fix = "repair them, or take them out of the list"
    return DataError("train.data.broken", subject, f"cannot be read ({told}{more})", fix=fix)
