"""Rows of Parquet files, against what pyarrow and pandas put into them."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinoseek.errors import DinoseekError, UsageError
from dinoseek.ingest.rows import BadRow, Columns, Row
from dinoseek.ingest.tables import Table

Make = Callable[..., Table]


@pytest.fixture
def table(tmp_path: Path) -> Make:
    def make(columns: dict[str, Any] | pa.Table, **options: Any) -> Table:
        path = tmp_path / "list.parquet"
        content = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(content, path, row_group_size=options.pop("row_group_size", None))
        return Table(path, Columns(**options))

    return make


def test_columns_keep_their_types(table: Make) -> None:
    time = datetime(2024, 1, 2, 3, 4, 5, 678, UTC)
    (row,) = table({
        "url": ["http://a"], "caption": ["A"], "n": [3], "x": [0.5], "s": ["007"], "b": [True],
        "l": [["p", "q"]], "d": [{"a": 1, "t": time}], "t": [time], "m": [Decimal("1.50")],
        "none": pa.array([None], pa.string()), "nan": [float("nan")], "raw": [b"\xff"],
    }).rows()  # fmt: skip
    at = "2024-01-02T03:04:05.000678+00:00"
    assert row == Row(
        number=1,
        url="http://a",
        caption="A",
        metadata={
            "n": 3, "x": 0.5, "s": "007", "b": True, "l": ["p", "q"], "d": {"a": 1, "t": at},
            "t": at, "m": 1.5,
        },
    )  # fmt: skip


def test_nanoseconds_are_read_without_pandas(table: Make) -> None:
    nanoseconds = np.array(["2024-01-02T03:04:05.123456789"], "datetime64[ns]")
    content = pa.table({
        "path": ["a.jpg"], "t": nanoseconds, "l": pa.array([nanoseconds]),
        "s": pa.array([{"d": np.timedelta64(1_500_000_001, "ns")}]),
    })  # fmt: skip
    assert pa.types.is_duration(content["s"].type[0].type)
    (row,) = table(content).rows()
    assert isinstance(row, Row)
    at = "2024-01-02T03:04:05.123456"
    assert row.metadata == {"t": at, "l": [at], "s": {"d": 1.5}}


def test_a_bad_row_is_one_row(table: Make) -> None:
    rows = list(table({"url": ["http://a", None, ""], "n": [1, 2, 3]}).rows())
    assert [row.number for row in rows] == [1, 2, 3]
    assert [isinstance(row, BadRow) for row in rows] == [False, True, True]


def test_columns_of_pandas_categories_and_large_strings_are_text(table: Make) -> None:
    frame = pd.DataFrame({"url": pd.Categorical(["http://a", "http://a"]), "n": [1, 2]})
    rows = list(table(pa.Table.from_pandas(frame)).rows())
    assert [row.url for row in rows if isinstance(row, Row)] == ["http://a", "http://a"]
    (row,) = table({"url": pa.array(["http://a"], pa.large_string())}).rows()
    assert isinstance(row, Row)


@pytest.mark.parametrize("column", [[b"\xff\xd8"], [{"bytes": b"\xff", "path": "a"}], [17]])
def test_CSV_02_a_column_without_text_is_refused(table: Make, column: list[object]) -> None:
    with pytest.raises(UsageError) as caught:
        table({"image": column, "n": [1]}).check()
    assert caught.value.code == "csv.column"


def test_CSV_12_rows_come_in_small_batches_and_without_pictures(table: Make) -> None:
    addresses = [f"http://a/{n}" for n in range(20_000)]
    pictures = [b"%d" % n + bytes(20_000) if n < 600 else None for n in range(20_000)]
    long = table({"url": addresses, "raw": pictures}, row_group_size=20_000)
    assert long.count() == 20_000
    before = pa.total_allocated_bytes()
    rows = long.rows()
    peak = max(pa.total_allocated_bytes() - before for _ in rows)
    assert peak < 2_000_000
    assert sum(1 for _ in long.rows()) == 20_000


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"url\nhttp://a\n", b"PAR1" + b"\0" * 99 + b"PAR1"]
)
def test_CSV_15_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(content)
    for ask in (Table(path).check, Table(path).count):
        with pytest.raises(UsageError) as caught:
            ask()
        assert caught.value.code == "csv.format"


def test_a_damaged_file_says_so_wherever_the_damage_is(table: Make) -> None:
    path = table({"url": [f"http://a/{n}" for n in range(300)], "n": list(range(300))}).path
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for at in random.integers(0, len(whole), 150):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            rows = list(Table(path).rows())
        except DinoseekError as exc:
            assert exc.code in ("csv.format", "csv.column")  # noqa: PT017
        else:
            assert len(rows) <= 300
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError):
        Table(path).check()


def test_CSV_17_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    os.mkfifo(path)
    with pytest.raises(UsageError) as caught:
        Table(path).check()
    assert caught.value.code == "path.not_regular"


def test_without_pyarrow_it_says_what_to_install(table: Make) -> None:
    path = table({"url": ["http://a"]}).path
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path; from dinoseek.ingest.tables import Table\n"
        "from dinoseek.errors import UsageError\n"
        "try: Table(Path(sys.argv[1])).check()\n"
        "except UsageError as exc: print(exc.code, exc.fix)"
    )
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "extra.missing needs: pip install dinoseek[parquet]\n"


values = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=30,
)
@given(
    rows=st.lists(st.tuples(values, st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=8),
    group=st.integers(1, 5),
)
def test_what_pyarrow_writes_is_read_back(
    table: Make, rows: list[tuple[str | None, int | None]], group: int
) -> None:
    content = pa.table({
        "url": pa.array(["x://"] * len(rows), pa.string()),
        "text": pa.array([text for text, _ in rows], pa.string()),
        "n": pa.array([n for _, n in rows], pa.int64()),
    })  # fmt: skip
    written = table(content, row_group_size=group)
    assert list(written.rows()) == [
        Row(number=at, url="x://", caption=text or None, metadata={} if n is None else {"n": n})
        for at, (text, n) in enumerate(rows, start=1)
    ]
    assert written.count() == len(rows)
