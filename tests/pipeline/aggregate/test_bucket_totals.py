"""Totals of a bucket that wait on disk: the same sums, whatever memory they may take, in bounded memory."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate import bucket_totals
from pipeline.aggregate.bucket_totals import BucketTotals
from pipeline.errors import BalanceError
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import make_context

ROW = st.tuples(st.sampled_from(("u", "v", "w" * 50, "é", "")), st.integers(0, 3), st.integers(0, 10**15))
COLUMNS = {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64, "event_count": pl.Int64}


def table(rows: list[tuple]) -> pa.Table:
    return pl.DataFrame(rows, COLUMNS, orient="row").to_arrow(compat_level=pl.CompatLevel.oldest())


@tries(25)
@given(
    batches=st.lists(st.tuples(st.lists(ROW, max_size=8), st.sampled_from((1, -1))), max_size=5),
    memory=st.sampled_from((1, 500, 2**40)),
    compiled=st.booleans(),
)
def test_sums_do_not_depend_on_the_memory(batches: list, memory: int, compiled: bool) -> None:
    """Sums of Python's integers are the truth; rows of sign -1 take an event away, as a further day does."""
    micro: Counter[tuple[str, int]] = Counter()
    events: Counter[tuple[str, int]] = Counter()
    with TemporaryDirectory() as folder, mock.patch.object(bucket_totals, "_PARTS", 4):
        context = make_context(Path(folder), bucket_bytes=memory, compiled=compiled)
        with BucketTotals(context, 3) as totals:
            for rows, sign in batches:
                totals.add_totals(table([(user, region, sign * value, sign) for user, region, value in rows]))
                for user, region, value in rows:
                    micro[user, region] += sign * value
                    events[user, region] += sign
            sums, users = totals.write()
        assert [path.name for path in (Path(folder) / "totals").iterdir()] == ["bucket-0003.parquet"]
        written = pq.read_table(Path(folder) / "totals" / "bucket-0003.parquet")
    expected = {key: (micro[key], count) for key, count in events.items() if count}
    found = {(user, region): (minutes, count) for user, region, minutes, count in map(dict.values, written.to_pylist())}
    assert found == expected
    assert len(written) == len(expected)
    assert written["region"].to_pylist() == sorted(written["region"].to_pylist())
    assert users == len({user for user, _ in expected})
    by_region: dict[int, list[int]] = {}
    for (_, region), (minutes, count) in sorted(expected.items(), key=lambda item: item[0][1]):
        before = by_region.setdefault(region, [0, 0, 0])
        by_region[region] = [before[0] + 1, before[1] + count, before[2] + minutes]
    assert {region: list(values) for region, values in sums.items()} == by_region


def test_a_sum_beyond_64_bits_is_refused_though_its_parts_are_not(tmp_path: Path) -> None:
    context = make_context(tmp_path, bucket_bytes=1)
    with BucketTotals(context, 0) as totals:
        totals.add_totals(table([("u", 0, 2**62, 1)]))
        totals.add_totals(table([("u", 0, 2**62, 1)]))
        with pytest.raises(BalanceError):
            totals.write()


def test_what_is_held_stays_below_the_limit_however_many_users_come(tmp_path: Path) -> None:
    """1.2 MB of users of 10 kB, of which 200 kB may be held."""
    limit = 200_000
    context = make_context(tmp_path, bucket_bytes=limit)
    held = []
    with BucketTotals(context, 0) as totals:
        for number in range(120):
            rows = table([(f"{number:06}" + "x" * 10_000, number % 3, 5, 1)])
            totals.add(rows.drop_columns(["event_count"]), np.zeros(1, bool))
            held.append(totals.memory)
        sums, users = totals.write()
    assert max(held) <= limit
    assert users == 120
    assert sums == dict.fromkeys(range(3), (40, 40, 200))
    file = pq.ParquetFile(tmp_path / "totals" / "bucket-0000.parquet")
    groups = [file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)]
    assert max(groups) < 5e6
