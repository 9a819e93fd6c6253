"""The way that Phase 2 takes."""

from pathlib import Path

import pytest

from pipeline.aggregate import add_up
from pipeline.aggregate.add_up import plan_phase2
from pipeline.aggregate.context import AggregateContext
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import Phase1Result


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
