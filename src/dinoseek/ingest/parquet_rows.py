"""Rows of Parquet files, a few hundred at a time, through pyarrow."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from dinoseek.errors import UsageError
from dinoseek.ingest.rows import BadRow, Columns, Layout, Row, jsonable
from dinoseek.ingest.streams import open_bytes

_ROWS_AT_ONCE = 500


def parquet_rows(path: Path, columns: Columns) -> Iterator[Row | BadRow]:
    """The rows of a Parquet file; columns of bytes are left out.

    Raises UsageError csv.column, csv.format, extra.missing, and what opening a file raises.
    """
    arrow = _pyarrow(path)
    with _opened(path) as file:
        names = [field.name for field in file.schema_arrow if not _is_binary(field.type, arrow)]
        layout = columns.layout(names, path)
        _check_texts(file.schema_arrow, layout, path, arrow)
        for number, values in enumerate(_values(file, names, path, arrow), start=1):
            yield layout.row(number, values, jsonable)


def parquet_count(path: Path) -> int:
    """How many rows a Parquet file has."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def _pyarrow(path: Path) -> Any:
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as exc:
        needs = "needs: pip install dinoseek[parquet]"
        raise UsageError("extra.missing", path, "Parquet is read by pyarrow", fix=needs) from exc


def _opened(path: Path) -> Any:
    arrow = _pyarrow(path)
    open_bytes(path).close()  # a pipe would be waited for
    try:
        return arrow.parquet.ParquetFile(str(path))
    except (arrow.ArrowException, OSError, ValueError) as exc:
        raise _damaged(path, "it is no Parquet file that can be read", exc) from exc


def _damaged(path: Path, reason: str, exc: Exception) -> UsageError:
    first = str(exc).partition("\n")[0][:200]
    return UsageError("csv.format", path, f"{reason} ({first})")


def _values(file: Any, names: list[str], path: Path, arrow: Any) -> Iterator[dict[str, object]]:
    done = 0
    try:
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
            plain = [_plain(column, arrow).to_pylist() for column in batch.columns]
            for cells in zip(*plain, strict=True):
                yield dict(zip(batch.schema.names, cells, strict=True))
            done += len(batch)
    except (arrow.ArrowException, OSError, ValueError) as exc:
        raise _damaged(path, f"it is damaged after row {done:,}", exc) from exc


def _plain(column: Any, arrow: Any) -> Any:
    """Times in microseconds: Python has no nanoseconds."""
    kind = _without_nanoseconds(column.type, arrow)
    return column if kind == column.type else column.cast(kind, safe=False)


def _without_nanoseconds(kind: Any, arrow: Any) -> Any:
    types = arrow.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return arrow.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return arrow.duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return arrow.time64("us")
    if types.is_list(kind):
        return arrow.list_(_without_nanoseconds(kind.value_type, arrow))
    if types.is_struct(kind):
        fields = [(field.name, _without_nanoseconds(field.type, arrow)) for field in kind]
        return arrow.struct(fields)
    return kind


def _is_binary(kind: Any, arrow: Any) -> bool:
    types = arrow.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def _check_texts(schema: Any, layout: Layout, path: Path, arrow: Any) -> None:
    """Refuses a column of addresses or paths that has no text in it."""
    types = arrow.types
    for name in filter(None, (layout.url, layout.path, layout.either)):
        kind = schema.field(name).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)):
            reason = f"its column {name!r} has {kind}, not addresses or paths"
            raise UsageError("csv.column", path, reason)
