"""The last kernels of the incremental way: ambiguous ids decided twice, and totals that change by the difference."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.aggregate.incremental.affected_ids import save_prefixes
from pipeline.aggregate.incremental.apply_changes import apply_changes, decide_changes
from pipeline.aggregate.incremental.tasks import ApplyTask, BucketGroup, Decided, DecideTask
from pipeline.aggregate.totals import order_totals
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from pipeline.exchange.bucket_totals import write_totals
from tests.pipeline.aggregate.by_hand import Row, bucket_of, make_context, read_totals, write_splits

TOTALS = {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64, "event_count": pl.Int64}


def picked(split: int, rows: list[tuple[int, str, int]], *, before: bool, now: bool) -> pl.DataFrame:
    """Ambiguous rows (id, user, micro-minutes) of a split."""
    columns: dict[str, Any] = {
        "id_hi": pl.Series([id_ for id_, _, _ in rows], dtype=pl.Int64),
        "id_lo": pl.Series([1] * len(rows), dtype=pl.Int64),
        "user_id": [user for _, user, _ in rows],
        "region": pl.Series([0] * len(rows), dtype=pl.UInt16),
        "micro_minutes": [micro for _, _, micro in rows],
        "place": [split * 2**32 + n for n in range(len(rows))],
        "before": [before] * len(rows),
        "now": [now] * len(rows),
    }
    return pl.DataFrame(columns)


def test_a_longer_copy_that_comes_takes_the_place_of_the_winner_before(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    delta = context.workspace.path("delta", "x").parent
    picked(1, [(5, "u", 10), (6, "u", 30), (7, "v", 1), (-5, "w", 1)], before=True, now=True).write_parquet(
        delta / "ambiguous-split-000001.parquet"
    )
    picked(2, [(5, "u", 20), (6, "u", 20)], before=False, now=True).write_parquet(
        delta / "ambiguous-split-000002.parquet"
    )
    picked(3, [(7, "v", 2), (-5, "w", 1)], before=True, now=False).write_parquet(
        delta / "ambiguous-split-000003.parquet"
    )
    advanced: list[int] = []
    lower = decide_changes(context, DecideTask(0, 2, (1, 2, 3)), advanced.append)
    upper = decide_changes(context, DecideTask(1, 2, (1, 2, 3)), advanced.append)
    assert advanced == [6, 2]
    assert lower == Decided(duplicates=0, new_losers=2, old_losers=1)
    assert upper == Decided(duplicates=-1, new_losers=0, old_losers=0), "-5 is in the upper half of the unsigned ids"

    changes = pl.read_parquet(delta / "changes-split-000000.parquet")
    assert sorted(changes.rows()) == [("u", 0, 10, 0), ("v", 0, -1, 0)], "u: 20 for 10; v: 1 for 2"
    assert np.load(delta / "came-split-000000.npy").tolist() == [2**32, 2 * 2**32 + 1]
    assert np.load(delta / "went-split-000000.npy").tolist() == [2**32 + 2]
    assert pl.read_parquet(delta / "changes-split-000001.parquet").is_empty()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("buckets", [1, 16])
def test_totals_lose_what_went_and_gain_what_came(tmp_path: Path, compiled: bool, buckets: int) -> None:
    context = make_context(tmp_path / "now", buckets=buckets, compiled=compiled)
    before: dict[tuple[str, int], tuple[int, int]] = {("u", 1): (100, 3), ("v", 0): (7, 1), ("w", 2): (50, 2)}
    for bucket in range(buckets):
        rows = [(*key, *value) for key, value in before.items() if bucket_of(key[0], buckets) == bucket]
        if rows:
            (tmp_path / "before" / "totals").mkdir(parents=True, exist_ok=True)
            totals, _ = order_totals(pl.DataFrame(rows, TOTALS, orient="row"))
            write_totals(tmp_path / "before" / "totals" / f"bucket-{bucket:04d}.parquet", totals)
    came = [Row(1 << 50, 1, "u", 1, 11), Row(2 << 50, 2, "new", 0, 5), Row(3 << 50, 3, "u", 1, 1000)]
    write_splits(context, {5: came, 4: [Row(4 << 50, 4, "v", 0, 7), Row(5 << 50, 5, "w", 2, 20)]})
    save_prefixes(context, "excluded", 0, np.array([5]), np.array([3 << 50], np.uint64))
    decided = pl.DataFrame([("u", 1, -30, 0), ("w", 2, 4, 1)], TOTALS, orient="row")
    decided.write_parquet(context.workspace.path("delta", "changes-split-000002.parquet"))
    tasks = [
        ApplyTask(BucketGroup(first, max(buckets // 2, 1)), str(tmp_path / "before"), (5,), (4,), (0,), (2,), 2)
        for first in range(0, buckets, max(buckets // 2, 1))
    ]
    applied = [apply_changes(context, task, no_advance) for task in tasks]
    assert sum(part.events for part in applied) == 2 - 2, "of the rows that are not excluded"
    results = [result for part in applied for result in part.buckets]
    assert read_totals(context, results) == {("u", 1): (81, 4), ("new", 0): (5, 1), ("w", 2): (34, 2)}
    assert all((result.duplicates, result.conflicts) == (0, 0) for result in results)


@pytest.mark.parametrize("compiled", [True, False])
def test_no_sum_passes_int64_on_the_way(tmp_path: Path, compiled: bool) -> None:
    """What goes goes first. One beyond it at the end is refused."""
    large = 2**62
    context = make_context(tmp_path / "now", buckets=1, compiled=compiled)
    (tmp_path / "before" / "totals").mkdir(parents=True)
    totals, _ = order_totals(pl.DataFrame([("u", 0, large + 5, 2)], TOTALS, orient="row"))
    write_totals(tmp_path / "before" / "totals" / "bucket-0000.parquet", totals)
    write_splits(context, {1: [Row(1 << 50, 1, "u", 0, large)], 2: [Row(2 << 50, 2, "u", 0, large)]})
    save_prefixes(context, "excluded", 0, np.empty(0, int), np.empty(0, np.uint64))
    task = ApplyTask(BucketGroup(0, 1), str(tmp_path / "before"), (2,), (1,), (0,), (), 2)
    (result,) = apply_changes(context, task, no_advance).buckets
    assert result.regions == {0: (1, 2, large + 5)}
    with pytest.raises(BalanceError, match="watch times of one user"):
        apply_changes(
            context, ApplyTask(BucketGroup(0, 1), str(tmp_path / "before"), (1, 2), (), (0,), (), 2), no_advance
        )
