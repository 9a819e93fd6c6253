"""An incremental Phase 2 makes what dicts find in all rows that count now, or leaves it to the other way."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.aggregate.context import AggregateContext
from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.incremental import affected_ids
from pipeline.aggregate.incremental.driver import (
    PreviousVersion,
    aggregate_changes,
    find_change,
    previous_version,
)
from pipeline.engines import Advance, no_advance
from pipeline.errors import BalanceError
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import PlacedSplit
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import Inline, Row, Splits, check, make_context, write_splits
from tests.pipeline.aggregate.strategies import bucket_counts, keeps, splits


class History:
    """Splits in a store, and a version of some of them."""

    def __init__(self, folder: Path, context: AggregateContext, splits: Splits, before: set[int]) -> None:
        self.folder, self.splits = folder, splits
        self.placed = {placed.result.split.number: placed for placed in write_splits(context, splits)}
        self.context = self.in_run(context, "before")
        counted = [self.placed[number] for number in sorted(before)]
        result = aggregate_all(Inline(), self.context, counted, 2, no_advance)
        counts = {"buckets": context.buckets, "kept": result.kept, "duplicates": result.duplicates,
                  "conflicts": result.conflicts}  # fmt: skip
        found = previous_version(
            folder / "before", counts, {split.result.split.number: split.result for split in counted}
        )
        assert found
        self.previous: PreviousVersion = found

    def in_run(self, context: AggregateContext, name: str) -> AggregateContext:
        """A context that writes into a workspace of its own."""
        workspace = Workspace(str(self.folder / name), str(self.folder / "store"))
        workspace.create()
        return replace(context, workspace=workspace)

    def chosen(self, numbers: set[int]) -> list[PlacedSplit]:
        return [self.placed[number] for number in sorted(numbers)]

    def go_on(self, now: set[int], workers: int = 2, advance: Advance = no_advance) -> AggregateContext | None:
        """Make the next version and compare it with dicts; None where it is left to the other way."""
        change = find_change(self.previous, self.chosen(now), most_changed=1e9)
        assert change
        context = self.in_run(self.context, "now")
        result = aggregate_changes(Inline(), context, self.previous, change, workers, advance)
        if not result:
            return None
        check(context, result, {number: self.splits[number] for number in sorted(now)})
        return context


def history(folder: Path, splits: Splits, before: set[int], *, bucket_rows: int = 1000) -> History:
    store = make_context(folder / "store", bucket_rows=bucket_rows)
    return History(folder, store, splits, before)


@tries(20)
@given(
    splits=splits,
    data=st.data(),
    keep=keeps,
    buckets=bucket_counts,
    workers=st.sampled_from((1, 3)),
    at_once=st.sampled_from((1, 5, 1 << 22)),
    compiled=st.booleans(),
)
def test_any_change_makes_what_dicts_find_in_all_rows(
    splits: Splits, data: st.DataObject, keep: str, buckets: int, workers: int, at_once: int, compiled: bool
) -> None:
    chosen = st.sets(st.sampled_from(sorted(splits)))
    before, now = data.draw(chosen), data.draw(chosen)
    assume(any(splits[number] for number in now))  # else all that changed is more than all that counts
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(affected_ids, "_KEYS_AT_ONCE", at_once)
        store = make_context(Path(folder) / "store", keep=keep, buckets=buckets, compiled=compiled)
        advanced: list[int] = []
        assert History(Path(folder), store, splits, before).go_on(now, workers, advanced.append)
        assert sum(advanced) == sum(len(splits[number]) for number in before ^ now)


ROWS = {
    0: [Row(n << 50, n, "u", 0, n) for n in range(1, 40)],
    1: [Row(n << 50, n, "v", 0, n) for n in range(40, 50)],
    2: [Row(5 << 50, 5, "u", 0, 99), Row(6 << 50, 6, "u", 0, 6), Row(60 << 50, 60, "u", 1, 1)],
}


def test_little_that_changed_is_a_change_of_its_own(tmp_path: Path) -> None:
    made = history(tmp_path, ROWS, {0, 1})
    change = find_change(made.previous, made.chosen({0, 2}))
    assert change is None, "13 rows of 42 are more than a quarter"
    change = find_change(made.previous, made.chosen({0, 2}), most_changed=13 / 42)
    assert change
    assert (list(change.added), list(change.removed), list(change.stayed), change.rows) == ([2], [1], [0], 13)
    assert sorted(change.changed) == [1, 2]
    assert find_change(None, made.chosen({0})) is None


def test_splits_of_fewer_buckets_than_the_version_has_cannot_be_added(tmp_path: Path) -> None:
    made = history(tmp_path, ROWS, {0, 1})
    result = made.placed[2].result
    coarse = replace(made.placed[2], result=replace(result, bucket_rows=(3,)))
    assert find_change(made.previous, [*made.chosen({0, 1}), coarse]) is None
    assert find_change(made.previous, made.chosen({0, 1, 2}))


def test_a_version_without_totals_in_buckets_is_none_to_go_on_from(tmp_path: Path) -> None:
    counts = {"buckets": 4, "kept": 1, "duplicates": 2, "conflicts": 3}
    assert previous_version(tmp_path, counts, {}) is None, "no totals"
    (tmp_path / "totals").mkdir()
    assert previous_version(tmp_path, counts, {}) is None, "no losers"
    (tmp_path / "conflicts").mkdir()
    np.save(tmp_path / "conflicts" / "bucket-0000.npy", np.array([1, 2, 3], np.uint64))
    assert previous_version(tmp_path, counts, {}) == PreviousVersion(str(tmp_path), 4, 1, 2, 3, {})
    assert previous_version(tmp_path, counts, None) is None
    assert previous_version(tmp_path, {"kept": 1, "duplicates": 2, "conflicts": 3}, {}) is None


def test_more_affected_rows_of_a_split_than_fit_are_left_to_the_other_way(tmp_path: Path) -> None:
    twins = {0: ROWS[0], 1: ROWS[0]}
    assert history(tmp_path / "fits", twins, {0}, bucket_rows=39).go_on({0, 1})
    assert history(tmp_path / "does not", twins, {0}, bucket_rows=38).go_on({0, 1}) is None


def test_only_ids_whose_copies_differ_are_picked(tmp_path: Path) -> None:
    context = history(tmp_path, ROWS, {0, 1}).go_on({0, 1, 2})
    assert context
    picked = [
        pl.read_parquet(context.workspace.path("delta", f"ambiguous-split-{number:06d}.parquet")) for number in (0, 2)
    ]
    assert [frame.select("id_lo", "micro_minutes", "before", "now").rows() for frame in picked] == [
        [(5, 5, True, True)],
        [(5, 99, False, True)],
    ]


def test_totals_that_are_not_what_the_changes_add_up_to_are_refused(tmp_path: Path) -> None:
    made = history(tmp_path, ROWS, {0, 1})
    made.previous = replace(made.previous, kept=made.previous.kept + 1)
    with pytest.raises(BalanceError, match="50 events, expected 51"):
        made.go_on({0, 1, 2})
    made.previous = replace(made.previous, kept=made.previous.kept - 1, conflicts=1)
    with pytest.raises(BalanceError, match=r"1 conflicts, expected 2.*--full-refresh"):
        made.go_on({0, 1, 2})
