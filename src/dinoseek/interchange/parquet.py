"""Vectors and records as Parquet, which DuckDB, pandas and others open: through pyarrow.

One row for each image, in the order of ids: id, path, url, caption, width, height, bytes, format,
digest, a column for each name of metadata, and vector. The file's own metadata says what made the
vectors, and which columns are metadata.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dinoseek.embedder import Fingerprint
from dinoseek.errors import UsageError
from dinoseek.gallery.base import JSON
from dinoseek.interchange.columns import Column, Kind
from dinoseek.interchange.exporting import Exported
from dinoseek.interchange.given import (
    ROWS_AT_ONCE,
    Entry,
    Facts,
    Given,
    checked,
    reading,
    refused,
)

MAX_DIM = 65_536

_FINGERPRINT, _COLUMNS = b"dinoseek.fingerprint", b"dinoseek.metadata"
_TEXTS, _NUMBERS = ("path", "url", "caption", "format", "digest"), ("width", "height", "bytes")
_ROWS_IN_GROUP = 8192
_DIGEST = re.compile(r"[0-9a-f]{64}")


def pyarrow_for(path: Path) -> Any:
    """pyarrow, to read or write `path`; UsageError extra.missing without it."""
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as exc:
        needs = "needs: pip install dinoseek[parquet]"
        reason = "Parquet is read and written by pyarrow"
        raise UsageError("extra.missing", path, reason, fix=needs) from exc


# writing


def write_parquet(path: Path, target: Path, exported: Exported) -> None:
    """Writes an export to `path`; `target` is the name for people."""
    arrow = pyarrow_for(target)
    schema = schema_of(arrow, exported)
    # a bit that flips on the disk must not change a vector in silence
    options = {"compression": "zstd", "write_page_checksum": True}
    with arrow.parquet.ParquetWriter(str(path), schema, **options) as writer:
        group: list[Any] = []
        for rows, vectors in exported.batches():
            group.append(batch_of(arrow, schema, exported, rows, vectors))
            if sum(map(len, group)) >= _ROWS_IN_GROUP:
                writer.write_table(arrow.Table.from_batches(group, schema))
                group.clear()
        if group:
            writer.write_table(arrow.Table.from_batches(group, schema))


def schema_of(arrow: Any, exported: Exported) -> Any:
    """The columns of an export, and what made its vectors."""
    kinds = {
        "text": arrow.string(),
        "json": arrow.string(),
        "all": arrow.string(),
        "bool": arrow.bool_(),
        "int": arrow.int64(),
        "float": arrow.float64(),
    }
    fields = [arrow.field("id", arrow.int64())]
    fields += [arrow.field(name, arrow.string()) for name in ("path", "url", "caption")]
    fields += [arrow.field(name, arrow.int64()) for name in _NUMBERS]
    fields += [arrow.field(name, arrow.string()) for name in ("format", "digest")]
    fields += [arrow.field(each.column, kinds[each.kind]) for each in exported.columns]
    fields.append(arrow.field("vector", arrow.list_(arrow.float32(), exported.fingerprint.dim)))
    said = {
        _FINGERPRINT: exported.fingerprint.to_json(),
        _COLUMNS: json.dumps([vars(each) for each in exported.columns]),
    }
    return arrow.schema(fields, metadata=said)


def batch_of(
    arrow: Any,
    schema: Any,
    exported: Exported,
    rows: Sequence[Mapping[str, Any]],
    vectors: NDArray[np.float32],
) -> Any:
    """Some rows of an export and their vectors (n, d), in the columns of `schema`."""
    plain = [name for name in schema.names if name in ("id", *_TEXTS, *_NUMBERS)]
    values = {name: [row[name] for row in rows] for name in plain}
    for each in exported.columns:
        values[each.column] = [each.value(row["metadata"]) for row in rows]
    arrays = [arrow.array(values[name], schema.field(name).type) for name in schema.names[:-1]]
    flat = arrow.array(np.ascontiguousarray(vectors).reshape(-1))
    arrays.append(arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))
    return arrow.RecordBatch.from_arrays(arrays, schema=schema)


# reading


def from_parquet(path: Path) -> Given:
    """The rows of an export, or of any Parquet file with `vector` and `path` or `url`.

    Raises UsageError import.*, extra.missing.
    """
    arrow = pyarrow_for(path)
    with _opened(path, arrow) as file:
        schema, rows = file.schema_arrow, int(file.metadata.num_rows)
        dim = _dim(path, file, arrow)
    said = schema.metadata or {}
    columns = _columns(path, said)
    names = [name for name in schema.names if name in _wanted(columns)]
    if not {"path", "url"} & set(names):
        raise refused(path, "it has neither a column path nor one url", code="import.columns")

    def batches() -> Iterator[tuple[Sequence[Entry], NDArray[Any]]]:
        with _opened(path, arrow) as file:
            for batch in _batches(path, file, names, arrow):
                yield _entries(path, batch, columns), _vectors(path, batch, dim)

    return Given(source=path, rows=rows, dim=dim, batches=batches, fingerprint=_made(path, said))


def _opened(path: Path, arrow: Any) -> Any:
    with reading(path):
        path.open("rb").close()
    try:
        return arrow.parquet.ParquetFile(str(path), page_checksum_verification=True)
    except (arrow.ArrowException, OSError, ValueError) as exc:
        raise _damaged(path, exc) from exc


def _damaged(path: Path, exc: Exception) -> UsageError:
    first = str(exc).partition("\n")[0][:120]
    return refused(path, f"it is no Parquet file that can be read ({first})")


def _batches(path: Path, file: Any, names: list[str], arrow: Any) -> Iterator[Any]:
    try:
        yield from file.iter_batches(ROWS_AT_ONCE, columns=names)
    except (arrow.ArrowException, OSError) as exc:
        raise _damaged(path, exc) from exc


def _wanted(columns: Sequence[Column]) -> set[str]:
    return {*_TEXTS, *_NUMBERS, "vector", *(each.column for each in columns)}


def _dim(path: Path, file: Any, arrow: Any) -> int:
    """The length of the vectors: of the column's type, or of its first row."""
    schema, types = file.schema_arrow, arrow.types
    kind = schema.field("vector").type if "vector" in schema.names else arrow.null()
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not lists or not types.is_floating(kind.value_type):
        raise refused(path, "it has no column `vector` of lists of floats", code="import.columns")
    if types.is_fixed_size_list(kind):
        dim = kind.list_size
    else:
        first = next(_batches(path, file, ["vector"], arrow), None)
        dim = len(first.column(0)[0].as_py() or []) if first is not None and len(first) else 0
    if not 0 < dim <= MAX_DIM or not file.metadata.num_rows:
        raise refused(path, "it has no rows, or vectors of no length", code="import.shape")
    return int(dim)


