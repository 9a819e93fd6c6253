"""Affected ids and their rows: those that sets of prefixes find."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.incremental import affected_ids
from pipeline.aggregate.incremental.affected_ids import (
    check_rows,
    find_affected_ids,
    pick_rows,
    prefixes_of,
    rows_with_prefixes,
    save_prefixes,
)
from pipeline.aggregate.incremental.tasks import FindAffectedTask, PickTask
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import OFFSET, Row, Splits, make_context, write_splits
from tests.pipeline.aggregate.strategies import PREFIXES, splits


@tries(30)
@given(
    splits=splits,
    data=st.data(),
    ranges=st.sampled_from((1, 2)),
    at_once=st.sampled_from((1, 4, 1 << 22)),
    compiled=st.booleans(),
)
def test_an_id_is_affected_that_occurs_in_a_changed_split_and_again_anywhere(
    splits: Splits, data: st.DataObject, ranges: int, at_once: int, compiled: bool
) -> None:
    filled = tuple(number for number, rows in splits.items() if rows)
    changed = frozenset(data.draw(st.sets(st.sampled_from(filled)))) if filled else frozenset[int]()
    copies = Counter(row.id_hi >> 10 for rows in splits.values() for row in rows)
    of_changed = {row.id_hi >> 10 for number in changed for row in splits[number]}
    expected = {
        number: sorted(p << 10 for row in splits[number] if copies[p := row.id_hi >> 10] > 1 and p in of_changed)
        for number in filled
    }
    width = 2**64 // ranges
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(affected_ids, "_KEYS_AT_ONCE", at_once)
        context = make_context(Path(folder), buckets=64, compiled=compiled)
        write_splits(context, splits)
        counts: Counter[int] = Counter()
        numbers = []
        for n in range(ranges if filled else 0):
            task = FindAffectedTask(n, n * width, (n + 1) * width - 1, filled, changed)
            found = find_affected_ids(context, task, no_advance)
            counts.update(found)
            numbers += [n] if found else []
        saved = {number: keys.tolist() for number, keys in prefixes_of(context, "affected", numbers, filled)}
    assert saved == expected
    assert counts == Counter({number: len(prefixes) for number, prefixes in expected.items() if prefixes})


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("leading", [0, 3])
def test_rows_are_found_by_the_first_54_bits(tmp_path: Path, compiled: bool, leading: int) -> None:
    context = make_context(tmp_path, compiled=compiled)
    first = 0b101 << 61
    ids = [first | prefix | last for prefix in (0, 1 << 10, 3 << 10, 1 << 60) for last in (0, 5, 1023)]
    wanted = np.array([first | 1 << 10, first | 1 << 60], np.uint64)
    arrays = [np.array(ids, np.uint64), np.array(ids[::-1], np.uint64), np.empty(0, np.uint64)]
    found = rows_with_prefixes(context, arrays, wanted, leading)
    assert [positions.tolist() for positions in found] == [[3, 4, 5, 9, 10, 11], [0, 1, 2, 6, 7, 8], []]
    assert [len(positions) for positions in rows_with_prefixes(context, arrays, wanted[:0])] == [0, 0, 0]


def test_prefixes_come_back_by_split_from_all_ranges(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    save_prefixes(context, "kind", 0, np.array([7, 3, 7]), np.array([9 << 10 | 5, 2 << 10, 8 << 10], np.uint64))
    save_prefixes(context, "kind", 2, np.array([3]), np.array([1 << 10 | 1023], np.uint64))
    found = {split: (keys >> np.uint64(10)).tolist() for split, keys in prefixes_of(context, "kind", (0, 2), (3, 5, 7))}
    assert found == {3: [1, 2], 5: [], 7: [8, 9]}


@pytest.mark.parametrize("keep", ["longest", "first"])
def test_picked_rows_have_their_place_and_when_they_count(tmp_path: Path, keep: str) -> None:
    context = make_context(tmp_path, keep=keep, buckets=64)
    rows = [Row(prefix | 5, n, user, n, n, 7) for n, prefix in enumerate(PREFIXES[:3]) for user in ("u", "v", "w")]
    write_splits(context, {4: rows})
    save_prefixes(context, "ambiguous", 1, np.array([4, 9]), np.array([PREFIXES[1], PREFIXES[2]], np.uint64))
    pick_rows(context, PickTask(4, 3, (1,), before=False, now=True), no_advance)
    found = pl.read_parquet(context.workspace.path("delta", "ambiguous-split-000004.parquet")).sort("place")
    assert found.select("id_hi", "user_id", "place", "before", "now").rows() == [
        (PREFIXES[1] | 5, user, 4 * 2**32 + (3 + n) * OFFSET, False, True) for n, user in enumerate("uvw")
    ]
    assert ("timestamp" in found.columns) == (keep == "first")
    with pytest.raises(BalanceError, match="split 4 has 3 rows of affected ids, its index 2"):
        pick_rows(context, PickTask(4, 2, (1,), before=False, now=True), no_advance)


def test_as_many_rows_as_the_index_says_are_right() -> None:
    check_rows(1, 5, 5)
    with pytest.raises(BalanceError, match="--full-refresh"):
        check_rows(1, 5, 6)
