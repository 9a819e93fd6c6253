"""Files of totals: any stretch of their rows can be read, and the sums by region are exact."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import polars as pl
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.totals import order_totals
from pipeline.exchange import bucket_totals
from pipeline.exchange.bucket_totals import read_totals, sum_exactly, write_totals

SCHEMA = {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64, "event_count": pl.Int64}
ROW = st.tuples(
    st.text(max_size=5), st.sampled_from([0, 1, 2, 7, 65535]), st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**6)
)


@given(rows=st.lists(ROW, max_size=60), data=st.data(), group_rows=st.sampled_from([1, 3, 1000]))
def test_any_stretch_can_be_read_and_sums_are_exact(rows: list, data: st.DataObject, group_rows: int) -> None:
    with TemporaryDirectory() as folder, mock.patch.object(bucket_totals, "_GROUP_ROWS", group_rows):
        path = Path(folder) / "bucket.parquet"
        total, users = order_totals(pl.DataFrame(rows, schema=SCHEMA, orient="row"))
        rows = [row for row in rows if row[3]]  # a total without events is none
        assert users == len({row[0] for row in rows})
        regions = write_totals(path, total)
        assert not path.with_suffix(".partial").exists()
        ordered = sorted(rows, key=lambda row: row[1])  # stable: as they came within a region
        first = data.draw(st.integers(0, len(rows)))
        count = data.draw(st.integers(0, len(rows) - first))
        if rows:
            (found,) = read_totals([(path, first, count)], 10**9) or (None,)
            assert found is not None
            assert [tuple(row.values()) for row in found.to_pylist()] == ordered[first : first + count]
            assert sum_exactly(found["micro_minutes"]) == sum(row[2] for row in ordered[first : first + count])
        assert pl.read_parquet(path).rows() == ordered
    users, events, micro = Counter[int](), Counter[int](), Counter[int]()
    for _, region, minutes, count in rows:
        users[region] += 1
        events[region] += count
        micro[region] += minutes
    assert list(regions.items()) == [(code, (users[code], events[code], micro[code])) for code in sorted(users)]


def test_regions_of_few_rows_share_a_row_group(tmp_path: Path) -> None:
    rows = [(f"u{number}", number // 10, 1, 1) for number in range(20_000)]
    write_totals(tmp_path / "bucket.parquet", order_totals(pl.DataFrame(rows, schema=SCHEMA, orient="row"))[0])
    groups = pq.ParquetFile(tmp_path / "bucket.parquet").num_row_groups
    assert groups == 5, "of 4,100 rows, but for the last"


def test_totals_that_take_too_much_room_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "totals.parquet"
    rows = [(f"{number:01000d}", 3, number, 1) for number in range(100)]
    write_totals(path, order_totals(pl.DataFrame(rows, schema=SCHEMA, orient="row"))[0])
    assert read_totals([(path, 10, 20)], 99_000) is None, "the whole row group stays in memory"
    twice = [(path, 10, 20), (path, 50, 5)]
    assert read_totals(twice, 199_000) is None
    found, more = read_totals(twice, 400_000) or (None, None)
    assert found is not None
    assert more is not None
    assert found["micro_minutes"].to_pylist() == list(range(10, 30))
    assert more["micro_minutes"].to_pylist() == list(range(50, 55))