def _columns(path: Path, said: Mapping[bytes, bytes]) -> list[Column]:
    try:
        found = [Column(**each) for each in json.loads(said.get(_COLUMNS, b"[]"))]
        if any(each.kind not in get_args(Kind) for each in found):
            raise ValueError("a kind of column that there is not")
    except (ValueError, TypeError) as exc:
        raise refused(path, "what it says of its columns cannot be read") from exc
    return found


def _made(path: Path, said: Mapping[bytes, bytes]) -> Fingerprint | None:
    if _FINGERPRINT not in said:
        return None
    try:
        return Fingerprint.from_json(said[_FINGERPRINT].decode())
    except (ValueError, TypeError) as exc:
        raise refused(path, "what it says made its vectors cannot be read") from exc


def _vectors(path: Path, batch: Any, dim: int) -> NDArray[Any]:
    column = batch.column(batch.schema.get_field_index("vector"))
    flat = column.flatten()
    lengths = {len(row.values) for row in column if row.is_valid}
    if column.null_count or flat.null_count or lengths != {dim}:
        reason = f"not every row has a vector of {dim} numbers"
        raise refused(path, reason, code="import.shape")
    vectors: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(len(column), dim)
    return vectors


def _entries(path: Path, batch: Any, columns: Sequence[Column]) -> list[Entry]:
    values = {
        name: batch.column(place).to_pylist()
        for place, name in enumerate(batch.schema.names)
        if name != "vector"
    }
    rows = [dict(zip(values, cells, strict=True)) for cells in zip(*values.values(), strict=True)]
    try:
        return [_entry(row, columns) for row in rows]
    except (ValueError, TypeError, RecursionError) as exc:
        raise refused(path, "a cell of its metadata cannot be read") from exc


def _entry(row: Mapping[str, Any], columns: Sequence[Column]) -> Entry:
    metadata: dict[str, JSON] = {}
    for each in columns:
        metadata |= each.restored(row.get(each.column))
    texts = {name: _text(row.get(name)) for name in ("path", "url", "caption")}
    return Entry(**texts, metadata=checked(metadata), facts=_facts(row))


def _text(cell: object) -> str | None:
    if cell is not None and not isinstance(cell, str):
        raise ValueError("a path, address or caption that is no text")
    return cell or None


def _facts(row: Mapping[str, Any]) -> Facts | None:
    kinds = {"digest": str, "format": str, **dict.fromkeys(_NUMBERS, int)}
    if not all(isinstance(row.get(name), kind) for name, kind in kinds.items()):
        return None
    if not _DIGEST.fullmatch(row["digest"]) or min(row[name] for name in _NUMBERS) < 0:
        return None
    return Facts(**{name: row[name] for name in kinds})
