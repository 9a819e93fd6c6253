"""What the SQL plan does around Spark; with Spark it is tried in tests/pipeline/engines/test_spark.py."""

from pathlib import Path

import polars as pl
import pytest

from pipeline.aggregate import spark_plan
from pipeline.aggregate.spark_plan import write_partition
from pipeline.aggregate.tasks import PartTask
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from tests.pipeline.aggregate.by_hand import make_context, read_losers

COLUMNS = {
    "user_id": pl.String, "region": pl.Int32, "loser": pl.Int64, "micro_minutes": pl.Int64, "event_count": pl.Int64,
    "copies": pl.Int64, "surplus": pl.Int64,
}  # fmt: skip


def part(path: Path, rows: list[tuple]) -> PartTask:
    """One partition of the result, as Spark writes it."""
    pl.DataFrame(rows, COLUMNS, orient="row").write_parquet(path)
    return PartTask(3, str(path))


def test_a_partition_becomes_totals_losers_and_counts(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    rows = [("u", 1, None, 30, 2, 5, 3), ("v", 0, None, 7, 1, 1, 0), ("u", 1, 2**32 + 9, 4, 1, 2, 1)]
    result = write_partition(context, part(tmp_path / "part-[3]*.parquet", rows), no_advance)
    assert (result.bucket, result.rows, result.kept, result.duplicates, result.conflicts) == (3, 8, 3, 4, 1)
    assert result.users == 2
    assert result.regions == {0: (1, 1, 7), 1: (1, 2, 30)}
    assert result.balances()
    written = pl.read_parquet(context.workspace.path("totals", "bucket-0003.parquet"))
    assert written.rows() == [("v", 0, 7, 1), ("u", 1, 30, 2)]
    assert written.schema["region"] == pl.UInt16
    assert read_losers(context) == {2**32 + 9}


def test_an_empty_partition_has_no_losers(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    result = write_partition(context, part(tmp_path / "part-00003.parquet", []), no_advance)
    assert (result.rows, result.users, result.regions) == (0, 0, {})
    assert not context.workspace.path("conflicts", "bucket-0003.npy").exists()


def test_a_user_beyond_int64_in_one_partition_is_refused(tmp_path: Path) -> None:
    rows = [("u", 1, None, 2**62, 1, 1, 0), ("u", 1, None, 2**62, 1, 1, 0)]
    with pytest.raises(BalanceError, match="watch times of one user"):
        write_partition(make_context(tmp_path), part(tmp_path / "part-00003.parquet", rows), no_advance)


@pytest.mark.parametrize(
    ("rows", "bucket_rows", "workers", "partitions"),
    [(10, 1000, 4, 8), (8001, 1000, 4, 9), (10**9, 10**9, 4, 2000)],
    ids=["two for each worker", "no more rows than fit", "no more than are sorted well"],
)
def test_partitions_fit_their_tasks(rows: int, bucket_rows: int, workers: int, partitions: int) -> None:
    assert spark_plan._choose_partitions(rows, bucket_rows, workers) == partitions


def test_nothing_in_a_path_is_a_pattern() -> None:
    assert spark_plan._literal("/a [1]/{x}*?^\\ü") == r"file:/a \[1\]/\{x\}\*\?\^\\ü"
