"""A map of a gallery as Parquet, which Embedding Atlas opens: an export and where its images lie.

Besides the columns of an export: projection_x, projection_y, neighbors, and image where pictures
are given. neighbors are rows of the file, counted from 0, and distances, which are 1 - cosine.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoseek.interchange.exporting import Exported
from dinoseek.interchange.files import replacing
from dinoseek.interchange.parquet import batch_of, pyarrow_for, schema_of
from dinoseek.vit.ops import Array

Ids = NDArray[np.int64]


def write_map_parquet(
    target: Path,
    found: Exported,
    rows: Sequence[Mapping[str, Any]],
    vectors: Array,
    points: Array,
    nearest: tuple[Ids, Array],
    pictures: Sequence[bytes | None] | None = None,
) -> None:
    """Writes rows (m,) of an export with vectors (m, d), points (m, 2), and rows and cosines (m, k)
    of the nearest. The file appears whole or not at all; another one is replaced.
    """
    arrow = pyarrow_for(target)
    schema = schema_of(arrow, found)
    batch = batch_of(arrow, schema, found, rows, vectors)
    table = arrow.Table.from_batches([batch], schema)
    taken = {name.lower() for name in schema.names}
    for name, values in _more(arrow, points, nearest, pictures).items():
        table = table.append_column(name if name not in taken else f"map_{name}", values)
    with replacing([target]) as (temporary,):
        options = {"compression": "zstd", "write_page_checksum": True}
        arrow.parquet.write_table(table, str(temporary), **options)


def _more(
    arrow: Any, points: Array, nearest: tuple[Ids, Array], pictures: Sequence[bytes | None] | None
) -> dict[str, Any]:
    """What a map has beyond an export."""
    ids = arrow.array(nearest[0].tolist(), arrow.list_(arrow.int64()))
    away = np.maximum(1 - nearest[1], 0).tolist()
    distances = arrow.array(away, arrow.list_(arrow.float32()))
    columns = {
        "projection_x": arrow.array(np.ascontiguousarray(points[:, 0])),
        "projection_y": arrow.array(np.ascontiguousarray(points[:, 1])),
        "neighbors": arrow.StructArray.from_arrays([ids, distances], names=["ids", "distances"]),
    }
    if pictures is not None:
        data = arrow.array(list(pictures), arrow.binary())
        columns["image"] = arrow.StructArray.from_arrays([data], names=["bytes"])
    return columns
