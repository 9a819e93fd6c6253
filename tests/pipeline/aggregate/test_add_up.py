"""The way that Phase 2 takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.aggregate import add_up
from pipeline.aggregate.add_up import plan_phase2
from pipeline.aggregate.context import AggregateContext
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import FileLedger, Phase1Result, PlacedSplit
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split


@pytest.mark.parametrize(
    ("spark", "asked", "largest", "way"),
    [
        (True, "auto", 100, "kernels"),
        (True, "auto", 101, "sql"),
        (True, "kernel", 101, "kernels"),
        (True, "sql", 1, "sql"),
        (False, "auto", 101, "kernels"),
        (False, "sql", 1, "kernels"),
    ],
)
def test_sql_where_a_bucket_fits_no_worker(
    spark: bool, asked: str, largest: int, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context = AggregateContext(Workspace(str(tmp_path)), "longest", 64, 1000, ("EU",))
    monkeypatch.setattr(add_up, "largest_bucket", lambda *_: largest)
    plan = plan_phase2(context, None, Phase1Result((), (), {}), spark=spark, spark_plan=asked, task_rows=100)
    assert plan.way == way


def test_long_user_ids_are_fewer_at_a_time_than_sampled_lines_were(tmp_path: Path) -> None:
    """1 MB hold 1,000 rows of 250 bytes; a row with a user of 10 kB takes 40,120."""
    header: Any = Header(",", ("a",), {"log_id": 0}, 10, 2, 20.0)
    split = Split(1, "f.csv", 100, 0, 100, True, header)
    result = SplitResult(split, 0, 100, 10, 0, 10, 0, 10, (4, 6), text_bytes=10 * 10_000)
    context = AggregateContext(Workspace(str(tmp_path)), "longest", 2, 1000, ("EU",), bucket_bytes=1_000_000)

    def planned(*results: SplitResult) -> int:
        placed = tuple(PlacedSplit(result, 2) for result in results)
        phase1 = Phase1Result((FileLedger(InputFile("f.csv", (100, 0, 0), header), placed),))
        return plan_phase2(context, None, phase1, spark=False, spark_plan="auto", task_rows=9).context.bucket_rows

    assert planned() == 1000
    assert planned(replace(result, text_bytes=100)) == 1000
    assert planned(result, replace(result, text_bytes=100)) == 24
    assert planned(replace(result, text_bytes=10 * 2**20)) == 1
